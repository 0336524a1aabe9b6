"""A look at the starting models, before the search."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from .._model import FunctionModel, leaf_name, log_lik_of, take
from ._problem import Problem


def check_alike(models: Sequence[Any]) -> None:
    """Refuse starts that are not models of one kind.

    Raises
    ------
    ValueError
        For another structure, or another shape or dtype of an array.
    """
    first = jax.tree_util.tree_leaves_with_path(models[0])
    treedef = jax.tree.structure(models[0])
    for k, model in enumerate(models):
        if jax.tree.structure(model) != treedef:
            raise ValueError(f"Starting model {k} differs in structure from starting model 0.")
        for (path, one), other in zip(first, jax.tree.leaves(model), strict=True):
            shapes = [(x.shape, x.dtype) if eqx.is_array(x) else None for x in (one, other)]
            if shapes[0] != shapes[1]:
                raise ValueError(
                    f"Starting model {k} differs from starting model 0 in the shape or dtype of "
                    f"`{leaf_name(path)}`."
                )


class Start(NamedTuple):
    """What is seen of the log-likelihoods at a start: their dtype, and whether they are none."""

    dtype: Any
    densities: bool


def check_starts(models: Sequence[Any], data: PyTree, supp: PyTree, weights: Array) -> Start:
    """What is seen of the log-likelihoods at the first start at which they can be used.

    Raises
    ------
    ValueError
        If there is none: the fault of the first start.
    """
    fault = None
    for model in models:
        try:
            return _check_start(model, data, supp, weights)
        except ValueError as error:
            fault = fault or error
    assert fault is not None
    raise fault


def _check_start(model: Any, data: PyTree, supp: PyTree, weights: Float[Array, " n"]) -> Start:
    """What is seen of the log-likelihoods at a start, after a look at every one of them."""
    log_lik, entangled, densities, *faults = _look_at_start(model, data, supp, weights)
    invalid, impossible = map(np.asarray, faults)
    for fault, what in (
        (invalid, "is NaN or +inf"),
        (impossible, "is -inf at every support point, so nothing on the grid can explain it,"),
    ):
        if fault.any():
            unit = int(np.argmax(fault))
            missing = nan_in(data, unit)
            raise ValueError(
                (f"{missing} is NaN, and `lclk` does not leave it out. " if missing else "")
                + f"At the starting `model`, `lclk` {what} for {int(fault.sum())} of {fault.size} "
                f"units, the first of them number {unit} (counting from zero). "
                + (
                    "Leave out what is missing, or put a number in its place and a mask beside it, "
                    "by which `lclk` multiplies or selects."
                    if missing
                    else "Check the data of that unit, the starting values and the range of `supp`."
                )
            )
    if entangled:
        raise ValueError(
            "`lclk` must treat the units and the support points one by one, but near the starting "
            "`model` what it returns for some of them changes when others are left out. Second "
            "derivatives are summed over parts of the units, and all derivatives are taken at the "
            "active points alone: they would be wrong. Look for a mean, a sort, a position or a "
            "number of units or points that `lclk` takes from `data` or `supp`, and compute it "
            "beforehand."
        )
    if densities:
        warnings.warn(
            "What `lclk` returns at the starting `model` is zero or positive for every unit at "
            "every support point, as densities are and their logarithms hardly ever. It has to be "
            "the logarithm: of a density a fit may converge, to estimates that mean nothing.",
            UserWarning,
            stacklevel=5,
        )
    return Start(log_lik.dtype, bool(densities))


def nan_in(data: PyTree, unit: int | None = None) -> str:
    """The first NaN in the data, of one unit or of all, by its name; empty if there is none."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(data):
        if eqx.is_inexact_array(leaf):
            where = np.argwhere(np.isnan(np.asarray(leaf)))
            where = where if unit is None else where[where[:, 0] == unit]
            if where.size:
                index = ", ".join(map(str, where[0].tolist()))
                return f"`data{jax.tree_util.keystr(path)}[{index}]`"
    return ""


def explain_derivatives(problem: Problem, params: PyTree) -> str:
    """Why a search cannot start where the value is finite: which derivatives are not, and what of.

    Empty if it is the value that is not finite, or if the gradient is.
    """
    value, grad = _value_and_gradient(problem, params)
    grad = grad.params if isinstance(grad, FunctionModel) else grad
    leaves = jax.tree_util.tree_leaves_with_path(grad)
    names = [f"`{leaf_name(path)}`" for path, leaf in leaves if not np.isfinite(leaf).all()]
    if not np.isfinite(value) or not names:
        return ""
    missing = nan_in(problem.data)
    return (
        f"The value is finite there, {float(value):.6g}, and its derivative in {', '.join(names)} "
        "is not. "
        + (
            f"{missing} is NaN, which `jnp.where(mask, f(y), 0.0)` keeps out of the value and not "
            "out of the derivative: zero times NaN is NaN. Put a number in its place first, "
            "`y = jnp.where(mask, y, 0.0)`, and select afterwards as well."
            if missing
            else "A root, power, logarithm or quotient may be at the edge of where it is defined, "
            "such as `jnp.sqrt` at zero; behind a `jnp.where` as well: zero times infinity is NaN. "
            "Start elsewhere, or select the argument before the function is taken of it."
        )
    )


@eqx.filter_jit
def _value_and_gradient(problem: Problem, params: PyTree) -> tuple[Array, PyTree]:
    (value, _), grad = jax.value_and_grad(problem, has_aux=True)(params)
    return value, grad


@eqx.filter_jit
def _look_at_start(
    model: Any, data: PyTree, supp: PyTree, weights: Float[Array, " n"]
) -> tuple[
    Float[Array, ""], Bool[Array, ""], Bool[Array, ""], Bool[Array, " n"], Bool[Array, " n"]
]:
    """An entry of the log-likelihoods, two suspicions, and faulty units.

    The suspicions are that entries depend on others, and that they are no logarithms.
    """
    log_lik = log_lik_of(model, data, supp)
    counts = weights > 0
    invalid = counts & jnp.any(jnp.isnan(log_lik) | (log_lik == jnp.inf), axis=1)
    impossible = counts & jnp.all(log_lik == -jnp.inf, axis=1)
    # Without the first unit and the first support point a mean, a rank, a position and a count are
    # all different. A little off the start, since a parameter of zero may hide them.
    units, points = (slice(min(1, size - 1), size) for size in log_lik.shape)
    nearby = jax.tree.map(
        lambda x: x + 0.01 * (1 + jnp.abs(x)) if eqx.is_inexact_array(x) else x, model
    )
    try:
        alone = nearby.lclk(take(data, units), take(supp, points))
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(
            "`lclk` works on all units and support points, but fails where the first of each is "
            "left out. What has an entry for each of them belongs in `data` or `supp`, not in the "
            f"model. What it raised: {error}"
        ) from error
    together = log_lik_of(nearby, data, supp)[units, points]
    entangled = jnp.asarray(True)
    if jnp.shape(alone) == together.shape:
        tol = float(jnp.finfo(log_lik.dtype).eps) ** 0.5
        same = (alone == together) | (jnp.abs(alone - together) <= tol * (1 + jnp.abs(together)))
        # What is not finite nearby tells nothing.
        same = same | ~jnp.isfinite(alone) | ~jnp.isfinite(together)
        entangled = jnp.any(counts[units][:, None] & ~same)
    # Numbers that are all the same say nothing of what they are.
    low, high = (
        bound(jnp.where(counts[:, None], log_lik, log_lik[jnp.argmax(counts)][None, :]))
        for bound in (jnp.min, jnp.max)
    )
    densities = (low >= 0) & (high > low)
    return log_lik[0, 0], entangled, densities, invalid, impossible
