"""Matrices of log-likelihoods that are seen block of rows by block of rows, never whole.

A source is asked for its blocks once a pass. What it yields is data, of any structure, with the
units along the leading axis; `log_lik` makes log-likelihoods of them, of all components or of some,
inside of the compiled program that uses them. So a matrix on disk yields its rows, and a model the
data of its units, with the likelihoods computed where they are used.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from ._shapes import aligned

# Entries of a block, about: few enough for several to be in memory, and enough for what a block
# costs beside its entries to be nothing.
_BLOCK_ENTRIES = 4_000_000


class RowSource(Protocol):
    """What a pass needs to know of a matrix of log-likelihoods.

    Attributes
    ----------
    num_units, num_components : int
        n and m. Known once `sample` has been called.
    block_size : int
        Units of every block but the last, which may have less. Likewise.
    log_lik : equinox.Module
        `log_lik(block, members)` gives the log-likelihoods of the units of a block, or of any range
        of them, under the components `members`, or under all for None: floating-point, of shape
        (units, components). It is traced. Its arrays are arguments of the compiled programs, which
        serve all modules of one structure.
    """

    @property
    def num_units(self) -> int: ...

    @property
    def num_components(self) -> int: ...

    @property
    def block_size(self) -> int: ...

    @property
    def log_lik(
        self,
    ) -> Callable[[PyTree, Int[Array, " k"] | None], Float[Array, "b k"]]: ...

    def sample(self, max_entries: int) -> tuple[Float[np.ndarray, "s m"], int]:
        """Log-likelihoods of the units 0, stride, 2 stride, …; and the stride, the caller's limit.

        Called once, before any pass. As many units as have `max_entries` log-likelihoods, or not
        less than half of these; all units if they have no more.
        """
        ...

    def blocks(self) -> Iterator[PyTree]:
        """One pass over the blocks, in order: arrays with the units along the leading axis."""
        ...


def block_size_for(num_units: int, num_components: int) -> int:
    """Rows of a block that is neither small nor large."""
    return max(1, min(num_units, _BLOCK_ENTRIES // max(num_components, 1)))


class Rows(eqx.Module):
    """Log-likelihoods that are the data themselves."""

    def __call__(
        self, block: Float[Array, "b m"], members: Int[Array, " k"] | None
    ) -> Float[Array, "b k"]:
        """The block, or columns of it."""
        return block if members is None else block[:, members]


class ArraySource:
    """Rows of an array that need not be in memory: it has a shape and a dtype, and is sliced."""

    log_lik = Rows()

    def __init__(self, array: Any) -> None:
        self._array = array
        self.num_units, self.num_components = array.shape
        self.block_size = block_size_for(*array.shape)
        chunk = getattr(array, "chunks", None)
        if chunk and isinstance(chunk[0], int) and chunk[0] < self.block_size:
            self.block_size -= self.block_size % chunk[0]  # no chunk is read twice

    def sample(self, max_entries: int) -> tuple[Float[np.ndarray, "s m"], int]:
        """Every so many rows. Of a memory map no others are read."""
        stride = max(1, -(-self.num_units * self.num_components // max_entries))
        size = self.block_size - self.block_size % stride or stride
        parts = [
            np.array(self._rows(start, start + size)[::stride], np.float64)
            for start in range(0, self.num_units, size)
        ]
        return np.concatenate(parts), stride

    def blocks(self) -> Iterator[Float[np.ndarray, "b m"]]:
        """Copies of the rows, so that they are read now and not in the midst of a computation."""
        for start in range(0, self.num_units, self.block_size):
            rows = self._rows(start, start + self.block_size)
            block = aligned(rows.shape, rows.dtype)
            block[...] = rows
            yield block

    def _rows(self, start: int, stop: int) -> np.ndarray:
        return np.asarray(self._array[start : min(stop, self.num_units)])


class SequenceSource:
    """Rows in blocks of any sizes, which can be gone through again and again."""

    log_lik = Rows()

    def __init__(self, blocks: Iterable[Any]) -> None:
        self._blocks = blocks
        self.num_units = self.num_components = self.block_size = 0

    def sample(self, max_entries: int) -> tuple[Float[np.ndarray, "s m"], int]:
        """Every so many rows. The stride doubles as more rows come than were expected."""
        kept, stride, num_units = [], 1, 0
        for rows in self._checked():
            first = -num_units % stride
            kept.append(np.array(rows[first::stride], np.float64))
            num_units += len(rows)
            while num_units > stride and num_units * rows.shape[1] > stride * max_entries:
                whole = np.concatenate(kept)
                kept, stride = [whole[::2].copy()], 2 * stride
        if not kept:
            raise ValueError("`log_lik` is empty: it has no block with rows.")
        sample = np.concatenate(kept)
        self.num_units, self.num_components = num_units, sample.shape[1]
        self.block_size = block_size_for(num_units, sample.shape[1])
        return sample, stride

    def blocks(self) -> Iterator[Float[np.ndarray, "b m"]]:
        """The rows, put together in blocks of one size, whatever the sizes of those given."""
        block, filled, seen = None, 0, 0
        for rows in self._checked():
            seen += len(rows)
            start = 0
            while start < len(rows):
                if block is None:
                    block, filled = aligned((self.block_size, rows.shape[1]), rows.dtype), 0
                stop = min(len(rows), start + self.block_size - filled)
                block[filled : filled + stop - start] = rows[start:stop]
                filled, start = filled + stop - start, stop
                if filled == self.block_size:
                    yield block
                    block = None
        if block is not None:
            yield block[:filled]
        if seen != self.num_units:
            raise ValueError(
                f"The blocks of `log_lik` have {seen} rows in all, but had {self.num_units} when "
                "they were first gone through. They must be the same each time."
            )

    def _checked(self) -> Iterator[Float[np.ndarray, "b m"]]:
        """The blocks with rows."""
        width = dtype = None
        for number, block in enumerate(self._blocks):
            rows = np.asarray(block)
            check_matrix(rows.shape, rows.dtype, f"Block {number} of `log_lik`")
            if width is None:
                width, dtype = rows.shape[1], rows.dtype
            if rows.shape[1] != width:
                raise ValueError(
                    f"Block {number} of `log_lik` has {rows.shape[1]} columns, but the blocks "
                    f"before it {width}. The columns are the components, the same in all blocks."
                )
            if rows.dtype != dtype:
                raise ValueError(
                    f"Block {number} of `log_lik` is of dtype {rows.dtype}, but the blocks before "
                    f"it of {dtype}."
                )
            if len(rows):
                yield rows
