"""The fields of a fit and their names: what the rooms above are given."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from ._model import param_names
from ._search import RESULTS, Problem


class Fit(eqx.Module):
    """The fields of a `FitResult`, which describes them."""

    model: Any
    params: PyTree
    probs: Float[Array, "m *g"]
    supp: PyTree
    loglik: float
    n_obs: int
    grad_norm: float
    gap: float
    result: RESULTS
    stats: dict[str, Any]
    history: dict[str, np.ndarray]
    problem: Problem
    clusters: Int[np.ndarray, " n"] | None

    @property
    def param_names(self) -> tuple[str, ...]:
        """Name of each estimated scalar: one of the model's `coef_names`, or its path there."""
        return param_names(self.params, self.model)

    @property
    def estimates(self) -> np.ndarray:
        """Estimated scalars, in the order of `param_names`."""
        leaves = jax.tree.leaves(self.params)
        return np.concatenate([np.ravel(leaf) for leaf in leaves])


def check_success(result: Fit) -> None:
    """Refuse a fit without estimates.

    Raises
    ------
    RuntimeError
        If the fit did not end at a stationary point.
    """
    if result.result != RESULTS.successful:
        raise RuntimeError(
            "The search did not end at a stationary point, so there is no estimate to work with. "
            f"{RESULTS[result.result]}"
        )


def problem_of(result: Fit) -> Problem:
    """What was fitted.

    Raises
    ------
    RuntimeError
        If the fit has no data, or did not end at a stationary point.
    """
    check_success(result)
    if result.problem.data is None:
        raise RuntimeError(
            "This fit was loaded without its data, and this needs them: give `load` the data."
        )
    return result.problem


def total_weight(result: Fit) -> float:
    """Sum of the weights; without weights, number of units."""
    return float(result.stats["total_weight"])


def unit_weights(result: Fit) -> Float[np.ndarray, " n"]:
    """Weights as they were given, ones for none."""
    weights = result.problem.weights
    return np.ones(result.n_obs) if weights is None else np.asarray(weights, np.float64)
