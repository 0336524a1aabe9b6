"""The problem in plain numpy, checks of a solution, and problems with a planted optimum.

Nothing here calls the package except `check_solved`, whose subject it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
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


def numpy_objective(
    log_lik: ArrayLike, probs: ArrayLike, weights: ArrayLike | None = None
) -> float:
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
    log_lik: ArrayLike,
    weights: ArrayLike | None,
    solution: Any,
    gap_tol: float = 1e-10,
    tol: float | None = None,
) -> None:
    """Result code, certificate and numbers of a successful solution, against the numpy problem.

    `tol` is for data whose rounding errors are not independent, which `rounding` takes them to be.
    """
    import mixsqpx

    dtype = solution.probs.dtype
    ell = np.asarray(log_lik)
    n, m = ell.shape
    tol = rounding(n, m, dtype) if tol is None else tol
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
    package_gap = jax.jit(mixsqpx.optimality_gap)(
        *arrays(ell, solution.probs, weights, dtype=dtype)
    )
    assert abs(float(package_gap) - gap) <= tol
    np.testing.assert_allclose(solution.gradient, numpy_gradient(ell, p, weights), rtol=0, atol=tol)
    # A mean of n logarithms: each off by the rounding of u, the sum by n eps of its terms' size.
    counted, omega = _counted(ell, weights)
    size = 1 + float(omega @ np.abs(numpy_log_mix(counted, p)))
    assert abs(float(solution.objective) - numpy_objective(ell, p, weights)) <= tol * size


def arrays(*values: ArrayLike | None, dtype: Any = np.float64) -> tuple[Any, ...]:
    """As JAX arrays of one dtype; None stays None."""
    return tuple(None if value is None else jnp.asarray(value, dtype) for value in values)


@contextmanager
def annotations_off() -> Iterator[None]:
    """What users have: annotations are not checked at run time, so the package has to."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


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


def plant(seed: int, n: int, m: int, num_active: int, num_ties: int = 0) -> Planted:
    """A problem with a planted optimum that meets the first-order conditions by construction.

    With R the ratios aᵢⱼ/uᵢ, the conditions on the active set are Σⱼ pⱼ Rᵢⱼ = 1 (that is what u is)
    and Σᵢ ωᵢ Rᵢⱼ = 1: the matrix ωᵢ Rᵢⱼ pⱼ has margins ω and p. Any positive matrix can be given
    these margins by scaling rows and columns in turn (Sinkhorn). A column outside A is any positive
    one, scaled to Σᵢ ωᵢ Rᵢⱼ = 1 - gⱼ with the multiplier gⱼ > 0 that we like. u is free as well.
    The first `num_ties` columns outside A get the multiplier zero: no strict complementarity.
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
    gradient[np.setdiff1d(np.arange(m), active)[:num_ties]] = 0.0
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
