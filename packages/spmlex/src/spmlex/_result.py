"""What a fit returns."""

import os
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PyTree

from . import (
    _average,
    _bootstrap,
    _covariance,
    _information,
    _likelihood_ratio,
    _posterior,
    _scores,
    _simulate,
    _summary,
)
from ._names import param_names
from ._orthogonal import Orthogonal, OrthogonalResult, checked, estimate
from ._replications import Bootstrap
from ._search import Problem
from ._solution import RESULTS
from ._table import Table


class FitResult(eqx.Module):
    """Estimates of a model and of the distribution of its heterogeneity. `print` shows a table.

    Most methods are the functions of this package of the same name, which have the full
    description: `result.std_errors("robust")` is `spmlex.std_errors(result, "robust")`.

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
        `num_steps` of the minimiser, `num_active` support points, the name of the `minimiser`, and
        `total_weight`, the sum of the weights: the number of units without weights.
    history : dict of str to numpy arrays
        One entry for each step: `value`, `grad_norm` (NaN if the minimiser does not keep a
        gradient), `gap` and `num_active` at the iterate after the step, and `step`, the largest
        change of a parameter: zero for a rejected trial.
    problem : Problem
        What was fitted besides the free parameters: the held part of the model, data, support,
        weights, groups and the solver of the inner problem. Its `data` are None after loading
        without them.
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
    problem: Problem

    @property
    def param_names(self) -> tuple[str, ...]:
        """Name of each estimated scalar: its path in the model, with its index in its array."""
        return param_names(self.params)

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
        kind: str | None = None,
        clusters: Int[ArrayLike, " n"] | None = None,
        level: float = 0.95,
    ) -> Table:
        """Table of estimates and standard errors; see `spmlex.summary`."""
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

    def bootstrap(
        self,
        key: Array,
        *,
        num: int = 500,
        clusters: Int[np.ndarray | Array, " n"] | None = None,
        scheme: str = "exponential",
    ) -> Bootstrap:
        """Refits under random weights; see `spmlex.bootstrap`."""
        return _bootstrap.bootstrap(self, key, num=num, clusters=clusters, scheme=scheme)

    def orthogonal(
        self, key: Array, *, options: Orthogonal | None = None, max_steps: int = 60
    ) -> OrthogonalResult:
        """Estimates and intervals that hold for continuous distributions, too.

        `spmlex.fit_orthogonal` from the estimates of this fit, which describes the method. The
        model needs a method `sample` or `all_outcomes`.

        Parameters
        ----------
        key : PRNG key
            Of JAX, for the draws.
        options, max_steps
            See `fit_orthogonal`, also for what is raised.
        """
        problem = _scores.problem_of(self)
        found = estimate(problem, self.params, key, options or Orthogonal(), max_steps)
        return checked(found)

    def profile_interval(self, name: str, level: float = 0.95) -> _likelihood_ratio.ProfileInterval:
        """Likelihood-ratio interval of one parameter; see `spmlex.profile_interval`."""
        return _likelihood_ratio.profile_interval(self, name, level)

    def delta(
        self,
        function: Callable[[Any, Float[Array, "m *g"]], ArrayLike],
        *,
        kind: str = "hessian",
        clusters: Int[ArrayLike, " n"] | None = None,
    ) -> _average.Estimate:
        """Standard errors of a function of model and masses; see `spmlex.delta`."""
        return _average.delta(self, function, kind=kind, clusters=clusters)

    def average(
        self,
        function: Callable[[Any, Any, Any], Float[Array, "..."]],
        *,
        kind: str = "hessian",
        clusters: Int[ArrayLike, " n"] | None = None,
    ) -> _average.Estimate:
        """Average over the distribution and the units; see `spmlex.average`."""
        return _average.average(self, function, kind=kind, clusters=clusters)

    def posterior(
        self, data: PyTree = None, groups: Int[ArrayLike, " n"] | None = None
    ) -> Float[Array, "n m"]:
        """Posterior probabilities of the support points; see `spmlex.posterior`."""
        return _posterior.posterior(self, data, groups)

    def posterior_mean(
        self, data: PyTree = None, groups: Int[ArrayLike, " n"] | None = None
    ) -> PyTree:
        """Posterior mean of the latent variable; see `spmlex.posterior_mean`."""
        return _posterior.posterior_mean(self, data, groups)

    def posterior_mode(
        self, data: PyTree = None, groups: Int[ArrayLike, " n"] | None = None
    ) -> PyTree:
        """Most probable support point of each unit; see `spmlex.posterior_mode`."""
        return _posterior.posterior_mode(self, data, groups)

    def posterior_quantile(
        self, level: float, data: PyTree = None, groups: Int[ArrayLike, " n"] | None = None
    ) -> Float[Array, " n"]:
        """Posterior quantile of the latent variable; see `spmlex.posterior_quantile`."""
        return _posterior.posterior_quantile(self, level, data, groups)

    def simulate(
        self,
        key: Array,
        data: PyTree = None,
        groups: Int[Array | np.ndarray, " n"] | None = None,
    ) -> Any:
        """Outcomes drawn from the fitted model; see `spmlex.simulate`."""
        return _simulate.simulate(self, key, data, groups)

    @property
    def aic(self) -> float:
        """Akaike's criterion, masses counted as parameters; see `spmlex.aic`."""
        return _information.aic(self)

    @property
    def bic(self) -> float:
        """Schwarz's criterion, masses counted as parameters; see `spmlex.bic`."""
        return _information.bic(self)
