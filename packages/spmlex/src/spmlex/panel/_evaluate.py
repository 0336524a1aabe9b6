"""Expressions evaluated by formulaic, with errors in place of what it raises or leaves out."""

import re
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Bool

from ._frame import Order, check_columns, plain, require
from ._lookup import FUNCTIONS, Lookup

if TYPE_CHECKING:
    import pandas as pd

_COLOURS = re.compile(r"\x1b\[[0-9;]*m|[⧛⧚]")


def evaluate(expression: str, order: Order, lookup: Lookup, argument: str) -> "pd.Series":
    """A column, or what a formula calls `initial(y)`, of each row.

    Raises
    ------
    ValueError
        For columns that are not there, and where the expression has no value.
    """
    pd, frame = require("pandas"), order.frame
    if expression in frame.columns:
        return cast("pd.Series", frame[expression])
    parsed = parse(f"0 + {{{expression}}}", argument)
    check_columns(frame, sorted(variables_of(parsed)), f"`{argument}`")
    matrix = evaluate_terms(parsed, frame, lookup, na_action="ignore")
    if matrix.shape[1] != 1:
        raise ValueError(
            f"`{argument}` is {expression!r}, which makes {matrix.shape[1]} columns, and must be "
            "one. Text and categories are given by their column's name."
        )
    found = pd.Series(np.asarray(matrix)[:, 0], frame.index)
    check_defined(expression, found.isna().to_numpy(), variables_of(parsed), order, lookup)
    return found


def check_defined(
    name: str,
    missing: Bool[np.ndarray, " rows"],
    variables: Iterable[str],
    order: Order,
    lookup: Lookup,
) -> None:
    """Refuse what is not a number in rows where all that it is made of is there.

    Raises
    ------
    ValueError
        With the first such row, and what stands there.
    """
    names = sorted(variables)
    faulty = missing & ~np.asarray(order.frame[names].isna()).any(axis=1) & ~lookup.is_absent
    if not faulty.any():
        return
    row, num = int(np.argmax(faulty)), int(faulty.sum())
    there = ", ".join(f"`{x}` is {order.frame[x].iloc[row]}" for x in names)
    raise ValueError(
        f"`{name}` is not a number in row {plain(order.labels[row])!r}, where {there}"
        + (f", and in {num - 1} more rows." if num > 1 else ".")
    )


def variables_of(formula: Any) -> set[str]:
    """Names in a formula that are not those of functions."""
    return set(map(str, formula.required_variables)) - set(FUNCTIONS)


def parse(text: str, argument: str) -> Any:
    """A formula of one part.

    Raises
    ------
    ValueError
        In place of what formulaic raises.
    """
    formulaic = require("formulaic")
    try:
        found = formulaic.Formula(text.strip() or "1")
    except formulaic.errors.FormulaicError as error:
        words = " ".join(_COLOURS.sub("", str(error)).split())
        raise ValueError(f"`{argument}` {text.strip()!r} cannot be read: {words}") from None
    if not isinstance(found, formulaic.SimpleFormula):
        raise ValueError(f"`{argument}` {text.strip()!r} has several parts, and must have one.")
    return found


def evaluate_terms(formula: Any, frame: "pd.DataFrame", lookup: Lookup, **options: Any) -> Any:
    """A model matrix, or several, without what a formula cannot know.

    Raises
    ------
    ValueError
        In place of what formulaic raises and warns of.
    """
    formulaic = require("formulaic")
    try:
        # What is not finite is refused afterwards, with its row.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", formulaic.errors.DataMismatchWarning)
            # Formulas of several parts have this method too, but it forgets `drop_rows`.
            reader = formulaic.materializers.FormulaMaterializer.for_data(frame)
            return reader(frame, context=lookup.functions).get_model_matrix(
                formula, output="pandas", **options
            )
    except formulaic.errors.DataMismatchWarning as warning:
        unknown = re.search(r"\{(.*?)\}", str(warning))
        raise ValueError(
            f"The frame has the categories {unknown[1] if unknown else warning}, which were not "
            "among those that the model was estimated with."
        ) from None
    except formulaic.errors.FormulaicError as error:
        cause = error.__cause__ or error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        words = " ".join(_COLOURS.sub("", str(cause)).split())
        raise ValueError(f"A term of the formula cannot be evaluated: {words}") from None
