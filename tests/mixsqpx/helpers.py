"""The problem in plain numpy, checks of a solution, and the problems every solver runs over.

Nothing here calls the package except `check_solved`, whose subject it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def rounding(n: int, m: int, dtype: Any = np.float64) -> float:
    """Bound on the rounding error of Σᵢ ωᵢ aᵢⱼ/uᵢ, a number of size one: of the gap and its parts.

    A sum of k terms is off by λ √k eps/2 with probability 1 - 2 exp(-λ²/2) (Higham and Mary, 2019);
    λ = 6 for the sum over units and the one in u. The other 20 eps are for the exponentials. What
    was seen is at most a third of the bound.
    """
    return (3 * np.sqrt(n + m) + 20) * float(np.finfo(dtype).eps)


# ---- the problem in numpy ------------------------------------------------------------------------


def numpy_weights(weights: ArrayLike | None, n: int) -> Array:
    """Weights that sum to one."""
    omega = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    return omega / omega.sum()


def _counted(log_lik: ArrayLike, weights: ArrayLike | None) -> tuple[Array, Array]:
    """The rows of positive weight, and those weights, which sum to one."""
    ell = np.asarray(log_lik, np.float64)
    omega = numpy_weights(weights, len(ell))
    return ell[omega > 0], omega[omega > 0]


def _relative(log_lik: ArrayLike, probs: ArrayLike) -> tuple[Array, Array, Array]:
    """ℓ - r, log u - r and r, the row maximum r over the components of the mixture.

    The logarithms are added up pair by pair: no exponential, no product with a matrix.
    """
    ell, p = np.asarray(log_lik, np.float64), np.asarray(probs, np.float64)
    inside = ell[:, p > 0]
    row_max = inside.max(axis=1, keepdims=True)
    log_mix = np.logaddexp.reduce(inside - row_max + np.log(p[p > 0])[None, :], axis=1)
    return ell - row_max, log_mix, row_max[:, 0]


def numpy_log_mix(log_lik: ArrayLike, probs: ArrayLike) -> Array:
    """log Σⱼ pⱼ exp ℓᵢⱼ."""
    _, log_mix, row_max = _relative(log_lik, probs)
    return log_mix + row_max


def numpy_ratios(log_lik: ArrayLike, probs: ArrayLike) -> Array:
    """Density ratios aᵢⱼ/uᵢ."""
    ell, log_mix, _ = _relative(log_lik, probs)
    return np.exp(ell - log_mix[:, None])


def numpy_objective(log_lik: ArrayLike, probs: ArrayLike, weights: ArrayLike | None = None) -> float:
    """f(p), over the rows of positive weight."""
    ell, omega = _counted(log_lik, weights)
    return -float(np.sum(omega * numpy_log_mix(ell, probs)))


def numpy_gradient(log_lik: ArrayLike, probs: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """g = 1 - Σᵢ ωᵢ aᵢⱼ/uᵢ, over the rows of positive weight."""
    ell, omega = _counted(log_lik, weights)
    terms = np.ascontiguousarray((omega[:, None] * numpy_ratios(ell, probs)).T)
    return 1.0 - terms.sum(axis=1)


def numpy_gap(log_lik: ArrayLike, probs: ArrayLike, weights: ArrayLike | None = None) -> float:
    """log maxⱼ Σᵢ ωᵢ aᵢⱼ/uᵢ, over all components."""
    return float(np.log1p(-numpy_gradient(log_lik, probs, weights).min()))


def numpy_hessian(log_lik: ArrayLike, probs: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """H = Σᵢ ωᵢ aᵢaᵢᵀ/uᵢ², over the rows of positive weight."""
    ell, omega = _counted(log_lik, weights)
    ratios = numpy_ratios(ell, probs)
    return np.einsum("i,ij,ik->jk", omega, ratios, ratios)


def probs_error(log_lik: ArrayLike, probs: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Bound on |p - p*| (Euclidean) at a p with the optimum's support A, near to it.

    On A the optimum has g = 0, so g(p) = H̄ (p - p*) with the average H̄ of H_AA on the way. Its
    smallest eigenvalue is that at p but for the change of H over |p - p*|; the factor 2 covers it.
    Rounding of g comes on top.
    """
    active = np.asarray(probs) > 0
    hess = numpy_hessian(log_lik, probs, weights)[np.ix_(active, active)]
    grad = numpy_gradient(log_lik, probs, weights)[active]
    size = np.linalg.norm(grad) + np.sqrt(active.sum()) * rounding(*np.shape(log_lik))
    return 2 * float(size / np.linalg.eigvalsh(hess)[0])


# ---- what every solution has to satisfy ----------------------------------------------------------


def check_solved(
    log_lik: ArrayLike, weights: ArrayLike | None, solution: Any, gap_tol: float = 1e-10
) -> None:
    """Result code, certificate and numbers of a successful solution, against the numpy problem."""
    import mixsqpx

    dtype = solution.probs.dtype
    ell = np.asarray(log_lik)
    n, m = ell.shape
    tol = rounding(n, m, dtype)
    p = np.asarray(solution.probs, np.float64)
    assert solution.result == mixsqpx.RESULTS.successful
    assert p.shape == (m,)
    assert np.all(p >= 0)
    assert abs(p.sum() - 1) <= (m + 1) * np.finfo(dtype).eps
    assert int(solution.stats["num_active"]) == np.count_nonzero(p)
    assert int(solution.stats["unit"]) == -1
    gap = numpy_gap(ell, p, weights)
    assert 0 <= float(solution.gap) <= gap_tol
    assert gap <= gap_tol + tol
    assert abs(float(solution.gap) - gap) <= tol
    package_gap = jax.jit(mixsqpx.optimality_gap)(*arrays(ell, solution.probs, weights, dtype=dtype))
    assert abs(float(package_gap) - gap) <= tol
    np.testing.assert_allclose(solution.gradient, numpy_gradient(ell, p, weights), rtol=0, atol=tol)
    # A mean of n logarithms: each off by the rounding of u, the sum by n eps of its terms' size.
    counted, omega = _counted(ell, weights)
    size = 1 + float(omega @ np.abs(numpy_log_mix(counted, p)))
    assert abs(float(solution.objective) - numpy_objective(ell, p, weights)) <= tol * size


def arrays(*values: ArrayLike | None, dtype: Any = np.float64) -> tuple[Any, ...]:
    """As JAX arrays of one dtype; None stays None."""
    return tuple(None if value is None else jnp.asarray(value, dtype) for value in values)


# ---- a problem whose optimum is planted ----------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Planted:
    """A problem with known solution `probs`, multipliers `gradient` and minimum `objective`.

    `ratios` are the aᵢⱼ/uᵢ at the optimum, so that H_AA and all derivatives are known too.
    """

    log_lik: Array
    weights: Array
    probs: Array
    gradient: Array
    objective: float
    ratios: Array


def plant(seed: int, n: int, m: int, num_active: int) -> Planted:
    """A problem with a planted optimum that meets the first-order conditions by construction.

    With R the ratios aᵢⱼ/uᵢ, the conditions on the active set are Σⱼ pⱼ Rᵢⱼ = 1 (that is what u is)
    and Σᵢ ωᵢ Rᵢⱼ = 1: the matrix ωᵢ Rᵢⱼ pⱼ has margins ω and p. Any positive matrix can be given
    these margins by scaling rows and columns in turn (Sinkhorn). A column outside A is any positive
    one, scaled to Σᵢ ωᵢ Rᵢⱼ = 1 - gⱼ with the multiplier gⱼ > 0 that we like. u is free as well.
    """
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.5, 1.5, n)
    omega = weights / weights.sum()
    active = np.sort(rng.choice(m, num_active, replace=False))
    p = rng.uniform(1, 2, num_active)
    p /= p.sum()
    joint = rng.gamma(0.5, size=(n, num_active)) + 0.01
    for _ in range(10_000):
        joint *= (p / joint.sum(axis=0))[None, :]
        joint *= (omega / joint.sum(axis=1))[:, None]
        if np.abs(joint.sum(axis=0) - p).max() < 1e-16:
            break
    ratios = rng.gamma(2.0, size=(n, m)) + 0.01
    gradient = rng.uniform(0.2, 0.8, m)
    gradient[active] = 0.0
    ratios *= ((1 - gradient) / (omega @ ratios))[None, :]
    ratios[:, active] = joint / (omega[:, None] * p[None, :])
    log_mix = rng.normal(scale=3.0, size=n)
    probs = np.zeros(m)
    probs[active] = p
    return Planted(
        np.log(ratios) + log_mix[:, None],
        weights,
        probs,
        gradient,
        -float(omega @ log_mix),
        ratios,
    )


# ---- the zoo -------------------------------------------------------------------------------------


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
    support = np.linspace(z.min(), z.max(), 300)
    sd = width * (support[1] - support[0])
    return Problem(f"narrow_5000x300_{width}", normal(z, support, sd), np.ones(5000))


@cache
def zoo() -> dict[str, Problem]:
    """One problem of each family, most of them 60 x 24: a shape with two rungs of the ladder."""
    rng = np.random.default_rng(20200)
    n, m = 60, 24
    grid = np.linspace(-4, 4, m)
    z = np.where(rng.uniform(size=n) < 0.4, -1.5, 1.0) + rng.normal(size=n)
    scaled = rng.normal(size=n) * np.repeat([1.0, 3.0, 6.0], n // 3)
    scale = np.sqrt(1 + np.concatenate([[0.0], np.geomspace(0.1, 20, m - 1)]) ** 2)
    location = normal(z, grid, 1.0)
    count, chance = rng.binomial(20, rng.beta(0.5, 0.5, n)), np.linspace(0, 1, m)
    with np.errstate(divide="ignore", invalid="ignore"):
        binomial = np.nan_to_num(count[:, None] * np.log(chance)[None, :], nan=0.0, neginf=-np.inf)
        binomial += np.nan_to_num(
            (20 - count)[:, None] * np.log1p(-chance)[None, :], nan=0.0, neginf=-np.inf
        )
    loading, noise = np.array([1.0, 1.5, 0.3]), np.array([1.0, 1.2, 0.75])
    latent = rng.choice([-3.0, 0.0, 5.0], n, p=[0.3, 0.5, 0.2])
    outcomes = latent[:, None] * loading + rng.normal(size=(n, 3)) * noise
    factor = sum(
        normal(outcomes[:, t], loading[t] * np.linspace(-6, 6, m), noise[t]) for t in range(3)
    )
    kernels = normal(rng.uniform(-4, 4, n), grid, 0.1)
    uniform = np.where(np.abs(z[:, None] - grid[None, :]) <= 1.0, -np.log(2.0), -np.inf)
    zero_columns = location.copy()
    zero_columns[:, [0, 5, 14]] = -np.inf
    weights = rng.integers(0, 4, n).astype(np.float64)
    unusable = location.copy()
    unusable[weights == 0] = np.nan
    unusable[np.flatnonzero(weights == 0)[0]] = -np.inf
    unusable[np.flatnonzero(weights == 0)[1], 3] = np.inf
    outlier = kernels.copy()
    outlier[7] = normal(np.array([30.0]), grid, 0.1)[0]
    ones = np.ones(n)
    problems = [
        Problem("normal_scale", normal(scaled, np.zeros(m), scale[None, :]), ones),
        Problem("normal_location", location, ones),
        Problem("weighted", unusable, weights),
        Problem("unequal_weights", location, np.geomspace(1e-6, 1e6, n)),
        Problem("binomial", binomial, ones),
        Problem("gamma", np.log(rng.gamma(1.0, size=(n, m))), ones),
        Problem("narrow_kernels", kernels, ones),
        Problem("outlier", outlier, ones),
        Problem("factor_model", factor, ones),
        Problem("duplicated_columns", np.repeat(location[:, ::2], 2, axis=1), ones),
        Problem("duplicated_rows", np.repeat(location[::2], 2, axis=0), ones),
        Problem("uniform_kernels", uniform, ones),
        Problem("zero_columns", zero_columns, ones),
        Problem("shifted_rows", location + rng.normal(scale=1e4, size=n)[:, None], ones),
        Problem("vertex", normal(np.zeros(n), np.linspace(0, 3, m), 1.0), ones),
        Problem("flat", np.full((n, m), -2.0), ones),
        Problem("wide", np.log(rng.gamma(1.0, size=(10, 500))), np.ones(10)),
        Problem("tall", _tall(rng), np.ones(20_000)),
        Problem("one_by_one", np.array([[-3.5]]), np.ones(1)),
        Problem("one_unit", np.array([[-3.5, -1.0, -2.0, -1.5, -9.0]]), np.ones(1)),
        Problem("one_component", rng.normal(size=(7, 1)), np.ones(7)),
        thumbtacks(),
    ]
    return {problem.name: problem for problem in problems}


def _tall(rng: np.random.Generator) -> Array:
    z = rng.normal(size=20_000) * np.repeat([1.0, 3.0], 10_000)
    return normal(z, np.zeros(8), np.sqrt(1 + np.linspace(0, 4, 8) ** 2)[None, :])


def thumbtacks() -> Problem:
    """The thumbtack data of R's fixture."""
    from .r_cases import load_case

    case = load_case("tacks")
    assert case.weights is not None
    return Problem("thumbtacks", case.log_lik, case.weights)
