"""The page and the figure of the simulation of coverage.

    python -m benchmarks.coverage.render [--results FILE] [--docs DIR]

writes `benchmarks-coverage.md` and `benchmarks-coverage.svg`. Needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from .designs import cells as designs
from .estimators import METHODS, RESAMPLED

SHOWN = (*METHODS, *RESAMPLED)
COLOURS = {
    "orthogonal": ("#0072b2", "o"),
    "profile, hessian": ("#d55e00", "s"),
    "profile, robust": ("#e69f00", "^"),
    "normal": ("#999999", "D"),
}


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A table in Markdown: the first column to the left, the others to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]


def thousands(number: int) -> str:
    """With a space."""
    return f"{number:,}".replace(",", " ")


def percent(shares: list[float | None]) -> str:
    """Of each parameter, in per cent."""
    return " ".join("–" if x is None else f"{100 * x:.0f}" for x in shares)


def ratios(above: list[float | None], below: list[float | None], digits: int = 2) -> str:
    """Of each parameter."""
    return " ".join(
        "–" if a is None or not b else f"{a / b:.{digits}f}"
        for a, b in zip(above, below, strict=True)
    )


def overview(cells: list[dict[str, Any]]) -> list[str]:
    """Coverage by every method, the lowest of the parameters first."""
    rows = []
    for cell in cells:
        row = [cell["name"], thousands(cell["n"])]
        for name in SHOWN:
            method = cell["methods"].get(name)
            row.append(f"{100 * min(method['coverage']):.0f}" if method else "")
        rows.append(row)
    return table(["design", "units", *SHOWN], rows)


def details(cell: dict[str, Any]) -> list[str]:
    """All parameters of a design."""
    rows = []
    for name in SHOWN:
        method = cell["methods"].get(name)
        if method is None:
            continue
        rows.append(
            [
                name,
                str(method["samples"]),
                str(method["failed"]),
                str(method["no_interval"] - method["failed"]),
                percent(method["coverage"]),
                ratios(method["median_bias"], method["robust_spread"]),
                ratios(method["robust_spread"], cell["bound"]),
                " ".join("–" if x is None else f"{x:.3f}" for x in method["length"]),
            ]
        )
    head = ["", "samples", "no estimate", "no interval", "coverage, %", "median bias / spread"]
    head += ["spread / bound", "median length"]
    names = ", ".join(cell["parameters"])
    title = f"### {cell['name']}, {thousands(cell['n'])} units, {cell['m']} points"
    return [title, "", f"Parameters: {names}.", "", *table(head, rows), ""]


def draw(cells: list[dict[str, Any]], path: Path) -> None:
    """Coverage of every parameter of every design, a row a design."""
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
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description="The page of the simulation of coverage.")
    here = Path(__file__).resolve().parents[1]
    parser.add_argument("--results", type=Path, default=here / "results" / "coverage.json")
    parser.add_argument("--docs", type=Path, default=here.parent / "docs" / "pages")
    args = parser.parse_args()
    found = json.loads(args.results.read_text())
    cells = sorted(found["cells"], key=lambda cell: (cell["name"], cell["n"]))
    most = max(method["samples"] for cell in cells for method in cell["methods"].values())
    error = 100 * (0.95 * 0.05 / most) ** 0.5
    lines = [
        "# Simulation of coverage",
        "",
        f"Run on {found['date']}, at commit `{found['machine']['commit']}`. The commands, from the "
        "root of the repository:",
        "",
        "```bash",
        f"python -m benchmarks.coverage --samples {most} --resampled 0",
        "python -m benchmarks.coverage.render",
        "```",
        "",
        "The designs are those of `benchmarks/coverage/designs.py`. Every search starts where a "
        "user would: loadings of one, everything else at zero. No sample is left out: one without "
        "an estimate or an interval counts as not covered. With "
        f"{most} samples a coverage of 95% is known to ± {error:.1f} points. Of the "
        f"{len(designs())} designs {len(cells)} are shown; the command goes on with the others.",
        "",
        "- **orthogonal**: `spmlex.fit_orthogonal` with its defaults. **profile**: `spmlex.fit` "
        "and its standard errors. **normal**: maximum likelihood with a normal latent variable. "
        "**known distribution**: maximum likelihood with the true one, which nobody knows.",
        "- Factor models: outcomes λ_t v + e_t, λ₁ = 1, normal errors. Poisson: four visits; log "
        "base, treatment and log age do not vary within people. Logit: four periods, one regressor "
        "that varies and one that does not.",
        "- Bias and spread are the median and the interquartile range over 1.349, which a few "
        "outliers do not move; the bound is the semiparametric efficiency bound, and all are of "
        "the parameters in their order.",
        "",
        "![Coverage by design and method](benchmarks-coverage.svg)",
        "",
        "## Lowest coverage of the parameters, per cent",
        "",
        *overview(cells),
        "",
        "## Every parameter",
        "",
    ]
    for cell in cells:
        lines += details(cell)
    draw(cells, args.docs / "benchmarks-coverage.svg")
    page = "\n".join(lines).rstrip() + "\n"
    (args.docs / "benchmarks-coverage.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
