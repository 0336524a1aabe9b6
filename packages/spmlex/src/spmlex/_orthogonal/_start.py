"""Where the search starts: maximum likelihood with a normal distribution on the grid."""

import equinox as eqx
import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, PyTree

from ._sample import Sample

# The start is good enough where the mean score is below this many standard errors.
_START_TOL = 0.1
_MAX_START_STEPS = 200
# Marquardt's damping: first value, factors after a good and a bad step, and where to give up.
_DAMPING, _EASE, _TIGHTEN, _MOST_DAMPING = 1e-3, 0.2, 5.0, 1e12
# Columns of the support that add less than this to others are left out.
_COLLINEAR = 1e-8


def quadratics(supp: PyTree, num_points: int) -> Float[np.ndarray, "m k"]:
    """A basis of the quadratic functions of the support points, orthogonal to a constant."""
    leaves = [x for x in jax.tree.leaves(supp) if eqx.is_array(x)]
    columns = np.concatenate(
        [np.asarray(x, np.float64).reshape(num_points, -1) for x in leaves], axis=1
    )
    columns = columns - columns.mean(axis=0)
    size = np.sqrt(np.mean(columns**2, axis=0))
    columns = columns[:, size > 0] / size[size > 0]
    first, second = np.triu_indices(columns.shape[1])
    both = np.concatenate([columns, columns[:, first] * columns[:, second]], axis=1)
    left, size, _ = np.linalg.svd(both - both.mean(axis=0), full_matrices=False)
    return left[:, size > _COLLINEAR * max(size.max(initial=0.0), 1.0)] * num_points**0.5


def first_estimate(sample: Sample, params: PyTree) -> Float[np.ndarray, " p"]:
    """Maximum likelihood with a normal distribution on the grid, one for each group.

    A distribution of few parameters does not bend to explain single outcomes, so that no variance
    vanishes; it starts at equal masses. By the method of Berndt, Hall, Hall & Hausman (1974) with
    Marquardt's damping.
    """
    first = np.asarray(ravel_pytree(params)[0], np.float64)
    basis, labels = quadratics(sample.supp, sample.num_points), np.asarray(sample.labels)
    num_tilts = basis.shape[1]
    own = (labels[:, None] == np.arange(sample.num_groups))[:, :, None]

    def distribution(tilts: np.ndarray) -> np.ndarray:
        log_probs = basis @ tilts.reshape(sample.num_groups, num_tilts).T
        probs = np.exp(log_probs - log_probs.max(axis=0))
        return np.maximum(probs / probs.sum(axis=0), np.finfo(np.float64).tiny)

    def evaluate(flat: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        probs = distribution(flat[first.size :])
        terms = sample.terms(sample.unravel(params, flat[: first.size]), sample.data, probs)
        ratios = np.asarray(terms.ratios, np.float64)
        # Of each group: ∂ log p = Σ_q F_q g_q/p (t_q - ∫ t dF).
        centred = basis - (probs.T @ basis)[:, None, :]
        by_tilt = np.einsum("mg,gmk->mgk", np.sqrt(probs), centred)
        of_tilts = (ratios @ by_tilt.reshape(len(basis), -1)).reshape(len(labels), -1, num_tilts)
        of_tilts = np.where(own, of_tilts, 0.0).reshape(len(labels), -1)
        scores = np.concatenate([np.asarray(terms.scores, np.float64), of_tilts], axis=1)
        weighted = scores * sample.weights[:, None]
        value = float(sample.weights @ np.asarray(terms.log_mix, np.float64))
        with np.errstate(over="ignore", invalid="ignore"):
            return value, weighted.sum(axis=0), weighted.T @ scores

    flat = np.concatenate([first, np.zeros(num_tilts * sample.num_groups)])
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
    return flat[: first.size]
