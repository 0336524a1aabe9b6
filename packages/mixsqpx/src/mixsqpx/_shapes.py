"""The few shapes that smaller problems are padded to, so that few programs are compiled.

A unit of weight zero and a component of likelihood zero change nothing but the time.
"""

import math
import threading
from bisect import bisect_left

import numpy as np
from jaxtyping import Float

from ._blocks import is_large

# Shapes that are far apart, up to this number of entries: a solve takes a few milliseconds then, of
# which what is padded takes one or so.
_UNITS = (16, 64, 256, 1024, 2048, 3072, 4096)
_COMPONENTS = (16, 40, 80, 104)
_FEW = 330_000
# Above it, that many from one power of two to the next in either direction: at most an eighth more
# of the units, and an eighth more of the components.
_PER_DOUBLING = 8
# Rows that begin a power of two after one another share few lines of a processor's cache.
_APART = 8
_ALIGNMENT = 64
# Entries that stay in the cache of a processor's core.
_CACHED = 16_000


def padded_shape(num_units: int, num_components: int) -> tuple[int, int] | None:
    """The shape that a problem is solved in; None if it is large, and solved in its own."""
    n, m = num_units, num_components
    if is_large(n, m):
        return None
    if n <= _UNITS[-1] and m <= _COMPONENTS[-1]:
        coarse = _UNITS[bisect_left(_UNITS, n)], _COMPONENTS[bisect_left(_COMPONENTS, m)]
        if math.prod(coarse) <= _FEW:
            return coarse[0] + _APART, coarse[1]
    return _rounded_up(n) + _APART, _rounded_up(m)


def _rounded_up(size: int) -> int:
    step = max((1 << ((size - 1).bit_length() - 1)) // _PER_DOUBLING, 1) if size > 1 else 1
    return -(-size // step) * step


class _Memory(threading.local):
    """Of the last matrix that was padded: new memory would take as long as filling it."""

    of_matrix: np.ndarray | None = None


_memory = _Memory()


def padded_by_component(
    log_lik: Float[np.ndarray, "n m"], shape: tuple[int, int]
) -> Float[np.ndarray, "wider longer"]:
    """A matrix in the shape of a larger one, its rows the components; until the next is made."""
    n, m = log_lik.shape
    out = _memory.of_matrix
    if out is None or out.shape != shape[::-1] or out.dtype != log_lik.dtype:
        out = _memory.of_matrix = aligned(shape[::-1], log_lik.dtype)
    out[m:] = -np.inf
    out[:m, n:] = 0.0
    # A few rows at a time, which stay in the processor's cache until all of their columns are read.
    step = max(_CACHED // m, 1)
    for start in range(0, n, step):
        out[:m, start : min(start + step, n)] = log_lik[start : start + step].T
    return out


def padded(values: Float[np.ndarray, " k"], size: int) -> Float[np.ndarray, " longer"]:
    """A vector with zeros after it."""
    out = np.zeros(size, values.dtype)
    out[: values.size] = values
    return out


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Memory that XLA on CPU takes as it is."""
    num_bytes = math.prod(shape) * dtype.itemsize
    memory = np.empty(num_bytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + num_bytes].view(dtype).reshape(shape)
