"""Names of the estimated scalars."""

import jax
import numpy as np
from jaxtyping import PyTree

from ._function_model import FunctionModel
from ._leaves import leaf_name


def param_names(params: PyTree) -> tuple[str, ...]:
    """Name of each estimated scalar: its path in the model, with its index in its array."""
    is_function = isinstance(params, FunctionModel)
    names = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(params.params if is_function else params):
        name = leaf_name(path) if path or not is_function else "params"
        names += (
            [name]
            if leaf.ndim == 0
            else [f"{name}[{', '.join(map(str, index))}]" for index in np.ndindex(leaf.shape)]
        )
    return tuple(names)
