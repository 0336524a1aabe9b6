"""Estimates without an effect: where the search starts, and what it would stumble over."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ._arrays import Layout
from ._families import AbstractFamily, Normal, Rows
from ._formula import INTERCEPT

_MAX_STEPS = 100
# Mean weight of the rows in a direction of the coefficients, over that where the search began.
# Where the outcomes are separated it goes to zero, as far as the search is let to run.
_SEPARATED = 1e-7


class Pooled(NamedTuple):
    """Estimates without an effect.

    Attributes
    ----------
    coef : Float[np.ndarray, "p"]
        Coefficients, in the order of the columns.
    shape : Float[np.ndarray, "s"]
        Parameters of the family.
    std_errs : Float[np.ndarray, "p"]
        Of the coefficients, robust to dependence within units.
    """

    coef: Float[np.ndarray, " p"]
    shape: Float[np.ndarray, " s"]
    std_errs: Float[np.ndarray, " p"]


def estimate(
    family: AbstractFamily,
    rows: Rows,
    layout: Layout,
    matrix: Float[np.ndarray, "rows p"],
    names: tuple[str, ...],
    offset: Float[np.ndarray, " rows"],
    weights: Float[np.ndarray, " occasions"],
    units: Int[np.ndarray, " occasions"],
) -> Pooled:
    """Maximise the likelihood of rows that are independent.

    Parameters
    ----------
    family, rows
        Outcomes, each a unit of its own: arrays (occasions, 1), or (occasions, 1, A).
    layout : Layout
        Of these units.
    matrix, names, offset
        Columns, heterogeneous ones first, and what is added to the index.
    weights, units
        Of each occasion.

    Raises
    ------
    ValueError
        Where the outcomes leave a coefficient without an estimate.
    """
    scale = np.sqrt(np.mean(matrix**2, axis=0))
    design = layout.place(matrix / scale)[:, 0]
    shift = layout.place(offset)[:, 0]
    outcomes = jax.tree.map(lambda x: x[:, 0], dict(rows))
    if isinstance(family, Normal):
        found = _least_squares(design, np.asarray(outcomes["y"]) - shift, weights)
    else:
        found = _newton(family, outcomes, design, shift, weights, names)
    coef, shape, scores, hess, first = found
    _check_separated(design, weights, hess, first, names, outcomes)
    by_unit = np.zeros((units.max() + 1, scores.shape[1]))
    np.add.at(by_unit, units, scores * weights[:, None])
    inverse = np.linalg.pinv(hess * weights.sum())
    cov = inverse @ (by_unit.T @ by_unit) @ inverse
    std_errs = np.sqrt(np.diagonal(cov))[: coef.size]
    return Pooled(coef / scale, shape, std_errs / scale)


def _least_squares(
    design: np.ndarray, y: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients, shape, scores, and mean Hessians there and where the search began."""
    root = np.sqrt(weights)
    coef = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]
    residual, share = y - design @ coef, weights / weights.sum()
    variance = float(share @ residual**2)
    if variance <= np.finfo(float).eps * float(share @ y**2):
        raise ValueError("The columns explain the outcome without any error. Is it one of them?")
    scores = design * residual[:, None] / variance
    hess = (design * share[:, None]).T @ design / variance
    return coef, np.array([0.5 * np.log(variance)]), scores, hess, hess


def _newton(
    family: AbstractFamily,
    outcomes: dict[str, Array],
    design: np.ndarray,
    shift: np.ndarray,
    weights: np.ndarray,
    names: tuple[str, ...],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The same by Newton's method, with steps that do not leave where the mean is concave."""
    num_coefs = design.shape[-1]
    intercept, shape = family.start({name: np.asarray(x) for name, x in outcomes.items()})
    flat = np.zeros(num_coefs + shape.size)
    flat[num_coefs:] = shape
    if INTERCEPT in names:
        flat[names.index(INTERCEPT)] = intercept
    inputs = jax.tree.map(jnp.asarray, (outcomes, design, shift, weights / weights.sum()))
    dtype = inputs[1].dtype
    tol = float(jnp.finfo(dtype).eps) ** 0.75
    value, grad, hess = _derivatives(family, jnp.asarray(flat, dtype), *inputs)
    damping, first = 0.0, hess
    for _ in range(_MAX_STEPS):
        if np.max(np.abs(grad)) <= tol:
            break
        eigval, eigvec = np.linalg.eigh(hess)
        least = max(eigval[-1], 1e-300) * 1e-12
        curvature = np.maximum(np.abs(eigval), least) + damping
        step = -eigvec @ ((eigvec.T @ grad) / curvature)
        step *= min(1.0, 5.0 / np.max(np.abs(step)))
        trial = _derivatives(family, jnp.asarray(flat + step, dtype), *inputs)
        if np.isfinite(trial[0]) and trial[0] <= value + tol * abs(value):
            flat, damping = flat + step, damping / 10
            value, grad, hess = trial
        else:
            damping = max(10 * damping, 1e-3 * max(eigval[-1], 1e-300))
            if damping > 1e12 * max(eigval[-1], 1e-300):
                break
    scores = np.asarray(_scores(family, jnp.asarray(flat, dtype), *inputs[:3]))
    return flat[:num_coefs], flat[num_coefs:], scores, hess, first


def _log_densities(
    family: AbstractFamily, flat: Array, outcomes: Any, design: Array, shift: Array
) -> Float[Array, " occasions"]:
    num_coefs = design.shape[-1]
    index = (design @ flat[:num_coefs] + shift)[..., None]
    rows = jax.tree.map(lambda x: x[..., None], outcomes)
    return family.log_density(rows, index, flat[num_coefs:])[..., 0]


@eqx.filter_jit
def _derivative_arrays(family: AbstractFamily, flat: Array, *inputs: Any) -> tuple[Array, ...]:
    def mean(flat: Array) -> Array:
        return -jnp.sum(inputs[3] * _log_densities(family, flat, *inputs[:3]))

    value, grad = jax.value_and_grad(mean)(flat)
    return value, grad, jax.hessian(mean)(flat)


def _derivatives(
    family: AbstractFamily, flat: Array, *inputs: Any
) -> tuple[float, np.ndarray, np.ndarray]:
    value, grad, hess = _derivative_arrays(family, flat, *inputs)
    return float(value), np.asarray(grad, float), np.asarray(hess, float)


@eqx.filter_jit
def _scores(family: AbstractFamily, flat: Array, *inputs: Any) -> Float[Array, "occasions p"]:
    return jax.jacfwd(lambda flat: _log_densities(family, flat, *inputs))(flat)


def _check_separated(
    design: np.ndarray,
    weights: np.ndarray,
    hess: np.ndarray,
    first: np.ndarray,
    names: tuple[str, ...],
    outcomes: dict[str, Array],
) -> None:
    """Refuse coefficients along which the likelihood rises for ever.

    Raises
    ------
    ValueError
        Naming the column, and where it is a dummy what it says of the outcome.
    """
    flat = design.reshape(-1, design.shape[-1])
    every = np.broadcast_to(
        weights.reshape(-1, *[1] * (design.ndim - 2)), design.shape[:-1]
    ).ravel()
    gram = (flat * (every / every.sum())[:, None]).T @ flat
    eigval, eigvec = np.linalg.eigh(gram)
    half = eigvec / np.sqrt(np.maximum(eigval, eigval[-1] * 1e-14))
    num = design.shape[-1]
    worth, directions = np.linalg.eigh(half.T @ hess[:num, :num] @ half)
    if worth[0] > _SEPARATED * np.mean(np.diagonal(half.T @ first[:num, :num] @ half)):
        return
    direction = half @ directions[:, 0]
    name = names[int(np.argmax(np.abs(direction)))]
    column = flat[:, names.index(name)]
    y = np.asarray(outcomes["y"])
    detail = ""
    if y.size == column.size and np.unique(column).size == 2:
        for value in np.unique(column):
            found = np.unique(y.ravel()[column == value])
            if found.size == 1:
                where = "not zero" if value else "zero"
                detail = (
                    f" In the {int(np.sum(column == value))} rows where it is {where} the outcome "
                    f"is always {found[0]:.6g}."
                )
    raise ValueError(
        f"The column `{name}` predicts outcomes without error, so that its coefficient has no "
        f"finite estimate: the further out, the higher the likelihood.{detail} Leave out the "
        "column, or join it with another."
    )
