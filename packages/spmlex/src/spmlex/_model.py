"""Models, data and support: their arrays, their lengths, and the call of `lclk`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from ._function_model import FunctionModel

if TYPE_CHECKING:
    from ._result import FitResult


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
            f"{one} and `{where_other}` has {other}."
        )
    length = next(iter(lengths))
    if length == 0:
        raise ValueError(f"`{name}` is empty: the leading axis of its arrays has length zero.")
    return length


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
        found = [f"`{leaf_name(path)}` is {_describe(leaf)}" for path, leaf in leaves]
        raise ValueError(
            "There is nothing to estimate: `model` has no leaf that is a floating-point array. "
            + ("; ".join(found) + ". Write `jnp.asarray(...)`." if found else "It has no leaf.")
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


def constant_notes(result: "FitResult") -> list[str]:
    """What was held because of its type, where a user may have meant to estimate it."""
    model, held = result.problem.held, []
    model = model.params if isinstance(model, FunctionModel) else model
    for path, leaf in jax.tree_util.tree_leaves_with_path(model):
        is_number = isinstance(leaf, int | float) and not isinstance(leaf, bool)
        is_count = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.integer)
        if is_number or is_count:
            held.append(f"`{leaf_name(path)}`, which is {_describe(leaf)}")
    if not held:
        return []
    return [
        f"Not estimated: {', '.join(held)}. Floating-point arrays alone are: `jnp.asarray(1.0)`."
    ]


def _describe(leaf: Any) -> str:
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
                f"holds {_describe(wanted)}. A leaf is estimated or held as a whole: split an "
                "array of which only some entries are to be estimated."
            )
        if wanted and leaves and not any(map(eqx.is_inexact_array, leaves)):
            raise ValueError(
                f"`free` asks to estimate `{name}`, which is {_describe(leaves[0])}. Only "
                "floating-point arrays can be estimated: write `jnp.asarray(...)`."
            )
