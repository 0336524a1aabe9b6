"""A table of coefficients, and how their numbers are set."""

import math
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
    numbers: dict[str | tuple[str, str], np.ndarray] = {ESTIMATE: estimates}
    if std_errs is not None:
        numbers[STD_ERR] = std_errs
    if std_errs is not None and level is not None:
        times, tail = critical_value(level), (1 - level) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            z = estimates / std_errs
        half = times * std_errs
        numbers |= {
            "z": z,
            "P>|z|": np.array([math.erfc(abs(value) / math.sqrt(2.0)) for value in z]),
            f"[{tail:.10g}": estimates - half,
            f"{1 - tail:.10g}]": estimates + half,
        }
    formats = {"z": _ratio, "P>|z|": "{:.3f}".format}
    rows = tuple(
        Row(
            name, tuple(formats.get(str(key), number)(column[k]) for key, column in numbers.items())
        )
        for k, name in enumerate(names)
    )
    return Table(
        title=title,
        header=tuple(header),
        columns=tuple(map(str, numbers)),
        sections=(rows,),
        notes=tuple(notes),
        numbers=numbers,
        index=names,
    )


def entry_names(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Names of the entries of an array that has none for them; empty for a number."""
    return tuple(
        "" if not index else f"[{', '.join(map(str, index))}]" for index in np.ndindex(shape)
    )


def number(value: Any) -> str:
    """An estimate, to six decimals where these hold at least three digits, else to six digits."""
    value = float(value)
    if value == 0 or 1e-4 <= abs(value) < 1e6 or not math.isfinite(value):
        return f"{value:.6f}"
    return f"{value:.5e}"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1e5 else f"{value:.2e}"
