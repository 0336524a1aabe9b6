"""Several reductions in one kernel.

XLA on CPU splits the sum or the maximum of one vector into a tree of three kernels, and any kernel
takes some 10 ms to compile and a microsecond to start. A reduction of several vectors at once it
leaves whole.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Shaped


def sums(*arrays: Shaped[Array, "..."], axis: int = 0) -> tuple[Shaped[Array, "..."], ...]:
    """The sums of each array along an axis, all arrays of one shape.

    The loop is not vectorised: it is for as many entries as there are components, not units.
    """
    return _reduce(arrays, (), axis)


def sums_and_maxima(
    sums: tuple[Shaped[Array, " m"], ...], maxima: tuple[Float[Array, " m"], ...]
) -> tuple[Shaped[Array, ""], ...]:
    """The sums of some vectors, then the largest entries of others, NaN if any is.

    On CPU XLA's own maximum may lose a NaN. See `sums` for the length.
    """
    return _reduce(sums, maxima, 0)


def largest(values: Float[Array, " m"]) -> Float[Array, ""]:
    """The largest entry of a vector, NaN if any is. See `sums` for the length."""
    return _reduce((), (values, values), 0)[0]


def _reduce(
    to_sum: tuple[Array, ...], to_compare: tuple[Array, ...], axis: int
) -> tuple[Array, ...]:
    def merge(a: tuple[Array, ...], b: tuple[Array, ...]) -> tuple[Array, ...]:
        pairs = list(zip(a, b, strict=True))
        added = tuple(x + y for x, y in pairs[: len(to_sum)])
        larger = tuple(lax.select((x > y) | (x != x), x, y) for x, y in pairs[len(to_sum) :])
        return added + larger

    zeros = tuple(jnp.zeros((), x.dtype) for x in to_sum)
    least = tuple(jnp.full((), -jnp.inf, x.dtype) for x in to_compare)
    return tuple(lax.reduce(to_sum + to_compare, zeros + least, merge, (axis,)))
