"""What one set of outcomes, one row a unit, contributes to the moments."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from mixsqpx.numerics import product

from .._model import log_lik_of

# Parameters whose scores share one pass over the likelihoods.
_BLOCK = 8


class RowTerms(NamedTuple):
    """Of each row: log density, score, and scaled ratios.

    Attributes
    ----------
    log_mix : Float[Array, "n"]
        log p under the working distribution F̃ of the row's group; NaN where `lclk` gives no
        density.
    scores : Float[Array, "n p"]
        s = ∂θ log p at fixed F̃.
    ratios : Float[Array, "n m"]
        √F̃_q D_q = √F̃_q (g_q/p - 1). So scaled, E[D Dᵀ] has its eigenvalues between zero and one:
        it is the information operator of F on L²(F̃), whatever the grid.
    """

    log_mix: Float[Array, " n"]
    scores: Float[Array, "n p"]
    ratios: Float[Array, "n m"]


@eqx.filter_jit
def row_terms(
    params: PyTree,
    held: PyTree,
    rows: PyTree,
    supp: PyTree,
    working: Float[Array, "m g"],
    labels: Int[Array, " n"],
) -> RowTerms:
    """Evaluate the model on rows, such as the data or outcomes drawn for their units."""
    flat, unravel = ravel_pytree(params)

    def log_liks(flat: Array) -> Array:
        return log_lik_of(eqx.combine(unravel(flat), held), rows, supp)

    log_lik, push = jax.linearize(log_liks, flat)
    own = working.T[labels] if working.shape[1] > 1 else working.T
    # Comparisons see NaN, where XLA's maximum on CPU loses it.
    valid = jnp.all(log_lik < jnp.inf, axis=1) & jnp.any(log_lik > -jnp.inf, axis=1)
    shift = jnp.where(valid, jnp.max(log_lik, axis=1), jnp.nan)[:, None]
    lik = jnp.exp(log_lik - shift)
    mix = product(lik, working[:, 0]) if working.shape[1] == 1 else jnp.sum(lik * own, axis=1)
    posterior = lik * own / mix[:, None]

    def score(direction: Array) -> Array:
        # Where a density is zero its derivative may be NaN, and does not count.
        return jnp.sum(jnp.where(posterior > 0, posterior * push(direction), 0.0), axis=1)

    basis = jnp.eye(flat.size, dtype=flat.dtype)
    scores = lax.map(score, basis, batch_size=_BLOCK).T
    root = jnp.sqrt(own)
    return RowTerms(jnp.log(mix) + shift[:, 0], scores, lik / mix[:, None] * root - root)


class Sums(NamedTuple):
    """Sums over rows, each times its part r of the expectation.

    Attributes
    ----------
    cross : Float[Array, "g m m"]
        Σ r D Dᵀ over the rows of each group.
    with_scores : Float[Array, "g m p"]
        Σ r D sᵀ over the rows of each group.
    scores : Float[Array, "p p"]
        Σ r s sᵀ.
    mean : Float[Array, "p"]
        Σ r s: zero in expectation.
    square : Float[Array, "p"]
        Σ r² s²: the variance of the former.
    """

    cross: Float[Array, "g m m"]
    with_scores: Float[Array, "g m p"]
    scores: Float[Array, "p p"]
    mean: Float[Array, " p"]
    square: Float[Array, " p"]


@eqx.filter_jit
def sum_rows(
    terms: RowTerms, parts: Float[Array, " n"], labels: Int[Array, " n"], num_groups: int
) -> Sums:
    """Sums over the rows."""
    scores, ratios = terms.scores, terms.ratios

    def of_group(own: Array) -> tuple[Array, Array]:
        weighted = (ratios * own[:, None]).T
        return product(weighted, ratios), product(weighted, scores)

    members = labels[None, :] == jnp.arange(num_groups)[:, None]
    cross, with_scores = lax.map(of_group, jnp.where(members, parts[None, :], 0.0))
    return Sums(
        cross,
        with_scores,
        product((scores * parts[:, None]).T, scores),
        product(parts, scores),
        product(parts**2, scores**2),
    )


@eqx.filter_jit
def residuals(
    terms: RowTerms, slopes: Float[Array, "g m p"], labels: Int[Array, " n"]
) -> Float[Array, "n p"]:
    """ψ = s - ΓᵀD, with the slopes Γ of the row's group."""
    if slopes.shape[0] == 1:
        return terms.scores - product(terms.ratios, slopes[0])

    def add(total: Array, group: tuple[Array, Array]) -> tuple[Array, None]:
        number, slope = group
        own = jnp.where((labels == number)[:, None], terms.ratios, 0.0)
        return total - product(own, slope), None

    return lax.scan(add, terms.scores, (jnp.arange(slopes.shape[0]), slopes))[0]


@eqx.filter_jit
def group_means(
    ratios: Float[Array, "n m"],
    weights: Float[Array, " n"],
    labels: Int[Array, " n"],
    num_groups: int,
) -> Float[Array, "g m"]:
    """Weighted sums of the ratios over the units of each group."""
    members = labels[None, :] == jnp.arange(num_groups)[:, None]
    return product(jnp.where(members, weights[None, :], 0.0), ratios)


@eqx.filter_jit
def em_steps(
    params: PyTree,
    held: PyTree,
    data: PyTree,
    supp: PyTree,
    weights: Float[Array, " n"],
    labels: Int[Array, " n"],
    num_groups: int,
    num_steps: Int[Array, ""],
) -> Float[Array, "m g"]:
    """The distribution of each group after some EM steps from equal masses."""
    log_lik = log_lik_of(eqx.combine(params, held), data, supp)
    lik = jnp.exp(log_lik - jnp.max(log_lik, axis=1, keepdims=True))
    own = labels[:, None] == jnp.arange(num_groups)[None, :]
    shares = jnp.where(own, weights[:, None], 0.0)

    def step(_: Any, probs: Array) -> Array:
        mix = jnp.sum(jnp.where(own, product(lik, probs), 0.0), axis=1)
        probs = probs * product(lik.T, shares / mix[:, None])
        return probs / jnp.sum(probs, axis=0, keepdims=True)

    equal = jnp.full((log_lik.shape[1], num_groups), 1.0 / log_lik.shape[1], log_lik.dtype)
    return lax.fori_loop(0, num_steps, step, equal)
