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

    def along(directions: Array) -> Array:
        # Where a density is zero its derivative may be NaN, and does not count.
        slopes = jnp.where(posterior > 0, jax.vmap(push)(directions), 0.0)
        # A product of matrices: sums over rows take XLA on CPU twice as long.
        return jnp.einsum("nm,knm->kn", posterior, slopes, precision=lax.Precision.HIGHEST)

    basis = jnp.eye(flat.size, dtype=flat.dtype)
    if flat.size <= _BLOCK:
        scores = along(basis).T
    else:
        padded = jnp.pad(basis, ((0, -flat.size % _BLOCK), (0, 0)))
        blocks = lax.map(along, padded.reshape(-1, _BLOCK, flat.size))
        scores = blocks.reshape(-1, posterior.shape[0])[: flat.size].T
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
    powers : Float[Array, "2 k"]
        Σ r (s, s², 1) and Σ r² (s, s², 1), k = 2p + 1: Σ r s is zero in expectation, Σ r² s² its
        variance, and Σ r over the root of Σ r² says how many rows count.
    """

    cross: Float[Array, "g m m"]
    with_scores: Float[Array, "g m p"]
    scores: Float[Array, "p p"]
    powers: Float[Array, "2 k"]


@eqx.filter_jit
def sum_rows(
    terms: RowTerms,
    log_proposals: Float[Array, " n"],
    weights: Float[Array, " n"],
    labels: Int[Array, " n"],
    num_groups: int,
) -> Sums:
    """Sums over the rows: r is the weight of a row times its density over that of its proposal."""
    scores, ratios = terms.scores, terms.ratios
    parts = weights * jnp.exp(terms.log_mix - log_proposals)

    def of_group(own: Array) -> tuple[Array, Array]:
        root = jnp.sqrt(own)[:, None]
        scaled = (ratios * root).T
        # A matrix times its own transpose takes two thirds of the time of two matrices.
        return product(scaled, scaled.T), product(scaled, scores * root)

    members = labels[None, :] == jnp.arange(num_groups)[:, None]
    cross, with_scores = lax.map(of_group, jnp.where(members, parts[None, :], 0.0))
    powers = jnp.concatenate([scores, scores**2, jnp.ones_like(scores[:, :1])], axis=1)
    return Sums(
        cross,
        with_scores,
        product((scores * parts[:, None]).T, scores),
        product(jnp.stack([parts, parts**2]), powers),
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
def em_steps(
    ratios: Float[Array, "n m"],
    weights: Float[Array, " n"],
    labels: Int[Array, " n"],
    num_groups: int,
    num_steps: Int[Array, ""],
) -> Float[Array, "m g"]:
    """The distribution of each group after some EM steps from equal masses.

    Parameters
    ----------
    ratios
        As of `row_terms` under equal masses.
    """
    num_points = ratios.shape[1]
    # What rounds to below zero has a density of zero.
    lik = jnp.maximum(1.0 + ratios * num_points**0.5, 0.0)
    own = labels[:, None] == jnp.arange(num_groups)[None, :]
    shares = jnp.where(own, weights[:, None], 0.0)

    def step(_: Any, probs: Array) -> Array:
        mix = jnp.sum(jnp.where(own, product(lik, probs), 0.0), axis=1)
        probs = probs * product(lik.T, shares / mix[:, None])
        return probs / jnp.sum(probs, axis=0, keepdims=True)

    equal = jnp.full((num_points, num_groups), 1.0 / num_points, ratios.dtype)
    return lax.fori_loop(0, num_steps, step, equal)
