"""The zoo: problems of every family, that every solver runs over."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from .helpers import Array
from .r_cases import load_case

# Most problems have this shape, so that little is compiled. The solver has two sizes of working
# sets for it, and derivatives are taken on one of two numbers of components: test_shapes.py.
N, M = 200, 48


@dataclass(frozen=True, eq=False)
class Problem:
    """A problem of the zoo. Weights are always given, so that a shape is compiled once."""

    name: str
    log_lik: Array
    weights: Array


def normal(z: Array, support: Array, sd: ArrayLike) -> Array:
    """Log density of N(support, sd²) at z."""
    return -0.5 * ((z[:, None] - support[None, :]) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)


def narrow_kernels(width: float) -> Problem:
    """5000 units and 300 kernels, whose standard deviation is `width` times their distance."""
    z = np.random.default_rng(5).normal(size=5000)
    support = np.linspace(-2.5, 2.5, 300)
    sd = width * (support[1] - support[0])
    return Problem(f"narrow_5000x300_{width}", normal(z, support, sd), np.ones(5000))


@cache
def zoo() -> dict[str, Problem]:
    """One problem of each family."""
    rng = np.random.default_rng(20200)
    n, m = N, M
    ones = np.ones(n)
    grid = np.linspace(-4, 4, m)
    z = np.where(rng.uniform(size=n) < 0.4, -1.5, 1.0) + rng.normal(size=n)
    location = normal(z, grid, 1.0)
    kernels = normal(rng.uniform(-4, 4, n), grid, 0.1)
    outlier = kernels.copy()
    outlier[7] = normal(np.array([30.0]), grid, 0.1)[0]
    zero_columns = location.copy()
    zero_columns[:, [0, 5, 14]] = -np.inf
    weights = rng.integers(0, 4, n).astype(np.float64)
    unusable = location.copy()
    unusable[weights == 0] = np.nan
    unusable[np.flatnonzero(weights == 0)[0]] = -np.inf
    unusable[np.flatnonzero(weights == 0)[1], 3] = np.inf
    gamma = np.log(rng.gamma(1.0, size=(n, m)))
    uncovered = gamma.copy()  # units of no weight, and no likelihood but under one component
    uncovered[weights == 0] = -np.inf
    uncovered[weights == 0, 2] = 0.0
    problems = [
        Problem("normal_scale", _scale(rng, n, m), ones),
        Problem("normal_location", location, ones),
        Problem("zero_weights", unusable, weights),
        Problem("unequal_weights", location, np.geomspace(1e-6, 1e6, n)),
        Problem("binomial", _binomial(rng, n, m), ones),
        Problem("gamma", gamma, ones),
        Problem("zero_weights_uncovered", uncovered, weights),
        Problem("narrow_kernels", kernels, ones),
        Problem("outlier", outlier, ones),
        Problem("factor_model", _factor_model(rng, n, m), ones),
        Problem("duplicated_columns", np.repeat(location, 2, axis=1)[:, :m], ones),
        Problem("duplicated_rows", np.repeat(location[::2], 2, axis=0), ones),
        Problem("uniform_kernels", _uniform(z, grid), ones),
        Problem("zero_columns", zero_columns, ones),
        Problem("shifted_rows", location + rng.normal(scale=1e4, size=n)[:, None], ones),
        Problem("vertex", normal(np.zeros(n), np.linspace(0, 3, m), 1.0), ones),
        Problem("flat", np.full((n, m), -2.0), ones),
        Problem("wide", np.log(rng.gamma(1.0, size=(10, 500))), np.ones(10)),
        Problem("tall", _scale(rng, 20_000, 8), np.ones(20_000)),
        Problem("one_by_one", np.array([[-3.5]]), np.ones(1)),
        Problem("one_unit", np.array([[-3.5, -1.0, -2.0, -1.5, -9.0]]), np.ones(1)),
        Problem("one_component", rng.normal(size=(48, 1)), np.ones(48)),
        _thumbtacks(),
    ]
    return {problem.name: problem for problem in problems}


def _scale(rng: np.random.Generator, n: int, m: int) -> Array:
    z = rng.normal(size=n) * np.repeat([1.0, 3.0], n // 2)
    sd = np.sqrt(1 + np.concatenate([[0.0], np.geomspace(0.1, 20, m - 1)]) ** 2)
    return normal(z, np.zeros(m), sd[None, :])


def _binomial(rng: np.random.Generator, n: int, m: int) -> Array:
    """20 trials, the grid from 0 to 1: zero likelihoods, and 0 log 0."""
    count, chance = rng.binomial(20, rng.beta(0.5, 0.5, n))[:, None], np.linspace(0, 1, m)[None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        success = np.where(count == 0, 0.0, count * np.log(chance))
        return success + np.where(count == 20, 0.0, (20 - count) * np.log1p(-chance))


def _factor_model(rng: np.random.Generator, n: int, m: int) -> Array:
    """Three measurements of a latent variable with three values."""
    loading, noise = np.array([1.0, 1.5, 0.3]), np.array([1.0, 1.2, 0.75])
    latent = rng.choice([-3.0, 0.0, 5.0], n, p=[0.3, 0.5, 0.2])
    outcome = latent[:, None] * loading[None, :] + rng.normal(size=(n, 3)) * noise[None, :]
    support = np.linspace(-6, 6, m)
    return sum(normal(outcome[:, t], loading[t] * support, noise[t]) for t in range(3))


def _uniform(z: Array, grid: Array) -> Array:
    """Kernels of bounded support: most likelihoods are zero, none of a whole row."""
    near = np.clip(z, grid[0], grid[-1])[:, None]
    return np.where(np.abs(near - grid[None, :]) <= 1.0, -np.log(2.0), -np.inf)


def _thumbtacks() -> Problem:
    case = load_case("tacks")
    assert case.weights is not None
    return Problem("thumbtacks", case.log_lik, case.weights)
