"""Positive definite systems of a few dozen unknowns, without LAPACK.

LAPACK comes to JAX from SciPy: its import takes a third of a second when the first program is
lowered, and its threads wait for each other in busy loops, for a long time where other work runs.
Up to some forty unknowns a loop over the rows, which XLA makes one kernel of, is as fast.
"""

from typing import Any

import jax.numpy as jnp
import lineax as lx
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from ._product import product


class SmallCholesky(lx.AbstractLinearSolver[Array]):
    """A = UᵀU row by row: each row less its part in the rows before, over the root of its diagonal.

    The right-hand side is one more column, so that U⁻ᵀb comes with the factor. A matrix that is not
    positive definite gives NaN, as `lineax.Cholesky` does.
    """

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> Array:
        """The matrix: factors and solution are computed in one go."""
        del options
        if not lx.is_positive_semidefinite(operator):
            raise ValueError("`SmallCholesky` is for positive definite operators.")
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
    index = np.arange(k + 1, dtype=np.uint32)

    def eliminate(j: Int[Array, ""], system: Float[Array, "k k+1"]) -> Float[Array, "k k+1"]:
        """Row j of the factor, in place of that of the system."""
        j = j.astype(jnp.uint32)  # an index without a sign needs no look at it
        above = lax.dynamic_index_in_dim(system, j, axis=1, keepdims=False)
        above = jnp.where(index[:k] < j, above, 0.0)
        row = lax.dynamic_index_in_dim(system, j, keepdims=False) - product(above, system)
        pivot = lax.dynamic_index_in_dim(row, j, keepdims=False)
        row = jnp.where(index >= j, row / jnp.sqrt(pivot), 0.0)
        return lax.dynamic_update_index_in_dim(system, row, j, axis=0)

    def substitute(i: Int[Array, ""], system: Float[Array, "k k+1"]) -> Float[Array, "k k+1"]:
        """The unknown of row k - 1 - i, in place of its right-hand side."""
        j = (k - 1 - i).astype(jnp.uint32)
        row = lax.dynamic_index_in_dim(system, j, keepdims=False)
        known = jnp.sum(jnp.where(index[:k] > j, row[:k] * system[:, k], 0.0))
        value = (row[k] - known) / lax.dynamic_index_in_dim(row, j, keepdims=False)
        return lax.dynamic_update_slice(system, value[None, None], (j, np.uint32(k)))

    system = jnp.concatenate([matrix, vector[:, None]], axis=1)
    system = lax.fori_loop(0, k, eliminate, system)
    return lax.fori_loop(0, k, substitute, system)[:, k]
