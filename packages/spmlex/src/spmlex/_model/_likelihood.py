"""The call of `lclk`, and a look at what it returns."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ._arrays import leading_length
from ._leaves import leaf_name

# Arrays whose shapes an error shows.
_MOST_SHOWN = 12


def check_model(model: Any) -> Callable:
    """The `lclk` method of a model.

    Raises
    ------
    TypeError
        If there is none.
    """
    if isinstance(model, type):
        raise TypeError(
            f"`model` is the class {model.__name__}. Give an instance: its arrays are where the "
            "search starts."
        )
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
    try:
        log_lik = lclk(data, supp)
    except Exception as error:
        error.add_note(
            f"This was raised by `lclk(data, supp)`, with `data` {_shapes(data)} and `supp` "
            f"{_shapes(supp)}."
        )
        raise
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


def _shapes(tree: PyTree) -> str:
    """Arrays by their names, with their shapes."""
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(tree, eqx.is_array))
    if len(leaves) == 1 and not leaves[0][0]:
        return f"of shape {leaves[0][1].shape}"
    named = [f"{leaf_name(path)} {leaf.shape}" for path, leaf in leaves[:_MOST_SHOWN]]
    return f"of {', '.join(named)}{', …' if len(leaves) > _MOST_SHOWN else ''}"
