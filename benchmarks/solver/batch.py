"""Time of `vmap` over `mixsolve` beside a Python loop: `python -m benchmarks batch`.

Bootstrap weights (200 weightings of one 5 000 x 100 matrix) and many small problems (1 000 of
200 x 30), of every family. Both sides are compiled, and take their turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import mixsqpx

from ..shared.families import FAMILIES
from ..shared.results import Results, add_arguments

TURNS = 5


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - start


def compare(batch: Callable[..., Any], one: Callable[..., Any], members: jax.Array) -> dict:
    """Median times of both, and the worst gap of the batch.

    Parameters
    ----------
    batch, one
        Compiled solves of all members at once and of a single one.
    members
        What they are solved for, on the leading axis.
    """
    each = list(members)
    gap = float(jnp.max(batch(members).gap))
    jax.block_until_ready(one(each[0]).probs)
    times = [
        (_seconds(lambda: batch(members).probs), _seconds(lambda: [one(x).probs for x in each]))
        for _ in range(TURNS)
    ]
    vmap, loop = (statistics.median(column) for column in zip(*times, strict=True))
    return {"vmap": vmap, "loop": loop, "gap": gap, "members": len(each)}


def bootstrap(family: str, n: int, m: int, num: int) -> dict:
    """Exponential weights on one matrix."""
    log_lik = jnp.asarray(FAMILIES[family](n, m, 0))
    weights = jnp.asarray(np.random.default_rng(1).exponential(size=(num, n)))
    one = jax.jit(lambda log_lik, w: mixsqpx.mixsolve(log_lik, w))
    batch = jax.jit(jax.vmap(mixsqpx.mixsolve, in_axes=(None, 0)))
    found = compare(lambda w: batch(log_lik, w), lambda w: one(log_lik, w), weights)
    return {"what": "weightings of one matrix", "family": family, "n": n, "m": m} | found


def many(family: str, n: int, m: int, num: int) -> dict:
    """Problems of one shape."""
    matrices = jnp.asarray(np.stack([FAMILIES[family](n, m, seed) for seed in range(num)]))
    found = compare(jax.jit(jax.vmap(mixsqpx.mixsolve)), jax.jit(mixsqpx.mixsolve), matrices)
    return {"what": "problems", "family": family, "n": n, "m": m} | found


def main(arguments: list[str]) -> None:
    """Run both, and write the file."""
    parser = argparse.ArgumentParser("python -m benchmarks batch", description=__doc__)
    add_arguments(parser, "batch", resumable=False)
    results = Results.begin(parser, parser.parse_args(arguments), "batch", part=False)
    jax.config.update("jax_enable_x64", True)
    found = []
    for run, size in ((bootstrap, (5_000, 100, 200)), (many, (200, 30, 1_000))):
        for family in FAMILIES:
            found.append(run(family, *size))
            ratio = found[-1]["loop"] / found[-1]["vmap"]
            print(f"{found[-1]['what']:26s}{family:16s}{ratio:6.2f}", flush=True)
    results.content["batch"] = found
    results.save()
