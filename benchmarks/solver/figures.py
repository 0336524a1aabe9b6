"""Figures of the page of `mixsolve`: time of a warm call against n and against m."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

STYLES = {
    "ours": ("#0072b2", "o"),
    "r": ("#e69f00", "s"),
    "cpp": ("#cc79a7", "^"),
    "rust": ("#d55e00", "D"),
    "em": ("#56b4e9", "v"),
    "clarabel": ("#009e73", "P"),
    "r_full": ("#e69f00", "1"),
    "cpp_full": ("#cc79a7", "2"),
    "rust_full": ("#d55e00", "3"),
}
"""Colour (Okabe & Ito, readable with colour blindness) and marker of each solver."""

DASHES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")

BAND = 0.75
"""Height above which a panel shows who has no solution."""

Point = tuple[int, int, float]
"""Fixed dimension, moving dimension, seconds."""


def _fixed(axis: str) -> str:
    return "m" if axis == "n" else "n"


def _solved(problems: list[dict[str, Any]], solver: str, axis: str) -> list[Point]:
    """Runs of a solver that ended with a solution, ordered for lines."""
    out = []
    for problem in problems:
        for run in problem["runs"]:
            if run["solver"] == solver and run["verdict"] == "ok":
                time = float(run.get("warm_median", run["first"]))
                out.append((problem[_fixed(axis)], problem[axis], time))
    return sorted(out)


def _unsolved(problems: list[dict[str, Any]], solver: str, axis: str) -> list[int]:
    """Sizes at which a solver was tried in vain, or was known to be too slow."""
    out = set()
    for problem in problems:
        for run in problem["runs"]:
            tried = not run["verdict"].startswith(("absent", "not tried"))
            if run["solver"] == solver and tried and run["verdict"] != "ok":
                out.add(problem[axis])
    return sorted(out)


def _kept(problems: list[dict[str, Any]], axis: str) -> list[dict[str, Any]]:
    """Problems of one family that lie on a line: the other dimension occurs at least twice.

    Against n the sizes with 75 and 100 components make one line.
    """
    if axis == "n":
        kept = [p for p in problems if p["m"] in (75, 100)]
    else:
        counts = [p["n"] for p in problems]
        kept = [p for p in problems if counts.count(p["n"]) > 1]
    return kept if len({p[axis] for p in kept}) > 1 else []


def _panel(
    ax: Axes, problems: list[dict[str, Any]], axis: str, names: list[str], levels: list[int]
) -> None:
    """One family: a line per solver and value of the other dimension.

    What is no solution has no time: it is a cross in a band at the top, a row per solver.
    """
    for k, name in enumerate(names):
        colour, marker = STYLES.get(name, ("#000000", "."))
        points = _solved(problems, name, axis)
        lines = [points] if axis == "n" else [list(g) for _, g in groupby(points, lambda p: p[0])]
        for line in filter(None, lines):
            dash = "-" if axis == "n" else DASHES[levels.index(line[0][0]) % len(DASHES)]
            x, y = [p[1] for p in line], [p[2] for p in line]
            ax.plot(x, y, linestyle=dash, color=colour, marker=marker)
        crosses = _unsolved(problems, name, axis)
        height = [1.0 - (1.0 - BAND) * (k + 1.0) / (len(names) + 1.0)] * len(crosses)
        transform = ax.get_xaxis_transform()
        ax.plot(crosses, height, "x", color=colour, markersize=5, transform=transform)
    ax.set_xscale("log")
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.set_ylim(low, low * (high / low) ** (1.0 / BAND))
    ax.add_patch(
        Rectangle((0, BAND), 1, 1 - BAND, transform=ax.transAxes, color="#eeeeee", zorder=0)
    )
    sizes = sorted({p[axis] for p in problems})
    ax.set_xticks(sizes, [_short(size) for size in sizes], fontsize="x-small")
    ax.set_xticks([], minor=True)
    ax.grid(True, which="major", alpha=0.3)


def _short(size: int) -> str:
    if size >= 1_000_000:
        return f"{size / 1e6:g}M"
    return f"{size / 1e3:g}k" if size >= 1_000 else str(size)


def _legend(axis: str, labels: dict[str, str], levels: list[int]) -> list[Line2D]:
    """Handles of the legend that all panels share."""
    handles = []
    for name, label in labels.items():
        colour, marker = STYLES.get(name, ("#000000", "."))
        handles.append(Line2D([], [], color=colour, marker=marker, label=label))
    text = "wrong, not solved or too slow"
    handles.append(Line2D([], [], color="grey", marker="x", linestyle="", label=text))
    if axis == "m":
        for k, level in enumerate(levels):
            text = f"n = {level:,}".replace(",", " ")
            handles.append(
                Line2D([], [], color="grey", linestyle=DASHES[k % len(DASHES)], label=text)
            )
    return handles


def by_units(results: dict[str, Any]) -> Figure:
    """Time against n."""
    return _figure(results, "n")


def by_components(results: dict[str, Any]) -> Figure:
    """Time against m."""
    return _figure(results, "m")


def _figure(results: dict[str, Any], axis: str) -> Figure:
    """A panel for each family in which problems differ in that dimension.

    Parameters
    ----------
    results
        Content of the results file.
    axis
        "n" or "m": the dimension that moves.
    """
    panels: dict[str, list[dict[str, Any]]] = {}
    for family in dict.fromkeys(p["family"] for p in results["problems"]):
        kept = _kept([p for p in results["problems"] if p["family"] == family], axis)
        if kept:
            panels[family] = kept
    names = list(results["labels"])
    rows = max(1, -(-len(panels) // 3))
    columns = max(1, min(3, len(panels)))
    size = (3.6 * columns + 0.6, 3.4 * rows + 1.0)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    levels = sorted({p["n"] for kept in panels.values() for p in kept})
    for ax, (family, kept) in zip(axes.flat, panels.items(), strict=False):
        _panel(ax, kept, axis, names, levels)
        ax.set_title(family, fontsize=10)
        ax.set_xlabel("observations n, m = 75 to 100" if axis == "n" else "components m")
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("warm call, seconds")
    handles = _legend(axis, results["labels"], levels)
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8)
    return figure
