"""Checks of what can be checked before any number is looked at: ranks, lengths and dtypes."""

from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_DTYPES = (np.dtype(np.float64), np.dtype(np.float32))
# What single precision loses of a proportion.
LOST = float(np.finfo(np.float32).eps)
# How far a sum of proportions may be from one: that of a solution in single precision may be.
SUM_TOL = LOST**0.5


def _as_float_array(value: Any, name: str) -> Array:
    """Array of a floating dtype of at least 32 bits; integers and half precision are promoted."""
    if _is_on_device(value) and value.dtype in _DTYPES:
        return value  # the look at it would take as long as a step on a small problem
    try:
        array = put(value) if isinstance(value, np.ndarray) else jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` cannot be made into a JAX array: {error}") from error
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(f"`{name}` must be real, but its dtype is {array.dtype}.")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return array.astype(jnp.result_type(float))
    return array.astype(jnp.float32) if jnp.finfo(array.dtype).bits < 32 else array


def put(values: np.ndarray) -> Array:
    """An array on the device, and no tracer. `jnp.asarray` compiles a program for every shape."""
    with jax.ensure_compile_time_eval():
        return jax.device_put(values)


def _is_on_device(value: Any) -> bool:
    """Whether there is nothing to convert: JAX calls some numbers of NumPy arrays of its own."""
    return isinstance(value, Array) and is_concrete(value) and hasattr(value, "devices")


def as_problem_arrays(
    log_lik: Any, weights: Any = None, probs: Any = None, *, probs_name: str = "probs"
) -> tuple[Float[Array, "n m"], Any, Any]:
    """`log_lik`, a vector over components and the weights, as arrays of one floating dtype.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If `log_lik` is not a matrix with units and components, or a vector has the wrong length.
    """
    log_lik = _as_float_array(log_lik, "log_lik")
    if log_lik.ndim != 2:
        raise ValueError(
            f"`log_lik` must be a matrix, units by components, but its shape is {log_lik.shape}."
        )
    n, m = log_lik.shape
    if n == 0 or m == 0:
        raise ValueError(f"`log_lik` is empty: its shape is {log_lik.shape}.")
    swapped = "Is `log_lik` transposed? Its rows are the units and its columns the components."
    return (
        log_lik,
        as_vector(
            probs, probs_name, m, "component", log_lik.dtype,
            {n: f"One for each unit are `weights`. {swapped}"},
        ),
        as_vector(
            weights, "weights", n, "unit", log_lik.dtype,
            {m: f"One for each component is `{probs_name}`. {swapped}"},
        ),
    )  # fmt: skip


def as_vector(
    value: Any, name: str, length: int, what: str, dtype: Any, meant: dict[int, str]
) -> Array | None:
    """A vector of a given length; `meant` says what one of another length may be."""
    if value is None:
        return None
    vector = _as_float_array(value, name)
    if vector.shape != (length,):
        hint = meant.get(vector.size, "") if vector.ndim == 1 else ""
        raise ValueError(
            f"`{name}` must have one entry for each {what} of `log_lik`, shape ({length},), but "
            f"its shape is {vector.shape}. {hint}".rstrip()
        )
    return vector.astype(dtype)


def is_concrete(*arrays: Any) -> bool:
    """Whether the numbers are known now, rather than being traced."""
    return not any(isinstance(array, jax.core.Tracer) for array in arrays)


def can_be_read(array: Array) -> bool:
    """Whether the numbers are known now, and to this process."""
    return is_concrete(array) and array.is_fully_addressable
