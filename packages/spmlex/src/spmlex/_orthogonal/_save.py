"""Orthogonal estimates in a file."""

import os
from typing import Any

import jax

from .._report import write
from ._fields import Estimated

KIND = "orthogonal"
OPTIONS = ("em_steps", "ridge", "simulation_tol")


def save(result: Estimated, path: str | os.PathLike[str]) -> None:
    """Write an estimate to a file that `load` reads in another process.

    As `FitResult.save`: an archive of NumPy arrays that holds no code and not the data. The draws
    are not in it, but the key that they are made with.

    Parameters
    ----------
    path : str or path
        Written over if it exists; by convention it ends in `.npz`.

    Raises
    ------
    TypeError
        If the support is something other than dicts, lists and tuples of arrays and numbers.
    """
    sample, recipe = result.sample, result.recipe
    arrays = {f"moments/{name}": x for name, x in result.moments._asdict().items()}
    arrays |= {"slope": result.slope, "simulation": result.simulation, "working": result.working}
    arrays |= {"weights": sample.weights, "labels": sample.labels}
    arrays |= {"reference": recipe.flat, "key": jax.random.key_data(recipe.key)}
    header: dict[str, Any] = {name: getattr(result.options, name) for name in OPTIONS}
    header |= {"kind": KIND, "moment_norm": result.moment_norm, "num_groups": sample.num_groups}
    write(path, result, header | {"num_blocks": recipe.num_blocks}, arrays)
