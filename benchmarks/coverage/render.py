"""The page of the simulation of coverage, from `coverage.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..shared.markdown import commands, run_text, table, thousands
from ..shared.results import read
from .designs import cells as designs
from .estimators import METHODS, RESAMPLED

SHOWN = (*METHODS, *RESAMPLED)


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


def page(results: Path, before: str) -> str:
    """The whole page."""
    del before
    found = read(results / "coverage.json")
    cells = sorted(found["cells"], key=lambda cell: (cell["name"], cell["n"]))
    most = max(method["samples"] for cell in cells for method in cell["methods"].values())
    error = 100 * (0.95 * 0.05 / most) ** 0.5
    lines = [
        "# Simulation of coverage",
        "",
        run_text(found),
        "",
        *commands(f"coverage --samples {most} --resampled 0", "render coverage"),
        "The designs are those of `benchmarks/coverage/designs.py`. Every search starts where a "
        "user would: loadings of one, everything else at zero. No sample is left out: one without "
        "an estimate or an interval counts as not covered. With "
        f"{most} samples a coverage of 95% is known to ± {error:.1f} points. Of the "
        f"{len(designs())} designs {len(cells)} are shown.",
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
        "![Coverage by design and method](coverage.svg)",
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
    return "\n".join(lines).rstrip() + "\n"
