"""Scores of the units, and how the distribution responds to the parameters."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

import mixsqpx
from mixsqpx.implicit import attach_probs
from mixsqpx.numerics import product

from .._fields import Fit, problem_of, total_weight
from .._model import log_lik_of, replace_units, take
from .._search import Problem, hessian_at

# Derivatives in this many parameters at once: each needs memory of its own.
_BLOCK = 16
# Active points are padded to a multiple of this, so that fits that differ a little share a program.
_PAD = 8


class Linearisation(eqx.Module):
    """First derivatives of every unit's log-likelihood at a fit, in the parameters and masses.

    Columns are `members`: the k support points that have mass in any group, and padding.

    Attributes
    ----------
    held_scores : Float[Array, "n p"]
        Σⱼ πᵢⱼ ∂θ ℓᵢⱼ: derivative of log uᵢ at a fixed distribution.
    ratios : Float[Array, "n k"]
        aᵢⱼ/uᵢ - 1 at the active points of the unit's group, zero at others: derivative of log uᵢ in
        the masses. The mean over a group's units is zero at the optimum.
    response : Float[Array, "g k p"]
        ∂p/∂θ of each group; one group if there are none.
    hess_probs : Float[Array, "g k k"]
        Hessian H of each group's inner problem in its masses, zero outside of the active points.
    labels : Int[Array, "n"]
        Group of each unit.
    """

    held_scores: Float[Array, "n p"]
    ratios: Float[Array, "n k"]
    response: Float[Array, "g k p"]
    hess_probs: Float[Array, "g k k"]
    labels: Int[Array, " n"]

    @property
    def scores(self) -> Float[Array, "n p"]:
        """Scores of the profile likelihood: sᵢ = Σⱼ πᵢⱼ ∂θ ℓᵢⱼ + (∂p_A/∂θ)ᵀ a_iA/uᵢ."""
        total = self.held_scores
        for g, response in enumerate(self.response):
            own = jnp.where((self.labels == g)[:, None], self.ratios, 0.0)
            total = total + product(own, response)
        return total


def linearise(
    problem: Problem, params: PyTree, probs: Float[Array, "m *g"], members: Int[Array, " k"]
) -> Linearisation:
    """Differentiate every unit's log-likelihood. Units of weight zero have rows of zeros.

    Parameters
    ----------
    problem, params
        Of a fit.
    probs : Float[Array, "m *g"]
        The optimal masses there.
    members : Int[Array, "k"]
        Support points, all with mass among them.
    """
    flat, unravel = ravel_pytree(params)
    grouped, data = problem.groups, problem.data
    counts = None
    if problem.weights is not None:
        counts = problem.weights > 0
        data = replace_units(data, counts)
    kept = probs[members] if grouped is not None else probs[members][:, None]

    def unit_log_liks(flat: Array) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
        model = eqx.combine(unravel(flat), problem.held)
        log_lik = log_lik_of(model, data, take(problem.supp, members))
        n = log_lik.shape[0]
        weights = jnp.ones(n, log_lik.dtype) if problem.weights is None else problem.weights

        def of_group(ell: Array, omega: Array, _: Array, own: Array) -> tuple[Array, Array]:
            moved = attach_probs(ell, omega, own)
            return moved, mixsqpx.hessian(*lax.stop_gradient((ell, moved, omega)))

        if grouped is None:
            labels = jnp.zeros(n, int)
            one = of_group(log_lik, weights.astype(log_lik.dtype), labels, kept[:, 0])
            moved, hess = (x[None] for x in one)
        else:
            labels = grouped.labels(n)
            moved, hess = grouped.map(of_group, log_lik, weights, kept.T)
        own = lax.stop_gradient(moved)[labels]
        inside = jnp.where(own > 0, log_lik, -jnp.inf)
        shift = lax.stop_gradient(jnp.max(inside, axis=1, keepdims=True))
        lik = jnp.exp(inside - jnp.where(jnp.isfinite(shift), shift, 0.0))
        mix = jnp.sum(lik * own, axis=1)
        ratios = jnp.where(own > 0, lik / mix[:, None] - 1, 0.0)
        both = (moved[:, :, None] > 0) & (moved[:, None, :] > 0)
        return (jnp.log(mix) + shift[:, 0], moved), (ratios, jnp.where(both, hess, 0.0), labels)

    _, push, (ratios, hess, labels) = jax.linearize(unit_log_liks, flat, has_aux=True)
    held, response = lax.map(push, jnp.eye(flat.size, dtype=flat.dtype), batch_size=_BLOCK)
    held = held.T
    if counts is not None:
        held, ratios = (jnp.where(counts[:, None], x, 0.0) for x in (held, ratios))
    return Linearisation(held, ratios, jnp.moveaxis(response, 0, -1), hess, labels)


def members_of(probs: Float[Array, "m *g"]) -> Int[np.ndarray, " k"]:
    """Support points with mass, padded by others."""
    mass = np.asarray(probs).reshape(probs.shape[0], -1).max(axis=1)
    size = -(-int(np.sum(mass > 0)) // _PAD) * _PAD
    return np.argsort(-mass, kind="stable")[:size]


def linearisation(result: Fit) -> tuple[Linearisation, Int[np.ndarray, " k"]]:
    """Derivatives at a fit, and the support points of their columns."""
    problem, members = problem_of(result), members_of(result.probs)
    return _linearise(problem, result.params, result.probs, jnp.asarray(members)), members


def scores(result: Fit) -> Float[np.ndarray, "n p"]:
    """Scores of the profile log-likelihood, one row a unit.

    sᵢ = Σⱼ πᵢⱼ ∂θ ℓᵢⱼ + (∂p_A/∂θ)ᵀ a_iA/uᵢ, the total derivative of log uᵢ(θ, p(θ)). The second
    term is the response of the distribution. By the envelope theorem it sums to zero, but
    not unit by unit: without it the scores sum to zero as well, and are too spread out, so standard
    errors from them are too small.

    Returns
    -------
    Float[np.ndarray, "n p"]
        In the order of `param_names`, not multiplied by the weights: their weighted sum is
        zero. Rows of units of weight zero are zero.

    Raises
    ------
    RuntimeError
        If the fit has no data, or did not end at a stationary point.

    References
    ----------
    Murphy & van der Vaart (2000), On profile likelihood, JASA 95, 449-465. Bunting, Diegert &
    Maurel (2024), arXiv 2402.08575, appendix B.4.1.
    """
    return np.asarray(linearisation(result)[0].scores)


def hessian(result: Fit) -> Float[np.ndarray, "p p"]:
    """Exact Hessian of the total negative profile log-likelihood: the observed information.

    f_θθ - f_θp H_AA⁻¹ f_pθ, times the sum of the weights (the number of units without weights).

    Returns
    -------
    Float[np.ndarray, "p p"]
        In the order of `param_names`.

    Raises
    ------
    RuntimeError
        If the fit has no data, or did not end at a stationary point.
    """
    problem = problem_of(result)
    return np.asarray(hessian_at(problem, result.params), np.float64) * total_weight(result)


_linearise = eqx.filter_jit(linearise)
