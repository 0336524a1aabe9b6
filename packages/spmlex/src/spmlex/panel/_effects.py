"""Averages over the rows of a sample, and by how much variables change them."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from .._use import Estimate, delta
from ._fields import PanelFit
from ._formula import Columns
from ._frame import check_columns
from ._index import expected, outcome_names
from ._model import PanelModel, Supp
from ._read import read_changed


class _Change(NamedTuple):
    """Columns, what is added to them, and whether by a step or at a rate."""

    name: str
    before: Columns
    after: Columns
    by_step: bool
    own: bool
    """Whether each alternative's column changes by itself."""


def average_effects(
    result: PanelFit,
    *names: str,
    kind: str = "hessian",
    clusters: Int[ArrayLike, " n"] | None = None,
) -> Estimate:
    """By how much variables change the expected outcome, averaged over rows and distribution.

    Of a number it is the derivative of the expected outcome; of a dummy (zeros and ones, or a
    boolean) the difference that one makes beside zero; of categories that of each beside the first.
    Terms in which the variable stands, such as interactions, powers and lags, change with it; means
    within units stay. Averages are over the rows of the sample, with the weights of their units,
    and over the distribution of the latent variable, with groups that of the unit's group.

    Parameters
    ----------
    *names : str
        Variables of the frame, or columns of the formula such as `lag(union)`; by default all
        variables right of the tilde.
    kind, clusters
        See `cov`.

    Returns
    -------
    Estimate
        An entry for each, with standard errors by the delta method: `print` it. Of categories and
        alternatives the effects are on the probability of each. A variable that differs between
        the alternatives of an occasion changes for one of them at a time, and the effect is that on
        its own probability.

    Raises
    ------
    ValueError
        For names that are neither, and as `delta`.
    RuntimeError
        As `delta`.
    """
    names = names or result.panel.spec.formula.variables
    changes = [change for name in dict.fromkeys(names) for change in _changes(result, name)]

    def effect(model: PanelModel, supp: Supp) -> Float[Array, "n k q"]:
        parts = [_effect_of(result, model, supp, change) for change in changes]
        return jnp.concatenate(parts, axis=-1)

    labels = tuple(
        f"{change.name} on {level}" if level else change.name
        for change in changes
        for level in outcome_names(result.model)
    )
    return _averaged(result, effect, labels, kind, clusters)


def average_prediction(
    result: PanelFit,
    *,
    kind: str = "hessian",
    clusters: Int[ArrayLike, " n"] | None = None,
    **values: Any,
) -> Estimate:
    """Expected outcome, averaged over rows and distribution, were variables set to values.

    Parameters
    ----------
    kind, clusters
        See `cov`.
    **values
        Of variables of the frame, for all rows: `average_prediction(union=1)`. Without any the
        variables are what they are.

    Returns
    -------
    Estimate
        Of categories and alternatives, the probability of each.

    Raises
    ------
    ValueError
        For names that are no variables right of the tilde, and as `delta`.
    RuntimeError
        As `delta`.
    """
    panel = result.panel
    for name in values:
        _check_variable(result, name)
    columns = read_changed(panel.spec, panel.known, panel.reading, values)
    change = _Change("", columns, columns, True, False)

    def mean(model: PanelModel, supp: Supp) -> Float[Array, "n k q"]:
        return _over_rows(result, model, supp, change, lambda at: at(0.0))

    names = tuple(level or "mean" for level in outcome_names(result.model))
    return _averaged(result, mean, names, kind, clusters)


def _averaged(
    result: PanelFit, function: Any, names: tuple[str, ...], kind: str, clusters: Any
) -> Estimate:
    """Average over rows and distribution of sums over each unit's rows at the active points."""
    panel = result.panel
    active = np.flatnonzero(np.asarray(result.probs).reshape(result.probs.shape[0], -1).max(axis=1))
    supp = jax.tree.map(lambda x: x[active], result.supp)
    weights = np.ones(result.n_obs) if panel.weights is None else panel.weights
    omega = jnp.asarray(weights / (weights @ panel.reading.layout.mask.sum(axis=1)))
    labels = np.zeros(result.n_obs, int) if panel.groups is None else panel.groups

    def mean(model: PanelModel, probs: Array) -> Float[Array, " q"]:
        masses = probs.reshape(probs.shape[0], -1)[active]
        joint = omega[:, None] * masses.T[labels]
        return jnp.tensordot(joint, function(model, supp), 2, precision=lax.Precision.HIGHEST)

    return dataclasses.replace(delta(result, mean, kind=kind, clusters=clusters), names=names)


def _check_variable(result: PanelFit, name: str) -> None:
    formula, columns = result.panel.spec.formula, result.panel.known.columns
    if name not in formula.variables:
        order = result.panel.reading.order
        check_columns(order.frame, [name], "This")
        raise ValueError(
            f"`{name}` does not stand right of the tilde of the formula. There are the variables "
            f"{', '.join(formula.variables) or 'none'} and the columns {', '.join(columns)}."
        )


def _changes(result: PanelFit, name: str) -> list[_Change]:
    """What a variable, or a column, does to the columns."""
    panel = result.panel
    reading, known = panel.reading, panel.known
    if name not in panel.spec.formula.variables and name in reading.columns.names:
        return [_change_of_column(reading.columns, known.centre, name)]
    _check_variable(result, name)
    frame = reading.order.frame

    def at(value: Any) -> Columns:
        return read_changed(panel.spec, known, reading, {name: value})

    values = frame[name].to_numpy()[reading.used]
    categories = panel.spec.formula.categories_of(name)
    own = reading.order.within is not None and _differs_within(result, values)
    if categories:
        base = at(categories[0])
        return [_Change(f"{name}[{level}]", base, at(level), True, own) for level in categories[1:]]
    if set(np.unique(values).tolist()) <= {0, 1}:
        is_bool = values.dtype == bool
        return [_Change(name, at(False if is_bool else 0), at(True if is_bool else 1), True, own)]
    # Exact up to rounding for terms of second order, to 1e-10 for others.
    numbers = frame[name].to_numpy(float)
    step = float(np.finfo(float).eps ** (1 / 3) * np.nanmax(np.abs(numbers[reading.used])))
    low, high = at(numbers - step), at(numbers + step)
    slope = [(high.x - low.x) / (2 * step), (high.z - low.z) / (2 * step)]
    columns = reading.columns
    after = columns._replace(x=columns.x + slope[0], z=columns.z + slope[1])
    return [_Change(name, columns, after, False, own)]


def _change_of_column(columns: Columns, centre: dict[str, float], name: str) -> _Change:
    """A column by itself, whatever it is made of."""
    part, names = ("x", columns.common) if name in columns.common else ("z", columns.effects)
    values, k = getattr(columns, part), names.index(name)
    middle = centre.get(name, 0.0) if part == "x" else 0.0
    by_step = set(np.round(np.unique(values[:, k]) + middle, 12).tolist()) <= {0.0, 1.0}

    def at(column: Any) -> Columns:
        changed = values.copy()
        changed[:, k] = column
        return columns._replace(**{part: changed})

    if by_step:
        return _Change(name, at(-middle), at(1.0 - middle), True, False)
    return _Change(name, columns, at(values[:, k] + 1.0), False, False)


def _differs_within(result: PanelFit, values: np.ndarray) -> bool:
    """Whether the alternatives of an occasion differ in a variable."""
    layout = result.panel.reading.layout
    assert layout.available is not None
    placed = values[layout.rows]
    return bool(np.any((placed != placed[:, :, :1]) & layout.available & layout.mask[:, :, None]))


def _effect_of(
    result: PanelFit, model: PanelModel, supp: Supp, change: _Change
) -> Float[Array, "n k q"]:
    def effect(at: Any) -> Array:
        if change.by_step:
            return at(1.0) - at(0.0)
        return jax.jvp(at, (0.0,), (1.0,))[1]

    return _over_rows(result, model, supp, change, effect)


def _over_rows(
    result: PanelFit, model: PanelModel, supp: Supp, change: _Change, effect: Any
) -> Float[Array, "n k q"]:
    """Sum over each unit's rows of what `effect` makes of the outcome along a change of columns."""
    panel = result.panel
    layout, offset = panel.reading.layout, panel.reading.offset
    before = [layout.place(part) for part in (change.before.x, change.before.z)]
    after = [layout.place(part) for part in (change.after.x, change.after.z)]
    moves = [one - other for one, other in zip(after, before, strict=True)]
    points, num_levels = model.points(supp), len(outcome_names(model))

    def of_period(total: Array, period: Any) -> tuple[Array, None]:
        x, z, dx, dz, shift, mask, available = period

        def at_own(step: Any, chosen: Array | None) -> Array:
            moved = step if chosen is None else step * chosen
            index = model.common_index(x + moved * dx, shift)[..., None]
            index = index + jnp.matmul(z + moved * dz, points.T, precision=lax.Precision.HIGHEST)
            return expected(model, index, available)

        if change.own:
            alternatives = jnp.eye(num_levels, dtype=x.dtype)
            found = jnp.stack(
                [
                    effect(lambda step, k=k: at_own(step, alternatives[k][None, :, None])[k])
                    for k in range(num_levels)
                ]
            )
        else:
            found = effect(lambda step: at_own(step, None))
        found = jnp.moveaxis(found, 0, -1)
        return total + jnp.where(mask[:, None, None], found, 0.0), None

    available = None if layout.available is None else layout.available.astype(float)
    periods = (*before, *moves, layout.place(offset), layout.mask, available)
    periods = jax.tree.map(lambda x: jnp.moveaxis(jnp.asarray(x), 1, 0), periods)
    total = jnp.zeros((result.n_obs, points.shape[0], num_levels), periods[0].dtype)
    return lax.scan(of_period, total, periods)[0]
