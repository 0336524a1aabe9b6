"""Matrices larger than memory: `python -m benchmarks streamed`.

For each size a file of a normal scale mixture in float32 is written, and removed again: the largest
has 8 GB. Every number is of a process of its own: `read` reads the file once and takes the
exponentials in double precision, `solve` is `mixsolve_blocks` to a gap of 1e-7. Compilation is
counted, imports are not.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..shared.machine import load_average
from ..shared.results import ROOT, Results, add_arguments, rounded
from .files import BLOCK, write

GAP_TOL = 1e-7
SIZES = ((200_000, 100), (2_000_000, 100), (20_000_000, 100), (2_100_000, 800))


def read(path: str) -> dict[str, Any]:
    """Read a file in blocks and exponentiate it: the sums are for nothing but to need them."""
    rows = np.load(path, mmap_mode="r")
    size = BLOCK // rows.shape[1]

    @jax.jit
    def exponentials(block: jax.Array) -> jax.Array:
        block = block.astype(jnp.float64)
        return jnp.sum(jnp.exp(block - jnp.max(block, axis=1, keepdims=True)))

    total = []
    for start in range(0, len(rows), size):
        total.append(exponentials(np.array(rows[start : start + size])))
        if len(total) > 2:
            total[-3].block_until_ready()
    return {"sum": rounded(float(sum(total)))}


def solve(path: str) -> dict[str, Any]:
    """Solve for a file."""
    import mixsqpx

    solver = mixsqpx.MixSQP(gap_tol=GAP_TOL)
    solution = mixsqpx.mixsolve_blocks(np.load(path, mmap_mode="r"), solver=solver)
    return {
        "passes": int(solution.stats["num_passes"]),
        "active": int(solution.stats["num_active"]),
        "gap": float(solution.gap),
        "objective": float(solution.objective),
    }


def work(task: str, path: str) -> None:
    """Worker: one task, its time and the most memory that the process ever had."""
    jax.config.update("jax_enable_x64", True)
    jax.block_until_ready(jnp.zeros(()))
    wall, processor = time.perf_counter(), time.process_time()
    found = {"read": read, "solve": solve}[task](path)
    found["seconds"] = rounded(time.perf_counter() - wall)
    found["processor_seconds"] = rounded(time.process_time() - processor)
    # In KiB on Linux, in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    found["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(json.dumps(found))


def run(task: str, path: Path) -> dict[str, Any]:
    """A task in a new process."""
    code = f"from {__name__} import work; work({task!r}, {str(path)!r})"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1]) | {"load": load_average()}


def main(arguments: list[str]) -> None:
    """Run the sizes, and write what was found after each."""
    parser = argparse.ArgumentParser("python -m benchmarks streamed", description=__doc__)
    parser.add_argument("--scratch", type=Path, help="directory for the files")
    parser.add_argument("--size", action="append", metavar="NxM", help="by default all")
    add_arguments(parser, "streamed")
    args = parser.parse_args(arguments)
    chosen = [tuple(map(int, size.split("x"))) for size in args.size or ()]
    results = Results.begin(parser, args, "streamed", part=bool(chosen))
    results.content["gap_tol"] = GAP_TOL
    sizes = results.content.setdefault("sizes", [])
    done = {(found["n"], found["m"]) for found in sizes}
    for n, m in chosen or SIZES:
        if (n, m) in done:
            continue
        with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
            path = Path(scratch) / "log_lik.npy"
            write(path, n, m)
            found = {"n": n, "m": m, "file_bytes": path.stat().st_size}
            found["runs"] = {task: run(task, path) for task in ("read", "solve")}
        print(json.dumps(found), flush=True)
        sizes.append(found)
        results.save()
