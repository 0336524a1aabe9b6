"""Outcomes given the covariates: drawn from the working model, or all that there are."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from .._model import FunctionModel

# A drawn mean that is zero in expectation is further than this many standard errors from it with
# a probability of 1e-11 if it is normal, which skewed scores of a thousand draws are not quite.
_TOO_FAR = 7.0
# Probabilities of all outcomes of a unit sum to one within rounding of a sum of exponentials.
_SUM_TOL = 1e-6


def can_list(model: Any) -> bool:
    """Whether a model lists all outcomes."""
    return callable(getattr(model, "all_outcomes", None))


def check_outcomes(model: Any) -> None:
    """Raise TypeError for a model that can neither draw nor list outcomes."""
    if can_list(model) or callable(getattr(model, "sample", None)):
        return
    if isinstance(model, FunctionModel):
        raise TypeError(
            "The orthogonal estimator takes expectations over the outcomes of each unit given "
            "its covariates. Give `FunctionModel` a `sampler(params, key, data, latent)`, which "
            "returns `data` with outcomes drawn for each unit given its latent variable; or, where "
            "a unit has few possible outcomes, a `lister(params, data)`, which returns `data` for "
            "each of them, on a new leading axis."
        )
    raise TypeError(
        f"The orthogonal estimator takes expectations over the outcomes of each unit given "
        f"its covariates, and `{type(model).__name__}` does not say what these are. Add one "
        "method to its class: `sample(key, data, latent)`, which returns `data` with outcomes "
        "drawn for each unit given its latent variable; or, where a unit has few possible "
        "outcomes, `all_outcomes(data)`, which returns `data` for each of them, on a new "
        "leading axis."
    )


def listed(model: Any, data: PyTree) -> tuple[PyTree, ...]:
    """All outcomes, one set of rows each.

    Raises
    ------
    ValueError
        If `all_outcomes` returns something else than data with a new leading axis.
    """
    stacked = model.all_outcomes(data)
    lengths = {
        leaf.shape[0]
        for leaf in jax.tree.leaves(eqx.filter(stacked, eqx.is_array))
        if getattr(leaf, "ndim", 0) > 0
    }
    if len(lengths) != 1:
        raise ValueError(
            "`all_outcomes` of the model must return `data` with one new leading axis, the "
            f"outcomes, on every array, but the leading axes have lengths {sorted(lengths)}."
        )
    blocks = []
    for k in range(lengths.pop()):
        rows = jax.tree.map(lambda x, k=k: x[k] if eqx.is_array(x) else x, stacked)
        _check_like(rows, data, "all_outcomes")
        blocks.append(rows)
    return tuple(blocks)


@eqx.filter_jit
def _draw(
    model: Any,
    key: Array,
    number: Int[Array, ""],
    data: PyTree,
    supp: PyTree,
    points: Int[Array, " n"],
) -> PyTree:
    latent = jax.tree.map(lambda x: x[points] if eqx.is_array(x) else x, supp)
    return model.sample(jax.random.fold_in(key, number), data, latent)


def drawn(
    model: Any,
    key: Array,
    number: int,
    data: PyTree,
    supp: PyTree,
    working: Float[np.ndarray, "m g"],
    labels: Int[Array, " n"],
) -> PyTree:
    """One set of outcomes from the working model, of those with a key the one with this number.

    Raises
    ------
    ValueError
        If `sample` returns something else than new `data`.
    """
    points = _points(key, number, working, np.asarray(labels))
    rows = _draw(model, key, jnp.asarray(number), data, supp, jnp.asarray(points))
    _check_like(rows, data, "sample")
    # As the data are, so that one program serves both.
    return jax.tree.map(
        lambda x, y: x.astype(y.dtype) if eqx.is_array(y) and x.dtype != y.dtype else x, rows, data
    )


def _points(
    key: Array, number: int, working: Float[np.ndarray, "m g"], labels: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Support points by systematic sampling: in each group as often as their masses say.

    Each alone is drawn by its mass; together they vary less than independent draws.
    """
    rng = np.random.default_rng([*np.asarray(jax.random.key_data(key)).ravel(), number])
    points = np.zeros(labels.size, int)
    for group, mass in enumerate(np.asarray(working, np.float64).T):
        own = np.flatnonzero(labels == group)
        positions = (rng.permutation(own.size) + rng.random()) / max(own.size, 1)
        below = np.cumsum(mass)
        points[own] = np.searchsorted(below / below[-1], positions, side="right")
    return np.minimum(points, working.shape[0] - 1)


def _check_like(rows: PyTree, data: PyTree, method: str) -> None:
    wanted = jax.tree_util.tree_leaves_with_path(data)
    found = jax.tree_util.tree_leaves_with_path(rows)
    if [path for path, _ in wanted] != [path for path, _ in found]:
        names = [
            [f"data{jax.tree_util.keystr(path)}" for path, _ in tree] for tree in (found, wanted)
        ]
        raise ValueError(
            f"`{method}` of the model must return what `data` is, covariates included, with new "
            f"outcomes in it. It returned {names[0]}, and `data` has {names[1]}."
        )
    for (path, old), (_, new) in zip(wanted, found, strict=True):
        if eqx.is_array(old) and jnp.shape(new) != old.shape:
            raise ValueError(
                f"`{method}` of the model must return what `data` is, with new outcomes in it, but "
                f"its `data{jax.tree_util.keystr(path)}` has shape {_of_units(jnp.shape(new), old)}"
                f" where `data` has {_of_units(old.shape, old)}, n the number of units."
            )


def _of_units(shape: tuple[int, ...], like: Array) -> str:
    """A shape as a user thinks of it, who does not know how many units are drawn at once."""
    axes = ["n" if k == 0 and size == like.shape[0] else str(size) for k, size in enumerate(shape)]
    return f"({', '.join(axes)})"


def check_draws(
    mean: Float[np.ndarray, " p"],
    square: Float[np.ndarray, " p"],
    names: tuple[str, ...],
) -> None:
    """Refuse draws that are not from the model's density.

    Under the working model scores are zero in expectation.

    Raises
    ------
    ValueError
        Where their means over the draws are far from it.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(square > 0, np.abs(mean) / np.sqrt(square), 0.0)
    if not np.isfinite(mean).all():
        raise ValueError(
            "`sample` of the model returned outcomes at which `lclk` is NaN, +inf, or -inf at "
            "every support point. Both must speak of the same outcomes."
        )
    worst = int(np.argmax(far))
    if far[worst] > _TOO_FAR:
        raise ValueError(
            "`sample` and `lclk` of the model disagree: over outcomes drawn by `sample`, the mean "
            f"of the score in `{names[worst]}` is {far[worst]:.0f} standard errors from zero, "
            "where it would be if they had the density that `lclk` says. Look for a factor of the "
            "density that depends on parameters and is missing in `lclk`, for a variance in place "
            "of a standard deviation, and for an outcome that `sample` does not draw anew."
        )


def check_listed(total: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]) -> None:
    """Refuse lists of outcomes that leave some out.

    Raises
    ------
    ValueError
        Where probabilities do not sum to one.
    """
    off = np.where(weights > 0, np.abs(total - 1), 0.0)
    off = np.where(np.isnan(off), np.inf, off)
    unit = int(np.argmax(off))
    if off[unit] > _SUM_TOL:
        raise ValueError(
            f"The probabilities of the outcomes that `all_outcomes` lists sum to {total[unit]:.6g} "
            f"for unit {unit} (counting from zero), and should sum to one. Each outcome must be "
            "listed once, and `lclk` must be the log of its probability, constants included."
        )
