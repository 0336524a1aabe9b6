"""Positive definite systems of up to a few hundred unknowns, without LAPACK.

LAPACK comes to JAX from SciPy: its import takes a third of a second when the first program is
lowered, and from 64 unknowns on its threads wait for each other in busy loops, for seconds where
other work runs. A loop over the rows is one kernel for XLA: up to some forty unknowns it is as fast
as LAPACK, and up to a few hundred, by blocks, takes up to twice as long.
"""

from typing import Any

import jax.numpy as jnp
import lineax as lx
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PyTree

from ._product import product

# Rows of a block, of a system of up to so many unknowns, and of a larger one.
_PANEL, _MANY, _WIDE_PANEL = 40, 200, 64


class BlockCholesky(lx.AbstractLinearSolver[Array]):
    """A = UᵀU row by row: each row less its part in the rows before, over the root of its diagonal.

    A block of rows at a time, whose part in the rows that follow is one product of matrices.

    The right-hand side is one more column, so that U⁻ᵀb comes with the factor. A matrix that is not
    positive definite gives NaN, as `lineax.Cholesky` does.
    """

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> Array:
        """The matrix: factors and solution are computed in one go."""
        del options
        if not lx.is_positive_semidefinite(operator):
            raise ValueError("`BlockCholesky` is for positive definite operators.")
        return operator.as_matrix()

    def compute(
        self, state: Array, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        """Factorise and solve."""
        del options
        flat, unflatten = ravel_pytree(vector)
        return unflatten(_solve(state, flat)), lx.RESULTS.successful, {}

    def transpose(self, state: Array, options: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        """The matrix is symmetric."""
        return state, options

    def conj(self, state: Array, options: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        """The matrix is real."""
        return state, options

    def assume_full_rank(self) -> bool:
        """Of lineax from 0.0.9 on: whether there is one solution."""
        return True

    def allow_dependent_columns(self, operator: lx.AbstractLinearOperator) -> bool:
        """The same of lineax 0.0.8."""
        del operator
        return False

    def allow_dependent_rows(self, operator: lx.AbstractLinearOperator) -> bool:
        """The same of lineax 0.0.8."""
        del operator
        return False


def _solve(matrix: Float[Array, "k k"], vector: Float[Array, " k"]) -> Float[Array, " k"]:
    k = vector.size
    panel = _PANEL if k <= _MANY else _WIDE_PANEL
    rest = jnp.concatenate([matrix, vector[:, None]], axis=1)
    blocks = []
    for start in range(0, k, panel):
        block = _eliminate(rest[: min(panel, k - start)])
        blocks.append(jnp.pad(block, ((0, 0), (start, 0))))
        height = len(block)
        if start + height == k:
            break
        right = block[:, height:]
        rest = rest[height:, height:] - product(right[:, :-1].T, right)
    return _substitute(blocks[0] if len(blocks) == 1 else jnp.concatenate(blocks))


def _eliminate(rows: Float[Array, "b w"]) -> Float[Array, "b w"]:
    """The first rows of the factor, in place of those of the system."""
    height, width = rows.shape
    index = np.arange(width, dtype=np.uint32)

    def step(j: Int[ArrayLike, ""], rows: Float[Array, "b w"]) -> Float[Array, "b w"]:
        j = jnp.asarray(j, jnp.uint32)  # an index without a sign needs no look at it
        above = lax.dynamic_index_in_dim(rows, j, axis=1, keepdims=False)
        above = jnp.where(index[:height] < j, above, 0.0)
        row = lax.dynamic_index_in_dim(rows, j, keepdims=False) - product(above, rows)
        pivot = lax.dynamic_index_in_dim(row, j, keepdims=False)
        row = jnp.where(index >= j, row / jnp.sqrt(pivot), 0.0)
        return lax.dynamic_update_index_in_dim(rows, row, j, axis=0)

    return lax.fori_loop(0, height, step, rows)


def _substitute(upper: Float[Array, "k k+1"]) -> Float[Array, " k"]:
    """The solution of Ux = y, y the last column: the unknowns from last to first, in its place."""
    k = upper.shape[0]
    index = np.arange(k, dtype=np.uint32)

    def step(i: Int[ArrayLike, ""], upper: Float[Array, "k k+1"]) -> Float[Array, "k k+1"]:
        j = jnp.asarray(k - 1 - i, jnp.uint32)
        row = lax.dynamic_index_in_dim(upper, j, keepdims=False)
        known = jnp.sum(jnp.where(index > j, row[:k] * upper[:, k], 0.0))
        value = (row[k] - known) / lax.dynamic_index_in_dim(row, j, keepdims=False)
        return lax.dynamic_update_slice(upper, value[None, None], (j, np.uint32(k)))

    return lax.fori_loop(0, k, step, upper)[:, k]
