"""Whether the grid is fine enough for the fit."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int, PyTree

from mixsqpx import RESULTS as MIX_RESULTS
from mixsqpx.numerics import product

from .._fields import Fit, problem_of, total_weight
from .._model import log_lik_of, replace_units
from .._search import RESULTS, Problem

# By the simulations of benchmarks/coverage, with normal latent variables: the median is 0.01 for
# proper maxima on points 0.4 standard deviations of the noise apart, 0.3 for vanishing variances.
COARSE = 0.1
# Nats of the whole log-likelihood: what a likelihood-ratio test at 5% would notice.
_SHORT = 2.0
# Mass at an end of the grid that is worth a note.
_MASS_AT_END = 1e-3
# Points looked at beyond each end, from the spacing there to the width of the grid.
_NUM_BEYOND = 10


def grid_gap(result: Fit) -> float:
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


def grid_notes(result: Fit) -> list[str]:
    """What a table should say about the grid: nothing, unless points outside of it are missed."""
    supp, problem = result.supp, result.problem
    usable = eqx.is_array(supp) and supp.ndim == 1 and supp.size > 1
    if not usable or problem.data is None or result.result != RESULTS.successful:
        return []
    if not eqx.is_inexact_array(supp):
        # A grid of integers is one of numbers, unless the model counts or looks up by them.
        problem = eqx.tree_at(lambda p: p.supp, problem, supp.astype(result.probs.dtype))
    try:
        found = _grid_gaps(problem, result.params, result.probs)
    except (TypeError, ValueError, IndexError):
        if eqx.is_inexact_array(supp):
            raise
        return []
    notes, total = [], total_weight(result)
    if float(found.between) > COARSE:
        most = min(float(found.between), float(found.most))
        notes.append(
            f"The grid is coarse for this fit: masses between its points could add up to "
            f"{total * most:.3g} to the log-likelihood. Either a standard deviation has shrunk to "
            "the distance between the points, which is no estimate, or the points are too few. "
            "Compare with a finer grid; the ways out of the former are other starts "
            "(`fit_multistart`), a floor under the standard deviation in the model, and "
            "`fit_orthogonal`, where none vanishes."
        )
    # The bound is loose, but where it is small there is nothing to solve.
    gain = 0.0
    if float(found.bound) * total > _SHORT:
        gain = _gain_on(jnp.concatenate([problem.supp, found.beyond]), result, problem)
    if gain > _SHORT:
        notes.append(
            f"The grid is short for this fit: masses beyond its ends would add {gain:.3g} to "
            "the log-likelihood, at these parameters. Unless the latent variable ends there, "
            "fit on a wider grid."
        )
        return notes
    for name, mass, end, far, change in zip(("first", "last"), *found.ends, strict=True):
        if mass > _MASS_AT_END and change > -_SHORT:
            notes.append(
                f"Mass {mass:.2g} is at the {name} grid point, {end:.4g}, and how far out it "
                f"belongs the data do not say: at {far:.4g} the log-likelihood would be "
                f"{_change(float(change))}. Posterior means of the units there, and means over the "
                "distribution, are those of where the grid ends. Compare grids, or report "
                "quantiles."
            )
    return notes


def _change(nats: float) -> str:
    if abs(nats) < 1e-6:
        return "the same"
    return f"{'higher' if nats > 0 else 'lower'} by {abs(nats):.2g} only"


def _gain_on(points: Float[Array, " k"], result: Fit, problem: Problem) -> float:
    """What a distribution on other points would add to the log-likelihood of a fit."""
    wider = eqx.tree_at(
        lambda p: (p.supp, p.init), problem, (points, None), is_leaf=lambda x: x is None
    )
    profile = eqx.filter_jit(wider)(result.params)[1]
    if profile.result != MIX_RESULTS.successful:
        return 0.0
    return -float(profile.value) * total_weight(result) - result.loglik


def grid_gap_at(problem: Problem, params: PyTree, probs: Float[Array, "m *g"]) -> Float[Array, ""]:
    """`grid_gap` from its parts, to be compiled."""
    points = jnp.sort(problem.supp)
    return _gain(problem, params, probs, 0.5 * (points[1:] + points[:-1]))[0]


class _Gaps(NamedTuple):
    """What is missed outside of the grid.

    Attributes
    ----------
    between : Float[Array, ""]
        `grid_gap`.
    most : Float[Array, ""]
        What it would be if each unit had the distribution to itself: it cannot be more.
    bound : Float[Array, ""]
        The same as `grid_gap` for points beyond the ends, up to as far as the grid is wide.
    beyond : Float[Array, "k"]
        These points; those at which the model is not defined are replaced by the end.
    ends : tuple of Float[Array, "2"]
        Mass at the first and last point, the points, points as far out as the grid is wide, and the
        change of the total log-likelihood if the mass were there.
    """

    between: Float[Array, ""]
    most: Float[Array, ""]
    bound: Float[Array, ""]
    beyond: Float[Array, " k"]
    ends: tuple[Float[Array, "2"], ...]


@eqx.filter_jit
def _grid_gaps(problem: Problem, params: PyTree, probs: Float[Array, "m *g"]) -> _Gaps:
    """All of it, in one program."""
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
    between, most = _gain(problem, params, probs, 0.5 * (points[1:] + points[:-1]))
    bound, _ = _gain(problem, params, probs, beyond)
    far = jnp.stack([points[0] - width, points[-1] + width])
    end = jnp.stack([jnp.argmin(problem.supp), jnp.argmax(problem.supp)])
    masses, changes = [], []
    for k in range(2):
        mass, change = _moved(problem, params, probs, end[k], far[k])
        masses.append(mass)
        changes.append(change)
    ends = jnp.stack(masses), problem.supp[end], far, jnp.stack(changes)
    return _Gaps(between, most, bound, beyond, ends)


def _moved(
    problem: Problem,
    params: PyTree,
    probs: Float[Array, "m *g"],
    end: Int[Array, ""],
    far: Float[Array, ""],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mass at a support point, and the change of the log-likelihood if it were at another point."""
    log_lik, omega, own, log_mix = _mixture(problem, params, probs)
    further = _log_lik(problem, params, far[None])
    masses = jnp.concatenate([own.at[:, end].set(0.0), own[:, end][:, None]], axis=1)
    moved = logsumexp(jnp.concatenate([log_lik, further], axis=1), b=masses, axis=1)
    change = jnp.sum(jnp.where(omega > 0, omega * (moved - log_mix), 0.0))
    return product(omega, own[:, end]) / jnp.sum(omega), change


def _mixture(
    problem: Problem, params: PyTree, probs: Float[Array, "m *g"]
) -> tuple[Float[Array, "n m"], Float[Array, " n"], Float[Array, "n m"], Float[Array, " n"]]:
    """Log-likelihoods, weights, masses of each unit's distribution, and logarithms of mixtures."""
    weights, log_lik = problem.weights, _log_lik(problem, params, problem.supp)
    n = log_lik.shape[0]
    omega = jnp.ones(n, log_lik.dtype) if weights is None else weights.astype(log_lik.dtype)
    own = probs.reshape(probs.shape[0], -1).T[_labels(problem, n)]
    return log_lik, omega, own, logsumexp(log_lik, b=own, axis=1)


def _labels(problem: Problem, num_units: int) -> Int[Array, " n"]:
    """Group of each unit."""
    if problem.groups is None:
        return jnp.zeros(num_units, int)
    return problem.groups.labels(num_units)


def _gain(
    problem: Problem, params: PyTree, probs: Float[Array, "m *g"], points: Float[Array, " k"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """What masses at further points could add to the mean log-likelihood, at most: two bounds.

    The first is that of the gradient function. The second is what each unit would gain if all the
    mass were where it is best for this unit.
    """
    log_lik, omega, _, log_mix = _mixture(problem, params, probs)
    further = _log_lik(problem, params, points)
    # Where the model is not defined there is nothing to gain.
    further = jnp.where(jnp.any(jnp.isnan(further), axis=0)[None, :], -jnp.inf, further)
    best = jnp.maximum(jnp.max(log_lik, axis=1), jnp.max(further, axis=1))
    most = jnp.sum(jnp.where(omega > 0, omega * (best - log_mix), 0.0)) / jnp.sum(omega)
    by_group = probs.reshape(probs.shape[0], -1)
    labels = _labels(problem, log_lik.shape[0])
    own = labels[:, None] == jnp.arange(by_group.shape[1])[None, :]
    member = jnp.where(own, omega[:, None], 0.0)
    shares = jnp.sum(member, axis=0)
    log_ratios = jnp.where((omega > 0)[:, None], further - log_mix[:, None], -jnp.inf)
    # Ratios may overflow, on a grid that is far too coarse.
    shift = jnp.maximum(jnp.max(log_ratios, axis=0), 0.0)
    sums = product((member / shares[None, :]).T, jnp.exp(log_ratios - shift[None, :]))
    gain = jnp.maximum(jnp.max(jnp.log(sums) + shift[None, :], axis=1), 0.0)
    return product(gain, shares / jnp.sum(shares)), most


def _log_lik(problem: Problem, params: PyTree, points: Float[Array, " k"]) -> Float[Array, "n k"]:
    """Log-likelihoods at any points; units without weight have the data of another."""
    data = problem.data
    if problem.weights is not None:
        data = replace_units(data, problem.weights > 0)
    return log_lik_of(eqx.combine(params, problem.held), data, points)


_grid_gap = eqx.filter_jit(grid_gap_at)
