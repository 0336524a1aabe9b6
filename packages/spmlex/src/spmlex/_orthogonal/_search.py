"""From a start to a root of the mean orthogonal score."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .._model import leading_length, replace_units
from .._search import Problem
from ._moments import FIRST_BLOCKS, Moments, Outcomes, Sample
from ._options import Orthogonal
from ._root import Root, find_root
from ._working import first_estimate, working_distribution

# The norm of the mean at which a root is one, in standard errors: as far as rounding lets it.
_TOL_DOUBLE, _TOL_SINGLE = 1e-6, 1e-2
# While the working distribution is still to be chosen anew, it need not be better than this.
_LOOSE_TOL = 0.1
# Draws are made anew at the root until this part of them counts there.
_OVERLAP, _MAX_ROUNDS = 0.9, 12
# EM steps after which a distribution has most of the features that the data show.
_SHARP_STEPS = 200


class Attempt(NamedTuple):
    """A search, and what it was made with.

    Attributes
    ----------
    root : Root
        Where it ended.
    outcomes : Outcomes
        Over which its expectations are.
    num_evaluations : int
        Of the moments, over all rounds.
    """

    root: Root
    outcomes: Outcomes
    num_evaluations: int


def sample_of(problem: Problem) -> Sample:
    """The units of a problem, with weights that sum to one."""
    num_units = leading_length(problem.data, "data")
    data, weights = problem.data, np.ones(num_units)
    if problem.weights is not None:
        weights = np.asarray(problem.weights, np.float64)
        data = replace_units(data, jnp.asarray(weights > 0))
    labels, num_groups = jnp.zeros(num_units, int), 1
    if problem.groups is not None:
        labels = problem.groups.labels(num_units)
        num_groups = problem.groups.num
    return Sample(problem.held, data, problem.supp, weights / weights.sum(), labels, num_groups)


def search_root(
    sample: Sample,
    params: PyTree,
    key: Array,
    options: Orthogonal,
    names: tuple[str, ...],
    max_steps: int,
) -> Attempt:
    """Search from an estimate of its own, and where that leads nowhere from `params`."""
    given = np.asarray(ravel_pytree(params)[0], np.float64)
    best: Attempt | None = None
    for flat in (first_estimate(sample, params), given):
        attempt = _from(sample, params, flat, key, options, names, max_steps)
        if best is None or _rank(attempt) < _rank(best):
            best = attempt
        if attempt.root.found:
            break
    assert best is not None
    return best


def solve_again(
    sample: Sample,
    params: PyTree,
    flat: Float[np.ndarray, " p"],
    outcomes: Outcomes,
    ridge: float,
    max_steps: int,
) -> Root:
    """A root of other moments over the same outcomes."""
    return find_root(
        lambda flat: outcomes.moments(sample.unravel(params, flat), ridge),
        flat,
        root_tol(ravel_pytree(params)[0].dtype),
        max_steps,
    )


def root_tol(dtype: Any) -> float:
    """Norm of the mean below which a root is one."""
    return _TOL_DOUBLE if jnp.finfo(dtype).bits >= 64 else _TOL_SINGLE


def _rank(attempt: Attempt) -> float:
    moments = attempt.root.moments
    return moments.norm if moments.is_finite else np.inf


def _from(
    sample: Sample,
    params: PyTree,
    flat: Float[np.ndarray, " p"],
    key: Array,
    options: Orthogonal,
    names: tuple[str, ...],
    max_steps: int,
) -> Attempt:
    """Rounds of a working distribution, draws from it, and a root, until a root is where it is."""
    count, tol = 0, root_tol(ravel_pytree(params)[0].dtype)
    round_ = 0
    while True:
        here = sample.unravel(params, flat)
        working = working_distribution(sample, here, options.em_steps)
        outcomes = Outcomes(sample, here, working, jax.random.fold_in(key, round_), names)
        if round_ == 0:
            outcomes.check()
        outcomes.extend(FIRST_BLOCKS)
        if round_ > 0:
            count += _draw_enough(outcomes, options)
        root = find_root(
            lambda flat, o=outcomes: o.moments(sample.unravel(params, flat), options.ridge),
            flat,
            max(tol, _LOOSE_TOL) if round_ == 0 else tol,
            max_steps,
        )
        count += root.num_evaluations
        settled = round_ > 0 and root.found and root.moments.overlap >= _OVERLAP
        # Where the draws did not reach as far as the root, others may.
        stuck = not root.found and root.moments.overlap >= _OVERLAP
        round_ += 1
        if settled or stuck or round_ == _MAX_ROUNDS:
            return Attempt(root, outcomes, count)
        flat = root.flat


def _draw_enough(outcomes: Outcomes, options: Orthogonal) -> int:
    """Draw until the error of simulation is the wanted part of the standard errors.

    Returns the number of evaluations that it took.
    """
    count = 0
    while not outcomes.exact and outcomes.num_blocks < outcomes.most_blocks:
        moments = outcomes.moments(outcomes.params, options.ridge)
        count += 1
        ratio = simulation_share(moments) / options.simulation_tol
        if ratio <= 1:
            break
        # Its variance falls with the number of draws; a little more, as it is an estimate itself.
        wanted = int(np.ceil(1.2 * ratio**2 * outcomes.num_blocks))
        outcomes.extend(max(outcomes.num_blocks + 1, wanted))
    return count


def simulation_share(moments: Moments) -> float:
    """Largest standard error from the draws, over that from the sample."""
    if not moments.is_finite:
        return np.inf
    inverse = np.linalg.pinv(moments.jacobian)
    drawn, sampled = (
        np.diagonal(inverse @ matrix @ inverse.T) for matrix in (moments.simulation, moments.meat)
    )
    return float(np.sqrt(np.max(drawn / np.where(sampled > 0, sampled, 1.0))))


def sharp_distribution(sample: Sample, params: PyTree) -> Float[np.ndarray, "m g"]:
    """An estimate of the distribution: for what is linear in it, and does not see its noise."""
    return working_distribution(sample, params, _SHARP_STEPS)


def ridge_bias(
    moments: Moments,
    slope: Float[np.ndarray, "p p"],
    outcomes: Outcomes,
    sharp: Float[np.ndarray, "m g"],
    ridge: float,
) -> Float[np.ndarray, " p"]:
    """What the ridge moves the estimate by, if the distribution is the sharp one.

    E ψ = κ Σ_q F(q) Γ_q/√F̃_q under a distribution F: exact, whatever F is.
    """
    left = sharp / np.sqrt(outcomes.working)
    mean = ridge * np.einsum("mg,gmp,g->p", left, moments.slopes, moments.shares)
    return np.linalg.pinv(slope) @ mean
