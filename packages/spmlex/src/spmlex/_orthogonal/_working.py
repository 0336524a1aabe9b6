"""Where the search starts, and the working distribution."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ._moments import Sample
from ._rows import em_steps

# The start is good enough where the mean score is below this many standard errors: it is off by
# more, as the masses are not equal.
_START_TOL = 1.0
# Working distributions that the start is improved under, and EM steps to them.
_ROUNDS, _FIRST_STEPS = 2, 3
_MAX_START_STEPS = 200
# Marquardt's damping: first value, factors after a good and a bad step, and where to give up.
_DAMPING, _EASE, _TIGHTEN, _MOST_DAMPING = 1e-3, 0.2, 5.0, 1e12


def working_distribution(
    sample: Sample, params: PyTree, num_steps: int
) -> Float[np.ndarray, "m g"]:
    """A smooth distribution for each group: a few EM steps from equal masses.

    It is to be close to the truth without following the noise: it is not estimated, and any will
    do for validity. Masses that underflow are raised to the smallest normal number.
    """
    dtype = ravel_pytree(params)[0].dtype
    found = em_steps(
        params,
        sample.held,
        sample.data,
        sample.supp,
        jnp.asarray(sample.weights, dtype),
        sample.labels,
        sample.num_groups,
        jnp.asarray(num_steps),
    )
    return np.maximum(np.asarray(found), np.finfo(found.dtype).tiny)


def first_estimate(sample: Sample, params: PyTree) -> Float[np.ndarray, " p"]:
    """Where the search for a root starts: it may be a few standard errors off.

    Maximum likelihood under equal masses, and then under the working distribution found there, and
    again. A distribution that is held does not bend to explain single outcomes, so that no variance
    vanishes, from poor starts either.
    """
    flat = np.asarray(ravel_pytree(params)[0], np.float64)
    num_points = _first_leaf(sample.supp).shape[0]
    working = np.full((num_points, sample.num_groups), 1.0 / num_points)
    for k in range(_ROUNDS + 1):
        flat = _maximise(sample, params, flat, working)
        if k < _ROUNDS:
            working = working_distribution(sample, sample.unravel(params, flat), _FIRST_STEPS)
    return flat


def _maximise(
    sample: Sample,
    params: PyTree,
    flat: Float[np.ndarray, " p"],
    working: Float[np.ndarray, "m g"],
) -> Float[np.ndarray, " p"]:
    """Maximum likelihood under a given distribution.

    By the method of Berndt, Hall, Hall & Hausman (1974) with Marquardt's damping.
    """

    def evaluate(flat: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        terms = sample.terms(sample.unravel(params, flat), sample.data, working)
        scores = np.asarray(terms.scores, np.float64)
        weighted = scores * sample.weights[:, None]
        value = float(sample.weights @ np.asarray(terms.log_mix, np.float64))
        with np.errstate(over="ignore", invalid="ignore"):
            return value, weighted.sum(axis=0), weighted.T @ scores

    value, grad, info = evaluate(flat)
    damping, count = _DAMPING, np.sum(sample.weights > 0)
    for _ in range(_MAX_START_STEPS):
        diagonal = np.diagonal(info)
        scale = np.where(diagonal > 0, diagonal, 1.0)
        newton = np.linalg.lstsq(info, grad, rcond=None)[0]
        if count * grad @ newton <= _START_TOL**2 or damping > _MOST_DAMPING:
            break
        step = np.linalg.lstsq(info + damping * np.diag(scale), grad, rcond=None)[0]
        trial = evaluate(flat + step)
        finite = np.isfinite(trial[0]) and np.isfinite(trial[2]).all()
        if finite and trial[0] > value:
            flat, (value, grad, info) = flat + step, trial
            damping *= _EASE
        else:
            damping *= _TIGHTEN
    return flat


def _first_leaf(supp: PyTree) -> Array:
    return next(x for x in jax.tree.leaves(supp) if eqx.is_array(x))
