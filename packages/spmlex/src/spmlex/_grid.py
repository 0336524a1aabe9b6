"""Whether the grid is fine enough for the fit."""

from typing import TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, PyTree

from mixsqpx import RESULTS as MIX_RESULTS
from mixsqpx.implicit import product

from ._model import log_lik_of, replace_units
from ._scores import problem_of, total_weight
from ._search import Problem
from ._solution import RESULTS

if TYPE_CHECKING:
    from ._result import FitResult


# By the simulations of benchmarks/coverage.py, with normal latent variables: the median is 0.01 for
# proper maxima on points 0.4 standard deviations of the noise apart, 0.3 for vanishing variances.
COARSE = 0.1
# Nats of the whole log-likelihood: what a likelihood-ratio test at 5% would notice.
_SHORT = 2.0
# Points looked at beyond each end, from the spacing there to the width of the grid.
_NUM_BEYOND = 10


def grid_gap(result: "FitResult") -> float:
    """What the mean log-likelihood could gain, at most, by masses halfway between grid points.

    log maxⱼ Σᵢ ωᵢ aᵢⱼ/uᵢ over the midpoints of neighbouring support points: the certificate `gap`,
    on points that the fit was not offered. It is small where the grid stands for a continuum.

    Where it is not, what is estimated depends on the grid. The extreme case is a vanishing
    variance: with few outcomes a unit, a standard deviation of the model may shrink to the distance
    between grid points, and the distribution explains an outcome unit by unit, with mass at a large
    part of the grid. On a finer grid the likelihood would be higher, and the variance smaller
    still. Such a maximum is not the one to report: start elsewhere, fit on several grids, or hold
    the standard deviation away from zero. A grid whose points are far apart in comparison with the
    noise, by design or for lack of points, has a large gap too.

    Parameters
    ----------
    result : FitResult
        With its data, and successful, on a support that is one vector.

    Returns
    -------
    float
        In nats per unit weight; with groups, the mean over their weights.

    Raises
    ------
    ValueError
        If the support is not one vector of floating-point numbers, two at least.
    RuntimeError
        If the fit has no data, or did not end at a stationary point.
    """
    problem, supp = problem_of(result), result.supp
    if not eqx.is_inexact_array(supp) or supp.ndim != 1 or supp.size < 2:
        raise ValueError(
            "Points between those of the grid are defined here for a support that is one vector of "
            "floating-point numbers."
        )
    return float(_grid_gap(problem, result.params, result.probs))


def grid_notes(result: "FitResult") -> list[str]:
    """What a table should say about the grid: nothing, unless points outside of it are missed."""
    supp, problem = result.supp, result.problem
    usable = eqx.is_inexact_array(supp) and supp.ndim == 1 and supp.size > 1
    if not usable or problem.data is None or result.result != RESULTS.successful:
        return []
    between, bound, beyond = _grid_gaps(problem, result.params, result.probs)
    between = float(between)
    notes = []
    if between > COARSE:
        notes.append(
            f"The grid is coarse for this fit: masses between its points could add up to "
            f"{between:.2g} to the mean log-likelihood. Either a standard deviation has shrunk to "
            "the distance between the points, which is no estimate, or the points are too few. "
            "Compare with other starts and with a finer grid."
        )
    # The bound is loose, but where it is small there is nothing to solve.
    if float(bound) * total_weight(result) > _SHORT:
        gain = _gain_on(jnp.concatenate([supp, beyond]), result)
        if gain > _SHORT:
            notes.append(
                f"The grid is short for this fit: masses beyond its ends would add {gain:.3g} to "
                "the log-likelihood, at these parameters. Unless the latent variable ends there, "
                "fit on a wider grid."
            )
    return notes


def _gain_on(points: Float[Array, " k"], result: "FitResult") -> float:
    """What a distribution on other points would add to the log-likelihood of a fit."""
    wider = eqx.tree_at(
        lambda p: (p.supp, p.init), result.problem, (points, None), is_leaf=lambda x: x is None
    )
    profile = eqx.filter_jit(wider)(result.params)[1]
    if profile.result != MIX_RESULTS.successful:
        return 0.0
    return -float(profile.value) * total_weight(result) - result.loglik


def grid_gap_at(problem: Problem, params: PyTree, probs: Float[Array, "m *g"]) -> Float[Array, ""]:
    """`grid_gap` from its parts, to be compiled."""
    points = jnp.sort(problem.supp)
    return _gain(problem, params, probs, 0.5 * (points[1:] + points[:-1]))


@eqx.filter_jit
def _grid_gaps(
    problem: Problem, params: PyTree, probs: Float[Array, "m *g"]
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, " k"]]:
    """`grid_gap`, the same for points beyond the ends, up to as far as the grid is wide, and these.

    Points at which the model is not defined are replaced by the end.
    """
    points = jnp.sort(problem.supp)
    width = points[-1] - points[0]
    share = np.linspace(0.0, 1.0, _NUM_BEYOND)

    def away(spacing: Float[Array, ""]) -> Float[Array, " k"]:
        # Of two points that are one, the grid goes on by what can be told apart.
        spacing = jnp.maximum(spacing, 1e-3 * width)
        return spacing * (width / spacing) ** share.astype(points.dtype)

    below, above = away(points[1] - points[0]), away(points[-1] - points[-2])
    beyond = jnp.concatenate([points[0] - below, points[-1] + above])
    is_defined = ~jnp.any(jnp.isnan(_log_lik(problem, params, beyond)), axis=0)
    beyond = jnp.where(is_defined, beyond, points[0])
    between = grid_gap_at(problem, params, probs)
    return between, _gain(problem, params, probs, beyond), beyond


def _gain(
    problem: Problem, params: PyTree, probs: Float[Array, "m *g"], points: Float[Array, " k"]
) -> Float[Array, ""]:
    """What masses at further points could add to the mean log-likelihood, at most."""
    weights = problem.weights
    log_lik, further = (_log_lik(problem, params, at) for at in (problem.supp, points))
    # Where the model is not defined there is nothing to gain.
    further = jnp.where(jnp.any(jnp.isnan(further), axis=0)[None, :], -jnp.inf, further)
    n = log_lik.shape[0]
    omega = jnp.ones(n, log_lik.dtype) if weights is None else weights.astype(log_lik.dtype)
    by_group = probs.reshape(probs.shape[0], -1)
    labels = jnp.zeros(n, int) if problem.groups is None else problem.groups.labels(n)
    log_mix = logsumexp(log_lik, b=by_group.T[labels], axis=1)
    own = labels[:, None] == jnp.arange(by_group.shape[1])[None, :]
    member = jnp.where(own, omega[:, None], 0.0)
    shares = jnp.sum(member, axis=0)
    log_ratios = jnp.where((omega > 0)[:, None], further - log_mix[:, None], -jnp.inf)
    # Ratios may overflow, on a grid that is far too coarse.
    shift = jnp.maximum(jnp.max(log_ratios, axis=0), 0.0)
    sums = product((member / shares[None, :]).T, jnp.exp(log_ratios - shift[None, :]))
    gain = jnp.maximum(jnp.max(jnp.log(sums) + shift[None, :], axis=1), 0.0)
    return product(gain, shares / jnp.sum(shares))


def _log_lik(problem: Problem, params: PyTree, points: Float[Array, " k"]) -> Float[Array, "n k"]:
    """Log-likelihoods at any points; units without weight have the data of another."""
    data = problem.data
    if problem.weights is not None:
        data = replace_units(data, problem.weights > 0)
    return log_lik_of(eqx.combine(params, problem.held), data, points)


_grid_gap = eqx.filter_jit(grid_gap_at)
