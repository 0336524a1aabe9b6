"""The problem as the solvers see it: scaled likelihoods and normalised weights."""

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from ._blocks import Block, fold_blocks
from ._product import inner, product
from ._solution import RESULTS

# What can be wrong with a unit, the worst last.
FAULTS = (
    RESULTS.successful,
    RESULTS.zero_likelihood,
    RESULTS.invalid_log_lik,
    RESULTS.invalid_weights,
)
# Entries that fit the cache of a processor core, about.
_CACHED = 250_000


class MixProblem(eqx.Module):
    """One mixture-proportions problem, after its one pass of `exp`.

    Column i of `lik` is aᵢⱼ = exp(ℓᵢⱼ - rᵢ), rᵢ the largest ℓ of unit i: entries lie in [0, 1] and
    each unit has a one. A unit that no solver can use has ones alone; it is at fault unless its
    weight is zero, and then it must not matter.

    The rows are the components. On a processor that makes gradients faster than rows of units do,
    and working sets, which are rows then, cheaper to gather.
    """

    lik: Float[Array, "m n"]
    row_max: Float[Array, " n"]
    weights: Float[Array, " n"]

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of units and of components, `(n, m)`."""
        m, n = self.lik.shape
        return n, m

    def mixture(self, probs: Float[Array, " m"]) -> Float[Array, " n"]:
        """Mixture likelihoods u = a p; one for units of zero weight, where u may be zero."""
        return jnp.where(self.weights > 0, product(probs, self.lik), 1.0)

    def objective(self, mix_lik: Float[Array, " n"]) -> Float[Array, ""]:
        """Objective f at a point of the simplex with mixture likelihoods u = a p."""
        return -inner(self.weights, jnp.log(mix_lik) + self.row_max)

    def gradient(self, mix_lik: Float[Array, " n"]) -> Float[Array, " m"]:
        """Gradient g = 1 - aᵀ(ω/u) of the equivalent problem without the simplex."""
        return 1.0 - product(self.lik, self.weights / mix_lik)


def gap_from_violation(violation: Float[Array, ""]) -> Float[Array, ""]:
    """Certificate log maxⱼ (1 - gⱼ), from the largest -gⱼ: a bound on f(p) - f* on the simplex.

    Not negative in exact arithmetic, since pᵀ(1 - g) = 1; rounding below zero is cut off.
    """
    return jnp.log1p(jnp.maximum(violation, 0.0))


def normalise_weights(
    weights: Float[Array, " n"] | None, num_units: int, dtype: DTypeLike
) -> Float[Array, " n"]:
    """Weights that sum to one, equal ones for None.

    The division by the largest keeps the sum finite near the end of the floating-point range. XLA
    may turn (a/b)/c into a/(bc), which overflows there all the same: hence the power of two.
    """
    if weights is None:
        return jnp.full((num_units,), 1.0 / num_units, dtype)
    root = 2.0 ** (jnp.finfo(weights.dtype).maxexp // 2)
    weights = jnp.where(jnp.max(weights) > root, weights / root, weights)
    # The scale cancels, and so does its derivative, which would square it.
    scaled = weights / lax.stop_gradient(jnp.max(weights))
    return scaled / jnp.sum(scaled)


def exponentiate(
    log_lik: Float[Array, "n m"],
) -> tuple[Float[Array, "m n"], Float[Array, " n"], Int[Array, " n"]]:
    """Likelihoods and row maxima as a `MixProblem` has them, and what is wrong with each unit.

    That is an index into `FAULTS`, for units that have a weight.
    """
    row_max = jnp.max(log_lik, axis=1)
    # XLA's maximum loses NaN on CPU (its option `xla_cpu_enable_fast_min_max`); a product keeps it,
    # and is the cheapest pass there is.
    equal = jnp.full(log_lik.shape[1:], 1.0 / log_lik.shape[1], log_lik.dtype)
    mean = product(log_lik, equal)
    usable = jnp.isfinite(row_max) & ~jnp.isnan(mean)
    row_max_or_zero = jnp.where(usable, row_max, 0.0)

    def fill(block: Block, lik: Float[Array, "m n"]) -> Float[Array, "m n"]:
        by_component = block.of(log_lik, 0).T
        if by_component.size > _CACHED:
            # Transposed before the exponentials are taken: otherwise XLA does both at once, slowly.
            by_component = lax.optimization_barrier(by_component)
        part = jnp.exp(by_component - block.of(row_max_or_zero, 0)[None, :])
        return block.put(jnp.where(block.of(usable, 0)[None, :], part, 1.0), lik)

    lik = fold_blocks(fill, jnp.zeros(log_lik.shape[::-1], log_lik.dtype), *log_lik.shape)
    impossible = ~jnp.isnan(mean) & (row_max == -jnp.inf)
    return lik, row_max_or_zero, jnp.where(usable, 0, jnp.where(impossible, 1, 2))


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
    lik, row_max, fault = exponentiate(log_lik)
    # A number for each unit, zero for no fault, and one maximum: with the matrix a constant of the
    # program and a batch of weights, XLA would fold logical reductions for many seconds.
    if weights is not None:
        fault = jnp.where(weights != 0, fault, 0)
        fault = jnp.where((weights >= 0) & (weights < jnp.inf), fault, 3)
    unit = jnp.argmax(fault)
    result = RESULTS.successful
    for code, member in enumerate(FAULTS):
        result = RESULTS.where(fault[unit] == code, member, result)
    unit = jnp.where(fault[unit] > 0, unit, -1)
    if weights is not None:
        result = RESULTS.where(jnp.any(weights != 0), result, RESULTS.zero_weights)
    normalised = normalise_weights(weights, log_lik.shape[0], lik.dtype)
    return MixProblem(lik, row_max, normalised), result, unit
