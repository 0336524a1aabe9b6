"""Functions that users hand over, and what these return."""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


def checked_function(function: Any, *arguments: str) -> Callable[..., Any]:
    """The function, errors inside of which say how it was called.

    Parameters
    ----------
    function : Callable
    *arguments : str
        What it is called with, by position.

    Raises
    ------
    TypeError
        If it cannot be called like that.
    """
    listed = ", ".join(arguments)
    if not callable(function):
        raise TypeError(
            f"`function` must be a function, called as `function({listed})`, such as "
            f"`lambda {listed}: ...`, not {function!r}."
        )
    try:
        signature = inspect.signature(function)
    except ValueError:  # some that are compiled have none
        signature = None
    if signature is not None:
        try:
            signature.bind(*arguments)
        except TypeError:
            raise TypeError(
                f"`function` is called as `function({listed})`, but takes `{signature}`."
            ) from None

    @wraps(function, updated=())
    def noted(*values: Any) -> Any:
        try:
            return function(*values)
        except Exception as error:
            error.add_note(f"This was raised by `function`, called as `function({listed})`.")
            raise

    return noted


def as_named(returned: Any) -> tuple[Array, tuple[str, ...]]:
    """An array, or the arrays of a dict side by side on a last axis, and their names.

    Raises
    ------
    TypeError
        For anything else.
    """
    if isinstance(returned, Mapping):
        entries = list(returned.values())
        if entries and all(map(_is_numeric, entries)):
            arrays = jnp.broadcast_arrays(*map(jnp.asarray, entries))
            dtype = jnp.result_type(*arrays)
            return jnp.stack([x.astype(dtype) for x in arrays], -1), tuple(map(str, returned))
    elif _is_numeric(returned):
        return jnp.asarray(returned), ()
    found = type(returned).__name__
    if isinstance(returned, Mapping):
        found = f"a dict of {', '.join(sorted({type(x).__name__ for x in returned.values()}))}"
    raise TypeError(f"`function` must return an array, or a dict of arrays, not {found}.")


def _is_numeric(value: Any) -> bool:
    return isinstance(value, jax.Array | np.ndarray | np.generic | float | int)
