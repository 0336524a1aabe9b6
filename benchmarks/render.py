"""The pages, written from the results: `python -m benchmarks render [PAGE ...]`.

Nothing is run, and no figure is drawn. By default it writes the pages whose results there are.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from .shared.results import PAGES, RESULTS

RENDERED = {
    "mixsolve": ("solver.render", "benchmarks/mixsolve.md"),
    "streamed": ("streamed.render", "benchmarks/streamed.md"),
    "fit": ("fit.render", "benchmarks/fit.md"),
    "first_answer": ("first_answer.render", "benchmarks/first_answer.md"),
    "coverage": ("coverage.render", "benchmarks/coverage.md"),
    "second_opinion": ("reliability.render", "reliability.md"),
}
"""The module whose `page` makes it, and the file: by the name of the results that it needs."""


def main(arguments: list[str]) -> None:
    """Write pages."""
    parser = argparse.ArgumentParser("python -m benchmarks render", description=__doc__)
    parser.add_argument("page", nargs="*", help=f"{', '.join(RENDERED)}; by default all")
    parser.add_argument("--results", type=Path, default=RESULTS, help="directory to read from")
    parser.add_argument("--pages", type=Path, default=PAGES, help="directory of the site")
    args = parser.parse_args(arguments)
    if unknown := set(args.page) - set(RENDERED):
        parser.error(f"there is no page {', '.join(sorted(unknown))}")
    there = [name for name in RENDERED if (args.results / f"{name}.json").exists()]
    for name in args.page or there:
        module, file = RENDERED[name]
        path = args.pages / file
        # One page has more than a benchmark, and is given to the function that renews its table.
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        page = importlib.import_module(f".{module}", __package__).page(args.results, before)
        path.write_text(page, encoding="utf-8")
        print(path)
