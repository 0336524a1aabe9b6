"""What the orthogonal estimator returns."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.scipy.special import gammaincc
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PyTree

from .._level import critical_value
from .._model import as_labels, param_names
from .._search import RESULTS
from .._table import Table
from .._use import Estimate
from ._functionals import Functional, functional
from ._inference import (
    ScoreTest,
    WaldTest,
    check_information,
    covariance,
    find_end,
    score_statistic,
)
from ._moments import Moments, Outcomes, Sample
from ._options import Orthogonal
from ._root import Root
from ._search import root_tol
from ._table import estimates_table, sensitivity_table

_MAX_STEPS = 60


class OrthogonalResult(eqx.Module):
    """Estimates that do not lean on an estimate of the distribution. `print` shows a table.

    Attributes
    ----------
    model : PyTree
        The model at the estimates.
    params : PyTree
        The part of the model that was estimated; None in place of the rest.
    supp : PyTree
        The support points.
    working : Float[np.ndarray, "m g"]
        The working distribution F̃ of each group, one column without groups. It is no estimate of
        the distribution: for that, see `fit`.
    n_obs : int
        Number of units.
    moment_norm : float
        Length of the mean orthogonal score in standard errors: zero at a root.
    result : RESULTS
        How the search ended.
    stats : dict
        `num_evaluations` of the moments; `num_draws` of each unit, or how many outcomes it has if
        they are listed; `exact`, which says which;
        `simulation_share`, the largest standard error from the draws over that from the sample;
        `overlap`, the part of the draws that counts; `information`, the least share of the
        information under a known distribution that is left in any direction; `ridge_bias`, the
        largest move of an estimate by the ridge, in standard errors.
    options : Orthogonal
    sample, outcomes, moments, slope
        What the moments are of, the outcomes over which expectations are, the moments at the
        estimates, and minus the derivative of their mean.

    Examples
    --------
    With `orthogonal` from the example of `fit_orthogonal`:

    >>> lower, upper = orthogonal.conf_int(0.95)[0]
    >>> bool(lower < 1.0 < upper)
    True
    """

    model: Any
    params: PyTree
    supp: PyTree
    working: Float[np.ndarray, "m g"]
    n_obs: int
    moment_norm: float
    result: RESULTS
    stats: dict[str, Any]
    options: Orthogonal
    sample: Sample
    outcomes: Outcomes
    moments: Moments
    slope: Float[np.ndarray, "p p"]

    @property
    def param_names(self) -> tuple[str, ...]:
        """Name of each estimated scalar: one of the model's `coef_names`, or its path there."""
        return param_names(self.params, self.model)

    @property
    def estimates(self) -> np.ndarray:
        """Estimated scalars, in the order of `param_names`."""
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(self.params)])

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def cov(self, clusters: Int[ArrayLike, " n"] | None = None) -> Float[np.ndarray, "p p"]:
        """Covariance of the estimates.

        A⁻¹ V A⁻ᵀ, V of what leaving out each unit, or each cluster, does to the mean orthogonal
        score, A = E[ψ s_Fᵀ] under a sharp estimate F of the distribution, in which it is linear;
        and the part of the draws on top. It is valid where the model of the outcomes is
        right, whatever the distribution is; weights are those of a sampling design, so that their
        scale does not matter.

        Parameters
        ----------
        clusters : Int[ArrayLike, "n"], optional
            A label for each unit, any integers, for units that depend on each other.

        Returns
        -------
        Float[np.ndarray, "p p"]
            In the order of `param_names`.

        Raises
        ------
        ValueError
            For clusters of a wrong shape or dtype, or only one that has weight.
        SingularInformationError
            A RuntimeError, where not knowing the distribution leaves no information in some
            direction; the message says along what.
        RuntimeError
            If no root was found.
        """
        self._check()
        return covariance(self.moments, self.slope, self._clusters(clusters))

    def std_errors(self, clusters: Int[ArrayLike, " n"] | None = None) -> Float[np.ndarray, " p"]:
        """Standard errors: square roots of the diagonal of `cov`."""
        return np.sqrt(np.diagonal(self.cov(clusters)))

    def conf_int(
        self, level: float = 0.95, clusters: Int[ArrayLike, " n"] | None = None
    ) -> Float[np.ndarray, "p 2"]:
        """Normal confidence intervals, lower and upper ends; see `cov` for what is raised."""
        half = critical_value(level) * self.std_errors(clusters)
        centre = self.estimates.astype(np.float64)
        return np.stack([centre - half, centre + half], axis=1)

    def summary(
        self, *, clusters: Int[ArrayLike, " n"] | None = None, level: float = 0.95
    ) -> Table:
        """Table of estimates, standard errors, z, p, and confidence intervals.

        Parameters
        ----------
        clusters
            See `cov`.
        level : float
            Of the intervals.

        Returns
        -------
        Table
            `print` it, show it in a notebook, or call `to_frame` or `to_latex`. Where there are no
            standard errors it has the estimates alone and says why.
        """
        critical_value(level)
        std_errors, reason = None, ""
        labels = self._clusters(clusters)
        try:
            std_errors = np.sqrt(np.diagonal(self.cov(labels)))
        except RuntimeError as error:
            reason = str(error)
        num_clusters = None if labels is None else int(labels.max()) + 1
        return estimates_table(self, std_errors, reason, num_clusters, level)

    def wald_test(
        self,
        function: Callable[[Any], ArrayLike],
        *,
        clusters: Int[ArrayLike, " n"] | None = None,
    ) -> WaldTest:
        """Test that a function of the model is zero.

        Parameters
        ----------
        function : Callable
            `function(model)` returns the restrictions, an array that is zero under the hypothesis;
            differentiable by JAX.
        clusters
            See `cov`, also for what is raised.
        """
        found = self.delta(function, clusters=clusters)
        value = np.ravel(found.value)
        statistic = float(value @ np.linalg.solve(found.cov, value))
        p_value = float(gammaincc(value.size / 2, statistic / 2))
        return WaldTest(statistic, value.size, p_value)

    def score_test(
        self, name: str, value: float, *, clusters: Int[ArrayLike, " n"] | None = None
    ) -> ScoreTest:
        """C(α) test that one parameter has a value: its score, the others re-estimated.

        Parameters
        ----------
        name : str
            One of `param_names`.
        value : float
            Its value under the hypothesis.
        clusters
            See `cov`, also for what is raised.

        Raises
        ------
        ValueError
            For an unknown name.
        RuntimeError
            If the other parameters have no root there.
        """
        self._check()
        statistic, found = self._statistic(name, clusters)(float(value))
        if not found:
            raise RuntimeError(
                f"With `{name}` held at {value!r}, no root of the scores of the other parameters "
                "was found, so that the hypothesis cannot be tested."
            )
        return ScoreTest(statistic, math.erfc(abs(statistic) / math.sqrt(2)))

    def score_interval(
        self, name: str, level: float = 0.95, *, clusters: Int[ArrayLike, " n"] | None = None
    ) -> Float[np.ndarray, " 2"]:
        """The values of one parameter that `score_test` does not reject.

        Parameters
        ----------
        name : str
            One of `param_names`.
        level : float
            Of confidence.
        clusters
            See `cov`, also for what is raised.

        Returns
        -------
        Float[np.ndarray, "2"]
            Lower and upper end; NaN for an end that is not found within eight times the Wald
            interval, or where the other parameters have no root on the way.
        """
        self._check()
        critical, statistic = critical_value(level), self._statistic(name, clusters)
        index = self.param_names.index(name)
        estimate = float(self.estimates[index])
        std_error = float(self.std_errors(clusters)[index])
        ends = [find_end(statistic, estimate, std_error, side, critical) for side in (-1.0, 1.0)]
        return np.array(ends)

    def delta(
        self,
        function: Callable[[Any], ArrayLike],
        *,
        clusters: Int[ArrayLike, " n"] | None = None,
    ) -> Estimate:
        """Standard errors of a smooth function of the model by the delta method.

        Parameters
        ----------
        function : Callable
            `function(model)` returns an array; differentiable by JAX.
        clusters
            See `cov`, also for what is raised.
        """
        cov = self.cov(clusters)
        flat, unravel = ravel_pytree(self.params)

        def of(flat: Array) -> Array:
            return jnp.asarray(function(eqx.combine(unravel(flat), self.sample.held)))

        value = np.asarray(of(flat), np.float64)
        slope = np.asarray(jax.jacrev(of)(flat), np.float64).reshape(value.size, -1)
        if not (np.isfinite(value).all() and np.isfinite(slope).all()):
            raise ValueError("`function`, or its derivative, is not finite at the estimates.")
        return Estimate(value, slope @ cov @ slope.T)

    def average(
        self,
        function: Callable[[Any, Any, Any], Float[Array, "..."]],
        *,
        clusters: Int[ArrayLike, " n"] | None = None,
    ) -> Functional:
        """Average of a function over the distribution of the latent variable and the units.

        Means and probabilities of the latent variable, predictions, counterfactuals, and average
        marginal effects (take `jax.grad` inside). The estimate does not integrate over an estimated
        distribution: it is a moment of the outcomes that has the wanted value under every
        distribution on the grid, up to a bias whose bound is reported with it. The units' data are
        held fixed.

        Parameters
        ----------
        function : Callable
            `function(model, data, supp)` returns an array (n, m, ...) of values of each unit at
            each support point, or (m, ...) where units do not matter.
        clusters
            See `cov`, also for what is raised.

        Returns
        -------
        Functional
            Values (...), standard errors and bias bounds.

        Raises
        ------
        ValueError
            For an array of another shape, or values that are not finite.
        """
        self._check()
        shape: list[tuple[int, ...]] = []

        def values(flat: np.ndarray) -> np.ndarray:
            model = eqx.combine(self.sample.unravel(self.params, flat), self.sample.held)
            found = np.asarray(function(model, self.sample.data, self.supp), np.float64)
            by_group, rest = _by_group(found, self.sample, self.working.shape[0])
            shape[:] = [rest]
            return by_group

        found = functional(
            values,
            self._evaluate,
            self.estimates.astype(np.float64),
            self.outcomes.working,
            np.asarray(self.sample.labels),
            self.sample.weights,
            self.slope,
            self._clusters(clusters),
        )
        return Functional(*(x.reshape(shape[0]) for x in found))

    def sensitivity(self) -> Table:
        """How the estimates move with the ridge and with the working distribution.

        Each row is a root of its own, with its standard errors in parentheses below. All are valid
        estimates, so that they should differ by parts of a standard error.
        """
        self._check()
        return sensitivity_table(self)

    def _check(self) -> None:
        if self.result != RESULTS.successful:
            raise RuntimeError(f"There is no estimate to work with. {RESULTS[self.result]}")
        check_information(self.moments, self.param_names)

    def _clusters(self, clusters: Any) -> Int[np.ndarray, " n"] | None:
        if clusters is None:
            return None
        labels = as_labels(clusters, self.n_obs, "clusters")
        found = np.unique(labels[self.sample.weights > 0])
        if found.size == 1:
            raise ValueError(
                f"`clusters` has the label {found[0]} alone among the units with weight. The "
                "spread between clusters takes two at least, and many for a good estimate."
            )
        return np.unique(labels, return_inverse=True)[1]

    def _evaluate(self, flat: np.ndarray) -> Moments:
        return self.outcomes.moments(self.sample.unravel(self.params, flat), self.options.ridge)

    def _statistic(self, name: str, clusters: Any) -> Callable[[float], tuple[float, bool]]:
        """The C(α) statistic of a parameter, as a function of its value."""
        if name not in self.param_names:
            raise ValueError(
                f"`name` must be one of {', '.join(map(repr, self.param_names))}, not {name!r}."
            )
        root = Root(self.estimates.astype(np.float64), self.moments, True, 0)
        index, labels = self.param_names.index(name), self._clusters(clusters)
        # Far less than what rounds the ends of an interval.
        tol = max(1e-4, root_tol(ravel_pytree(self.params)[0].dtype))
        return lambda value: score_statistic(
            self._evaluate, root, self.slope, index, value, labels, tol, _MAX_STEPS
        )


def _by_group(
    values: np.ndarray, sample: Sample, num_points: int
) -> tuple[Float[np.ndarray, "g m q"], tuple[int, ...]]:
    """Values at the support points, averaged over the units of each group."""
    num_units = sample.weights.size
    if values.shape[:2] == (num_units, num_points):
        flat, rest = values.reshape(num_units, -1), values.shape[2:]
        labels = np.asarray(sample.labels)
        shares = np.bincount(labels, sample.weights, sample.num_groups)
        own = (labels[None, :] == np.arange(sample.num_groups)[:, None]) * sample.weights
        by_group = (own / shares[:, None] @ flat).reshape(sample.num_groups, num_points, -1)
    elif values.shape[:1] == (num_points,):
        rest = values.shape[1:]
        by_group = np.tile(values.reshape(1, num_points, -1), (sample.num_groups, 1, 1))
    else:
        raise ValueError(
            "`function` must return values of each unit at each support point, shape "
            f"({num_units}, {num_points}, ...), or of each support point, shape "
            f"({num_points}, ...), but it returned shape {values.shape}."
        )
    if not np.isfinite(by_group).all():
        raise ValueError("`function` is not finite at some support point of the grid.")
    return by_group, rest
