"""What a frame holds beside the columns of the formula: of each row, and of each unit."""

from typing import TYPE_CHECKING, cast

import numpy as np
from jaxtyping import Int

from ._families import Outcome, as_numbers
from ._formula import evaluate
from ._frame import Lookup, Order, plain
from ._reading import Spec

if TYPE_CHECKING:
    import pandas as pd


def read_rows(
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


def read_units(
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
