"""Worker: the factor model, estimated by jaxopt's BFGS over a peer's solver.

The gradient is that of the envelope theorem: the proportions are held where the solver put them.
Writes seconds of the first and of further runs, and where the last one ended.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import jaxopt  # noqa: E402
import numpy as np  # noqa: E402

import mixsqpx  # noqa: E402

LOG_2PI = float(np.log(2.0 * np.pi))


def lclk(params: dict[str, jax.Array], data: jax.Array, supp: jax.Array) -> jax.Array:
    """The model of `benchmarks/fit/models.py`, without equinox."""
    squares = jnp.zeros(())
    for t, loading in enumerate((1.0, *params["coef"])):
        z = (data[:, t][:, None] - loading * supp[None, :]) * jnp.exp(-params["log_std"][t])
        squares = squares + z**2
    return -0.5 * squares - jnp.sum(params["log_std"]) - 0.5 * LOG_2PI


def proportions(log_lik: jax.Array, peer: str) -> jax.Array:
    """The peer's answer."""
    if peer == "cpp":
        return mixsqpx.mixsolve(log_lik)[0]
    return mixsqpx.mixsolve(log_lik, return_info=True).probabilities


def main() -> None:
    """Estimate, several times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("problem", type=Path, help=".npz file: data, supp, coef, log_std")
    parser.add_argument("record", type=Path, help="JSON file to write")
    parser.add_argument("--peer", choices=["cpp", "rust"], required=True)
    parser.add_argument("--tol", type=float, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    args = parser.parse_args()
    arrays = {name: jnp.asarray(array) for name, array in np.load(args.problem).items()}
    data, supp = arrays["data"], arrays["supp"]
    start = {name: arrays[name] for name in ("coef", "log_std")}

    def value(params: dict[str, jax.Array]) -> jax.Array:
        log_lik = lclk(params, data, supp)
        fixed = jax.lax.stop_gradient(log_lik)
        probs = jax.lax.stop_gradient(proportions(fixed, args.peer))
        return -jnp.mean(jax.scipy.special.logsumexp(log_lik, axis=1, b=probs[None, :]))

    solver: Any = jaxopt.BFGS(value, linesearch="zoom", tol=args.tol, maxiter=500)
    run = jax.jit(solver.run)
    times = []
    for _ in range(1 + args.repeats):
        before = time.perf_counter()
        params, state = jax.block_until_ready(run(start))
        times.append(time.perf_counter() - before)
        record = {
            "cold": times[0],
            "warm": times[1:],
            "value": float(state.value),
            "grad_norm": float(state.error),
            "iterations": int(state.iter_num),
            "coef": np.asarray(params["coef"]).tolist(),
        }
        args.record.write_text(json.dumps(record))


if __name__ == "__main__":
    main()
