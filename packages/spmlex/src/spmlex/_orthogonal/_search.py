"""From a start to a root of the mean orthogonal score."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ._moments import Moments
from ._options import Orthogonal
from ._outcomes import FIRST_BLOCKS, Outcomes
from ._root import Root, Secants, find_root
from ._sample import Sample
from ._start import first_estimate
from ._working import working_distribution

# The norm of the mean at which a root is one, in standard errors: as far as rounding lets it.
_TOL_DOUBLE, _TOL_SINGLE = 1e-6, 1e-2
# While the working distribution is still to be chosen anew. Its steps are cheap, with few draws,
# and teach the slope to those that follow with many.
_LOOSE_TOL = 0.01
# Draws are made anew at the root until this part of them counts there.
_OVERLAP, _MAX_ROUNDS = 0.9, 12
# More draws than are wanted, by this factor.
_MORE = 1.1


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
    flat = first_estimate(sample, params)
    few = options.em_steps
    for start, em_steps in ((flat, few), (given, few), (flat, few + 1), (flat, few + 2)):
        attempt = _from(sample, params, start, em_steps, key, options, names, max_steps)
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
    em_steps: int,
    key: Array,
    options: Orthogonal,
    names: tuple[str, ...],
    max_steps: int,
) -> Attempt:
    """Rounds of a working distribution, draws from it, and a root, until a root is where it is."""
    count, tol = 0, root_tol(ravel_pytree(params)[0].dtype)
    working: np.ndarray | None = None
    secants = Secants()
    round_ = 0
    while True:
        here = sample.unravel(params, flat)
        if round_ < 2 or working is None:
            working = working_distribution(sample, here, em_steps)
        outcomes = Outcomes(sample, here, working, jax.random.fold_in(key, round_), names)
        outcomes.extend(FIRST_BLOCKS)
        if round_ > 0:
            count += _draw_enough(outcomes, options)
        root = find_root(
            lambda flat, o=outcomes: o.moments(sample.unravel(params, flat), options.ridge),
            flat,
            max(tol, _LOOSE_TOL) if round_ == 0 else tol,
            max_steps,
            secants,
        )
        secants = root.secants
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
    if outcomes.exact:
        return 0
    moments = outcomes.moments(outcomes.params, options.ridge)
    if moments.is_finite:
        drawn = outcomes.simulation(outcomes.params, moments)
        ratio = simulation_share(moments, moments.jacobian, drawn) / options.simulation_tol
        # Its variance falls with the number of draws; a little more, as it is an estimate itself.
        outcomes.extend(int(np.ceil(_MORE * ratio**2 * outcomes.num_blocks)))
    return 1


def simulation_share(
    moments: Moments, slope: Float[np.ndarray, "p p"], drawn: Float[np.ndarray, "p p"]
) -> float:
    """Largest standard error from the draws, over that from the sample."""
    if not moments.is_finite:
        return np.inf
    inverse = np.linalg.pinv(slope)
    ours, sampled = (np.diagonal(inverse @ x @ inverse.T) for x in (drawn, moments.meat))
    return float(np.sqrt(np.max(ours / np.where(sampled > 0, sampled, 1.0))))


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
