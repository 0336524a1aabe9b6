"""The problem as the solvers see it: scaled likelihoods and normalised weights."""

import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from ._solution import RESULTS


class MixProblem(eqx.Module):
    """One mixture-proportions problem, after its one pass of `exp`.

    Row i of `lik` is aᵢⱼ = exp(ℓᵢⱼ - rᵢ), rᵢ the largest entry of the row: entries lie in [0, 1]
    and each row holds a one. A row that no solver can use is all ones; it is at fault unless its
    weight is zero, and then it must not matter.
    """

    lik: Float[Array, "n m"]
    row_max: Float[Array, " n"]
    weights: Float[Array, " n"]

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of units and of components, `(n, m)`."""
        return self.lik.shape  # pyright: ignore[reportReturnType]

    def objective(self, mix_lik: Float[Array, " n"]) -> Float[Array, ""]:
        """Objective f at a point of the simplex with mixture likelihoods u = a p."""
        return -jnp.sum(self.weights * (jnp.log(mix_lik) + self.row_max))

    def gradient(self, mix_lik: Float[Array, " n"]) -> Float[Array, " m"]:
        """Gradient g = 1 - aᵀ(ω/u) of the equivalent problem without the simplex."""
        return 1.0 - (self.weights / mix_lik) @ self.lik


def gap_from_gradient(gradient: Float[Array, " m"]) -> Float[Array, ""]:
    """Certificate log maxⱼ (1 - gⱼ): a bound on f(p) - f* for p on the simplex.

    Not negative in exact arithmetic, since pᵀ(1 - g) = 1; rounding below zero is cut off.
    """
    return jnp.maximum(jnp.log1p(jnp.max(-gradient)), 0.0)


def normalise_weights(
    weights: Float[Array, " n"] | None, num_units: int, dtype: DTypeLike
) -> Float[Array, " n"]:
    """Weights that sum to one, equal ones for None.

    The division by the largest keeps the sum finite near the end of the floating-point range.
    """
    if weights is None:
        return jnp.full((num_units,), 1.0 / num_units, dtype)
    scaled = weights / jnp.max(weights)
    return scaled / jnp.sum(scaled)


def build_problem(
    log_lik: Float[Array, "n m"], weights: Float[Array, " n"] | None
) -> tuple[MixProblem, RESULTS, Int[Array, ""]]:
    """Scale the data, and look for what no solver can handle.

    The matrix is treated without regard to the weights, so that many weightings can share it.

    Returns
    -------
    problem : MixProblem
        Of use only where `result` is successful.
    result : RESULTS
        What is wrong with the data, if anything.
    unit : Int[Array, ""]
        The first unit at fault, or -1.
    """
    row_max = jnp.max(log_lik, axis=1)  # a NaN or +inf anywhere in the row passes through
    usable = jnp.isfinite(row_max)
    row_max_or_zero = jnp.where(usable, row_max, 0.0)
    lik = jnp.where(usable[:, None], jnp.exp(log_lik - row_max_or_zero[:, None]), 1.0)

    counts = jnp.ones_like(usable) if weights is None else weights != 0
    faults = [
        (counts & ~usable & (row_max != -jnp.inf), RESULTS.invalid_log_lik),
        (counts & (row_max == -jnp.inf), RESULTS.zero_likelihood),
    ]
    if weights is not None:
        faults = [(~(weights >= 0) | (weights == jnp.inf), RESULTS.invalid_weights), *faults]
    result, unit = RESULTS.successful, jnp.asarray(-1)
    for fault, member in reversed(faults):  # the first of the list has the last word
        found = jnp.any(fault)
        result = RESULTS.where(found, member, result)
        unit = jnp.where(found, jnp.argmax(fault), unit)
    if weights is not None:
        result = RESULTS.where(jnp.any(weights != 0), result, RESULTS.zero_weights)
    normalised = normalise_weights(weights, lik.shape[0], lik.dtype)
    return MixProblem(lik, row_max_or_zero, normalised), result, unit
