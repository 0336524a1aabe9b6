"""Matrices of log-likelihoods that are read block of rows by block of rows, never whole."""

import abc
import mmap
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from ._mistakes import outside, warn_of_likelihoods
from ._shapes import aligned

# Entries of a block, about: few enough for several to be in memory, and enough for what a block
# costs beside its entries to be nothing.
_BLOCK_ENTRIES = 4_000_000


class Rows(abc.ABC):
    """The rows of a matrix, which can be gone through again and again.

    Attributes
    ----------
    num_units, num_components : int
        n and m, known once `sample` has been called.
    block_size : int
        Rows of every block but the last, which may have fewer; likewise.
    """

    num_units: int
    num_components: int
    block_size: int

    @abc.abstractmethod
    def sample(self, max_entries: int) -> tuple[Float[np.ndarray, "s m"], int]:
        """Rows 0, stride, 2 stride, … in double precision, and the stride; called once, at first.

        All rows if they have at most so many entries.
        """

    @abc.abstractmethod
    def blocks(self) -> Iterator[Float[np.ndarray, "b m"]]:
        """One pass: all rows, in blocks of one size and in memory of their own."""


class ArrayRows(Rows):
    """Rows of an array that need not be in memory: it has a shape and a dtype, and is sliced."""

    def __init__(self, array: Any) -> None:
        _check_matrix(array.shape, array.dtype, "`log_lik`")
        self._array = array
        self.num_units, self.num_components = (int(size) for size in array.shape)
        if self.num_units == 0 or self.num_components == 0:
            raise ValueError(f"`log_lik` is empty: its shape is {tuple(array.shape)}.")
        self.block_size = _block_size(self.num_units, self.num_components)
        chunk = (getattr(array, "chunks", None) or (0,))[0]
        if isinstance(chunk, int) and 0 < chunk < self.block_size:
            self.block_size -= self.block_size % chunk  # no chunk is read twice

    def sample(self, max_entries: int) -> tuple[Float[np.ndarray, "s m"], int]:
        """Rows of the sample; of a memory map no others are read."""
        stride = -(-self.num_units * self.num_components // max_entries)
        size = max(self.block_size - self.block_size % stride, stride)
        parts = []
        for start in range(0, self.num_units, size):
            parts.append(self._slice(start, size)[::stride].astype(np.float64))
            self._forget()
        rows = np.concatenate(parts)
        warn_of_likelihoods(rows, stacklevel=outside())
        return rows, stride

    def blocks(self) -> Iterator[Float[np.ndarray, "b m"]]:
        """Copies of the rows, which are read now and not in the midst of a computation."""
        for start in range(0, self.num_units, self.block_size):
            rows = self._slice(start, self.block_size)
            block = aligned(rows.shape, rows.dtype)
            block[...] = rows
            self._forget()
            yield block

    def _forget(self) -> None:
        """Let go of what was read of a memory map, which is kept in memory otherwise.

        Not of a map that is private to the process, whose changes would be lost.
        """
        if isinstance(self._array, np.memmap) and self._array.mode in ("r", "r+"):
            pages: Any = self._array._mmap  # pyright: ignore[reportAttributeAccessIssue]
            advise = getattr(pages, "madvise", None)  # not on Windows
            if advise is not None:
                advise(mmap.MADV_DONTNEED)

    def _slice(self, start: int, size: int) -> np.ndarray:
        return np.asarray(self._array[start : min(start + size, self.num_units)])


class SequenceRows(Rows):
    """Rows that come in blocks of any sizes."""

    def __init__(self, blocks: Iterable[Any]) -> None:
        if isinstance(blocks, Iterator):
            raise TypeError(
                "`log_lik` is an iterator, which can be gone through only once, and the blocks are "
                "needed several times. Hand over a list of blocks, or an object whose `__iter__` "
                "starts anew each time."
            )
        self._given = blocks
        self.num_units = self.num_components = self.block_size = 0

    def sample(self, max_entries: int) -> tuple[Float[np.ndarray, "s m"], int]:
        """Rows of the sample; the stride doubles as there turn out to be more rows."""
        kept, stride, num_units = [], 1, 0
        for rows in self._checked():
            kept.append(rows[-num_units % stride :: stride].astype(np.float64))
            num_units += len(rows)
            while num_units * rows.shape[1] > stride * max_entries and stride < num_units:
                kept, stride = [np.concatenate(kept)[::2]], 2 * stride
        if not kept:
            raise ValueError("`log_lik` is empty: it has no block with rows and columns.")
        sample = np.concatenate(kept)
        self.num_units, self.num_components = num_units, sample.shape[1]
        self.block_size = _block_size(num_units, sample.shape[1])
        warn_of_likelihoods(sample, stacklevel=outside())
        return sample, stride

    def blocks(self) -> Iterator[Float[np.ndarray, "b m"]]:
        """The rows, put together in blocks of one size, whatever the sizes of those given."""
        block, filled, num_units = None, 0, 0
        for rows in self._checked():
            num_units += len(rows)
            while len(rows):
                if block is None:
                    block, filled = aligned((self.block_size, rows.shape[1]), rows.dtype), 0
                taken = rows[: self.block_size - filled]
                block[filled : filled + len(taken)] = taken
                filled, rows = filled + len(taken), rows[len(taken) :]
                if filled == self.block_size:
                    yield block
                    block = None
        if block is not None:
            yield block[:filled]
        if num_units != self.num_units:
            raise ValueError(
                f"The blocks of `log_lik` have {num_units} rows in all, but had {self.num_units} "
                "when they were first gone through. They must be the same each time."
            )

    def _checked(self) -> Iterator[Float[np.ndarray, "b m"]]:
        """The blocks that have rows, as arrays of one width and one dtype."""
        first = None
        for number, block in enumerate(self._given):
            rows = np.asarray(block)
            _check_matrix(rows.shape, rows.dtype, f"Block {number} of `log_lik`")
            if not rows.size:
                continue
            first = rows[:0] if first is None else first
            if rows.shape[1] != first.shape[1]:
                raise ValueError(
                    f"Block {number} of `log_lik` has {rows.shape[1]} columns, but those before it "
                    f"have {first.shape[1]}. Columns are the components, the same in each block."
                )
            if rows.dtype != first.dtype:
                raise ValueError(
                    f"Block {number} of `log_lik` is of dtype {rows.dtype}, but those before it "
                    f"are of {first.dtype}."
                )
            yield rows


def as_rows(log_lik: Any) -> Rows:
    """The rows of an array or of a sequence of blocks.

    Raises
    ------
    TypeError
        If there are neither, if they can be read but once, or are not numbers.
    ValueError
        If they make no matrix.
    """
    if all(hasattr(log_lik, name) for name in ("shape", "dtype", "__getitem__")):
        return ArrayRows(log_lik)
    if not isinstance(log_lik, Iterable) or isinstance(log_lik, str | bytes):
        raise TypeError(
            "`log_lik` must be an array, such as a memory map, or a sequence of blocks of rows, "
            f"but it is of type {type(log_lik).__name__}."
        )
    return SequenceRows(log_lik)


def _check_matrix(shape: tuple[int, ...], dtype: Any, name: str) -> None:
    """Refuse what is no matrix of real numbers."""
    if len(shape) != 2:
        raise ValueError(
            f"{name} must be a matrix, units by components, but its shape is {tuple(shape)}."
        )
    if np.dtype(dtype).kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, but its dtype is {dtype}.")


def _block_size(num_units: int, num_components: int) -> int:
    return max(1, min(num_units, _BLOCK_ENTRIES // num_components))
