"""Worker: one first answer in a process of its own, by this repository's packages or a peer's.

    python run_first.py TASK WHO DATA

It has imported JAX, which no solver can do without, and read its data when its clock starts; the
solver's own import is part of its time. Prints one line of JSON. The packages, and `benchmarks`,
are those that PYTHONPATH leads to.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_threefry_partitionable", True)

WARM = 30
WARM_SECONDS = 2.0
NUM_REPLICATIONS = 500


def solver(who: str) -> Any:
    """The function that solves, imported now; it returns the proportions."""
    import mixsqpx

    if who == "cpp":
        return lambda log_lik: np.asarray(mixsqpx.mixsolve(log_lik)[0])
    if who == "rust":
        return lambda x: np.asarray(mixsqpx.mixsolve(x, return_info=True).probabilities)
    return lambda log_lik: np.asarray(mixsqpx.mixsolve(log_lik, throw=False).probs)


def matrices(data: Path) -> list[jax.Array]:
    """The problems of a file, on the device."""
    return [jax.block_until_ready(jax.device_put(x)) for x in np.load(data).values()]


def solve(who: str, data: Path) -> dict[str, Any]:
    """First solve, and solves after it."""
    (log_lik,) = matrices(data)
    start = time.perf_counter()
    call = solver(who)
    probs = call(log_lik)
    first = time.perf_counter() - start
    warm: list[float] = []
    while len(warm) < WARM and sum(warm) < WARM_SECONDS:
        before = time.perf_counter()
        call(log_lik)
        warm.append(time.perf_counter() - before)
    return {"first": first, "warm": warm, "probs": probs.tolist()}


def shapes(who: str, data: Path) -> dict[str, Any]:
    """Many problems, one after the other."""
    problems = matrices(data)
    start = time.perf_counter()
    call = solver(who)
    found = [call(log_lik) for log_lik in problems]
    return {"first": time.perf_counter() - start, "probs": [p.tolist() for p in found]}


def estimate(who: str, data: Path) -> dict[str, Any]:
    """The factor model, another model on the same data, and the first bootstrap."""
    del who
    arrays = {name: jax.device_put(x) for name, x in np.load(data).items()}
    start = time.perf_counter()
    import spmlex

    import equinox as eqx  # isort: skip
    from benchmarks.fit import models  # isort: skip

    model = models.Factor(arrays["coef"], arrays["log_std"])
    result = spmlex.fit(model, arrays["data"], arrays["supp"], progress=False)
    first = time.perf_counter() - start

    class Scaled(eqx.Module):
        """The same up to the scale of its parameters: a model that nobody has seen."""

        inner: Any

        def lclk(self, data: Any, supp: Any) -> Any:
            """Log-likelihood."""
            inner = jax.tree.map(lambda x: 1.5 * x, self.inner)
            return inner.lclk(data, supp)

    before = time.perf_counter()
    scaled = Scaled(jax.tree.map(lambda x: x / 1.5, model))
    second_result = spmlex.fit(scaled, arrays["data"], arrays["supp"], progress=False)
    second = time.perf_counter() - before
    out = {"first": first, "second_model": second, "loglik": float(result.loglik)}
    out["loglik_second"] = float(second_result.loglik)
    if os.environ.get("FIRST_BOOTSTRAP"):
        before = time.perf_counter()
        sample = result.bootstrap(jax.random.key(0), num=NUM_REPLICATIONS)
        jax.block_until_ready(jax.tree.leaves(eqx.filter(sample, eqx.is_array)))
        out["bootstrap"] = time.perf_counter() - before
    return out


def batch(who: str, data: Path) -> dict[str, Any]:
    """`vmap` over problems of equal size beside a loop, both warm."""
    del who
    import mixsqpx

    (stack,) = matrices(data)
    each = list(stack)
    many = jax.jit(jax.vmap(lambda x: mixsqpx.mixsolve(x, throw=False).probs))
    times: dict[str, list[float]] = {"vmap": [], "loop": []}
    for _ in range(6):
        before = time.perf_counter()
        jax.block_until_ready(many(stack))
        between = time.perf_counter()
        jax.block_until_ready([mixsqpx.mixsolve(x, throw=False).probs for x in each])
        times["vmap"].append(between - before)
        times["loop"].append(time.perf_counter() - between)
    return {"first": times["vmap"][0], **{name: found[1:] for name, found in times.items()}}


TASKS = {"solve": solve, "shapes": shapes, "estimate": estimate, "batch": batch}


def main() -> None:
    """Run one task."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=list(TASKS))
    parser.add_argument("who")
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    print(json.dumps(TASKS[args.task](args.who, args.data)), flush=True)


if __name__ == "__main__":
    main()
