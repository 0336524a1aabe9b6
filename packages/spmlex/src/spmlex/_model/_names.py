"""Names of the estimated scalars."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from ._function_model import FunctionModel
from ._leaves import leaf_name


def param_names(params: PyTree, model: Any) -> tuple[str, ...]:
    """Name of each estimated scalar: what the model's `coef_names` say, or else its path.

    The path is that in the model, with the index in its array.

    Parameters
    ----------
    params : PyTree
        The part of the model that is estimated.
    model : PyTree
        The model, with or without its numbers.

    Raises
    ------
    TypeError, ValueError
        For `coef_names` that do not fit the model, or give two scalars one name.
    """
    given = _given(model)
    names: list[str] = []
    for name, leaf in _leaves(params):
        names += given.get(name) or _of_path(name, leaf.shape)
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ValueError(
            f"`coef_names` of the model name {names.count(twice[0])} estimated numbers "
            f"{twice[0]!r}. Give each a name of its own."
        )
    return tuple(names)


def _leaves(tree: PyTree) -> list[tuple[str, Any]]:
    """Floating-point arrays by name; those of a function model without its own name."""
    is_function = isinstance(tree, FunctionModel)
    leaves = jax.tree_util.tree_leaves_with_path(tree.params if is_function else tree)
    return [
        (leaf_name(path) if path or not is_function else "params", leaf)
        for path, leaf in leaves
        if eqx.is_inexact_array_like(leaf)
    ]


def _of_path(name: str, shape: tuple[int, ...]) -> list[str]:
    if not shape:
        return [name]
    return [f"{name}[{', '.join(map(str, index))}]" for index in np.ndindex(shape)]


def _given(model: Any) -> dict[str, list[str]]:
    """The names that a model has for the entries of its arrays, by the array's name."""
    found = getattr(model, "coef_names", None)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise TypeError(
            "`coef_names` of the model must be a mapping of names of arrays to names of their "
            f'entries, such as {{"beta": ["educ", "union"]}}, not {found!r}.'
        )
    sizes = {name: np.size(leaf) for name, leaf in _leaves(model)}
    names = {}
    for array, entries in found.items():
        if array not in sizes:
            raise ValueError(
                f"`coef_names` of the model name the entries of {array!r}, which is no "
                f"floating-point array of it. It has {', '.join(map(repr, sizes))}."
            )
        flat = np.ravel(np.asarray(entries, object)).tolist()
        if not all(isinstance(entry, str) for entry in flat):
            raise TypeError(f"`coef_names` of the model must be text, but hold {flat!r}.")
        if len(flat) != sizes[array]:
            raise ValueError(
                f"`coef_names` of the model have {len(flat)} names for the {sizes[array]} entries "
                f"of {array!r}: {', '.join(map(repr, flat[:5]))}{', …' if len(flat) > 5 else ''}."
            )
        names[array] = flat
    return names
