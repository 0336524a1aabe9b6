"""What a fit returns."""

import os
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PyTree

from . import _covariance, _scores, _summary
from ._function_model import FunctionModel
from ._model import leaf_name
from ._search import Problem
from ._solution import RESULTS
from ._table import Table


class FitResult(eqx.Module):
    """Estimates of a model and of the distribution of its heterogeneity. `print` shows a table.

    The methods below `estimates` say in brief what the functions of the same names say in full:
    `result.std_errors("robust")` is `std_errors(result, "robust")`.

    Attributes
    ----------
    model : PyTree
        The model at the estimates.
    params : PyTree
        The part of the model that was estimated; None in place of the rest.
    probs : Float[Array, "m"], or Float[Array, "m g"] with groups
        Estimated masses at the support points.
    supp : PyTree
        The support points.
    loglik : float
        Maximised log-likelihood in nats: the sum over the units, each times its weight.
    n_obs : int
        Number of units n.
    grad_norm : float
        Largest entry of the gradient of the mean profile log-likelihood.
    gap : float
        The mean log-likelihood is below its maximum over the distributions, at these parameters, by
        at most this many nats.
    result : RESULTS
        How the search ended.
    stats : dict
        `num_steps` of the minimiser, `num_active` support points, and the name of the `minimiser`.
    history : dict of str to numpy arrays
        One entry for each step: `value`, `grad_norm` (NaN if the minimiser does not keep a
        gradient), `gap` and `num_active` at the iterate after the step, and `step`, the largest
        change of a parameter: zero for a rejected trial.
    problem : Problem or None
        What was fitted besides the free parameters: the held part of the model, data, support,
        weights, groups and the solver of the inner problem. None after loading without the data.
    """

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
    problem: Problem | None

    @property
    def param_names(self) -> tuple[str, ...]:
        """Name of each estimated scalar: its path in the model, with its index in its array."""
        is_function = isinstance(self.params, FunctionModel)
        params = self.params.params if is_function else self.params
        names = []
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            name = leaf_name(path) if path or not is_function else "params"
            names += (
                [name]
                if leaf.ndim == 0
                else [f"{name}[{', '.join(map(str, index))}]" for index in np.ndindex(leaf.shape)]
            )
        return tuple(names)

    @property
    def estimates(self) -> np.ndarray:
        """Estimated scalars, in the order of `param_names`."""
        leaves = jax.tree.leaves(self.params)
        return np.concatenate([np.ravel(leaf) for leaf in leaves])

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def summary(
        self,
        *,
        kind: str = "hessian",
        clusters: Int[ArrayLike, " n"] | None = None,
        level: float = 0.95,
    ) -> Table:
        """Table of estimates, standard errors, z, p and intervals; see `spmlex.summary`."""
        return _summary.summary(self, kind=kind, clusters=clusters, level=level)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to a file, without the data; see `spmlex.save`, and read it with `spmlex.load`."""
        from ._save import save

        save(self, path)

    def cov(
        self, kind: str = "hessian", clusters: Int[ArrayLike, " n"] | None = None
    ) -> Float[np.ndarray, "p p"]:
        """Covariance of the estimates; see `spmlex.covariance`."""
        return _covariance.covariance(self, kind, clusters)

    def std_errors(
        self, kind: str = "hessian", clusters: Int[ArrayLike, " n"] | None = None
    ) -> Float[np.ndarray, " p"]:
        """Standard errors; see `spmlex.covariance`."""
        return _covariance.std_errors(self, kind, clusters)

    def conf_int(
        self,
        level: float = 0.95,
        kind: str = "hessian",
        clusters: Int[ArrayLike, " n"] | None = None,
    ) -> Float[np.ndarray, "p 2"]:
        """Normal confidence intervals; see `spmlex.conf_int`."""
        return _covariance.conf_int(self, level, kind, clusters)

    def scores(self) -> Float[np.ndarray, "n p"]:
        """Scores of the profile likelihood, one row a unit; see `spmlex.scores`."""
        return _scores.scores(self)
