"""Draws from a fitted model."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PyTree

from .._fields import Fit
from .._model import as_arrays, check_key, leading_length
from ._posterior import pick, posterior, units_of


def sample_latent(
    result: Fit,
    key: Array,
    data: PyTree = None,
    groups: Int[Array | np.ndarray, " n"] | None = None,
    *,
    given_data: bool = False,
) -> PyTree:
    """Draw the latent variable of each unit.

    Parameters
    ----------
    key : PRNG key
        Of JAX.
    data, groups
        Units to draw for, see `posterior`; by default those of the sample.
    given_data : bool
        Whether to draw from each unit's posterior rather than from the distribution of its group.

    Returns
    -------
    PyTree
        As the support, with the n units in place of the m points; given their data, NaN where
        `posterior` is.

    Raises
    ------
    TypeError
        For a `key` that is no key.
    ValueError, RuntimeError
        As `posterior_mode`.
    """
    check_key(key)
    units, own = units_of(result, data, groups)
    probs = posterior(result, data, groups) if given_data else own
    num_units = leading_length(units, "data")
    points = jax.random.categorical(key, jnp.log(probs), axis=1, shape=(num_units,))
    return pick(result.supp, points, jnp.broadcast_to(jnp.isnan(probs[:, 0]), points.shape))


def simulate(
    result: Fit,
    key: Array,
    data: PyTree = None,
    groups: Int[Array | np.ndarray, " n"] | None = None,
) -> Any:
    """Draw new outcomes from the fitted model.

    A model says what the density of outcomes is, not how to draw them: it has to have a method
    `sample(key, data, latent)`, which returns outcomes for each unit given its latent variable (a
    PyTree as the support, with units on the leading axis), in the form that you need: best as new
    `data`, to `fit` again.

    Parameters
    ----------
    key : PRNG key
        Of JAX.
    data, groups
        Units to draw for, see `posterior`; by default those of the sample. Of their outcomes the
        model's method decides what to do.

    Returns
    -------
    PyTree
        What `model.sample` returns.

    Raises
    ------
    TypeError
        If the model has no method `sample`, and for a `key` that is no key.
    ValueError, RuntimeError
        As `posterior`.
    """
    sample = getattr(result.model, "sample", None)
    if not callable(sample):
        raise TypeError(
            f"`{type(result.model).__name__}` has no method `sample(key, data, latent)`, which "
            "draws outcomes given the latent variable. Add one to the model's class, or draw "
            "latent variables alone by `sample_latent`."
        )
    check_key(key)
    of_latent, of_outcomes = jax.random.split(key)
    latent = sample_latent(result, of_latent, data, groups)
    units = units_of(result, data, groups)[0]
    return sample(of_outcomes, as_arrays(units), latent)
