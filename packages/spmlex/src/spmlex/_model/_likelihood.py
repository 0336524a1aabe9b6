"""The call of `lclk`, and a look at what it returns."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ._arrays import leading_length


def check_model(model: Any) -> Callable:
    """The `lclk` method of a model.

    Raises
    ------
    TypeError
        If there is none.
    """
    lclk = getattr(model, "lclk", None)
    if not callable(lclk):
        raise TypeError(
            f"`model` must have a method `lclk(data, supp)`, but {type(model).__name__} has none."
        )
    return lclk


def log_lik_of(model: Any, data: PyTree, supp: PyTree) -> Float[Array, "n m"]:
    """Evaluate `model.lclk(data, supp)` and check what it returned.

    Raises
    ------
    TypeError
        If the model has no `lclk` method.
    ValueError
        If the result is not a real (n, m) array.
    """
    lclk = check_model(model)
    n, m = leading_length(data, "data"), leading_length(supp, "supp")
    log_lik = lclk(data, supp)
    shape = getattr(log_lik, "shape", None)
    if shape != (n, m):
        raise ValueError(
            "`lclk` of the model must return the log-likelihood of each unit at each support "
            f"point, shape ({n}, {m}), but it returned "
            f"{'shape ' + str(shape) if shape is not None else type(log_lik).__name__}."
        )
    log_lik = jnp.asarray(log_lik)
    if not jnp.issubdtype(log_lik.dtype, jnp.floating):
        raise ValueError(
            f"`lclk` of the model must return floating-point numbers, not {log_lik.dtype}."
        )
    return log_lik
