"""What moments are of: the model but for its free parameters, and the units."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from .._model import leading_length, replace_units
from .._search import Problem
from ._rows import RowTerms, row_terms


class Sample(NamedTuple):
    """What the moments are of: the model but for its free parameters, and the units.

    Attributes
    ----------
    held : PyTree
        The model without its free parameters.
    data, supp : PyTree
        As for `fit`; units of no weight have the data of one that counts.
    weights : Float[np.ndarray, "n"]
        They sum to one.
    labels : Int[Array, "n"]
        Group of each unit, zero if there are none.
    num_groups : int
    """

    held: PyTree
    data: PyTree
    supp: PyTree
    weights: Float[np.ndarray, " n"]
    labels: Int[Array, " n"]
    num_groups: int

    def terms(self, params: PyTree, rows: PyTree, working: Float[np.ndarray, "m g"]) -> RowTerms:
        """Log densities, scores and ratios of rows."""
        dtype = ravel_pytree(params)[0].dtype
        return row_terms(
            params, self.held, rows, self.supp, jnp.asarray(working, dtype), self.labels
        )

    def repeated(self, times: int) -> "Sample":
        """The same units several times, with as much weight together."""
        if times == 1:
            return self

        def repeat(x: Any) -> Any:
            return jnp.concatenate([x] * times) if eqx.is_array(x) else x

        return self._replace(
            data=jax.tree.map(repeat, self.data),
            weights=np.tile(self.weights / times, times),
            labels=repeat(self.labels),
        )

    def unravel(self, params: PyTree, flat: Float[np.ndarray, " p"]) -> PyTree:
        """Parameters like `params` from their flat values."""
        like, unravel = ravel_pytree(params)
        return unravel(jnp.asarray(flat, like.dtype))

    @property
    def num_points(self) -> int:
        """How many support points there are."""
        return leading_length(self.supp, "supp")

    def by_group(self) -> Float[np.ndarray, "g n"]:
        """Weight of each unit in its group, zero in the others."""
        own = np.asarray(self.labels)[None, :] == np.arange(self.num_groups)[:, None]
        return np.where(own, self.weights, 0.0)


def sample_of(problem: Problem) -> Sample:
    """The units of a problem, with weights that sum to one."""
    num_units = leading_length(problem.data, "data")
    data, weights = problem.data, np.ones(num_units)
    if problem.weights is not None:
        weights = np.asarray(problem.weights, np.float64)
        data = replace_units(data, jnp.asarray(weights > 0))
    labels, num_groups = jnp.zeros(num_units, int), 1
    if problem.groups is not None:
        labels = problem.groups.labels(num_units)
        num_groups = problem.groups.num
    return Sample(problem.held, data, problem.supp, weights / weights.sum(), labels, num_groups)
