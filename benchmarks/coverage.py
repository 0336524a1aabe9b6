"""Bias, spread and coverage of the estimates, by simulation.

    python benchmarks/coverage.py [--replications R] [--output FILE]
    python benchmarks/render_coverage.py

The factor model of three outcomes, its latent variable on three points or normal, for several
numbers of units and grids. Estimation starts at the true parameters. The results are written after
each design; those that a file holds already are kept.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import machine
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from models import Factor

from spmlex import TrustRegionNewton
from spmlex._compiled import optimise
from spmlex._grid import COARSE, grid_gap_at
from spmlex._profile import default_mix_solver
from spmlex._scores import linearise
from spmlex._search import Problem, first_init

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_threefry_partitionable", True)

LOADINGS = (1.5, 0.3)
LOG_STD = (0.0, 0.2, -0.3)
NAMES = ("coef[0]", "coef[1]", "log_std[0]", "log_std[1]", "log_std[2]")
KINDS = ("hessian", "opg", "robust")
CRITICAL = 1.959963984540054
SIZES = (250, 1_000, 4_000)
GRIDS = (25, 51, 101)
LIMITS = {"discrete": 6.0, "normal": 10.0}
NORMAL_STD = 2.5
CHUNK = 100
MAX_STEPS = 60
MAX_ACTIVE = 80
"""Support points with mass that the scores can hold; more of them are reported as a failure."""

VANISHING = -0.7
"""A logarithm of a standard deviation below this is counted as a vanishing variance: eight standard
errors below the smallest of the truth, and above the distance of the points of the finer grids."""


class Outcome(NamedTuple):
    """What is kept of a replication; all arrays have the replications in front."""

    estimates: Array
    std_errors: Array
    successful: Array
    num_active: Array
    num_steps: Array
    gap: Array
    grid_gap: Array


def draw(key: Array, design: str, num_units: int) -> Float[Array, "n 3"]:
    """Outcomes of the factor model."""
    of_latent, of_error = jax.random.split(key)
    if design == "discrete":
        mass = jnp.array([0.3, 0.5, 0.2])
        latent = jnp.array([-3.0, 0.0, 5.0])[jax.random.choice(of_latent, 3, (num_units,), p=mass)]
    else:
        latent = NORMAL_STD * jax.random.normal(of_latent, (num_units,))
    error = jax.random.normal(of_error, (num_units, 3)) * jnp.exp(jnp.array([LOG_STD]))
    return latent[:, None] * jnp.array([[1.0, *LOADINGS]]) + error


def replicate(key: Array, design: str, num_units: int, num_points: int) -> Outcome:
    """One sample, its estimate and its standard errors."""
    data = draw(key, design, num_units)
    supp = jnp.linspace(-LIMITS[design], LIMITS[design], num_points)
    solver = default_mix_solver(data.dtype)
    init = first_init(solver, num_points, None, data.dtype)
    truth = Factor(jnp.array(LOADINGS), jnp.array(LOG_STD))
    held = jax.tree.map(lambda _: None, truth)
    problem = Problem(held, data, supp, None, None, solver, init)
    found = optimise(problem, truth, TrustRegionNewton(), MAX_STEPS)
    probs = found.profile.probs
    num_active = jnp.sum(probs > 0)
    size = min(num_points, MAX_ACTIVE)
    members = lax.top_k(probs, size)[1]
    units = linearise(problem, found.params, probs, members).scores
    bread = jnp.linalg.inv(num_units * found.hess)
    cross = units.T @ units
    variances = jnp.stack(
        [jnp.diagonal(v) for v in (bread, jnp.linalg.inv(cross), bread @ cross @ bread)]
    )
    return Outcome(
        jnp.concatenate([found.params.coef, found.params.log_std]),
        jnp.sqrt(variances),
        found.successful & (num_active <= size),
        num_active,
        found.num_steps,
        found.profile.gap,
        grid_gap_at(problem, found.params, probs),
    )


def simulate(design: str, num_units: int, num_points: int, replications: int) -> dict[str, Any]:
    """All replications of a design, in chunks of one compiled program."""
    run = jax.jit(
        lambda keys: lax.map(lambda key: replicate(key, design, num_units, num_points), keys)
    )
    # The same samples on every grid.
    keys = jax.random.split(jax.random.PRNGKey(num_units), replications)
    before = time.perf_counter()
    parts = [jax.device_get(run(keys[k : k + CHUNK])) for k in range(0, replications, CHUNK)]
    seconds = time.perf_counter() - before
    found = Outcome(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return {
        "design": design,
        "n": num_units,
        "m": num_points,
        "replications": replications,
        "seconds": seconds,
        **summarise(found),
    }


def summarise(found: Outcome) -> dict[str, Any]:
    """Bias, spread, standard errors and coverage, by parameter and kind."""
    truth = np.array([*LOADINGS, *LOG_STD])
    vanished = found.successful & (found.estimates[:, 2:].min(axis=1) < VANISHING)
    invertible = np.isfinite(found.std_errors).all(axis=(1, 2))
    used = found.successful & ~vanished & invertible
    estimates, std_errors = found.estimates[used], found.std_errors[used]
    covers = np.abs(estimates - truth)[:, None, :] <= CRITICAL * std_errors
    return {
        "failed": int(np.sum(~found.successful)),
        "vanished": int(np.sum(vanished)),
        "not_invertible": int(np.sum(found.successful & ~vanished & ~invertible)),
        "used": int(np.sum(used)),
        "active": np.percentile(found.num_active[used], [0, 50, 100]).tolist(),
        "grid_gap": np.percentile(found.grid_gap[used], [0, 50, 99, 100]).tolist(),
        "flagged": int(np.sum(found.grid_gap[used] > COARSE)),
        "flagged_vanished": int(np.sum(found.grid_gap[vanished] > COARSE)),
        "active_vanished": ends(found.num_active[vanished]),
        "lowest_vanished": ends(found.estimates[vanished, 2:].min(axis=1)),
        "grid_gap_vanished": ends(found.grid_gap[vanished]),
        "steps": np.percentile(found.num_steps[used], [0, 50, 100]).tolist(),
        "worst_gap": float(found.gap[used].max()),
        "bias": (estimates - truth).mean(axis=0).tolist(),
        "spread": estimates.std(axis=0, ddof=1).tolist(),
        "std_error": dict(zip(KINDS, std_errors.mean(axis=0).tolist(), strict=True)),
        "median_std_error": dict(zip(KINDS, np.median(std_errors, axis=0).tolist(), strict=True)),
        "coverage": dict(zip(KINDS, covers.mean(axis=0).tolist(), strict=True)),
    }


def ends(values: np.ndarray) -> list[float] | None:
    """Smallest, median and largest, if there are any."""
    return np.percentile(values, [0, 50, 100]).tolist() if values.size else None


def main() -> None:
    """Run the designs, the small ones first."""
    parser = argparse.ArgumentParser(description="Simulate bias, spread and coverage.")
    parser.add_argument("--replications", type=int, default=1_000)
    parser.add_argument("--output", type=Path, default=Path("coverage.json"))
    args = parser.parse_args()
    results = json.loads(args.output.read_text()) if args.output.exists() else {"cells": []}
    done = {(cell["design"], cell["n"], cell["m"]) for cell in results["cells"]}
    for n, m, design in itertools.product(SIZES, GRIDS, LIMITS):
        if (design, n, m) in done:
            continue
        cell = simulate(design, n, m, args.replications)
        results["cells"].append(cell)
        results["date"] = datetime.now(UTC).strftime("%Y-%m-%d")
        results["machine"] = machine.describe()
        args.output.write_text(json.dumps(results, indent=1))
        shown = {k: cell[k] for k in ("design", "n", "m", "seconds", "failed", "vanished")}
        print(shown, cell["coverage"]["hessian"], flush=True)


if __name__ == "__main__":
    main()
