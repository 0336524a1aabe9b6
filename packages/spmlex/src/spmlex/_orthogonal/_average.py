"""Functions of the estimates, and averages over the distribution."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from .._model import as_named, checked_function
from .._use import Estimate
from ._covariance import cov
from ._fields import Estimated, check_root, clusters_of, kind_of, moments_at
from ._functionals import Functional, functional
from ._moments import Moments
from ._sample import Sample

_BOUNDED = (
    "The bias is at most its bound, whatever the distribution on the grid: it is what the outcomes "
    "leave open. The intervals allow for it."
)


def delta(
    result: Estimated,
    function: Callable[[Any], ArrayLike],
    *,
    clusters: Int[ArrayLike, " n"] | None = None,
) -> Estimate:
    """Standard errors of a smooth function of the model by the delta method.

    Parameters
    ----------
    function : Callable
        `function(model)` returns an array, or a dict of numbers, whose keys are then their `names`;
        differentiable by JAX.
    clusters
        See `cov`, also for what is raised.

    Raises
    ------
    TypeError
        For a function of other arguments, such as that of a fit's `delta`, and if it returns
        something else.
    """
    covariance = cov(result, clusters)
    function = checked_function(function, "model")
    flat, unravel = ravel_pytree(result.params)
    names: tuple[str, ...] = ()

    def of(flat: Array) -> Array:
        nonlocal names
        array, names = as_named(function(eqx.combine(unravel(flat), result.sample.held)))
        return array

    value = np.asarray(of(flat), np.float64)
    slope = np.asarray(jax.jacrev(of)(flat), np.float64).reshape(value.size, -1)
    if not (np.isfinite(value).all() and np.isfinite(slope).all()):
        raise ValueError("`function`, or its derivative, is not finite at the estimates.")
    if names and value.ndim > 1:
        raise TypeError("`function` must return an array, or a dict of numbers, not of arrays.")
    kind = kind_of(clusters_of(result, clusters))
    return Estimate(value, slope @ covariance @ slope.T, names, header=(("Standard errors", kind),))


def average(
    result: Estimated,
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
        each support point, or (m, ...) where units do not matter; or a dict of arrays (n, m) or
        (m,), such as `supp` itself, whose keys are then the `names`.
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
    check_root(result)
    function = checked_function(function, "model", "data", "supp")
    shape: list[tuple[int, ...]] = []
    names: tuple[str, ...] = ()

    def values(flat: np.ndarray) -> np.ndarray:
        model = eqx.combine(result.sample.unravel(result.params, flat), result.sample.held)
        nonlocal names
        array, names = as_named(function(model, result.sample.data, result.supp))
        found = np.asarray(array, np.float64)
        by_group, rest = _by_group(found, result.sample, result.working.shape[0])
        shape[:] = [rest]
        return by_group

    def evaluate(flat: np.ndarray) -> tuple[Moments, np.ndarray]:
        sample = result.sample
        terms = sample.terms(sample.unravel(result.params, flat), sample.data, result.working)
        return moments_at(result, flat), np.asarray(terms.ratios, np.float64)

    found = functional(
        values,
        evaluate,
        result.estimates.astype(np.float64),
        result.working,
        np.asarray(result.sample.labels),
        result.sample.weights,
        result.slope,
        clusters_of(result, clusters),
    )
    if names and len(shape[0]) > 1:
        raise TypeError(
            "`function` must return an array, or a dict of arrays with an entry for each support "
            "point, or each unit and support point."
        )
    value, std_errors, bias_bound = (x.reshape(shape[0]) for x in found)
    header = (("Standard errors", kind_of(clusters_of(result, clusters))),)
    return Functional(value, std_errors, bias_bound, names=names, header=header, notes=(_BOUNDED,))


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
