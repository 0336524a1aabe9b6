"""What a frame is read into, and by which arguments."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ._arrays import Layout, as_data
from ._families import AbstractFamily
from ._formula import Columns, Formula
from ._frame import Lookup, Order

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
