"""The latent variable of each unit, given its data."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PyTree, Shaped

from .._fields import Fit, check_success, problem_of, unit_weights
from .._model import as_arrays, coordinate_of, leading_length, log_lik_of


def posterior(
    result: Fit, data: PyTree = None, groups: Int[ArrayLike, " n"] | None = None
) -> Float[Array, "n m"]:
    """Posterior probabilities of the support points: πᵢⱼ = pⱼ exp ℓᵢⱼ / Σₖ pₖ exp ℓᵢₖ.

    Parameters
    ----------
    data : PyTree, optional
        Units to do this for, as `fit` takes them; by default those of the sample.
    groups : Int[ArrayLike, "n"], optional
        With `data`, for a fit with groups: the group of each unit, from 0 to G-1.

    Returns
    -------
    Float[Array, "n m"]
        Each row sums to one. Units of the sample whose data are unusable, and whose weight is
        zero, have rows of NaN.

    Raises
    ------
    ValueError
        For groups that are missing, superfluous or not those of the fit, and for a unit that has no
        likelihood at any point with mass; data of the wrong form fail in the model.
    RuntimeError
        If the fit did not end at a stationary point, or its data are wanted and it has none.
    """
    units, own = units_of(result, data, groups)
    probs, valid = _posterior(result.model, units, result.supp, own)
    faulty = ~np.asarray(valid)
    if data is None:
        faulty &= unit_weights(result) > 0
    if faulty.any():
        unit = int(np.argmax(faulty))
        raise ValueError(
            f"Unit {unit} (counting from zero) has no valid likelihood under the estimated "
            "distribution: its log-likelihoods are NaN, +inf, or -inf at every point with mass."
        )
    return probs


def posterior_mean(
    result: Fit, data: PyTree = None, groups: Int[ArrayLike, " n"] | None = None
) -> PyTree:
    """Posterior mean of the latent variable.

    Parameters
    ----------
    data, groups
        See `posterior`, also for what is raised.

    Returns
    -------
    PyTree
        As the support, with the n units in place of the m points.
    """
    probs = posterior(result, data, groups)
    return jax.tree.map(
        lambda x: (
            jnp.tensordot(probs, x.astype(probs.dtype), 1, precision=lax.Precision.HIGHEST)
            if eqx.is_array(x)
            else x
        ),
        result.supp,
    )


def posterior_mode(
    result: Fit, data: PyTree = None, groups: Int[ArrayLike, " n"] | None = None
) -> PyTree:
    """The support point of the highest posterior probability, the first of several.

    Parameters
    ----------
    data, groups
        See `posterior`, also for what is raised.

    Returns
    -------
    PyTree
        As the support, with the n units in place of the m points; NaN where `posterior` is.

    Raises
    ------
    ValueError
        Where that would be NaN and the support does not hold floating-point numbers.
    """
    probs = posterior(result, data, groups)
    return pick(result.supp, jnp.argmax(probs, axis=1), jnp.isnan(probs[:, 0]))


def pick(supp: PyTree, points: Int[Array, " n"], unknown: Bool[Array, " n"]) -> PyTree:
    """One support point for each unit, NaN for those of which nothing is known.

    Raises
    ------
    ValueError
        Where that would be NaN and the support does not hold floating-point numbers.
    """

    def of(x: Any) -> Any:
        if not eqx.is_array(x):
            return x
        if eqx.is_inexact_array(x):
            return jnp.where(unknown.reshape(-1, *[1] * (x.ndim - 1)), jnp.nan, x[points])
        if unknown.any():
            raise ValueError(
                f"Unit {int(jnp.argmax(unknown))} has data that cannot be used, and a support of "
                f"{x.dtype} has no NaN for it. Leave such units out of `data`."
            )
        return x[points]

    return jax.tree.map(of, supp)


def posterior_quantile(
    result: Fit,
    level: float,
    data: PyTree = None,
    groups: Int[ArrayLike, " n"] | None = None,
    *,
    coordinate: str | None = None,
) -> Float[Array, " n"]:
    """Posterior quantile of the latent variable of each unit.

    Parameters
    ----------
    level : float
        Probability, strictly between 0 and 1.
    data, groups
        See `posterior`.
    coordinate : str, optional
        Which coordinate of the latent variable, where it has several. An error lists the names.

    Returns
    -------
    Float[Array, "n"]
        The smallest value at or below which there is at least this probability; NaN where
        `posterior` is.

    Raises
    ------
    ValueError
        For a level that is no probability, and if there is no such coordinate, or several and none
        is named.
    """
    _check_level(level)
    _, values = coordinate_of(result.supp, coordinate)
    probs = posterior(result, data, groups)
    return jnp.where(jnp.isnan(probs[:, 0]), jnp.nan, _quantiles(probs, values, level))


def quantile(result: Fit, level: float, *, coordinate: str | None = None) -> Float[Array, "*g"]:
    """Quantile of the estimated distribution of the latent variable.

    Parameters
    ----------
    level : float
        Probability, strictly between 0 and 1.
    coordinate : str, optional
        See `posterior_quantile`, also for what is raised.

    Returns
    -------
    Float[Array, ""], or Float[Array, "g"] with groups
        The smallest value at or below which there is at least this probability: a point of the
        grid. Not a smooth function of the estimates, it has no standard error by the delta method.

    Raises
    ------
    RuntimeError
        If the fit did not end at a stationary point.
    """
    check_success(result)
    _check_level(level)
    _, values = coordinate_of(result.supp, coordinate)
    found = _quantiles(result.probs.reshape(values.size, -1).T, values, level)
    return found.reshape(result.probs.shape[1:])


def _check_level(level: float) -> None:
    """Raise a ValueError for a level that is no probability strictly between 0 and 1."""
    if np.ndim(level) != 0 or not 0 < level < 1:
        raise ValueError(
            f"`level` must be one number between 0 and 1, such as 0.5, but it is {level!r}."
        )


def _quantiles(
    probs: Float[Array, "k m"], values: Shaped[np.ndarray, " m"], level: float
) -> Float[Array, " k"]:
    order = np.argsort(values, kind="stable")
    below = jnp.cumsum(probs[:, order], axis=1)
    # A sum of masses that should reach the level is off by rounding.
    slack = 8 * float(jnp.finfo(below.dtype).eps)
    reached = (below >= level - slack) & (below > 0)
    return jnp.asarray(values[order], probs.dtype)[jnp.argmax(reached, axis=1)]


def units_of(result: Fit, data: PyTree, groups: Any) -> tuple[PyTree, Float[Array, "u m"]]:
    """Data of units, and the masses that hold for each, or one row for all."""
    check_success(result)
    if data is None:
        problem = problem_of(result)
        if groups is not None:
            raise ValueError("`groups` are for new `data`; those of the sample are known.")
        if problem.groups is None:
            return problem.data, result.probs[None]
        return problem.data, result.probs.T[problem.groups.labels(result.n_obs)]
    data = as_arrays(data)
    if (groups is None) != (result.probs.ndim == 1):
        raise ValueError(
            "`groups` are needed: this fit has a distribution for each group."
            if groups is None
            else "`groups` are of no use: this fit has one distribution."
        )
    if groups is None:
        return data, result.probs[None]
    num_units, num_groups = leading_length(data, "data"), result.probs.shape[1]
    labels = np.asarray(groups)
    if labels.shape != (num_units,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"`groups` must be {num_units} integers, one for each unit of `data`.")
    if labels.min() < 0 or labels.max() >= num_groups:
        raise ValueError(f"`groups` must be from 0 to {num_groups - 1}, as those of the fit.")
    return data, result.probs.T[labels]


@eqx.filter_jit
def _posterior(
    model: Any, data: PyTree, supp: PyTree, own: Float[Array, "u m"]
) -> tuple[Float[Array, "n m"], Array]:
    log_lik = log_lik_of(model, data, supp)
    has_mass = jnp.broadcast_to(own > 0, log_lik.shape)
    inside = jnp.where(has_mass, log_lik, -jnp.inf)
    # Comparisons see NaN, where XLA's maximum on CPU loses it.
    valid = jnp.all(inside < jnp.inf, axis=1) & jnp.any(inside > -jnp.inf, axis=1)
    shift = jnp.where(valid, jnp.max(inside, axis=1), 0.0)
    joint = own * jnp.exp(inside - shift[:, None])
    probs = joint / jnp.sum(joint, axis=1, keepdims=True)
    return jnp.where(valid[:, None], probs, jnp.nan), valid
