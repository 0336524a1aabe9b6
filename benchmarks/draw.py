"""The figures of the pages, drawn from the results: `python -m benchmarks draw DIR`.

It takes seconds, and needs matplotlib and nothing else. The same results give the same files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

from .coverage import figures as coverage
from .fit import figures as fit
from .shared.results import RESULTS, read
from .solver import figures as solver

FIGURES = {
    "mixsolve-n.svg": ("mixsolve", solver.by_units),
    "mixsolve-m.svg": ("mixsolve", solver.by_components),
    "fit.svg": ("fit", fit.convergence),
    "coverage.svg": ("coverage", coverage.coverage),
}
"""Of each file: the results that it shows, and the function that makes it of their content."""


def main(arguments: list[str]) -> None:
    """Draw the figures whose results there are."""
    parser = argparse.ArgumentParser("python -m benchmarks draw", description=__doc__)
    parser.add_argument("directory", type=Path, help="where the figures go")
    parser.add_argument("--results", type=Path, default=RESULTS, help="directory to read from")
    args = parser.parse_args(arguments)
    args.directory.mkdir(parents=True, exist_ok=True)
    # The salt is of the names inside a file, which are random without one.
    with matplotlib.rc_context({"svg.hashsalt": "benchmarks"}):
        for file, (name, figure) in FIGURES.items():
            path = args.results / f"{name}.json"
            if path.exists():
                figure(read(path)).savefig(args.directory / file, metadata={"Date": None})
                print(args.directory / file)
