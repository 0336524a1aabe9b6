"""Figure of the page of the simulation of coverage."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from ..shared.markdown import thousands

COLOURS = {
    "orthogonal": ("#0072b2", "o"),
    "profile, hessian": ("#d55e00", "s"),
    "profile, robust": ("#e69f00", "^"),
    "normal": ("#999999", "D"),
}


def coverage(results: dict[str, Any]) -> Figure:
    """Coverage of every parameter of every design, a row a design."""
    cells = sorted(results["cells"], key=lambda cell: (cell["name"], cell["n"]))
    figure = Figure(figsize=(8, 0.34 * len(cells) + 1.2), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(93, 97, color="0.9", lw=0)
    for row, cell in enumerate(reversed(cells)):
        for shift, (name, (colour, marker)) in zip(
            (0.24, 0.08, -0.08, -0.24), COLOURS.items(), strict=True
        ):
            covers = [100 * x for x in cell["methods"][name]["coverage"]]
            label = name if row == 0 else None
            axes.plot(
                covers, [row + shift] * len(covers), marker, color=colour, ms=3.5, label=label
            )
    labels = [f"{cell['name']}, {thousands(cell['n'])}" for cell in reversed(cells)]
    axes.set_yticks(range(len(cells)), labels)
    axes.set(xlabel="Coverage of 95% intervals, per cent; a mark a parameter", xlim=(None, 101))
    axes.grid(True, axis="x", alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure
