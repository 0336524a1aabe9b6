"""What a process of its own does."""

from __future__ import annotations

import time
from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from .designs import cells
from .estimators import (
    METHODS,
    RESAMPLED,
    Found,
    Parametric,
    efficient_spread,
    orthogonal,
    profile,
    resampled,
)

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_threefry_partitionable", True)

BOUND_DRAWS = 200_000
# What is timed of a sample, in this order.
CLOCKED = ("orthogonal", "profile", "parametric")


def run_cell(index: int, num_samples: int, num_resampled: int) -> dict[str, Any]:
    """All samples of a design."""
    before, cell = time.perf_counter(), cells()[index]
    parametric = Parametric(cell)
    found: dict[str, list[Found]] = {name: [] for name in (*METHODS, *RESAMPLED)}
    clock: dict[str, list[float]] = {name: [] for name in CLOCKED}
    for seed in range(num_samples):
        data, times = cell.draw(seed), [time.process_time()]
        by_all = {METHODS[0]: orthogonal(cell, data, seed)}
        times.append(time.process_time())
        by_profile, result = profile(cell, data)
        times.append(time.process_time())
        by_all |= by_profile | parametric(data)
        times.append(time.process_time())
        for name, seconds in zip(CLOCKED, np.diff(times), strict=True):
            clock[name].append(float(seconds))
        if seed < num_resampled:
            by_all |= resampled(cell, result, seed)
        for name, one in by_all.items():
            found[name].append(one)
    truth = np.asarray(ravel_pytree(cell.truth)[0])
    return {
        "name": cell.name,
        "n": cell.num_units,
        "m": cell.num_points,
        "parameters": list(cell.names),
        "bound": rounded(efficient_spread(cell, BOUND_DRAWS)),
        "methods": {name: summarise(rows, truth) for name, rows in found.items() if rows},
        "seconds": round(time.perf_counter() - before, 1),
        # Of a processor, the median of the samples: the first ones compile.
        "seconds_a_sample": {name: round(float(np.median(x)), 3) for name, x in clock.items()},
    }


def summarise(found: list[Found], truth: np.ndarray) -> dict[str, Any]:
    """Of one method, by parameter. A sample without an interval does not cover."""
    estimates, lower, upper = (np.array(x) for x in zip(*found, strict=True))
    with np.errstate(invalid="ignore"):
        covers = (lower <= truth) & (truth <= upper)
    off = estimates - truth
    return {
        "samples": len(found),
        "failed": int(np.sum(~np.isfinite(estimates).all(axis=1))),
        "no_interval": int(np.sum(~np.isfinite(upper - lower).all(axis=1))),
        "bias": rounded(np.nanmean(off, axis=0)),
        "median_bias": rounded(np.nanmedian(off, axis=0)),
        "spread": rounded(np.nanstd(estimates, axis=0, ddof=1)),
        # Of a normal distribution this is the spread, and it takes no notice of a few outliers.
        "robust_spread": rounded(
            np.diff(np.nanpercentile(estimates, [25, 75], axis=0), axis=0)[0] / 1.349
        ),
        "length": rounded(np.nanmedian(upper - lower, axis=0)),
        "coverage": rounded(np.mean(covers, axis=0)),
    }


def rounded(values: np.ndarray) -> list[float | None]:
    """For a small file."""
    return [float(f"{x:.4g}") if np.isfinite(x) else None for x in values]
