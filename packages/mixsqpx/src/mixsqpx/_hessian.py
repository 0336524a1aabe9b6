"""The Hessian of some components, damped, in one of two precisions."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Integer

from ._blocks import Block, fold_blocks
from ._problem import MixProblem
from ._product import product

# Of the diagonal, in single precision.
ROUGH_RIDGE = 1e-6
# Below this number of multiplications it is not worth compiling both.
_ROUGH_WORK = 1_000_000


def damped_hessian(
    problem: MixProblem,
    members: Integer[Array, " k"] | slice,
    scale: Float[Array, " n"],
    rough: Bool[Array, ""],
) -> Float[Array, "k k"]:
    """H = Σᵢ ωᵢ aᵢ aᵢᵀ/uᵢ² of some components with a ridge, in single precision if `rough`.

    Neighbouring components are nearly equal, and H numerically singular: the ridge, above the
    rounding errors of H, keeps its factors accurate. It damps the step (a proximal term around
    `probs`) and does not move the optimum, whose gradient is exact. A component that explains no
    unit has a diagonal near underflow, hence the floor.
    """
    dtype = problem.lik.dtype
    k, n = jax.eval_shape(lambda: problem.lik[members]).shape

    def formed_in(precision: DTypeLike) -> Float[Array, "k k"]:
        def add(block: Block, hess: Float[Array, "k k"]) -> Float[Array, "k k"]:
            # Gathered, scaled and rounded in one pass.
            root = jnp.where(block.is_new, block.of(scale, 0), 0.0)
            scaled = (block.of(problem.lik, 1)[members] * root[None, :]).astype(precision)
            return hess + product(scaled, scaled.T).astype(dtype)

        return fold_blocks(add, jnp.zeros((k, k), dtype), n, k)

    eps, ridge = float(jnp.finfo(dtype).eps), float(jnp.finfo(dtype).eps) ** (2 / 3)
    if jnp.finfo(dtype).bits <= 32 or n * k * k < _ROUGH_WORK:
        hess = formed_in(dtype)
    else:
        single = partial(formed_in, jnp.float32)
        hess = lax.cond(rough, single, partial(formed_in, dtype))
        ridge = jnp.where(rough, ROUGH_RIDGE, ridge)
        eps = jnp.where(rough, float(jnp.finfo(jnp.float32).eps), eps)
    return with_ridge(hess, ridge, eps)


def with_ridge(
    hess: Float[Array, "k k"], ridge: float | Float[Array, ""], least: float | Float[Array, ""]
) -> Float[Array, "k k"]:
    """A part of the diagonal added to it, or `least` where that is more."""
    ridged = hess + jnp.maximum(ridge * hess, least)
    return jnp.where(jnp.eye(hess.shape[0], dtype=bool), ridged, hess)
