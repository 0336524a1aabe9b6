"""Columns of coefficients, once the formula has made them: means within units, centres, lags."""

import re

import numpy as np
from jaxtyping import Bool, Float, Int

from ._formula import Columns, Formula
from ._frame import Order, plain
from ._occasions import numbers_of_occasions
from ._reading import Spec


def that_differ(columns: Columns, order: Order, used: Bool[np.ndarray, " rows"]) -> Columns:
    """Less the columns that are the same for all alternatives, on which choices do not depend."""
    apart = np.abs(columns.matrix - occasion_means(columns, order, used)).max(axis=0)
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


def check_finite(columns: Columns, order: Order, used: Bool[np.ndarray, " rows"]) -> None:
    infinite = ~np.isfinite(columns.matrix)
    if infinite.any():
        row, column = (int(k) for k in np.argwhere(infinite)[0])
        label = order.labels[np.flatnonzero(used)[row]]
        more = int(infinite[:, column].sum()) - 1
        raise ValueError(
            f"The column `{columns.names[column]}` is {columns.matrix[row, column]} in row "
            f"{plain(label)!r}" + (f", and not finite in {more} more rows." if more else ".")
        )


def find_averaged(spec: Spec, columns: Columns, units: Int[np.ndarray, " rows"]) -> tuple[str, ...]:
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


def with_means(
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


def centred(columns: Columns, centre: dict[str, float]) -> Columns:
    """Common columns measured from their means over the rows of the first frame."""
    means = np.array([centre.get(name, 0.0) for name in columns.common])
    return columns._replace(x=columns.x - means)


def lags_of(formula: Formula, columns: Columns) -> tuple[tuple[str, int], ...]:
    """Columns that are nothing but a lag of the outcome, and how far they go back."""
    pattern = re.compile(rf"lag\({re.escape(formula.outcome)}(?:,\s*(?:periods\s*=\s*)?(\d+))?\)")
    found = ((name, pattern.fullmatch(name)) for name in columns.common)
    return tuple((name, int(match[1] or 1)) for name, match in found if match)


def occasion_means(
    columns: Columns, order: Order, used: Bool[np.ndarray, " rows"]
) -> Float[np.ndarray, "used p"]:
    codes = np.unique(numbers_of_occasions(order)[used], return_inverse=True)[1]
    return _group_means(columns.matrix, codes)


def _group_means(
    matrix: Float[np.ndarray, "rows p"], codes: Int[np.ndarray, " rows"]
) -> Float[np.ndarray, "rows p"]:
    sums = np.zeros((codes.max() + 1, matrix.shape[1]))
    np.add.at(sums, codes, matrix)
    return (sums / np.bincount(codes)[:, None])[codes]
