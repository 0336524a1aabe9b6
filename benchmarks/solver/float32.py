"""The gap that single precision can attain: `python -m benchmarks float32`.

Every family is solved in float32 with the default tolerance, 1e-5, and with none, so that the solve
ends where rounding stops it. The gaps are computed in float64, on the matrix as float32 holds it.
"""

from __future__ import annotations

import argparse
import warnings

import jax
import jax.numpy as jnp
import numpy as np

import mixsqpx

from ..shared.families import FAMILIES
from ..shared.gap import optimality_gap
from ..shared.results import Results, add_arguments

SIZES = ((2_000, 75), (20_000, 100), (100_000, 100))


def main(arguments: list[str]) -> None:
    """Solve, and write the file."""
    parser = argparse.ArgumentParser("python -m benchmarks float32", description=__doc__)
    add_arguments(parser, "float32", resumable=False)
    results = Results.begin(parser, parser.parse_args(arguments), "float32", part=False)
    jax.config.update("jax_enable_x64", False)
    # No gap in single precision is below this but zero, and that is what a warning says.
    least = mixsqpx.MixSQP(gap_tol=np.finfo(np.float32).tiny)
    warnings.filterwarnings("ignore", "`gap_tol` is", UserWarning)
    found = []
    for n, m in SIZES:
        for family, make in FAMILIES.items():
            log_lik = make(n, m, 0).astype(np.float32)
            default = mixsqpx.mixsolve(jnp.asarray(log_lik), throw=False)
            last = mixsqpx.mixsolve(jnp.asarray(log_lik), solver=least, throw=False)
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
    results.content["float32"] = found
    results.save()
