"""A fit read back from a file."""

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

from ._fields import total_weight
from ._model import as_arrays, as_groups, leading_length, leaf_name, split_model
from ._orthogonal import KIND, OrthogonalResult, restore
from ._profile import default_mix_solver
from ._report import FORMAT, describe, is_array, model_arrays
from ._result import FitResult
from ._search import RESULTS, Problem

# In the description of an array.
_PRECISION = re.compile(r"^([a-z]+)\d+\[")


def load(
    path: str | os.PathLike[str], model: Any, *, data: PyTree | None = None
) -> FitResult | OrthogonalResult:
    """Read what `save` of a `FitResult` or an `OrthogonalResult` wrote.

    Parameters
    ----------
    path : str or path
    model : PyTree
        A model of the class that was fitted, with arrays of the same shapes, such as the start of
        the fit: its numbers are replaced by those of the file, and what is not an array is kept.
    data : PyTree, optional
        The data of the fit, which the file does not hold: for standard errors, and for all else
        that looks at the units. Without them the estimates, the distribution, the history and
        their plots are there; of orthogonal estimates the standard errors, too.

    Returns
    -------
    FitResult or OrthogonalResult
        What was saved.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not one of a fit, or of a later version of this package; if the model or the
        data differ from those of the fit: the message says where.

    Examples
    --------
    With `result` from the example of `fit`:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "logit.npz"
    >>> result.save(path)
    >>> spmlex.load(path, model, data=data).estimates == result.estimates
    array([ True])
    """
    header, arrays = _read(path)
    _check_same(header["model"], describe(model))
    is_fit = header.get("kind") != KIND
    _check_precision(arrays["probs" if is_fit else "reference"])
    arrays_of_model = {name: jnp.asarray(arrays[f"model/{name}"]) for name in model_arrays(model)}
    free = set(header["free"])

    def fill(path: Any, leaf: Any) -> Any:
        return arrays_of_model[leaf_name(path)] if is_array(leaf) else leaf

    filled = jax.tree_util.tree_map_with_path(fill, model)
    chosen = jax.tree_util.tree_map_with_path(lambda path, _: leaf_name(path) in free, filled)
    params, held = split_model(filled, chosen)
    supp = _decode(header["supp"], arrays)
    if not is_fit:
        return restore(header, arrays, filled, params, held, supp, as_arrays(data))
    probs = jnp.asarray(arrays["probs"])
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
        clusters=None,
    )
    if data is not None:
        _check_data(result)
    return result


def _check_same(saved: dict[str, str], given: dict[str, str]) -> None:
    """Raise ValueError for another model, naming what differs.

    Arrays may differ in precision: the numbers are those of the file.
    """
    faults = []
    for name in dict.fromkeys([*saved, *given]):
        # A field that a class had not yet is one of None.
        kinds = [_PRECISION.sub(r"\1[", tree.get(name, "None")) for tree in (saved, given)]
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
