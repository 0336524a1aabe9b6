"""A fit written to a file."""

import dataclasses
import json
import os
from typing import Any

import equinox as eqx
import jax
import numpy as np

from .._fields import Fit
from .._model import leaf_name
from .._search import RESULTS

# To be raised when old code cannot read a new file, or the other way round.
FORMAT = 2

ENDS = (
    "successful",
    "fit_max_steps_reached",
    "gradient_not_small",
    "not_finite_at_start",
    "inner_problem_failed",
    "minimiser_failed",
    "no_root",
    "no_information",
)
_NUMBERS = ("loglik", "grad_norm", "gap")


def save(result: Fit, path: str | os.PathLike[str]) -> None:
    """Write a fit to a file that `load` reads in another process.

    The file is an archive of NumPy arrays (`.npz`) with a header in JSON, and holds no code: not
    the model's class, but its name and those of its leaves, with their shapes. It holds the weights
    and the groups, and not the data.

    Parameters
    ----------
    path : str or path
        Written over if it exists; by convention it ends in `.npz`.

    Raises
    ------
    TypeError
        If the support is something other than dicts, lists and tuples of arrays and numbers.
    """
    problem = result.problem
    groups = None if problem.groups is None else problem.groups.labels(result.n_obs)
    columns = {f"history/{name}": column for name, column in result.history.items()}
    arrays = columns | {"probs": result.probs, "weights": problem.weights, "groups": groups}
    write(path, result, {name: getattr(result, name) for name in _NUMBERS}, arrays)


def write(
    path: str | os.PathLike[str], result: Any, header: dict[str, Any], arrays: dict[str, Any]
) -> None:
    """Write what every result has, and what this one has besides.

    Parameters
    ----------
    path : str or path
    result
        With `model`, `params`, `supp`, `n_obs`, `result` and `stats`.
    header : dict
        Numbers and names.
    arrays : dict
        None is left out.
    """
    kept = {name: np.asarray(array) for name, array in arrays.items() if array is not None}
    kept |= {f"model/{name}": np.asarray(x) for name, x in model_arrays(result.model).items()}
    header = header | {
        "format": FORMAT,
        "model": describe(result.model),
        "free": [leaf_name(p) for p, _ in jax.tree_util.tree_leaves_with_path(result.params)],
        "supp": _encode(result.supp, kept),
        "n_obs": result.n_obs,
        "result": next(name for name in ENDS if bool(result.result == getattr(RESULTS, name))),
        "stats": result.stats,
    }
    # A file handle, because NumPy would append `.npz` to a path without it.
    with open(path, "wb") as file:
        contents: dict[str, Any] = kept | {"header": np.array(json.dumps(header))}
        np.savez_compressed(file, **contents)


def describe(model: Any) -> dict[str, str]:
    """What a model is made of, by name: classes, arrays, constants and static fields.

    Only names and numbers that another process, and another version of JAX, describe alike.
    """
    found: dict[str, str] = {}

    def look(node: Any, name: str) -> None:
        if is_array(node):
            found[name] = f"{node.dtype}[{','.join(map(str, node.shape))}]"
        elif isinstance(node, dict):
            found[name] = f"a dict of {len(node)}"
            for key, value in node.items():
                look(value, f"{name}.{key}")
        elif isinstance(node, list | tuple):
            found[name] = f"a {type(node).__name__} of {len(node)}"
            for k, value in enumerate(node):
                look(value, f"{name}[{k}]")
        elif isinstance(node, eqx.Module):
            found[name] = type(node).__qualname__
            for field in dataclasses.fields(node):
                # What numbers are called is no part of what was fitted.
                if field.name.lstrip("_") != "coef_names":
                    look(getattr(node, field.name, None), f"{name}.{field.name}")
        elif node is None or isinstance(node, str | bool | int | float | complex):
            found[name] = repr(node)
        elif callable(node):
            found[name] = f"function {getattr(node, '__name__', type(node).__name__)}"
        else:
            found[name] = type(node).__qualname__
            for path, leaf in jax.tree_util.tree_leaves_with_path(node):
                if path:
                    look(leaf, f"{name}.{leaf_name(path)}")

    look(model, "model")
    return found


def is_array(leaf: Any) -> bool:
    """Arrays of JAX and NumPy, and NumPy's scalars: what `fit` estimates may start as any."""
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)


def model_arrays(model: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(model)
    return {leaf_name(path): leaf for path, leaf in leaves if is_array(leaf)}


def _encode(node: Any, arrays: dict[str, np.ndarray]) -> Any:
    """JSON that stands for a support, with its arrays put aside."""
    if is_array(node):
        name = f"supp/{len(arrays)}"
        arrays[name] = np.asarray(node)
        return {"array": name}
    if node is None or isinstance(node, bool | int | float | str):
        return {"value": node}
    if type(node) is dict and all(isinstance(key, str) for key in node):
        return {"dict": [[key, _encode(value, arrays)] for key, value in node.items()]}
    if type(node) in (list, tuple):
        return {type(node).__name__: [_encode(value, arrays) for value in node]}
    raise TypeError(
        "A fit can be saved whose `supp` is made of arrays and numbers in dicts with string keys, "
        f"lists and tuples, but this one holds a {type(node).__name__}."
    )
