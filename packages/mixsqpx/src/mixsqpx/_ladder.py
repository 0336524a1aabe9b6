"""Sizes of working sets: XLA needs fixed shapes, the number of active components is not known."""

import equinox.internal as eqxi
import jax.numpy as jnp
from jaxtyping import Array, Int

_RATIO = 2.5
# A Hessian of all components costs n m² multiplications, its factors m³. With fewer than these, a
# millisecond or two, a size in between would save less than the time it takes to compile.
_MIN_WORK, _MIN_FACTORS = 50_000_000, 1_000_000


def ladder(
    num_units: int, num_components: int, first_of_two: int, first: int = 16
) -> tuple[int, ...]:
    """Sizes 16, 40, 100, 250, … and all components, which nothing overflows.

    A size above two thirds of all is left out: it would save little, and each costs compile time.
    For the same reason a small problem has two sizes alone, and the first, `first_of_two`, should
    hold what most problems need; and of sizes above the number of units, which is the most that an
    optimum needs (Lindsay, 1983), there is one besides the last.
    """
    n, m = num_units, num_components
    is_small = n * m**2 <= _MIN_WORK and m**3 <= _MIN_FACTORS
    sizes = []
    size = first_of_two if is_small else first
    while 3 * size <= 2 * m and not (sizes and (is_small or sizes[-1] > n)):
        sizes.append(size)
        size = int(size * _RATIO)
    return (*sizes, m)


def rung_for(wanted: Int[Array, ""], sizes: tuple[int, ...]) -> Int[Array, ""]:
    """Index of the smallest size that holds `wanted` components, under `vmap` for all members.

    The index has no batch dimension, so that a switch on it stays a switch under `vmap`.
    """
    most = eqxi.unvmap_max(wanted)
    return sum((most > size).astype(jnp.int32) for size in sizes[:-1]) + jnp.int32(0)


def smallest_rung(wanted: int, sizes: tuple[int, ...]) -> int:
    """`rung_for` of a known number."""
    return sum(wanted > size for size in sizes[:-1])
