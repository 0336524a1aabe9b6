"""Arguments of a panel, before a frame is read."""

import difflib
from typing import Any

from ._families import FAMILIES, AbstractFamily, ConditionalLogit


def check_columns_named(**columns: Any) -> None:
    """Refuse columns that are given otherwise than by name.

    Raises
    ------
    TypeError
        Naming the argument.
    """
    for argument, column in columns.items():
        if column is not None and not isinstance(column, str):
            raise TypeError(
                f"`{argument}` must be the name of a column of the frame, not "
                f"{type(column).__name__}."
            )


def family_of(family: str) -> type[AbstractFamily]:
    """The family of a name.

    Raises
    ------
    ValueError
        With the names that there are.
    """
    if family not in FAMILIES:
        close = difflib.get_close_matches(str(family).lower(), FAMILIES, 1, 0.5)
        raise ValueError(
            f"`family` must be one of {', '.join(map(repr, FAMILIES))}, not {family!r}."
            + (f" Is it {close[0]!r}?" if close else "")
        )
    return FAMILIES[family]


def check_arguments(
    family: type[AbstractFamily],
    heterogeneous: str,
    time: str | None,
    trials: str | None,
    event: str | None,
    alternative: str | None,
) -> None:
    """Refuse arguments that a family has no use for, or the lack of those that it needs.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    uses = {
        "trials": (trials, ("logit", "probit")),
        "event": (event, ("exponential", "weibull")),
        "alternative": (alternative, ("conditional logit",)),
    }
    for argument, (given, families) in uses.items():
        if given is not None and family.name not in families:
            raise ValueError(
                f"`{argument}` is for {' and '.join(map(repr, families))}, and the family is "
                f"{family.name!r}."
            )
    if family is not ConditionalLogit:
        return
    if alternative is None or time is None:
        raise ValueError(
            '`family="conditional logit"` needs `alternative`, the column that says which '
            "alternative a row describes, and `time`, the column that says at which of the unit's "
            "choices."
        )
    if heterogeneous.strip() == "1":
        raise ValueError(
            "Choices do not depend on an intercept that all alternatives share. Say which "
            'coefficients differ between units, such as `heterogeneous="price"`.'
        )
