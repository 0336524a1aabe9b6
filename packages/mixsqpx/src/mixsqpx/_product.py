"""Products in full precision.

Accelerators round the factors of a product in float32 to bfloat16 or to TF32 unless told not to:
three digits, with which no certificate would be worth its name.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def product(left: Float[Array, "..."], right: Float[Array, "..."]) -> Float[Array, "..."]:
    """The product of matrices or vectors, as `@`."""
    return jnp.matmul(left, right, precision=lax.Precision.HIGHEST)


def inner(weights: Float[Array, " n"], values: Float[Array, " n"]) -> Float[Array, ""]:
    """The inner product of two vectors.

    As one of two rows: that is a product of a library, where XLA on CPU makes a single row a sum
    and compiles a tree of kernels for it.
    """
    return product(jnp.stack([weights, weights]), values)[0]
