"""Arrays among the arguments: conversion, lengths, choice of units and points."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PyTree

_COMBINE = (
    " Each point has an entry in each of them. If they are the values of each coordinate, "
    "`product_grid(supp)` has all combinations."
)


def as_arrays(tree: PyTree, name: str = "") -> PyTree:
    """Turn NumPy arrays, and columns of data frames, into JAX arrays; leave everything else.

    Raises
    ------
    TypeError
        For text and other objects, with the name of the column.
    """

    def convert(path: Any, x: Any) -> Any:
        is_column = hasattr(x, "__array__") and getattr(x, "ndim", None) == 1
        if not isinstance(x, np.ndarray) and (not is_column or isinstance(x, jax.Array)):
            return x
        column = np.asarray(x)
        if column.dtype.kind not in "biufc":
            raise TypeError(
                f"`{name}{jax.tree_util.keystr(path)}` holds {_contents(column)} and not numbers. "
                "Leave it out, or number its values: `np.unique(values, return_inverse=True)[1]`."
            )
        return jnp.asarray(column)

    return jax.tree_util.tree_map_with_path(convert, tree)


def _contents(column: np.ndarray) -> str:
    example = next((x for x in column.ravel() if isinstance(x, str)), None)
    if example is not None:
        return f"text, such as {str(example)!r},"
    return {"M": "dates", "m": "durations"}.get(column.dtype.kind, "objects")


def as_inputs(model: Any, data: PyTree, supp: PyTree) -> tuple[Any, PyTree, PyTree]:
    """The arguments of `profile_ll` and `fit`, as `as_arrays` makes them.

    Raises
    ------
    TypeError
        For data frames, and for text.
    """
    _refuse_frames(data, "data")
    _refuse_frames(supp, "supp")
    return as_arrays(model, "model"), as_arrays(data, "data"), as_arrays(supp, "supp")


def _refuse_frames(tree: PyTree, name: str) -> None:
    """Say what to do with a data frame.

    Raises
    ------
    TypeError
        If there is one.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not hasattr(leaf, "columns") or getattr(leaf, "ndim", 2) != 2:
            continue
        columns = list(map(str, leaf.columns))
        shown = ", ".join(map(repr, columns[:3])) + (", …" if len(columns) > 3 else "")
        raise TypeError(
            f"`{name}{jax.tree_util.keystr(path)}` is a data frame ({len(leaf)} rows; columns "
            f"{shown}). `{name}` are arrays with one row a unit. If the frame has one row a unit, "
            'take the columns that the model reads: `{"y": frame["y"].to_numpy(), …}`. If it has '
            "several, such as one a year, each unit's outcomes go into one row of a matrix, "
            '`frame.pivot(index="unit", columns="year", values="y").to_numpy()`, and each '
            "regressor likewise: rows left apart would be taken for units of their own."
        )


def leading_length(tree: PyTree, name: str) -> int:
    """Common length of the leading axes of all array leaves.

    Raises
    ------
    ValueError
        If there is no array, an array without axes, or two lengths.
    """
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(tree, eqx.is_array))
    if not leaves:
        raise ValueError(
            f"`{name}` holds no array. Numbers and lists of numbers are not arrays: write "
            "`jnp.asarray(...)`."
        )
    lengths: dict[int, str] = {}
    for path, leaf in leaves:
        where = f"{name}{jax.tree_util.keystr(path)}"
        if leaf.ndim == 0:
            raise ValueError(f"`{where}` must have a leading axis, but it is a scalar.")
        lengths.setdefault(leaf.shape[0], where)
    if len(lengths) > 1:
        (one, where_one), (other, where_other), *_ = lengths.items()
        raise ValueError(
            f"The arrays of `{name}` differ in the length of their leading axis: `{where_one}` has "
            f"{one} and `{where_other}` has {other}." + (_COMBINE if name == "supp" else "")
        )
    length = next(iter(lengths))
    if length == 0:
        raise ValueError(f"`{name}` is empty: the leading axis of its arrays has length zero.")
    return length


def take(tree: PyTree, members: Int[Array, " k"] | slice) -> PyTree:
    """Support points, or units, of given numbers."""
    return jax.tree.map(lambda x: x[members] if eqx.is_array(x) else x, tree)


def replace_units(data: PyTree, usable: Bool[Array, " n"]) -> PyTree:
    """Data in which the units that are not usable hold those of the first one that is."""
    first = jnp.argmax(usable)

    def replace(x: Any) -> Any:
        if not eqx.is_array(x):
            return x
        return jnp.where(usable.reshape(-1, *[1] * (x.ndim - 1)), x, x[first][None])

    return jax.tree.map(replace, data)


def check_key(key: Any) -> None:
    """Raise a TypeError for a key that is none."""
    if not eqx.is_array(key):
        raise TypeError(f"`key` must be a key such as `jax.random.key(0)`, but it is {key!r}.")
