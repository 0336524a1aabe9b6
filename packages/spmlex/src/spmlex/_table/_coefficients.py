"""A table of coefficients, and how their numbers are set."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from .._level import critical_value
from ._table import Row, Table

ESTIMATE, STD_ERR = "estimate", "std. err."


def coefficient_table(
    title: str,
    header: list[tuple[str, str]],
    names: tuple[str, ...],
    estimates: Float[np.ndarray, " p"],
    std_errs: Float[np.ndarray, " p"] | None,
    level: float | None,
    notes: list[str],
) -> Table:
    """Estimates, standard errors, and with a level z, p and symmetric intervals."""
    numbers = {ESTIMATE: estimates}
    if std_errs is not None:
        numbers[STD_ERR] = std_errs
    if std_errs is not None and level is not None:
        times = critical_value(level)
        low, high = end_names(level)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = estimates / std_errs
        half = times * std_errs
        numbers |= {
            "z": z,
            "P>|z|": np.array([math.erfc(abs(value) / math.sqrt(2.0)) for value in z]),
            low: estimates - half,
            high: estimates + half,
        }
    return numeric_table(title, header, names, numbers, notes)


def numeric_table(
    title: str,
    header: Sequence[tuple[str, str]],
    names: tuple[str, ...],
    numbers: Mapping[str, np.ndarray],
    notes: Sequence[str],
) -> Table:
    """A table of columns of numbers, as they are set by their headings."""
    formats = {"z": _ratio, "P>|z|": "{:.3f}".format}
    rows = tuple(
        Row(name, tuple(formats.get(key, number)(column[k]) for key, column in numbers.items()))
        for k, name in enumerate(names)
    )
    return Table(
        title=title,
        header=tuple(header),
        columns=tuple(numbers),
        sections=(rows,),
        notes=tuple(notes),
        numbers={**numbers},
        index=names,
    )


def end_names(level: float) -> tuple[str, str]:
    """Headings of the ends of intervals."""
    tail = (1 - level) / 2
    return f"[{tail:.10g}", f"{1 - tail:.10g}]"


def entry_names(shape: tuple[int, ...]) -> tuple[str, ...]:
    """The entries of an array by their places; of a number, an empty name."""
    return tuple(f"[{', '.join(map(str, index))}]" if index else "" for index in np.ndindex(shape))


def number(value: Any) -> str:
    """An estimate, to six decimals where these hold at least three digits, else to six digits."""
    value = float(value)
    if value == 0 or 1e-4 <= abs(value) < 1e6 or not math.isfinite(value):
        return f"{value:.6f}"
    return f"{value:.5e}"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1e5 else f"{value:.2e}"
