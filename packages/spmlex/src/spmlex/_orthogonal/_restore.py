"""Orthogonal estimates from a file."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from .._model import leading_length, param_names, replace_units
from .._search import RESULTS
from ._fields import moments_at
from ._moments import Moments
from ._options import Orthogonal
from ._outcomes import Outcomes, Recipe
from ._result import OrthogonalResult
from ._sample import Sample
from ._save import OPTIONS


def restore(
    header: dict[str, Any],
    arrays: dict[str, np.ndarray],
    model: Any,
    params: PyTree,
    held: PyTree,
    supp: PyTree,
    data: PyTree,
) -> OrthogonalResult:
    """An estimate from what a file holds, with its draws made anew if there are data.

    Raises
    ------
    ValueError
        If the moments of the data are not those of the file.
    """
    weights = arrays["weights"]
    if data is not None and leading_length(data, "data") != header["n_obs"]:
        raise ValueError(
            f"`data` holds {leading_length(data, 'data')} units, but the estimate was of "
            f"{header['n_obs']}. Give the data of the estimate."
        )
    if data is not None and not (weights > 0).all():
        data = replace_units(data, jnp.asarray(weights > 0))
    sample = Sample(
        held, data, supp, weights, jnp.asarray(arrays["labels"]), int(header["num_groups"])
    )
    found = {name: arrays[f"moments/{name}"] for name in Moments._fields if name != "overlap"}
    moments = Moments(**found, overlap=float(arrays["moments/overlap"]))
    key = jax.random.wrap_key_data(jnp.asarray(arrays["key"]))
    recipe = Recipe(arrays["reference"], key, int(header["num_blocks"]))
    outcomes = None
    if data is not None:
        reference = sample.unravel(params, recipe.flat)
        outcomes = Outcomes(sample, reference, arrays["working"], key, param_names(params, model))
        outcomes.extend(recipe.num_blocks)
    result = OrthogonalResult(
        model=model,
        params=params,
        supp=supp,
        working=arrays["working"],
        n_obs=header["n_obs"],
        moment_norm=header["moment_norm"],
        result=getattr(RESULTS, header["result"]),
        stats=header["stats"],
        options=Orthogonal(**{name: header[name] for name in OPTIONS}),
        sample=sample,
        outcomes=outcomes,
        recipe=recipe,
        moments=moments,
        slope=arrays["slope"],
        clusters=None,
        simulation=arrays["simulation"],
    )
    if outcomes is not None and moments.is_finite:
        _check_same_moments(result)
    return result


def _check_same_moments(result: OrthogonalResult) -> None:
    now = moments_at(result, result.estimates).weighted
    saved = result.moments.weighted
    # Rounding, of sums in another order by another compiler.
    tol = float(np.finfo(ravel_pytree(result.params)[0].dtype).eps) ** 0.5
    if not np.abs(now - saved).max() <= tol * max(np.abs(saved).max(), 1.0 / result.n_obs):
        unit = int(np.argmax(np.abs(now - saved).max(axis=1)))
        raise ValueError(
            "`data` are not those of the estimate, or JAX draws other numbers here than where it "
            f"was saved (`jax_threefry_partitionable`): the orthogonal score of unit {unit} "
            "(counting from zero) differs. Look at the order of the units, at units left out, and "
            "at how variables were scaled."
        )
