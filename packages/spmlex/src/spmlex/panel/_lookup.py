"""The functions of formulas that look at other rows of a unit."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from ._frame import Order, require

FUNCTIONS = ("lag", "initial")
"""What a formula may call besides what formulaic has."""


class Lookup:
    """The functions `lag` and `initial` of a formula, for the rows of one frame.

    Attributes
    ----------
    absent : dict of str to Bool[np.ndarray, "rows"]
        Rows at which they found nothing, by what is not there.
    """

    def __init__(self, order: Order):
        """Know where each row's earlier ones are."""
        clock, threads = order.clock, order.threads
        self._clock, self._threads = clock, threads
        self.absent: dict[str, np.ndarray] = {}
        times = np.arange(threads.size) if clock is None else clock
        by_time = np.lexsort((times, threads))
        starts = np.r_[True, np.diff(threads[by_time]) > 0]
        self._first = np.empty_like(by_time)
        self._first[by_time] = by_time[np.flatnonzero(starts)][np.cumsum(starts) - 1]

    def source(self, periods: int = 1) -> Int[np.ndarray, " rows"]:
        """Number of the row so many periods before, -1 where there is none.

        Raises
        ------
        ValueError
            Without a time, and for periods that are no positive integer.
        """
        clock = self._clock
        if clock is None:
            raise ValueError("`lag` needs to know the time of a row: give `time=`, its column.")
        if isinstance(periods, bool) or not isinstance(periods, int) or periods < 1:
            raise ValueError(f"`lag` goes back by 1, 2, … periods, not {periods!r}.")
        span = int(clock.max()) + periods + 1
        keys = self._threads.astype(np.int64) * span + clock
        order = np.argsort(keys)
        place = order[np.searchsorted(keys, keys - periods, sorter=order)]
        found = (keys[place] == keys - periods) & (clock >= periods)
        return np.where(found, place, -1)

    def lag(self, values: Any, periods: int = 1) -> Any:
        """The value of the same unit so many periods before, missing where there is none."""
        _refuse_text("lag", values)
        pd, source = require("pandas"), self.source(periods)
        series = pd.Series(values).reset_index(drop=True)
        if series.dtype == bool:
            series = series.astype(float)
        found = series.iloc[np.maximum(source, 0)].reset_index(drop=True).where(source >= 0)
        self._note("an earlier row", source < 0)
        self._note("an earlier value", (source >= 0) & found.isna().to_numpy())
        return found

    def initial(self, values: Any) -> Any:
        """The value in the unit's first row."""
        _refuse_text("initial", values)
        pd = require("pandas")
        series = pd.Series(values).reset_index(drop=True)
        found = series.iloc[self._first].reset_index(drop=True)
        self._note("a first value", found.isna().to_numpy())
        return found

    @property
    def is_absent(self) -> Bool[np.ndarray, " rows"]:
        """Rows at which any of them found nothing."""
        return np.any([np.zeros(self._threads.size, bool), *self.absent.values()], axis=0)

    def _note(self, what: str, rows: Bool[np.ndarray, " rows"]) -> None:
        self.absent[what] = self.absent.get(what, False) | rows

    @property
    def functions(self) -> dict[str, Any]:
        """By the names that a formula calls them."""
        return {name: getattr(self, name) for name in FUNCTIONS}


def _refuse_text(function: str, values: Any) -> None:
    if isinstance(values, str):
        raise ValueError(f"`{function}({values!r})` is of text: write `{function}({values})`.")
