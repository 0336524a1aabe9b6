"""Tables of one row: tests and intervals."""

import numpy as np

from ._coefficients import number
from ._table import Row, Table


def one_row(
    title: str, name: str, entries: dict[str, float | int], notes: tuple[str, ...] = ()
) -> Table:
    """What a test or an interval holds, for `print`.

    Parameters
    ----------
    title, name : str
        Of the table, and of its row.
    entries : dict of str to numbers
        Whole numbers are set as such, and probabilities, whose heading is `p`, to three decimals.
    notes : tuple of str
    """

    def cell(heading: str, value: float | int) -> str:
        if isinstance(value, int):
            return f"{value}"
        return f"{value:.3f}" if heading == "p" else number(value)

    cells = tuple(cell(heading, value) for heading, value in entries.items())
    return Table(
        title=title,
        header=(),
        columns=tuple(entries),
        sections=((Row(name, cells),),),
        notes=notes,
        numbers={heading: np.array([value]) for heading, value in entries.items()},
        index=(name,),
    )
