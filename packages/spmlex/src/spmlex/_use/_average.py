"""Functions of the estimates, with standard errors by the delta method."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from mixsqpx.numerics import product

from .._fields import Fit, problem_of, total_weight, unit_weights
from .._inference import (
    check_kind,
    invert_hessian,
    invert_opg,
    linearisation,
    sandwich,
    worth_note,
)
from .._level import critical_value
from .._model import as_named, checked_function, replace_units
from .._table import Table, coefficient_table, entry_names


class Estimate(eqx.Module):
    """A function of the estimates.

    Attributes
    ----------
    value : Float[np.ndarray, "..."]
        The function at the estimates.
    cov : Float[np.ndarray, "q q"]
        Covariance of its entries, flattened.
    names : tuple of str
        Of the entries, if they have some: `print` then shows a table.
    title, header, notes
        Of the table: see `Table`. The header says which kind of standard errors they are.
    with_intervals : bool
        Whether the table has z, p and intervals without being asked for a level. Those of a profile
        likelihood have them where a `kind` was asked for, as in the table of the fit.

    Examples
    --------
    With `result` from the example of `fit`:

    >>> odds = result.delta(lambda model, probs: jnp.exp(model.slope))
    >>> lower, upper = odds.conf_int(0.9)
    >>> bool(lower < odds.value < upper)
    True
    """

    value: Float[np.ndarray, "..."]
    cov: Float[np.ndarray, "q q"]
    names: tuple[str, ...] = ()
    title: str = "Estimates"
    header: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    with_intervals: bool = True

    def __repr__(self) -> str:
        """Numbers rather than shapes."""
        if self.names:
            return str(self.summary())
        return f"Estimate(value={self.value}, std_errors={self.std_errors})"

    def _repr_html_(self) -> str | None:
        return self.summary()._repr_html_() if self.names else None

    def summary(self, *, level: float | None = None) -> Table:
        """Table of the entries, with standard errors; with a level z, p and normal intervals, too.

        Parameters
        ----------
        level : float, optional
            Of the intervals; by default 0.95 if `with_intervals`, and else none are shown.

        Returns
        -------
        Table
            `print` it, show it in a notebook, or call `to_frame` or `to_latex`.
        """
        names = self.names or entry_names(self.value.shape)
        level = 0.95 if level is None and self.with_intervals else level
        return coefficient_table(
            self.title,
            list(self.header),
            names,
            self.value.ravel(),
            self.std_errors.ravel(),
            level,
            list(self.notes),
        )

    @property
    def std_errors(self) -> Float[np.ndarray, "..."]:
        """Standard errors, in the shape of `value`."""
        variances = np.maximum(np.diagonal(self.cov), 0.0)  # zero may be a rounding error below
        return np.sqrt(variances).reshape(self.value.shape)

    def conf_int(self, level: float = 0.95) -> Float[np.ndarray, "... 2"]:
        """Normal confidence intervals: lower and upper ends on the last axis."""
        half = critical_value(level) * self.std_errors
        return np.stack([self.value - half, self.value + half], axis=-1)


def delta(
    result: Fit,
    function: Callable[[Any, Float[Array, "m *g"]], ArrayLike | Mapping[str, ArrayLike]],
    *,
    kind: str | None = None,
    clusters: Int[ArrayLike, " n"] | None = None,
) -> Estimate:
    """Standard errors of a smooth function of the parameters and the distribution.

    The masses of the active points are taken as parameters beside θ; which points are active, as
    given. Their joint influence function is, at the optimum,

        ψ_θ = I⁻¹ sᵢ,    ψ_p = H⁺ (a_iA/uᵢ - 1) + (∂p_A/∂θ) ψ_θ,

    I the Hessian of the profile likelihood, H that of the inner problem; the masses' part sums to
    zero by itself. With `"robust"` and `"cluster"` the covariance is that of these. With
    `"hessian"` it is the inverse of the joint information on masses that sum to one:
    cov(θ) = I⁻¹ and cov(p | θ) = H⁺ - ppᵀ, which do not covary but through ∂p_A/∂θ; `"opg"` puts
    its own cov(θ) there. For smooth functionals of F these are the right first-order spreads; for
    single masses, whose points the data chose, they are rough, as F itself is estimated at a slow
    rate. A distribution with all its mass at one point, such as that of a group of one unit, has no
    spread by these formulas: its standard errors are zero, and mean nothing.

    Parameters
    ----------
    function : Callable
        `function(model, probs)` returns an array, or a dict of numbers, whose keys are then their
        `names`; differentiable by JAX, at the active points only as far as `probs` goes. It may
        call `jax.grad` itself.
    kind, clusters
        See `cov`; by default `"hessian"`, and a table without intervals.

    Returns
    -------
    Estimate
        Value, standard errors and covariance.

    Raises
    ------
    TypeError
        If the function returns something other than an array, or a dict of numbers.
    ValueError
        For `kind` and `clusters` as in `cov`, and for values or derivatives that are not
        finite.
    SingularInformationError
        A RuntimeError, if the information is singular or indefinite.
    RuntimeError
        If the fit has no data, or did not end at a stationary point.
    """
    return _delta(result, checked_function(function, "model", "probs"), kind, clusters)


def _delta(
    result: Fit,
    function: Callable[[Any, Array], Any],
    kind: str | None,
    clusters: Int[ArrayLike, " n"] | None,
) -> Estimate:
    problem = problem_of(result)
    with_intervals, kind = kind is not None, kind or "hessian"
    groups = check_kind(kind, clusters, result)
    flat, unravel = ravel_pytree(result.params)
    names: tuple[str, ...] = ()

    def of(flat: Array, probs: Array) -> Array:
        nonlocal names
        array, names = as_named(function(eqx.combine(unravel(flat), problem.held), probs))
        if names and array.ndim > 1:
            raise TypeError(
                "`function` must return an array, or a dict of numbers, but returned a dict of "
                f"arrays of shape {array.shape[:-1]}."
            )
        return array

    value = np.asarray(of(flat, result.probs), np.float64)
    by_theta, by_probs = jax.jacrev(of, argnums=(0, 1))(flat, result.probs)
    by_theta = np.asarray(by_theta, np.float64).reshape(value.size, -1)
    by_probs = np.asarray(by_probs, np.float64).reshape(value.size, result.probs.shape[0], -1)
    linear, members = linearisation(result)
    by_masses = np.moveaxis(by_probs[:, members], 2, 0)
    masses = np.asarray(result.probs, np.float64).reshape(result.probs.shape[0], -1)[members].T
    by_masses = np.where(masses[:, None, :] > 0, by_masses, 0.0)
    if not np.isfinite(value).all():
        raise ValueError("`function` is not finite at the estimates.")
    if not (np.isfinite(by_theta).all() and np.isfinite(by_masses).all()):
        raise ValueError(
            "`function` has a derivative that is not finite at the estimates: it must be smooth "
            "there."
        )
    # Masses sum to one, so that a constant does not matter; without it H⁺ alone is the covariance.
    centred = by_masses - np.einsum("gqk,gk->gq", by_masses, masses)[:, :, None]
    by_masses = np.where(masses[:, None, :] > 0, centred, 0.0)
    response = np.asarray(linear.response, np.float64)
    total = by_theta + np.einsum("gqk,gkp->qp", by_masses, response)
    by_own = np.stack(
        [
            rows @ _pseudo_inverse(hess)
            for rows, hess in zip(by_masses, np.asarray(linear.hess_probs), strict=True)
        ]
    )
    cov = _cov(result, linear, groups, kind, total, by_masses, by_own)
    return Estimate(
        value,
        cov,
        names,
        header=(("Standard errors", kind),),
        notes=(worth_note(result),),
        with_intervals=with_intervals,
    )


def _pseudo_inverse(hess: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "k k"]:
    """Of the Hessian in the masses, scaled and cut off as for ∂p/∂θ, by `solve_active`."""
    diagonal = np.diagonal(hess)
    scale = np.where(diagonal > 0, 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1)), 0)
    both = np.outer(scale, scale)
    cutoff = float(np.finfo(hess.dtype).eps) * hess.shape[0]
    return both * np.linalg.pinv(both * hess, rcond=cutoff, hermitian=True)


def _cov(
    result: Fit,
    linear: Any,
    clusters: Any,
    kind: str,
    by_theta: Float[np.ndarray, "q p"],
    by_masses: Float[np.ndarray, "g q k"],
    by_own: Float[np.ndarray, "g q k"],
) -> Float[np.ndarray, "q q"]:
    """Covariance of a function from its derivatives: total in θ, and in the masses at given θ.

    Those in the masses have a mean of zero over the distribution.
    """
    weights, labels = unit_weights(result), np.asarray(linear.labels)
    shares = np.bincount(labels, weights)
    ratios, scores = (np.asarray(x, np.float64) for x in (linear.ratios, linear.scores))
    bread = invert_opg(result, scores) if kind == "opg" else invert_hessian(result)
    if kind in ("hessian", "opg"):
        cov = by_theta @ bread @ by_theta.T
        for rows, own, share in zip(by_masses, by_own, shares, strict=True):
            cov = cov + own @ rows.T / share
        return cov
    influences = scores @ bread @ by_theta.T
    influences = (
        influences + np.einsum("nk,nqk->nq", ratios, by_own[labels]) / (shares[labels][:, None])
    )
    return sandwich(influences, weights, clusters)


def average(
    result: Fit,
    function: Callable[[Any, Any, Any], Float[Array, "..."]],
    *,
    kind: str | None = None,
    clusters: Int[ArrayLike, " n"] | None = None,
) -> Estimate:
    """Average of a function over the estimated distribution and the units of the sample.

    Predictions, counterfactuals, and average marginal effects (take `jax.grad` inside). The latent
    variable of each unit is averaged over the distribution of its group, not given its outcomes.
    The units' data are held fixed: the standard errors are those of the parameters and of the
    distribution. They are by the delta method, see `delta`.

    Parameters
    ----------
    function : Callable
        `function(model, data, supp)` returns an array (n, m, ...) of values of each unit at each
        support point, or (m, ...) where units do not matter; or a dict of arrays (n, m) or (m,),
        such as `supp` itself, whose keys are then the `names`. Where n and m make it ambiguous it
        is taken as the former. Its values may be undefined where there is no mass, but not its
        derivatives in the parameters; units of no weight have the data of one that counts.
    kind, clusters
        See `cov`; by default `"hessian"`, and a table without intervals.

    Returns
    -------
    Estimate
        Value (...), standard errors and covariance.

    Raises
    ------
    TypeError, ValueError
        For an array of another shape, and whatever `delta` refuses.
    RuntimeError
        As `delta`.
    """
    problem = problem_of(result)
    function = checked_function(function, "model", "data", "supp")
    weights = unit_weights(result)
    labels = np.zeros(result.n_obs, int)
    if problem.groups is not None:
        labels = np.asarray(problem.groups.labels(result.n_obs))
    omega = jnp.asarray(weights / total_weight(result), result.probs.dtype)
    num_points = result.probs.shape[0]
    data = problem.data
    if problem.weights is not None:
        data = replace_units(data, omega > 0)

    def where_mass(mass: Array, values: Array) -> Array:
        """The values where they count; elsewhere they may be undefined."""
        has_mass = (mass > 0).reshape(*mass.shape, *[1] * (values.ndim - mass.ndim))
        return jnp.where(has_mass, values.astype(mass.dtype), 0.0)

    def mean(model: Any, probs: Array) -> Any:
        by_group = probs.reshape(num_points, -1)
        values, names = as_named(function(model, data, problem.supp))
        if values.shape[:2] == (result.n_obs, num_points):
            mass, num_axes = omega[:, None] * by_group.T[labels], 2
        elif values.shape[:1] == (num_points,):
            shares = jnp.zeros(by_group.shape[1], omega.dtype).at[labels].add(omega)
            mass, num_axes = product(by_group, shares), 1
        else:
            raise ValueError(
                "`function` must return values of each unit at each support point, shape "
                f"({result.n_obs}, {num_points}, ...), or of each support point, shape "
                f"({num_points}, ...), but it returned shape "
                f"{values.shape[:-1] if names else values.shape}."
            )
        values = where_mass(mass, values)
        means = jnp.tensordot(mass, values, num_axes, precision=lax.Precision.HIGHEST)
        if not names:
            return means
        if means.ndim > 1:
            raise ValueError(
                "`function` must return an array, or a dict of arrays of shape "
                f"({result.n_obs}, {num_points}) or ({num_points},), but those in its dict have "
                f"shape {values.shape[:-1]}."
            )
        return dict(zip(names, means, strict=True))

    return _delta(result, mean, kind, clusters)
