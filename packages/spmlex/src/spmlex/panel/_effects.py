"""Averages over the rows of a sample, and by how much variables change them."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from .._use import Estimate, delta
from ._averages import RowMeans, effects_of, predictions_of, weights_of_rows
from ._fields import PanelFit
from ._model import PanelModel


def average_effects(
    result: PanelFit,
    *names: str,
    kind: str | None = None,
    clusters: Int[ArrayLike, " n"] | None = None,
) -> Estimate:
    """By how much variables change the expected outcome, averaged over rows and distribution.

    Of a number it is the derivative of the expected outcome; of a dummy (zeros and ones, or a
    boolean) the difference that one makes beside zero; of categories that of each beside the first.
    Terms in which the variable stands, such as interactions, powers and lags, change with it; means
    within units stay. Averages are over the rows of the sample, with the weights of their units,
    and over the distribution of the latent variable, with groups that of the unit's group.

    Parameters
    ----------
    *names : str
        Variables of the frame, or columns of the formula such as `lag(union)`; by default all
        variables right of the tilde.
    kind, clusters
        See `cov`; by default `"hessian"`, and a table without intervals.

    Returns
    -------
    Estimate
        An entry for each, with standard errors by the delta method: `print` it. Of categories and
        alternatives the effects are on the probability of each. A variable that differs between
        the alternatives of an occasion changes for one of them at a time, and the effect is that on
        its own probability.

    Raises
    ------
    TypeError, ValueError
        For names that are neither, for the column of one category among several, and as `delta`.
    RuntimeError
        As `delta`.
    """
    return _averaged(result, effects_of(result.panel, names), kind, clusters)


def average_prediction(
    result: PanelFit,
    *,
    kind: str | None = None,
    clusters: Int[ArrayLike, " n"] | None = None,
    **values: Any,
) -> Estimate:
    """Expected outcome, averaged over rows and distribution, were variables set to values.

    Parameters
    ----------
    kind, clusters
        See `cov`; by default `"hessian"`, and a table without intervals.
    **values
        Of variables of the frame, for all rows: `average_prediction(union=1)`. Without any the
        variables are what they are.

    Returns
    -------
    Estimate
        Of categories and alternatives, the probability of each.

    Raises
    ------
    ValueError
        For names that are no variables right of the tilde, and as `delta`.
    RuntimeError
        As `delta`.
    """
    return _averaged(result, predictions_of(result.panel, values), kind, clusters)


def _averaged(result: PanelFit, means: RowMeans, kind: str | None, clusters: Any) -> Estimate:
    """Averages over the estimated distribution, at its active points."""
    panel = result.panel
    active = np.flatnonzero(np.asarray(result.probs).reshape(result.probs.shape[0], -1).max(axis=1))
    supp = jax.tree.map(lambda x: x[active], result.supp)
    omega = jnp.asarray(weights_of_rows(panel))
    labels = np.zeros(result.n_obs, int) if panel.groups is None else panel.groups

    def mean(model: PanelModel, probs: Array) -> Float[Array, " q"]:
        masses = probs.reshape(probs.shape[0], -1)[active]
        joint = omega[:, None] * masses.T[labels]
        return jnp.tensordot(joint, means.values(model, supp), 2, precision=lax.Precision.HIGHEST)

    found = delta(result, mean, kind=kind, clusters=clusters)
    return dataclasses.replace(
        found,
        names=means.names,
        title=means.title,
        header=means.header + found.header,
        notes=means.notes + found.notes,
    )
