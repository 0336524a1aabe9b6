"""Bias, spread and coverage of the estimates, by simulation.

    python -m benchmarks.coverage [--samples R] [--resampled R] [--only TEXT] [--output FILE]
    python -m benchmarks.coverage.render

Designs of benchmarks/coverage/designs.py, each from the start that a user would have. Likelihood
ratio and bootstrap, which are slow, are tried on the first samples alone. Results are written after
each design; those that the file holds already are kept.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine

from .designs import cells
from .estimators import METHODS
from .worker import run_cell


def main() -> None:
    """Run the designs."""
    parser = argparse.ArgumentParser(description="Simulate bias, spread and coverage.")
    parser.add_argument("--samples", type=int, default=1_000)
    parser.add_argument("--resampled", type=int, default=200)
    parser.add_argument("--only", default="", help="designs whose name and size hold this text")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/coverage.json"))
    args = parser.parse_args()
    # One core a process, and no library that waits in one process for the threads of another.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    results = json.loads(args.output.read_text()) if args.output.exists() else {"cells": []}
    done = {(cell["name"], cell["n"]) for cell in results["cells"]}
    described = machine.describe()
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
            results["cells"].append(cell)
            results["date"] = datetime.now(UTC).strftime("%Y-%m-%d")
            results["machine"] = described
            args.output.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
            own, other = (cell["methods"][name] for name in METHODS[:2])
            print(
                f"{cell['name']}, {cell['n']}: {cell['seconds']:.0f} s, failed {own['failed']}, "
                f"covers {own['coverage']}, profile {other['coverage']}",
                flush=True,
            )


if __name__ == "__main__":
    main()
