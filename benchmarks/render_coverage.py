"""Tables and a figure from the results of `coverage.py`.

    python benchmarks/render_coverage.py [--results DIR] [--docs DIR]

reads `coverage.json`, and writes `benchmarks-coverage.md` and `benchmarks-coverage.svg`. Needs
matplotlib.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from render import table

KINDS = ("hessian", "opg", "robust")
NAMES = ("λ₂", "λ₃", "log σ₁", "log σ₂", "log σ₃")
DESIGNS = {
    "discrete": "X on three points",
    "normal": "X normal",
}


def percent(share: float) -> str:
    """A share in per cent."""
    return f"{100 * share:.1f}"


def size_of(cell: dict[str, Any]) -> list[str]:
    """Units and points of a design."""
    return [f"{cell['n']:,}".replace(",", " "), str(cell["m"])]


def ends_section(cells: list[dict[str, Any]]) -> list[str]:
    """How the fits ended."""
    rows = []
    for cell in cells:
        flagged = [f"{cell['flagged']} of {cell['used']}"]
        flagged.append(f"{cell['flagged_vanished']} of {cell['vanished']}")
        row = [DESIGNS[cell["design"]], *size_of(cell), str(cell["replications"])]
        row += [str(cell[key]) for key in ("failed", "vanished", "not_invertible", "used")]
        row += [f"{cell['active'][1]:.0f}", f"{cell['grid_gap'][1]:.1e}"]
        lost = cell["grid_gap_vanished"]
        row += [f"{lost[1]:.1e}" if lost else "", *flagged]
        rows.append(row)
    head = ["design", "units", "points", "samples", "not converged", "vanishing variance"]
    head += ["singular", "used", "active points", "grid gap, used", "grid gap, vanishing"]
    head += ["noted, used", "noted, vanishing"]
    return ["## How the fits end", "", *table(head, rows), ""]


def design_section(design: str, cells: list[dict[str, Any]]) -> list[str]:
    """Bias, spread, standard errors and coverage of each parameter."""
    rows = []
    for cell in cells:
        for k, name in enumerate(NAMES):
            row = [*size_of(cell), name, f"{cell['bias'][k]:.4f}", f"{cell['spread'][k]:.4f}"]
            row += [f"{cell['std_error'][kind][k]:.4f}" for kind in KINDS]
            row += [percent(cell["coverage"][kind][k]) for kind in KINDS]
            rows.append(row)
    head = ["units", "points", "parameter", "bias", "spread"]
    head += [f"mean error, {kind}" for kind in KINDS]
    head += [f"coverage, {kind}" for kind in KINDS]
    return [f"## {DESIGNS[design]}", "", *table(head, rows), ""]


def draw(cells: list[dict[str, Any]], path: Path) -> None:
    """Coverage of the Hessian's intervals, by units, a panel a design."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (design, title) in zip(panels, DESIGNS.items(), strict=True):
        axes.axhspan(93, 97, color="0.9")
        finest = max(cell["m"] for cell in cells)
        own = [cell for cell in cells if cell["design"] == design and cell["m"] == finest]
        for k, name in enumerate(NAMES):
            covers = [100 * cell["coverage"]["hessian"][k] for cell in own]
            axes.semilogx([cell["n"] for cell in own], covers, "o-", label=name)
        axes.set(title=f"{title}, {finest} points", xlabel="Units")
        axes.set_xticks([cell["n"] for cell in own], [str(cell["n"]) for cell in own])
        axes.minorticks_off()
        axes.grid(True, alpha=0.3)
    panels[0].set_ylabel("Coverage of 95% intervals, per cent")
    panels[0].legend()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description="Tables and a figure of coverage.py.")
    here = Path(__file__).resolve().parent
    parser.add_argument("--results", type=Path, default=here / "results")
    parser.add_argument("--docs", type=Path, default=here.parent / "docs" / "pages")
    args = parser.parse_args()
    found = json.loads((args.results / "coverage.json").read_text())
    cells = sorted(found["cells"], key=lambda cell: (cell["n"], cell["m"]))
    lines = [
        "# Simulation of coverage",
        "",
        f"Run on {found['date']}, with the code as it was then. The commands, from the root of the "
        "repository:",
        "",
        "```bash",
        "python benchmarks/coverage.py --output benchmarks/results/coverage.json",
        "python benchmarks/render_coverage.py",
        "```",
        "",
        "The factor model: three outcomes Y_t = λ_t X + e_t, λ = (1, 1.5, 0.3), with normal errors "
        "of standard deviations exp(0, 0.2, −0.3). The latent variable X is −3, 0 or 5 with "
        "probabilities 0.3, 0.5, 0.2, on grids over [−6, 6]; or normal with standard deviation "
        "2.5, on grids over [−10, 10]. The estimation never knows which. It starts at the true "
        "parameters. Grids share their samples.",
        "",
        "Spread is the standard deviation of the estimates, mean error the mean of their standard "
        "errors, coverage the share of intervals, estimate ± 1.96 standard errors, that hold the "
        "truth, in per cent. With as many samples as here a coverage of 95% is known to ± 1.4 "
        "points. All are over the samples that are used: where the search converged, the "
        "information is not singular and no variance vanishes. The kind `cluster` is the same as "
        "`robust` here.",
        "",
        "![Coverage by number of units](benchmarks-coverage.svg)",
        "",
        *ends_section(cells),
        "A variance counts as vanishing where log σ is below −0.7 (the truth is −0.3 or more): a "
        "local maximum at which the distribution explains one of the outcomes unit by unit, and σ "
        "is about the distance between grid points. The grid gap (`grid_gap`) is the most that "
        "masses between the grid's points could add to the mean log-likelihood, its median over "
        "samples; `summary` notes it where it is above 0.1. Both limits were chosen after looking "
        "at such simulations, and which samples of the normal design count depends on the "
        "first, so its figures are no test of either.",
        "",
    ]
    for design in DESIGNS:
        lines += design_section(design, [cell for cell in cells if cell["design"] == design])
    draw(cells, args.docs / "benchmarks-coverage.svg")
    page = "\n".join(lines).rstrip() + "\n"
    (args.docs / "benchmarks-coverage.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
