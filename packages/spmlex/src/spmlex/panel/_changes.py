"""What a variable, or a column of a formula, changes in the columns of all rows."""

from typing import Any, NamedTuple

import numpy as np

from ._design import Design
from ._formula import Columns
from ._frame import check_columns
from ._read import read_changed


class Change(NamedTuple):
    """Columns, what is added to them, and whether by a step or at a rate.

    Attributes
    ----------
    name : str
        Of what changes.
    before, after : Columns
    by_step : bool
        Whether the effect is what the step from one to the other does, and not a derivative.
    own : bool
        Whether each alternative's column changes by itself.
    said : str
        The change in words.
    """

    name: str
    before: Columns
    after: Columns
    by_step: bool
    own: bool
    said: str


def no_change(columns: Columns) -> Change:
    """The columns as they are."""
    return Change("", columns, columns, True, False, "")


def check_variable(panel: Design, name: str, asked_by: str) -> None:
    """Refuse what is no variable of the right-hand side.

    Raises
    ------
    ValueError
        With the variables and columns that there are.
    """
    formula, columns = panel.spec.formula, panel.known.columns
    if name not in formula.variables:
        check_columns(panel.reading.order.frame, [name], f"`{asked_by}`")
        raise ValueError(
            f"`{name}` does not stand right of the tilde of the formula. There are the variables "
            f"{', '.join(formula.variables) or 'none'} and the columns {', '.join(columns)}."
        )


def changes_of(panel: Design, name: str) -> list[Change]:
    """What a variable, or a column, does to the columns.

    Raises
    ------
    ValueError
        For names that are neither, and for the column of one category among several.
    """
    reading, known, formula = panel.reading, panel.known, panel.spec.formula
    if name not in formula.variables and name in reading.columns.names:
        _check_no_category(panel, name)
        return [_change_of_column(reading.columns, known.centre, name)]
    check_variable(panel, name, "average_effects")
    frame = reading.order.frame

    def at(value: Any) -> Columns:
        return read_changed(panel.spec, known, reading, {name: value})

    values = frame[name].to_numpy()[reading.used]
    categories = formula.categories_of(name)
    own = reading.order.within is not None and _differs_within(panel, values)
    if categories:
        base, said = at(categories[0]), f"of `{name}` each category beside {categories[0]!r}"
        return [
            Change(f"{name}[{level}]", base, at(level), True, own, said) for level in categories[1:]
        ]
    if set(np.unique(values).tolist()) <= {0, 1}:
        is_bool = values.dtype == bool
        no, yes = at(False if is_bool else 0), at(True if is_bool else 1)
        return [Change(name, no, yes, True, own, f"of `{name}` one beside zero")]
    # Exact up to rounding for terms of second order, to 1e-10 for others.
    numbers = frame[name].to_numpy(float)
    step = float(np.finfo(float).eps ** (1 / 3) * np.nanmax(np.abs(numbers[reading.used])))
    low, high = at(numbers - step), at(numbers + step)
    slope = [(high.x - low.x) / (2 * step), (high.z - low.z) / (2 * step)]
    columns = reading.columns
    after = columns._replace(x=columns.x + slope[0], z=columns.z + slope[1])
    return [Change(name, columns, after, False, own, f"of `{name}` the derivative")]


def _check_no_category(panel: Design, name: str) -> None:
    """Refuse the column of one category: with it alone the other categories stay what they are."""
    found = panel.spec.formula.categorical_of(name)
    if found is None or len(found[1]) < 3:
        return
    variable, categories = found
    raise ValueError(
        f"`{name}` is one of {len(categories)} categories, and by itself would leave rows of the "
        f"others with two. `average_effects({variable!r})` has the effect of each category beside "
        f"{categories[0]!r}."
    )


def _change_of_column(columns: Columns, centre: dict[str, float], name: str) -> Change:
    """A column by itself, whatever it is made of."""
    part, names = ("x", columns.common) if name in columns.common else ("z", columns.effects)
    values, k = getattr(columns, part), names.index(name)
    middle = centre.get(name, 0.0) if part == "x" else 0.0
    by_step = set(np.round(np.unique(values[:, k]) + middle, 12).tolist()) <= {0.0, 1.0}

    def at(column: Any) -> Columns:
        changed = values.copy()
        changed[:, k] = column
        return columns._replace(**{part: changed})

    if by_step:
        said = f"of `{name}` one beside zero"
        return Change(name, at(-middle), at(1.0 - middle), True, False, said)
    said = f"of `{name}` the derivative"
    return Change(name, columns, at(values[:, k] + 1.0), False, False, said)


def _differs_within(panel: Design, values: np.ndarray) -> bool:
    """Whether the alternatives of an occasion differ in a variable."""
    layout = panel.reading.layout
    assert layout.available is not None
    placed = values[layout.rows]
    return bool(np.any((placed != placed[:, :, :1]) & layout.available & layout.mask[:, :, None]))
