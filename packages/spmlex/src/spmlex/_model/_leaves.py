"""Leaves of a model: which are estimated, and what they are called."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree


def split_model(model: Any, free: PyTree[bool] | None) -> tuple[PyTree, PyTree]:
    """The free floating-point arrays of a model, and all the rest.

    Raises
    ------
    ValueError
        If there is nothing to estimate, `free` does not fit the model, or what is to be estimated
        is empty or complex.
    """
    params, rest = eqx.partition(model, eqx.is_inexact_array)
    if free is not None:
        _check_free(model, free)
        params, held = eqx.partition(params, free)
        rest = eqx.combine(held, rest)
    if not jax.tree.leaves(params):
        if free is not None:
            raise ValueError("There is nothing to estimate: `free` holds every leaf of `model`.")
        leaves = jax.tree_util.tree_leaves_with_path(model)
        found = [f"`{leaf_name(path)}` is {describe_leaf(leaf)}" for path, leaf in leaves]
        raise ValueError(
            "There is nothing to estimate: `model` has no leaf that is a floating-point array. "
            + ("; ".join(found) + ". Write `jnp.asarray(0.0)`." if found else "It has no leaf.")
        )
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if leaf.size == 0 or jnp.issubdtype(leaf.dtype, jnp.complexfloating):
            raise ValueError(
                f"`{leaf_name(path)}` cannot be estimated: it is "
                + ("empty." if leaf.size == 0 else "complex. Estimate two real arrays instead.")
            )
    return params, rest


def leaf_name(path: Any) -> str:
    """Name of a leaf of a model, from its path: attributes and words after a dot, [k] else.

    No two leaves of a model have the same name.
    """
    name = ""
    for key in path:
        word = getattr(key, "name", getattr(key, "key", None))
        is_word = isinstance(word, str) and not set(word) & set(".[]")
        name += f".{word}" if is_word else jax.tree_util.keystr((key,))
    return name.lstrip(".") or "model"


def describe_leaf(leaf: Any) -> str:
    dtype = getattr(leaf, "dtype", None)
    return f"a {type(leaf).__name__}" if dtype is None else f"an array of {dtype}"


def _check_free(model: Any, free: PyTree[bool]) -> None:
    """Refuse a `free` that is no prefix of the model, or frees what cannot vary."""
    pairs = []
    try:
        jax.tree_util.tree_map_with_path(lambda *pair: pairs.append(pair), free, model)
    except ValueError as error:
        raise ValueError(
            "`free` must have the structure of `model`: the same class, or the same dict, with "
            "True or False in place of arrays or of whole parts. For one part to be estimated: "
            "`eqx.tree_at(lambda m: m.part, jax.tree.map(lambda _: False, model), True)`. What "
            f"differs, in the words of JAX: {error}"
        ) from None
    for path, wanted, part in pairs:
        name, leaves = leaf_name(path), jax.tree.leaves(part)
        if not isinstance(wanted, bool):
            raise TypeError(
                f"`free` must hold True or False for each leaf of `model`, but at `{name}` it "
                f"holds {describe_leaf(wanted)}. A leaf is estimated or held as a whole: split an "
                "array of which only some entries are to be estimated."
            )
        if wanted and leaves and not any(map(eqx.is_inexact_array, leaves)):
            raise ValueError(
                f"`free` asks to estimate `{name}`, which is {describe_leaf(leaves[0])}. Only "
                "floating-point arrays can be estimated: write `jnp.asarray(0.0)`."
            )
