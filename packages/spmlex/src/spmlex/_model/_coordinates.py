"""Coordinates of support points, and supports that are products of grids."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree, Shaped

from ._leaves import leaf_name


def product_grid(
    axes: Mapping[str, ArrayLike | Sequence[float | int]],
) -> dict[str, Float[Array, " m"]]:
    """Support points of several coordinates: all combinations of the values of each.

    Parameters
    ----------
    axes : mapping of names to vectors
        Values of each coordinate.

    Returns
    -------
    dict of str to Float[Array, "m"]
        One entry a point in each vector, m the product of their numbers of values; the last
        coordinate changes fastest.

    Raises
    ------
    TypeError, ValueError
        For what is no mapping of vectors of distinct finite numbers.

    Examples
    --------
    >>> import jax.numpy as jnp, spmlex
    >>> supp = spmlex.product_grid({"level": jnp.arange(2.0), "slope": jnp.arange(3.0)})
    >>> supp["slope"].tolist()
    [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]
    """
    if not isinstance(axes, Mapping):
        raise TypeError(
            "`axes` must be a mapping of names of coordinates to their values, such as "
            f'`{{"level": jnp.linspace(-2, 2, 21)}}`, not {type(axes).__name__}.'
        )
    if not axes:
        raise ValueError("`axes` is empty: give the values of at least one coordinate.")
    vectors = {name: as_axis(axis, f"`axes` of `{name}`") for name, axis in axes.items()}
    combined = np.meshgrid(*vectors.values(), indexing="ij")
    return {name: jnp.asarray(x.ravel()) for name, x in zip(vectors, combined, strict=True)}


def as_axis(axis: Any, what: str) -> Float[np.ndarray, " k"]:
    """The values of one coordinate.

    Raises
    ------
    ValueError
        Unless they are a vector of distinct finite numbers.
    """
    axis = np.asarray(axis, float)
    if axis.ndim != 1 or not axis.size or not np.isfinite(axis).all():
        raise ValueError(
            f"{what} must be a vector of finite numbers, but its shape is {axis.shape}."
        )
    num_values = np.unique(axis).size
    if num_values < axis.size:
        raise ValueError(
            f"{what} must be a vector of distinct numbers, but its {axis.size} entries have "
            f"{num_values} values. Give those of the coordinate alone: the combinations with the "
            "other coordinates are formed from them."
        )
    return axis


def coordinates(supp: PyTree) -> dict[str, Shaped[np.ndarray, " m"]]:
    """Each coordinate of the support points, by its name; `v` for a support that is an array."""
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(eqx.filter(supp, eqx.is_array)):
        name = leaf_name(path) if path else "v"
        values = np.asarray(leaf)
        for index in np.ndindex(values.shape[1:]):
            part = f"[{', '.join(map(str, index))}]" if index else ""
            found[name + part] = values[:, *index]
    return found


def coordinate_of(supp: PyTree, coordinate: str | None) -> tuple[str, Shaped[np.ndarray, " m"]]:
    """Name and numbers of one coordinate; the only one, if none is named.

    Raises
    ------
    ValueError
        If it cannot be told which.
    """
    found = coordinates(supp)
    if coordinate is None and len(found) == 1:
        return next(iter(found.items()))
    if coordinate not in found:
        asked = "none was named" if coordinate is None else f"not {coordinate!r}"
        raise ValueError(
            f"`coordinate` must be one of those of the support points, {', '.join(found)}; {asked}."
        )
    return coordinate, found[coordinate]


def from_coordinates(supp: PyTree, columns: Float[np.ndarray, "k d"], dtype: Any) -> PyTree:
    """Other points of the same structure, their coordinates in the order of `coordinates`.

    Integers become numbers of `dtype`: a grid of integers is one of numbers, unless the model
    counts or looks up by them.
    """
    points, static = eqx.partition(supp, eqx.is_array)
    leaves, treedef = jax.tree.flatten(points)
    new, first = [], 0
    for leaf in leaves:
        size = int(np.prod(leaf.shape[1:]))
        own = columns[:, first : first + size].reshape(-1, *leaf.shape[1:])
        new.append(jnp.asarray(own, leaf.dtype if eqx.is_inexact_array(leaf) else dtype))
        first += size
    return eqx.combine(jax.tree.unflatten(treedef, new), static)
