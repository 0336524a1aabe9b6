"""Frames read: rows that can be used, their columns, and what is known of units."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from jaxtyping import Bool, Float, Int

from ._arrays import Layout, as_data, lay_out
from ._families import AbstractFamily, ConditionalLogit, Outcome, as_numbers
from ._formula import INTERCEPT, Columns, Formula, evaluate
from ._frame import (
    Lookup,
    Order,
    as_pandas,
    check_columns,
    check_mixed,
    in_order,
    numbered,
    plain,
)
from ._rank import check_rank

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Spec:
    """What the arguments of `Panel` say of a frame; columns by name."""

    formula: Formula
    family: type[AbstractFamily]
    unit: str
    time: str | None
    alternative: str | None
    weights: str | None
    groups: str | None
    clusters: str | None
    offset: str | None
    exposure: str | None
    trials: str | None
    event: str | None
    means: bool
    center: bool

    @property
    def beside(self) -> dict[str, str]:
        """Columns that hold a number for each row, by argument."""
        found = {name: getattr(self, name) for name in ("offset", "exposure", "trials", "event")}
        return {name: column for name, column in found.items() if column is not None}


class Known(NamedTuple):
    """What the first frame settled: the family with its levels, and which columns there are."""

    family: AbstractFamily
    columns: tuple[str, ...]
    effects: tuple[str, ...]
    averaged: tuple[str, ...]
    centre: dict[str, float]
    lags: tuple[tuple[str, int], ...]
    group_labels: np.ndarray | None


class Reading(NamedTuple):
    """The rows of a frame that can be used, sorted by unit and time, as numbers.

    Attributes
    ----------
    family : AbstractFamily
    columns : Columns
        Of the coefficients.
    offset : Float[np.ndarray, "rows"]
        Added to the index.
    outcomes : dict of arrays
        As the family has them; empty where they were not read.
    layout : Layout
        Where the rows stand in arrays with units on the leading axis.
    units : Int[np.ndarray, "rows"]
        Number of each row's unit.
    unit_labels : numpy array
        Label of each unit.
    labels : pandas.Index
        Labels of the rows in their frame.
    places : Int[np.ndarray, "rows"]
        Their places in it.
    all_labels : pandas.Index
        Labels of all rows of the frame.
    of_units : dict of str to pandas.Series
        `weights`, `groups` and `clusters` of each unit.
    dropped : dict of str to int
        Number of rows left out, by what is missing there.
    order : Order
        Of all rows.
    used : Bool[np.ndarray, "all rows"]
        Which rows are used.
    """

    family: AbstractFamily
    columns: Columns
    offset: Float[np.ndarray, " rows"]
    outcomes: dict[str, np.ndarray]
    layout: Layout
    units: Int[np.ndarray, " rows"]
    unit_labels: np.ndarray
    labels: "pd.Index"
    places: Int[np.ndarray, " rows"]
    all_labels: "pd.Index"
    of_units: "dict[str, pd.Series]"
    dropped: dict[str, int]
    order: Order
    used: Bool[np.ndarray, " all"]

    def data(self, lags: tuple[tuple[str, int], ...]) -> dict[str, Any]:
        """The `data` of a `PanelModel`."""
        return as_data(
            self.family,
            self.layout,
            self.columns.x,
            self.columns.z,
            self.offset,
            self.outcomes,
            self.sources(lags),
        )

    def sources(self, lags: tuple[tuple[str, int], ...]) -> Int[np.ndarray, "rows l"]:
        """For each lag the number of the used row from which it comes, -1 for none."""
        number = np.where(self.used, np.cumsum(self.used) - 1, -1)
        found = np.full((int(self.used.sum()), len(lags)), -1)
        for k, (_, periods) in enumerate(lags):
            source = Lookup(self.order).source(periods)[self.used]
            found[:, k] = np.where(source >= 0, number[np.maximum(source, 0)], -1)
        return found


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
    beside = _beside(spec, order, lookup, tuple(spec.beside))
    of_units = _of_units(spec, order, lookup)
    values = spec.formula.outcome_of(order.frame, lookup)
    unusable = np.any(
        [series.isna() for series in (values, *beside.values(), *of_units.values())], 0
    )
    columns, used = spec.formula.fit(order.frame, lookup, unusable)
    whole = _whole_occasions(order, used)
    columns, used = columns.rows(whole[used]), whole
    dropped = missing | _reasons(spec, order, used)
    if not used.any():
        raise ValueError(f"No row of the frame is complete. {describe_dropped(dropped)}")
    _check_finite(columns, order, used)
    if spec.family is ConditionalLogit:
        columns = _that_differ(columns, order, used)
    outcome = _outcome(spec, values, order, used, beside)
    family, outcomes = spec.family.encode(outcome)
    averaged = _averaged(spec, columns, order.units[used]) if spec.means else ()
    columns = _with_means(columns, averaged, order.units[used])
    differences = columns.matrix
    if order.within is not None:
        differences = differences - _occasion_means(columns, order, used)
    check_rank(differences, columns.names)
    lags, centre = _lags_of(spec.formula, columns), {}
    if spec.center and INTERCEPT in columns.effects:
        centre = dict(zip(columns.common, columns.x.mean(axis=0).tolist(), strict=True))
        # Lagged outcomes stay as they are, since outcomes that are drawn take their place.
        centre |= {name: 0.0 for name, _ in lags}
    columns = _centred(columns, centre)
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
    beside = _beside(spec, order, lookup, wanted)
    of_units = _of_units(spec, order, lookup, ("groups",))
    values = spec.formula.outcome_of(order.frame, lookup) if outcomes else None
    given = [*beside.values(), *of_units.values(), *([] if values is None else [values])]
    unusable = np.any([series.isna() for series in given] or [np.zeros(len(order.places), bool)], 0)
    columns, complete = spec.formula.again(order.frame, lookup, unusable)
    used = _whole_occasions(order, complete)
    if not used.any():
        raise ValueError("No row of the frame is complete.")
    columns = columns.rows(used[complete])
    _check_finite(columns, order, used)
    columns = _with_means(columns, known.averaged, order.units[used])
    columns = columns.without(set(columns.names) - {*known.columns, *known.effects})
    columns = _centred(columns, known.centre)
    encoded: dict[str, np.ndarray] = {}
    if order.within_labels is not None:
        order = _as_known_alternatives(order, known.family.categories)
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
    _check_finite(found, reading.order, reading.used)
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


def per_unit(series: "pd.Series", units: Int[np.ndarray, " rows"], name: str) -> "pd.Series":
    """The one value of each unit.

    Raises
    ------
    ValueError
        For a unit with two, naming the rows.
    """
    first = np.flatnonzero(np.r_[True, np.diff(units) > 0])
    of_row = series.iloc[first].iloc[units]
    differs = (series.to_numpy() != of_row.to_numpy()).astype(bool)
    if differs.any():
        row = int(np.argmax(differs))
        raise ValueError(
            f"`{name}` must be the same in all rows of a unit, but in rows "
            f"{plain(of_row.index[row])!r} and {plain(series.index[row])!r}, of one unit, they are "
            f"{plain(of_row.iloc[row])!r} and {plain(series.iloc[row])!r}."
        )
    return series.iloc[first]


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


def _beside(
    spec: Spec, order: Order, lookup: Lookup, names: tuple[str, ...]
) -> "dict[str, pd.Series]":
    found = {
        name: evaluate(spec.beside[name], order.frame, lookup, name)
        for name in names
        if name in spec.beside
    }
    for name, column in found.items():
        series = cast("pd.Series", column.set_axis(order.labels))
        values = as_numbers(spec.beside[name], series)
        rule = Outcome(spec.beside[name], series, {})
        rule.refuse(np.isinf(values), "must be finite")
        if name == "exposure":
            rule.refuse(values <= 0, "is an exposure and must be positive")
        found[name] = series.astype(float)
    return found


def _of_units(
    spec: Spec,
    order: Order,
    lookup: Lookup,
    names: tuple[str, ...] = ("weights", "groups", "clusters"),
) -> "dict[str, pd.Series]":
    given = {name: getattr(spec, name) for name in names}
    found = {
        name: evaluate(column, order.frame, lookup, name).set_axis(order.labels)
        for name, column in given.items()
        if column is not None
    }
    if "weights" in found:
        weights = as_numbers(given["weights"], found["weights"])
        rule = Outcome(given["weights"], found["weights"], {})
        rule.refuse((weights < 0) | np.isinf(weights), "is a weight, finite and not negative")
        found["weights"] = found["weights"].astype(float)
    return found


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
        stands["occasion"] = _occasions(order)[used]
        stands["occasion"] = np.unique(stands["occasion"], return_inverse=True)[1]
        stands["alternatives"] = order.within_labels
    return Outcome(spec.formula.outcome, outcomes, stands)


def _occasions(order: Order) -> Int[np.ndarray, " rows"]:
    """Number of what a row's choice was made at: its unit and time."""
    units, clock = order.units, order.clock
    assert clock is not None
    return np.cumsum(np.r_[False, (np.diff(units) != 0) | (np.diff(clock) != 0)])


def _whole_occasions(order: Order, used: Bool[np.ndarray, " rows"]) -> Bool[np.ndarray, " rows"]:
    """Rows of occasions all of whose rows can be used."""
    if order.within is None:
        return used
    occasions = _occasions(order)
    return np.bincount(occasions, ~used)[occasions] == 0


def _occasion_means(
    columns: Columns, order: Order, used: Bool[np.ndarray, " rows"]
) -> Float[np.ndarray, "used p"]:
    codes = np.unique(_occasions(order)[used], return_inverse=True)[1]
    return _group_means(columns.matrix, codes)


def _that_differ(columns: Columns, order: Order, used: Bool[np.ndarray, " rows"]) -> Columns:
    """Less the columns that are the same for all alternatives, on which choices do not depend."""
    apart = np.abs(columns.matrix - _occasion_means(columns, order, used)).max(axis=0)
    same = apart <= 1e-12 * np.abs(columns.matrix).max(axis=0)
    found = columns.without(
        {name for name, is_same in zip(columns.names, same, strict=True) if is_same}
    )
    if not found.effects:
        raise ValueError(
            f"`heterogeneous` has {', '.join(map(repr, columns.effects))}, the same for all "
            "alternatives of an occasion, on which choices do not depend."
        )
    return found


def _as_known_alternatives(order: Order, known: tuple[Any, ...]) -> Order:
    """The alternatives numbered as in the first frame."""
    assert order.within_labels is not None
    assert order.within is not None
    new = [label for label in order.within_labels if label not in known]
    if new:
        raise ValueError(
            f"The alternative {new[0]!r} is not among those of the fit, {list(known)}."
        )
    place = np.array([known.index(label) for label in order.within_labels])
    return order._replace(within=place[order.within], within_labels=np.asarray(known))


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


def _check_finite(columns: Columns, order: Order, used: Bool[np.ndarray, " rows"]) -> None:
    infinite = ~np.isfinite(columns.matrix)
    if infinite.any():
        row, column = (int(k) for k in np.argwhere(infinite)[0])
        label = order.labels[np.flatnonzero(used)[row]]
        more = int(infinite[:, column].sum()) - 1
        raise ValueError(
            f"The column `{columns.names[column]}` is {columns.matrix[row, column]} in row "
            f"{plain(label)!r}" + (f", and not finite in {more} more rows." if more else ".")
        )


def _averaged(spec: Spec, columns: Columns, units: Int[np.ndarray, " rows"]) -> tuple[str, ...]:
    """Columns whose mean within units says something: they vary there, and are no outcome."""
    found = []
    outcome = set(spec.formula.outcome_variables)
    matrix, codes = columns.matrix, np.unique(units, return_inverse=True)[1]
    means = _group_means(matrix, codes)
    scale = np.abs(matrix).max(axis=0)
    for k, name in enumerate(columns.names):
        varies = np.abs(matrix[:, k] - means[:, k]).max() > 1e-12 * scale[k]
        between = np.ptp(means[:, k]) > 1e-12 * scale[k]
        if varies and between and not outcome & spec.formula.terms_of(name)[0]:
            found.append(name)
    return tuple(found)


def _group_means(
    matrix: Float[np.ndarray, "rows p"], codes: Int[np.ndarray, " rows"]
) -> Float[np.ndarray, "rows p"]:
    sums = np.zeros((codes.max() + 1, matrix.shape[1]))
    np.add.at(sums, codes, matrix)
    return (sums / np.bincount(codes)[:, None])[codes]


def _with_means(
    columns: Columns, averaged: tuple[str, ...], units: Int[np.ndarray, " rows"]
) -> Columns:
    if not averaged:
        return columns
    codes = np.unique(units, return_inverse=True)[1]
    places = [columns.names.index(name) for name in averaged]
    means = _group_means(columns.matrix[:, places], codes)
    return columns._replace(
        x=np.concatenate([columns.x, means], axis=1),
        common=columns.common + tuple(f"mean({name})" for name in averaged),
    )


def _centred(columns: Columns, centre: dict[str, float]) -> Columns:
    """Common columns measured from their means over the rows of the first frame."""
    means = np.array([centre.get(name, 0.0) for name in columns.common])
    return columns._replace(x=columns.x - means)


def _lags_of(formula: Formula, columns: Columns) -> tuple[tuple[str, int], ...]:
    """Columns that are nothing but a lag of the outcome, and how far they go back."""
    pattern = re.compile(rf"lag\({re.escape(formula.outcome)}(?:,\s*(?:periods\s*=\s*)?(\d+))?\)")
    found = ((name, pattern.fullmatch(name)) for name in columns.common)
    return tuple((name, int(match[1] or 1)) for name, match in found if match)


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
        occasions = np.unique(_occasions(order)[used], return_inverse=True)[1]
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
