"""What a table should say besides its numbers."""

import jax
import jax.numpy as jnp
import numpy as np

from .._fields import Fit, unit_weights
from .._model import FunctionModel, describe_leaf, leaf_name


def density_notes(result: Fit) -> list[str]:
    """That the fit means nothing, where `lclk` seems to return densities."""
    if not result.stats.get("densities", False):
        return []
    return [
        "`lclk` returned no negative number at the start, as densities do and their logarithms "
        "hardly ever. It has to return the logarithm: of a density, nothing of this table means "
        "anything."
    ]


def constant_notes(result: Fit) -> list[str]:
    """What was held because of its type, where a user may have meant to estimate it."""
    model, held = result.problem.held, []
    model = model.params if isinstance(model, FunctionModel) else model
    for path, leaf in jax.tree_util.tree_leaves_with_path(model):
        is_number = isinstance(leaf, int | float) and not isinstance(leaf, bool)
        is_count = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.integer)
        if is_number or is_count:
            held.append(f"`{leaf_name(path)}`, which is {describe_leaf(leaf)}")
    if not held:
        return []
    return [
        f"Not estimated: {', '.join(held)}. Floating-point arrays alone are: `jnp.asarray(1.0)`."
    ]


def weight_notes(result: Fit, kind: str) -> list[str]:
    """That weights are taken for frequencies, where their scale says that they are none."""
    weights = unit_weights(result)
    total, num_units = weights.sum(), int(np.sum(weights > 0))
    if 0.5 <= total / num_units <= 2.0 or np.array_equal(weights, weights.round()):
        return []
    affected = "likelihood and criteria"
    if kind in ("hessian", "opg"):
        affected = "likelihood, criteria and standard errors"
    return [
        f"The weights of {num_units} units sum to {total:.6g}. They are taken as frequencies: "
        f"{affected} are those of {total:.6g} units. If only their ratios mean something, rescale "
        "them to a mean of one; kind='robust' has standard errors that do not depend on it."
    ]
