"""Bias, spread and coverage of the estimates, by simulation: `python -m benchmarks coverage`.

The designs are those of `designs.py`, each from the start that a user would have. Likelihood ratio
and bootstrap, which are slow, are tried on the first samples alone. Results are written after each
design, and `--resume` keeps those that are there.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from ..shared.results import Results, add_arguments
from .designs import cells
from .estimators import METHODS
from .worker import run_cell


def main(arguments: list[str]) -> None:
    """Run the designs."""
    parser = argparse.ArgumentParser("python -m benchmarks coverage", description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000)
    parser.add_argument("--resampled", type=int, default=200)
    parser.add_argument("--only", default="", help="designs whose name and size hold this text")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    add_arguments(parser, "coverage")
    args = parser.parse_args(arguments)
    # One core a process, and no library that waits in one process for the threads of another.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    # Each design is a process, and a run that was broken off goes on: programs are compiled once.
    programs = Path(tempfile.gettempdir()) / "spmlex-coverage-programs"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(programs))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    results = Results.begin(parser, args, "coverage", part=bool(args.only))
    found = results.content.setdefault("cells", [])
    done = {(cell["name"], cell["n"]) for cell in found}
    wanted = [
        index
        for index, cell in enumerate(cells())
        if (cell.name, cell.num_units) not in done and args.only in f"{cell.name}, {cell.num_units}"
    ]
    context = multiprocessing.get_context("spawn")
    # A process of its own for each design: programs of many shapes fill its memory mappings.
    with ProcessPoolExecutor(args.processes, mp_context=context, max_tasks_per_child=1) as pool:
        tasks = [pool.submit(run_cell, k, args.samples, args.resampled) for k in wanted]
        for task in as_completed(tasks):
            cell = task.result()
            found.append(cell)
            results.save()
            own, other = (cell["methods"][name] for name in METHODS[:2])
            print(
                f"{cell['name']}, {cell['n']}: {cell['seconds']:.0f} s, failed {own['failed']}, "
                f"covers {own['coverage']}, profile {other['coverage']}",
                flush=True,
            )
