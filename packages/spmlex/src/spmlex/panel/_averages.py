"""Sums over the rows of each unit of what is expected there, and of what a change does to it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ._changes import Change, changes_of, check_variable, no_change
from ._design import Design
from ._index import expected, outcome_names
from ._model import PanelModel, Supp
from ._read import read_changed


class RowMeans(NamedTuple):
    """What is averaged over the rows of a panel and over the distribution.

    Attributes
    ----------
    values : Callable
        `values(model, supp)`, (n, m, q): sums over each unit's rows at each support point.
    names : tuple of str
        Of the q entries.
    title : str
    header : tuple of (label, value)
    notes : tuple of str
        What they are, for a table.
    """

    values: Callable[[PanelModel, Supp], Float[Array, "n m q"]]
    names: tuple[str, ...]
    title: str
    header: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def effects_of(panel: Design, names: tuple[str, ...]) -> RowMeans:
    """Effects of variables and columns, by default of all variables.

    Raises
    ------
    TypeError, ValueError
        For what is no name, and as `changes_of`.
    """
    for name in names:
        if not isinstance(name, str):
            raise TypeError(
                'Variables are given by their names, `average_effects("x", "z")`, not as '
                f"{type(name).__name__}."
            )
    names = names or panel.spec.formula.variables
    changes = [change for name in dict.fromkeys(names) for change in changes_of(panel, name)]

    def values(model: PanelModel, supp: Supp) -> Float[Array, "n m q"]:
        parts = [_over_rows(panel, model, supp, change, _effect(change)) for change in changes]
        return jnp.concatenate(parts, axis=-1)

    labels = tuple(
        f"{change.name} on {level}" if level else change.name
        for change in changes
        for level in outcome_names(panel.model)
    )
    said = "; ".join(dict.fromkeys(change.said for change in changes))
    note = f"Changes of the {_outcome(panel)}: {said}."
    return RowMeans(eqx.filter_jit(values), labels, "Average effects", _header(panel), (note,))


def predictions_of(panel: Design, changed: dict[str, Any]) -> RowMeans:
    """Expected outcomes, were variables set to values.

    Raises
    ------
    ValueError
        For names that are no variables right of the tilde.
    """
    for name in changed:
        check_variable(panel, name, "average_prediction")
    columns = read_changed(panel.spec, panel.known, panel.reading, changed)

    def values(model: PanelModel, supp: Supp) -> Float[Array, "n m q"]:
        return _over_rows(panel, model, supp, no_change(columns), lambda at: at(0.0))

    names = tuple(level or "mean" for level in outcome_names(panel.model))
    where = ", ".join(f"{name} = {value}" for name, value in changed.items() if np.ndim(value) == 0)
    notes = (f"Of the {_outcome(panel)}" + (f", with {where} in all rows." if where else "."),)
    return RowMeans(eqx.filter_jit(values), names, "Average prediction", _header(panel), notes)


def weights_of_rows(panel: Design) -> Float[np.ndarray, " n"]:
    """What each row of a unit counts in an average over all rows."""
    weights = np.ones(len(panel.units)) if panel.weights is None else panel.weights
    return weights / (weights @ panel.reading.layout.mask.sum(axis=1))


def _header(panel: Design) -> tuple[tuple[str, str], ...]:
    return (("Family", panel.model.family.name), ("Rows", f"{panel.num_rows}"))


def _outcome(panel: Design) -> str:
    what = "probability of each outcome" if panel.model.family.categories else "expected outcome"
    return f"{what}, averaged over rows and distribution"


def _effect(change: Change) -> Callable[[Any], Array]:
    def effect(at: Any) -> Array:
        if change.by_step:
            return at(1.0) - at(0.0)
        return jax.jvp(at, (0.0,), (1.0,))[1]

    return effect


def _over_rows(
    panel: Design, model: PanelModel, supp: Supp, change: Change, effect: Any
) -> Float[Array, "n k q"]:
    """Sum over each unit's rows of what `effect` makes of the outcome along a change of columns."""
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
    total = jnp.zeros((len(panel.units), points.shape[0], num_levels), periods[0].dtype)
    return lax.scan(of_period, total, periods)[0]
