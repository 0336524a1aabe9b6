"""The gap that single precision can attain: the command.

    python benchmarks/float32.py [RESULTS]

Every family is solved in float32 with the default tolerance, 1e-5, and with none, so that the solve
ends where rounding stops it. The gaps are computed in float64, on the matrix as float32 holds it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import machine
import numpy as np
from families import FAMILIES
from gap import optimality_gap

import mixsqpx

SIZES = ((2_000, 75), (20_000, 100), (100_000, 100))


def main() -> None:
    """Solve, and write the file."""
    parser = argparse.ArgumentParser(description="The gap that single precision can attain.")
    parser.add_argument("results", type=Path, nargs="?", default=Path("float32.json"))
    path = parser.parse_args().results
    found = []
    for n, m in SIZES:
        for family, make in FAMILIES.items():
            log_lik = make(n, m, 0).astype(np.float32)
            default = mixsqpx.mixsolve(jnp.asarray(log_lik), throw=False)
            last = mixsqpx.mixsolve(
                jnp.asarray(log_lik), solver=mixsqpx.MixSQP(gap_tol=0.0), throw=False
            )
            wide = log_lik.astype(np.float64)
            found.append(
                {
                    "family": family,
                    "n": n,
                    "m": m,
                    "solved": bool(default.result == mixsqpx.RESULTS.successful),
                    "default": optimality_gap(wide, np.asarray(default.probs, np.float64)),
                    "attained": optimality_gap(wide, np.asarray(last.probs, np.float64)),
                }
            )
            print(found[-1], flush=True)
    path.write_text(json.dumps({"machine": machine.describe(), "float32": found}, indent=1))


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", False)
    main()
