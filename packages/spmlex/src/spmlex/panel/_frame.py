"""Frames of any kind as pandas has them, their labels, and rows in the order of the units."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

if TYPE_CHECKING:
    import pandas as pd


# Different numbers in a column of text that may be codes of categories.
_MOST_CODES = 50


def require(name: str) -> Any:
    """A module that the extra `panel` installs.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImportError(
            f"`spmlex.panel` needs {name}, which is not installed: `pip install 'spmlex[panel]'`."
        ) from None


def as_pandas(frame: Any, name: str = "frame") -> "pd.DataFrame":
    """A data frame of pandas, with the columns of one of any library that narwhals knows.

    Raises
    ------
    TypeError
        For what is no data frame.
    ValueError
        For columns of one name.
    """
    pd = require("pandas")
    if isinstance(frame, Mapping):
        frame = pd.DataFrame(dict(frame))
    if not isinstance(frame, pd.DataFrame):
        nw = require("narwhals")
        native = nw.from_native(frame, pass_through=True)
        if isinstance(native, nw.LazyFrame):
            native = native.collect()
        if not isinstance(native, nw.DataFrame):
            raise TypeError(
                f"`{name}` must be a data frame, with a row for each unit and period, not "
                f"{type(frame).__name__}."
            )
        frame = pd.DataFrame({column: _values(native[column]) for column in native.columns})
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise ValueError(f"`{name}` has two columns of the name {twice[0]!r}.")
    if not len(frame):
        raise ValueError(f"`{name}` has no rows.")
    return frame


def _values(series: Any) -> Any:
    """A column of another library, with its categories."""
    pd, nw = require("pandas"), require("narwhals")
    if isinstance(series.dtype, nw.Enum):
        return pd.Categorical(series.to_list(), series.dtype.categories, ordered=True)
    if series.dtype.is_numeric() or series.dtype.is_temporal():
        return series.to_numpy()
    return series.to_list()


def check_columns(frame: "pd.DataFrame", wanted: Iterable[str], what: str) -> None:
    """Refuse names that the frame does not have.

    Raises
    ------
    ValueError
        With the names that come close.
    """
    names = list(map(str, frame.columns))
    for name in wanted:
        if name not in frame.columns:
            close = difflib.get_close_matches(str(name), names, 3, 0.7)
            close = close or [x for x in names if x.lower() == str(name).lower()]
            shown = ", ".join(map(repr, close or names[:10]))
            more = "" if close or len(names) <= 10 else ", …"
            raise ValueError(
                f"{what} names {name!r}, which is no column of the frame. "
                f"{'Is it' if close else 'It has'} {shown}{more}{'?' if close else '.'}"
            )


def check_mixed(frame: "pd.DataFrame", names: Iterable[str]) -> None:
    """Refuse columns of numbers that became text by a few entries: they would be categories.

    Raises
    ------
    ValueError
        With the first row that holds text.
    """
    pd = require("pandas")
    for name in names:
        series = frame[name]
        if pd.api.types.is_numeric_dtype(series) or isinstance(series.dtype, pd.CategoricalDtype):
            continue
        numbers = pd.to_numeric(series.astype(object), errors="coerce")
        text = (numbers.isna() & series.notna()).to_numpy()
        if not text.any() and numbers.nunique() > _MOST_CODES:
            raise ValueError(
                f"`{name}` holds numbers as text, each of which would be a category. Make them "
                f'numbers: `pd.to_numeric(frame["{name}"])`; or, if they are codes, say so: '
                f'`frame["{name}"].astype("category")`.'
            )
        if 0 < text.sum() < numbers.notna().sum():
            row = int(np.argmax(text))
            raise ValueError(
                f"`{name}` holds numbers and text: row {plain(frame.index[row])!r} has "
                f"{plain(series.iloc[row])!r}. Turn what is missing into NaN: "
                f'`pd.to_numeric(frame["{name}"], errors="coerce")`.'
            )


def without_empty_levels(frame: "pd.DataFrame", names: Iterable[str]) -> "pd.DataFrame":
    """The frame, with no categories that no row has: subsets keep those of the whole."""
    pd = require("pandas")
    changed = {
        name: frame[name].cat.remove_unused_categories()
        for name in names
        if isinstance(frame[name].dtype, pd.CategoricalDtype)
    }
    return frame.assign(**changed)


class Order(NamedTuple):
    """Rows in the order of their units, and within them of time.

    Attributes
    ----------
    frame : pandas.DataFrame
        The rows in order, numbered from zero.
    labels : pandas.Index
        Their labels in the frame that was given.
    places : Int[np.ndarray, "rows"]
        Their places in it, counted from zero.
    units : Int[np.ndarray, "rows"]
        Number of each row's unit.
    unit_labels : numpy array
        Label of each unit.
    clock : Int[np.ndarray, "rows"] or None
        Number of each row's time among those of the frame.
    within : Int[np.ndarray, "rows"] or None
        Number of each row's alternative, where an occasion has several rows.
    within_labels : numpy array or None
        Label of each alternative.
    """

    frame: "pd.DataFrame"
    labels: "pd.Index"
    places: Int[np.ndarray, " rows"]
    units: Int[np.ndarray, " rows"]
    unit_labels: np.ndarray
    clock: Int[np.ndarray, " rows"] | None
    within: Int[np.ndarray, " rows"] | None
    within_labels: np.ndarray | None

    @property
    def threads(self) -> Int[np.ndarray, " rows"]:
        """Number of what a row is an observation of over time: a unit, or its alternative."""
        if self.within is None or self.within_labels is None:
            return self.units
        return self.units * self.within_labels.size + self.within


def numbered(values: "pd.Series") -> tuple[Int[np.ndarray, " rows"], np.ndarray]:
    """Labels of any kind as numbers from zero, in the order of the labels."""
    pd = require("pandas")
    try:
        codes, labels = pd.factorize(values, sort=True)
    except TypeError:  # labels of several kinds, such as numbers and text, have no order
        codes, labels = pd.factorize(values)
        order = np.argsort([str(label) for label in labels], kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(order.size)
        codes, labels = np.where(codes < 0, -1, place[codes]), labels[order]
    return np.asarray(codes), np.asarray(labels)


def in_order(
    frame: "pd.DataFrame", unit: str, time: str | None, within: str | None = None
) -> tuple[Order, dict[str, int]]:
    """Sort the rows, and leave out those without a unit or a time: their number by column.

    Raises
    ------
    ValueError
        If a unit has two rows of one time, or of one time and one value of `within`.
    """
    given = {"unit": unit, "time": time, "alternative": within}
    keys = [name for name in given.values() if name is not None]
    for argument, name in given.items():
        check_columns(frame, [] if name is None else [name], f"`{argument}`")
    absent = np.asarray(frame[keys].isna())
    missing = dict(zip(keys, absent.sum(axis=0).tolist(), strict=True))
    known = ~absent.any(axis=1)
    if not known.any():
        raise ValueError(f"No row of the frame has all of {keys}.")
    places = np.flatnonzero(known)
    units, unit_labels = numbered(frame[unit].iloc[places])
    clock = None if time is None else numbered(frame[time].iloc[places])[0]
    last, last_labels = (None, None) if within is None else numbered(frame[within].iloc[places])
    order = np.lexsort([key for key in (places, last, clock, units) if key is not None])
    places, units = places[order], units[order]
    clock = None if clock is None else clock[order]
    last = None if last is None else last[order]
    if clock is not None:
        same = (units[1:] == units[:-1]) & (clock[1:] == clock[:-1])
        if last is not None:
            same &= last[1:] == last[:-1]
        _refuse_twice(frame, places, same, keys)
    found = Order(
        frame.iloc[places].reset_index(drop=True),
        frame.index[places],
        places,
        units,
        unit_labels,
        clock,
        last,
        last_labels,
    )
    return found, {name: number for name, number in missing.items() if number}


def _refuse_twice(
    frame: "pd.DataFrame", places: np.ndarray, same: Bool[np.ndarray, " pairs"], keys: list[str]
) -> None:
    if not same.any():
        return
    row = int(np.argmax(same))
    one, other = frame.index[places[row]], frame.index[places[row + 1]]
    values = ", ".join(f"{key} = {plain(frame[key].iloc[places[row]])!r}" for key in keys)
    where = f" (the rows at {places[row]} and {places[row + 1]}, counted from zero)"
    raise ValueError(
        f"Rows {plain(one)!r} and {plain(other)!r}{where if one == other else ''} are both of "
        f"{values}"
        + (f", and {int(same.sum()) - 1} more rows repeat an earlier one" if same.sum() > 1 else "")
        + ". Leave out what is double, or name the column that tells them apart."
    )


def plain(value: Any) -> Any:
    """A number as Python has it, to be shown."""
    return value.item() if isinstance(value, np.generic) else value
