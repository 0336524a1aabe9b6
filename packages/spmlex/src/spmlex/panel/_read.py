"""Frames read: rows that can be used, their columns, and what is known of units."""

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Bool

from ._arrays import lay_out
from ._columns import (
    centred,
    check_finite,
    find_averaged,
    lags_of,
    occasion_means,
    that_differ,
    with_means,
)
from ._families import AbstractFamily, ConditionalLogit, Outcome
from ._formula import INTERCEPT, Columns
from ._frame import Lookup, Order, as_pandas, check_columns, check_mixed, in_order, numbered
from ._occasions import as_known_alternatives, numbers_of_occasions, whole_occasions
from ._rank import check_rank
from ._reading import Known, Reading, Spec
from ._series import per_unit, read_rows, read_units

if TYPE_CHECKING:
    import pandas as pd


def read_first(spec: Spec, frame: Any) -> tuple[Reading, Known]:
    """The frame that a model is made for.

    Raises
    ------
    TypeError, ValueError
        For what cannot be read, naming column and row.
    """
    frame = as_pandas(frame)
    _check_names(spec, frame, outcomes=True)
    order, missing = in_order(frame, spec.unit, spec.time, spec.alternative)
    lookup = Lookup(order)
    beside = read_rows(spec, order, lookup, tuple(spec.beside))
    of_units = read_units(spec, order, lookup)
    values = spec.formula.outcome_of(order.frame, lookup)
    unusable = np.any(
        [series.isna() for series in (values, *beside.values(), *of_units.values())], 0
    )
    columns, used = spec.formula.fit(order.frame, lookup, unusable)
    whole = whole_occasions(order, used)
    columns, used = columns.rows(whole[used]), whole
    dropped = missing | _reasons(spec, order, used)
    if not used.any():
        raise ValueError(f"No row of the frame is complete. {describe_dropped(dropped)}")
    check_finite(columns, order, used)
    if spec.family is ConditionalLogit:
        columns = that_differ(columns, order, used)
    outcome = _outcome(spec, values, order, used, beside)
    family, outcomes = spec.family.encode(outcome)
    averaged = find_averaged(spec, columns, order.units[used]) if spec.means else ()
    columns = with_means(columns, averaged, order.units[used])
    differences = columns.matrix
    if order.within is not None:
        differences = differences - occasion_means(columns, order, used)
    check_rank(differences, columns.names)
    lags, centre = lags_of(spec.formula, columns), {}
    if spec.center and INTERCEPT in columns.effects:
        centre = dict(zip(columns.common, columns.x.mean(axis=0).tolist(), strict=True))
        # Lagged outcomes stay as they are, since outcomes that are drawn take their place.
        centre |= {name: 0.0 for name, _ in lags}
    columns = centred(columns, centre)
    reading = _reading(frame, order, used, columns, family, outcomes, beside, of_units, dropped)
    group_labels = None
    if "groups" in reading.of_units:
        group_labels = numbered(reading.of_units["groups"])[1]
    known = Known(family, columns.common, columns.effects, averaged, centre, lags, group_labels)
    return reading, known


def read_again(spec: Spec, known: Known, frame: Any, outcomes: bool) -> Reading:
    """Another frame, in the terms of the first; rows with missing values are left out.

    Raises
    ------
    TypeError, ValueError
        As `read_first`, and for categories that the first frame did not have.
    """
    frame = as_pandas(frame)
    _check_names(spec, frame, outcomes)
    order, missing = in_order(frame, spec.unit, spec.time, spec.alternative)
    lookup = Lookup(order)
    wanted = tuple(spec.beside) if outcomes else ("offset", "exposure")
    beside = read_rows(spec, order, lookup, wanted)
    of_units = read_units(spec, order, lookup, ("groups",))
    values = spec.formula.outcome_of(order.frame, lookup) if outcomes else None
    given = [*beside.values(), *of_units.values(), *([] if values is None else [values])]
    unusable = np.any([series.isna() for series in given] or [np.zeros(len(order.places), bool)], 0)
    columns, complete = spec.formula.again(order.frame, lookup, unusable)
    used = whole_occasions(order, complete)
    if not used.any():
        raise ValueError("No row of the frame is complete.")
    columns = columns.rows(used[complete])
    check_finite(columns, order, used)
    columns = with_means(columns, known.averaged, order.units[used])
    columns = columns.without(set(columns.names) - {*known.columns, *known.effects})
    columns = centred(columns, known.centre)
    encoded: dict[str, np.ndarray] = {}
    if order.within_labels is not None:
        order = as_known_alternatives(order, known.family.categories)
    if values is not None:
        outcome = _outcome(spec, values, order, used, beside)
        encoded = spec.family.encode(outcome, known.family.categories)[1]
    dropped = missing | _reasons(spec, order, used)
    return _reading(frame, order, used, columns, known.family, encoded, beside, of_units, dropped)


def read_changed(spec: Spec, known: Known, reading: Reading, changes: dict[str, Any]) -> Columns:
    """Columns of the rows of a reading, were variables of the frame other than they are.

    Means within units stay what they were.

    Parameters
    ----------
    changes : dict of str to arrays or scalars
        Values of variables, for all rows in order.

    Raises
    ------
    ValueError
        Where a column is not finite then, and for categories that were not there at first.
    """
    frame = reading.order.frame.assign(**changes)
    found, used = spec.formula.again(frame, Lookup(reading.order), ~reading.used)
    if not np.array_equal(used, reading.used):
        raise ValueError(f"With {', '.join(map(repr, changes))} changed, columns are missing.")
    check_finite(found, reading.order, reading.used)
    means = {f"mean({name})" for name in known.averaged}
    x = np.column_stack(
        [
            reading.columns.x[:, k]
            if name in means
            else found.x[:, found.common.index(name)] - known.centre.get(name, 0.0)
            for k, name in enumerate(known.columns)
        ]
        or [np.zeros((len(found.z), 0))]
    )
    z = found.z[:, [found.effects.index(name) for name in known.effects]]
    return Columns(x, known.columns, z, known.effects)


def describe_dropped(dropped: dict[str, int]) -> str:
    """A sentence on rows that are left out; empty if there are none."""
    if not dropped:
        return ""
    parts = [
        f"{number} row{'s' if number > 1 else ''} without {name}"
        for name, number in dropped.items()
    ]
    return f"Left out: {', '.join(parts)}."


def _check_names(spec: Spec, frame: "pd.DataFrame", outcomes: bool) -> None:
    wanted = {"`formula`": spec.formula.variables}
    if outcomes:
        wanted = {"`formula`": (*spec.formula.outcome_variables, *spec.formula.variables)}
        wanted |= {f"`{name}`": (column,) for name, column in spec.beside.items()}
    for what, names in wanted.items():
        check_columns(frame, names, what)
    check_mixed(frame, spec.formula.variables)


def _outcome(
    spec: Spec,
    values: "pd.Series",
    order: Order,
    used: Bool[np.ndarray, " rows"],
    beside: "dict[str, pd.Series]",
) -> Outcome:
    outcomes = cast("pd.Series", values.set_axis(order.labels).loc[used])
    stands: dict[str, Any] = {
        name: beside[name].to_numpy()[used] for name in ("trials", "event") if name in beside
    }
    if order.within is not None:
        stands["occasion"] = numbers_of_occasions(order)[used]
        stands["occasion"] = np.unique(stands["occasion"], return_inverse=True)[1]
        stands["alternatives"] = order.within_labels
    return Outcome(spec.formula.outcome, outcomes, stands)


def _reasons(spec: Spec, order: Order, used: Bool[np.ndarray, " rows"]) -> dict[str, int]:
    """Numbers of rows that are left out, by the first variable that is missing there."""
    left, found = ~used, {}
    names = (*spec.formula.outcome_variables, *spec.formula.variables, *spec.beside.values())
    names = (*names, spec.weights, spec.groups, spec.clusters)
    for name in dict.fromkeys(name for name in names if name in order.frame.columns):
        missing = left & order.frame[name].isna().to_numpy()
        if missing.any():
            found[f"`{name}`"] = int(missing.sum())
            left &= ~missing
    if left.any():
        what = "other alternatives" if order.within is not None else "an earlier row"
        found[what] = int(left.sum())
    return found


def _reading(
    frame: "pd.DataFrame",
    order: Order,
    used: Bool[np.ndarray, " rows"],
    columns: Columns,
    family: AbstractFamily,
    outcomes: dict[str, np.ndarray],
    beside: "dict[str, pd.Series]",
    of_units: "dict[str, pd.Series]",
    dropped: dict[str, int],
) -> Reading:
    kept, units = np.unique(order.units[used], return_inverse=True)
    offset = np.zeros(int(used.sum()))
    if "offset" in beside:
        offset = offset + beside["offset"].to_numpy()[used]
    if "exposure" in beside:
        offset = offset + np.log(beside["exposure"].to_numpy()[used])
    if order.within is None or order.within_labels is None:
        layout = lay_out(units)
    else:
        occasions = np.unique(numbers_of_occasions(order)[used], return_inverse=True)[1]
        layout = lay_out(units, occasions, order.within[used], order.within_labels.size)
    return Reading(
        family,
        columns,
        offset,
        outcomes,
        layout,
        units,
        order.unit_labels[kept],
        order.labels[used],
        order.places[used],
        frame.index,
        {name: per_unit(series.iloc[used], units, name) for name, series in of_units.items()},
        dropped,
        order,
        used,
    )
