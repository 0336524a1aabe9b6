"""A problem of known numbers in the shape in which it is solved, and what is wrong with it."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from ._problem import FAULTS, exponentiate
from ._programs import Programs
from ._shapes import padded, padded_by_component, padded_shape
from ._solution import RESULTS

_exponentiate = Programs(exponentiate)
_exp_of_difference = Programs(lambda log_lik, row_max: jnp.exp(log_lik - row_max[None, :]))


class Filled(NamedTuple):
    """Likelihoods, row maxima and weights in the shape in which a problem is solved.

    `faults` are those of each unit, `n` and `m` the numbers of units and components of the problem,
    `source` what `lik` is the exponential of, which may still be on its way.
    """

    lik: Array
    row_max: np.ndarray
    faults: np.ndarray
    weights: np.ndarray
    n: int
    m: int
    source: np.ndarray | None

    def likelihoods(self, members: np.ndarray, stride: int) -> np.ndarray:
        """Some components of every so manyth unit."""
        units = slice(0, self.n, stride)
        if self.source is None:
            return np.asarray(self.lik)[members, units]
        return np.exp(self.source[members, units] - self.row_max[units])


def fill(log_lik: Any, weights: np.ndarray | None) -> Filled | None:
    """Likelihoods in a shape. Units and components beyond those of the matrix have none."""
    n, m = log_lik.shape
    shape, source = padded_shape(n, m), None
    key = (shape or (n, m), log_lik.dtype)
    if shape is None:
        lik, row_max, faults = _exponentiate(key, log_lik)
    else:
        source = padded_by_component(np.asarray(log_lik), shape)
        row_max = np.max(source, axis=0)  # NaN where there is one
        usable = np.isfinite(row_max)
        faults = np.where(usable, 0, np.where(row_max == -np.inf, 1, 2))
        if not usable.all():
            source[:, ~usable] = 0.0
            row_max = np.where(usable, row_max, 0.0)
        lik = _exp_of_difference(key, source, row_max)
    if isinstance(lik, Tracer):
        return None
    if weights is None:
        weights = np.ones(n, lik.dtype)
    else:
        # XLA takes numbers below the normal range for zeros.
        weights = np.where(np.abs(weights) < np.finfo(weights.dtype).tiny, 0.0, weights)
    return Filled(lik, np.asarray(row_max), np.asarray(faults), weights, n, m, source)


def find_fault(filled: Filled, is_weighted: bool) -> tuple[RESULTS | None, int]:
    """What is wrong with the data, if anything, and with which unit, as `build_problem` says it."""
    faults, weights = filled.faults[: filled.n], filled.weights
    if is_weighted:
        faults = np.where(weights != 0, faults, 0)
        faults = np.where((weights >= 0) & (weights < np.inf), faults, len(FAULTS) - 1)
    unit = int(np.argmax(faults))
    if faults[unit] > 0:
        return FAULTS[faults[unit]], unit
    return (None if weights.any() else RESULTS.zero_weights), -1


def normalise(filled: Filled) -> Filled:
    """Weights that sum to one: equal ones if all are zero."""
    weights = filled.weights
    if not weights.any():
        weights = np.ones_like(weights)
    # The sum of weights near the end of the range would be infinite.
    weights = weights / np.max(weights)
    weights = weights / np.sum(weights)
    return filled._replace(weights=padded(weights, filled.lik.shape[1]))
