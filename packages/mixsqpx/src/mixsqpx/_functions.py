"""Exact pieces of the problem at any proportions, for use and for checking."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from ._inputs import LOST, SUM_TOL, as_problem_arrays, can_be_read
from ._mistakes import warn_of_likelihoods, warn_of_proportions
from ._problem import normalise_weights
from ._product import product
from ._raise import raise_on_failure
from ._solution import RESULTS


def _checked(
    log_lik: Any, probs: Any, weights: Any
) -> tuple[Float[Array, "n m"], Float[Array, " m"], Float[Array, " n"] | None]:
    """The arguments as arrays, after a look at what known numbers give away."""
    log_lik, probs, weights = as_problem_arrays(log_lik, weights, probs)
    warn_of_likelihoods(log_lik, stacklevel=4)
    warn_of_proportions(probs, stacklevel=4)
    _refuse_weights(weights)
    return log_lik, probs, weights


def _refuse_weights(weights: Float[Array, " n"] | None) -> None:
    """Raise for known weights with which `mixsolve` would fail."""
    if weights is None or not can_be_read(weights):
        return
    values = np.asarray(weights)
    is_valid = (values >= 0) & (values < np.inf)
    result, unit = RESULTS.successful, -1
    if not is_valid.all():
        result, unit = RESULTS.invalid_weights, int(np.argmin(is_valid))
    elif not values.any():
        result = RESULTS.zero_weights
    raise_on_failure(weights, result, jnp.asarray(unit), jnp.asarray(jnp.nan))


def _scaled(
    log_lik: Float[Array, "n m"],
    probs: Float[Array, " m"],
    weights: Float[Array, " n"] | None,
) -> tuple[Float[Array, "n m"], Float[Array, " n"]]:
    """Log-likelihoods, rows shifted by the second output; unusable rows of zero weight are zeros.

    The shift is the largest entry among components of positive proportion, so nothing that counts
    underflows, however far a component outside the mixture is above.
    """
    if weights is not None:
        blank = (weights == 0) & ~is_usable(log_lik, probs)
        log_lik = jnp.where(blank[:, None], 0.0, log_lik)
    shift = jnp.max(jnp.where((probs > 0)[None, :], log_lik, -jnp.inf), axis=1)
    shift = lax.stop_gradient(jnp.where(jnp.isfinite(shift), shift, 0.0))
    return log_lik - shift[:, None], shift


def is_usable(log_lik: Float[Array, "n m"], probs: Float[Array, " m"]) -> Bool[Array, " n"]:
    """Units without NaN and +inf, and with likelihood at some component of the mixture.

    Comparisons see NaN, where XLA's maximum on CPU loses it.
    """
    explained = jnp.any((log_lik > -jnp.inf) & (probs > 0)[None, :], axis=1)
    return jnp.all(log_lik < jnp.inf, axis=1) & explained


def objective(
    log_lik: Float[Array, "n m"],
    probs: Float[Array, " m"],
    weights: Float[Array, " n"] | None = None,
) -> Float[Array, ""]:
    """Objective f(p) = -Σᵢ ωᵢ log Σⱼ pⱼ exp ℓᵢⱼ, weights normalised to sum to one.

    Parameters
    ----------
    log_lik : Float[Array, "n m"]
        Log-likelihood ℓ of n units under m components; -inf allowed.
    probs : Float[Array, "m"]
        Proportions p. The value is that of the formula at others too.
    weights : Float[Array, "n"], optional
        Observation weights; equal by default. Rows of zero weight are not looked at.

    Returns
    -------
    Float[Array, ""]
        f(p), in nats per unit weight; +inf if a unit has zero likelihood under p. The
        log-likelihood of n units without weights is -n f(p).

    Raises
    ------
    ValueError
        For an argument of the wrong shape; for known weights that are negative, not finite or all
        zero.
    TypeError
        For an argument that is not a real array.

    Warns
    -----
    UserWarning
        Of known `probs` that are no proportions, by more than the rounding of a solver; if no entry
        of a known `log_lik` is negative, as of likelihoods in place of their logarithms.

    Examples
    --------
    >>> import jax.numpy as jnp, mixsqpx
    >>> log_lik = jnp.log(jnp.array([[1.0, 0.4], [0.2, 1.0], [1.0, 0.5]]))
    >>> print(f"{mixsqpx.objective(log_lik, jnp.array([0.5, 0.5])):.4f}")
    0.3851
    """
    return objective_of(*_checked(log_lik, probs, weights))


def objective_of(
    log_lik: Float[Array, "n m"], probs: Float[Array, " m"], weights: Float[Array, " n"] | None
) -> Float[Array, ""]:
    """`objective` of arrays, without a look at the numbers."""
    omega = normalise_weights(weights, log_lik.shape[0], log_lik.dtype)
    scaled, shift = _scaled(log_lik, probs, weights)
    # Cut off far from overflow, for the derivative in the proportion of a component not in use.
    largest = 0.5 * math.log(jnp.finfo(scaled.dtype).max)
    mix = product(jnp.exp(jnp.minimum(scaled, largest)), probs)
    return -jnp.sum(omega * (jnp.log(mix) + shift))


def _ratios(
    log_lik: Float[Array, "n m"],
    probs: Float[Array, " m"],
    weights: Float[Array, " n"] | None,
) -> tuple[Float[Array, " n"], Float[Array, "n m"]]:
    """Normalised weights, and density ratios aᵢⱼ/uᵢ of each component to the mixture."""
    omega = normalise_weights(weights, log_lik.shape[0], log_lik.dtype)
    scaled = _scaled(log_lik, probs, weights)[0]
    if weights is not None:
        # Cut off far from overflow, which a weight of zero would not undo.
        largest = 0.25 * math.log(jnp.finfo(scaled.dtype).max)
        scaled = jnp.where((weights == 0)[:, None], jnp.minimum(scaled, largest), scaled)
    lik = jnp.exp(scaled)
    mix = product(jnp.where((probs > 0)[None, :], lik, 0.0), probs)
    return omega, lik / mix[:, None]


def optimality_gap(
    log_lik: Float[Array, "n m"],
    probs: Float[ArrayLike, " m"],
    weights: Float[Array, " n"] | None = None,
) -> Float[Array, ""]:
    """Optimality gap log maxⱼ Σᵢ ωᵢ aᵢⱼ/uᵢ, over all components (Lindsay, 1983).

    Parameters
    ----------
    log_lik, probs, weights
        As for `objective`.

    Returns
    -------
    Float[Array, ""]
        A bound on f(p) - min f, in nats per unit weight, for p on the simplex; +inf if a unit has
        zero likelihood under p. What solvers leave by rounding, in single precision too, is no
        matter: for entries of -1e-7 and above zero is taken, and p is divided by its sum, if that
        is off one by 3e-4 at most; the bound is that of the p so obtained. NaN, with a warning
        outside of `jit`, for any other p that is not on the simplex.

    Examples
    --------
    >>> import jax.numpy as jnp, mixsqpx
    >>> log_lik = jnp.log(jnp.array([[1.0, 0.4], [0.2, 1.0], [1.0, 0.5]]))
    >>> print(f"{mixsqpx.optimality_gap(log_lik, jnp.array([0.5, 0.5])):.4f}")
    0.0313
    """
    log_lik, masses, weights = _checked(log_lik, probs, weights)
    on_simplex = jnp.all(masses >= -LOST) & (jnp.abs(jnp.sum(masses) - 1) <= SUM_TOL)
    masses = jnp.maximum(masses, 0.0)
    masses = masses / jnp.sum(masses)
    omega, ratios = _ratios(log_lik, masses, weights)
    slopes = product(omega, ratios)
    # A maximum alone does not promise to pass a NaN on.
    broken = jnp.any(jnp.isnan(slopes)) | ~on_simplex
    gap = jnp.where(broken, jnp.nan, jnp.log(jnp.max(slopes)))
    impossible = objective_of(log_lik, masses, weights) == jnp.inf
    return jnp.where(on_simplex & impossible, jnp.inf, gap)


def hessian(
    log_lik: Float[Array, "n m"],
    probs: Float[Array, " m"],
    weights: Float[Array, " n"] | None = None,
) -> Float[Array, "m m"]:
    """Hessian H = Σᵢ ωᵢ aᵢ aᵢᵀ/uᵢ² of the objective in the proportions.

    Parameters
    ----------
    log_lik, probs, weights
        As for `objective`.

    Returns
    -------
    Float[Array, "m m"]
        Positive semi-definite.

    Examples
    --------
    >>> import jax.numpy as jnp, mixsqpx
    >>> log_lik = jnp.log(jnp.array([[1.0, 0.4], [0.2, 1.0], [1.0, 0.5]]))
    >>> print(mixsqpx.hessian(log_lik, jnp.array([0.5, 0.5])).round(2))
    [[1.31 0.75]
     [0.75 1.18]]
    """
    log_lik, probs, weights = _checked(log_lik, probs, weights)
    omega, ratios = _ratios(log_lik, probs, weights)
    return product(ratios.T, omega[:, None] * ratios)


def posterior(
    log_lik: Float[Array, "n m"],
    probs: Float[Array, " m"],
    weights: Float[Array, " n"] | None = None,
) -> Float[Array, "n m"]:
    """Posterior probabilities πᵢⱼ = pⱼ aᵢⱼ/uᵢ of the components, given each unit's data.

    Parameters
    ----------
    log_lik, probs, weights
        As for `objective`; the weights change nothing.

    Returns
    -------
    Float[Array, "n m"]
        Rows sum to one; those of units whose data are unusable are NaN.

    Examples
    --------
    >>> import jax.numpy as jnp, mixsqpx
    >>> log_lik = jnp.log(jnp.array([[1.0, 0.4], [0.2, 1.0], [1.0, 0.5]]))
    >>> print(mixsqpx.posterior(log_lik, jnp.array([0.5, 0.5])).round(2))
    [[0.71 0.29]
     [0.17 0.83]
     [0.67 0.33]]
    """
    log_lik, probs, weights = _checked(log_lik, probs, weights)
    usable = is_usable(log_lik, probs)[:, None]
    counts = usable & (probs > 0)[None, :]
    joint = jnp.exp(_scaled(jnp.where(counts, log_lik, -jnp.inf), probs, None)[0]) * probs[None, :]
    return joint / jnp.where(usable, jnp.sum(joint, axis=1, keepdims=True), jnp.nan)
