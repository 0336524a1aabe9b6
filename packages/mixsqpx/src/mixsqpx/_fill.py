"""A problem of known numbers in the shape in which it is solved, and what is wrong with it."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float

from ._problem import FAULTS, exponentiate
from ._programs import Programs
from ._shapes import padded, padded_by_component, padded_shape
from ._solution import RESULTS

_exponentiate = Programs(exponentiate)


class Filled(NamedTuple):
    """A matrix in the shape in which a problem is solved, its rows the components.

    `matrix` holds the likelihoods as a `MixProblem` has them, or, if `is_log`, log-likelihoods, of
    which `row_max` is still to be subtracted. `faults` are those of each unit, None if there are
    none; `n` and `m` are the numbers of units and components of the problem.
    """

    matrix: Array | np.ndarray
    is_log: bool
    row_max: Array | np.ndarray
    faults: np.ndarray | None
    n: int
    m: int


def fill(log_lik: Any) -> Filled:
    """A matrix in its shape. Further units have no weight, further components no likelihood."""
    n, m = log_lik.shape
    shape = padded_shape(n, m)
    if shape is None:
        matrix, row_max, each = _exponentiate((n, m, log_lik.dtype), log_lik)
        each = np.asarray(each)
        return Filled(matrix, False, row_max, each if each.any() else None, n, m)
    matrix, faults = padded_by_component(np.asarray(log_lik), shape), None
    row_max = np.max(matrix, axis=0)  # NaN where there is one
    usable = np.isfinite(row_max)
    if not usable.all():
        faults = np.where(usable, 0, np.where(row_max == -np.inf, 1, 2))
        matrix[:, ~usable] = 0.0
        row_max = np.where(usable, row_max, 0.0)
    return Filled(matrix, True, row_max, faults, n, m)


def find_fault(filled: Filled, weights: np.ndarray | None) -> tuple[RESULTS | None, int]:
    """What is wrong with the data, if anything, and with which unit, as `build_problem` says it."""
    faults = filled.faults
    if weights is not None:
        each = np.zeros(1, int) if faults is None else faults[: filled.n]
        each = np.where(weights != 0, each, 0)
        faults = np.where((weights >= 0) & (weights < np.inf), each, len(FAULTS) - 1)
    if faults is not None:
        unit = int(np.argmax(faults[: filled.n]))
        if faults[unit] > 0:
            return FAULTS[faults[unit]], unit
    return (None if weights is None or weights.any() else RESULTS.zero_weights), -1


def without_tiny(weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Weights as XLA sees them: it takes numbers below the normal range for zeros."""
    return np.where(np.abs(weights) < np.finfo(weights.dtype).tiny, 0.0, weights)


def normalised(weights: Float[np.ndarray, " n"], size: int) -> Float[np.ndarray, " {size}"]:
    """Weights that sum to one, equal ones if all are zero, and zeros after them."""
    if not weights.any():
        return equal(weights.size, size, weights.dtype)
    # The sum of weights near the end of the range would be infinite.
    weights = weights / np.max(weights)
    return padded(weights / np.sum(weights), size)


@lru_cache(maxsize=16)
def equal(n: int, size: int, dtype: np.dtype) -> Float[np.ndarray, " {size}"]:
    """The weights of most problems."""
    weights = padded(np.full(n, 1 / n, dtype), size)
    weights.flags.writeable = False
    return weights
