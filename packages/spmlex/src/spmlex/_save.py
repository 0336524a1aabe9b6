"""Results in a file: written, and read back into a model of the same kind."""

import dataclasses
import json
import os
import re
import zipfile
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ._model import as_arrays, leading_length, leaf_name, split_model
from ._profile import default_mix_solver
from ._result import FitResult
from ._scores import total_weight
from ._search import Problem
from ._solution import RESULTS
from ._units import as_groups

# To be raised when old code cannot read a new file, or the other way round.
FORMAT = 2

_PRECISION = re.compile(r"^([a-z]+)\d+\[")
"""In the description of an array."""

_ENDS = (
    "successful",
    "fit_max_steps_reached",
    "gradient_not_small",
    "not_finite_at_start",
    "inner_problem_failed",
    "minimiser_failed",
)


def save(result: FitResult, path: str | os.PathLike[str]) -> None:
    """Write a fit to a file that `load` reads in another process.

    The file is an archive of NumPy arrays (`.npz`) with a header in JSON, and holds no code: not
    the model's class, but its name and those of its leaves, with their shapes. It holds the weights
    and the groups, and not the data.

    Parameters
    ----------
    result : FitResult
    path : str or path
        Written over if it exists; by convention it ends in `.npz`.

    Raises
    ------
    TypeError
        If the support is something other than dicts, lists and tuples of arrays and numbers.
    """
    arrays: dict[str, np.ndarray] = {}

    def keep(name: str, array: Any) -> None:
        if array is not None:
            arrays[name] = np.asarray(array)

    for name, leaf in _model_arrays(result.model).items():
        keep(f"model/{name}", leaf)
    for name, column in result.history.items():
        keep(f"history/{name}", column)
    keep("probs", result.probs)
    supp = _encode(result.supp, arrays)
    problem = result.problem
    keep("weights", problem.weights)
    if problem.groups is not None:
        keep("groups", problem.groups.labels(result.n_obs))
    header = {
        "format": FORMAT,
        "model": describe(result.model),
        "free": [leaf_name(p) for p, _ in jax.tree_util.tree_leaves_with_path(result.params)],
        "supp": supp,
        "result": next(name for name in _ENDS if bool(result.result == getattr(RESULTS, name))),
        "stats": result.stats,
    }
    header |= {name: getattr(result, name) for name in ("loglik", "n_obs", "grad_norm", "gap")}
    # A file handle, because NumPy would append `.npz` to a path without it.
    with open(path, "wb") as file:
        contents: dict[str, Any] = arrays | {"header": np.array(json.dumps(header))}
        np.savez_compressed(file, **contents)


def load(path: str | os.PathLike[str], model: Any, *, data: PyTree | None = None) -> FitResult:
    """Read a fit that `FitResult.save` wrote.

    Parameters
    ----------
    path : str or path
    model : PyTree
        A model of the class that was fitted, with arrays of the same shapes, such as the start of
        the fit: its numbers are replaced by those of the file, and what is not an array is kept.
    data : PyTree, optional
        The data of the fit, which the file does not hold: for standard errors, and for all else
        that looks at the units. Without them the estimates, the distribution, the history and
        their plots are there.

    Returns
    -------
    FitResult

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not one of a fit, or of a later version of this package; if the model or the
        data differ from those of the fit: the message says where.
    """
    header, arrays = _read(path)
    _check_same(header["model"], describe(model))
    _check_precision(arrays["probs"])
    arrays_of_model = {name: jnp.asarray(arrays[f"model/{name}"]) for name in _model_arrays(model)}
    free = set(header["free"])

    def fill(path: Any, leaf: Any) -> Any:
        return arrays_of_model[leaf_name(path)] if _is_array(leaf) else leaf

    filled = jax.tree_util.tree_map_with_path(fill, model)
    chosen = jax.tree_util.tree_map_with_path(lambda path, _: leaf_name(path) in free, filled)
    params, held = split_model(filled, chosen)
    probs = jnp.asarray(arrays["probs"])
    supp = _decode(header["supp"], arrays)
    weights = arrays.get("weights")
    groups = as_groups(arrays.get("groups"), header["n_obs"])
    result = FitResult(
        model=filled,
        params=params,
        probs=probs,
        supp=supp,
        loglik=header["loglik"],
        n_obs=header["n_obs"],
        grad_norm=header["grad_norm"],
        gap=header["gap"],
        result=getattr(RESULTS, header["result"]),
        stats=header["stats"],
        history={
            name.removeprefix("history/"): column
            for name, column in arrays.items()
            if name.startswith("history/")
        },
        problem=Problem(
            held,
            as_arrays(data),
            supp,
            None if weights is None else jnp.asarray(weights),
            groups,
            default_mix_solver(probs.dtype),
            probs,
        ),
    )
    if data is not None:
        _check_data(result)
    return result


def describe(model: Any) -> dict[str, str]:
    """What a model is made of, by name: classes, arrays, constants and static fields.

    Only names and numbers that another process, and another version of JAX, describe alike.
    """
    found: dict[str, str] = {}

    def look(node: Any, name: str) -> None:
        if _is_array(node):
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


def _is_array(leaf: Any) -> bool:
    """Arrays of JAX and NumPy, and NumPy's scalars: what `fit` estimates may start as any."""
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)


def _model_arrays(model: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(model)
    return {leaf_name(path): leaf for path, leaf in leaves if _is_array(leaf)}


def _check_same(saved: dict[str, str], given: dict[str, str]) -> None:
    """Raise ValueError for another model, naming what differs.

    Arrays may differ in precision: the numbers are those of the file.
    """
    faults = []
    for name in dict.fromkeys([*saved, *given]):
        kinds = [_PRECISION.sub(r"\1[", tree.get(name, "")) for tree in (saved, given)]
        if kinds[0] != kinds[1]:
            was, now = (tree.get(name, "nothing") for tree in (saved, given))
            faults.append(f"`{name}` is {was} in the file and {now} in the model given")
    if faults:
        more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ValueError(
            "The file is of a fit of another model than `model`: "
            + "; ".join(faults[:5])
            + more
            + ". Give a model like the one that was fitted."
        )


def _check_precision(probs: np.ndarray) -> None:
    """Raise ValueError where JAX would round the numbers of the file."""
    if jnp.asarray(probs).dtype != probs.dtype:
        raise ValueError(
            f"The file is of a fit in {probs.dtype}, but JAX is in single precision here: "
            '`jax.config.update("jax_enable_x64", True)`.'
        )


def _check_data(result: FitResult) -> None:
    """Raise ValueError for other data, known by their number and by the log-likelihood."""
    num_units = leading_length(result.problem.data, "data")
    if num_units != result.n_obs:
        raise ValueError(
            f"`data` holds {num_units} units, but the fit was of {result.n_obs}. Give the data of "
            "the fit."
        )
    if not np.isfinite(result.loglik):
        return
    value = float(eqx.filter_jit(result.problem)(result.params)[0])
    total = total_weight(result)
    # Two inner solves of one problem differ by their gaps; other compilers round otherwise.
    tol = float(np.finfo(result.probs.dtype).eps) ** 0.5
    if not abs(-value * total - result.loglik) <= tol * max(total, abs(result.loglik)):
        raise ValueError(
            f"`data` are not those of the fit: the log-likelihood at the estimates is "
            f"{-value * total:.6f} with them, but the file says {result.loglik:.6f}. Look at the "
            "order of the units, at units left out, and at how variables were scaled."
        )


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
        version = header["format"]
    except (zipfile.BadZipFile, EOFError, KeyError, TypeError, ValueError, AttributeError):
        raise ValueError(f"`path` {os.fspath(path)!r} is not a file of a fit.") from None
    if version != FORMAT:
        raise ValueError(
            f"The file {os.fspath(path)!r} has format {version}, but this version of spmlex reads "
            f"format {FORMAT}. Read it with the version that wrote it."
        )
    return header, arrays


def _encode(node: Any, arrays: dict[str, np.ndarray]) -> Any:
    """JSON that stands for a support, with its arrays put aside."""
    if _is_array(node):
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


def _decode(node: Any, arrays: dict[str, np.ndarray]) -> Any:
    ((what, content),) = node.items()
    if what == "array":
        return jnp.asarray(arrays[content])
    if what == "value":
        return content
    if what == "dict":
        return {key: _decode(value, arrays) for key, value in content}
    parts = [_decode(value, arrays) for value in content]
    return tuple(parts) if what == "tuple" else parts
