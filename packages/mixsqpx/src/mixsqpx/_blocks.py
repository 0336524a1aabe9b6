"""Large matrices, block by block: a copy of the whole would take memory, and the time to get it."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

T = TypeVar("T")

# A matrix of more entries is gone through in blocks, of about this number of entries.
_LARGE, _BLOCK = 1_500_000, 500_000


def is_large(num_units: int, num_components: int) -> bool:
    """Whether a matrix is gone through in blocks."""
    return num_units * num_components > _LARGE


class Block(NamedTuple):
    """A range of units, all of them if the matrix is not large.

    The last block ends with the last unit, and may begin before the end of the one before: `is_new`
    says which of its units no earlier block has.
    """

    start: Int[Array, ""]
    is_new: Bool[Array, " b"]

    def of(self, values: Array, axis: int) -> Array:
        """The block's units of an array that has the units along an axis."""
        return lax.dynamic_slice_in_dim(values, self.start, self.is_new.size, axis)

    def put(self, values: Float[Array, "m b"], into: Float[Array, "m n"]) -> Float[Array, "m n"]:
        """Columns of a matrix replaced by those of the block."""
        return lax.dynamic_update_slice_in_dim(into, values, self.start, axis=1)


def fold_blocks(
    step: Callable[[Block, T], T],
    init: T,
    num_units: int,
    num_components: int,
) -> T:
    """Pass a value, any PyTree of arrays, from block to block of a matrix of this size."""
    entries = num_units * num_components
    width = num_units
    if is_large(num_units, num_components):
        width = -(-num_units // -(-entries // _BLOCK))

    def at(i: Int[Array, ""], value: T) -> T:
        first = i * width
        start = jnp.minimum(first, num_units - width)
        return step(Block(start, start + jnp.arange(width) >= first), value)

    if width == num_units:
        return at(jnp.asarray(0), init)
    return lax.fori_loop(0, -(-num_units // width), at, init)
