"""A table of estimates, and how it is shown: as text, HTML, a data frame and LaTeX."""

import html
import re
import textwrap
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

import equinox as eqx
import numpy as np

if TYPE_CHECKING:
    import pandas

# Characters that LaTeX reads as commands, or that its text fonts do not have. A bracket after the
# end of a row would be an argument of the line break.
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",
    "]": "{]}",
} | {char: "\\" + char for char in "&%$#_"}
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau "
    "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
)
_LATEX |= {
    char: rf"$\{name}$"
    for char, name in zip("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ", _GREEK.split(), strict=True)
}
_LATEX |= {"₀₁₂₃₄₅₆₇₈₉"[digit]: f"$_{digit}$" for digit in range(10)}
# What a paper does not report of a search that converged.
_DIAGNOSTICS = ("Optimality gap", "Gradient norm", "Iterations", "Converged")
_EXPONENT = re.compile(r"(-?\d+(?:\.\d+)?)e([+-]\d+)")

# Borders in the colour of the text, so that they are seen on a light and on a dark page.
_CELL = "padding:0.15em 0.8em;text-align:{};border:0;"
_RULE = "border-top:1px solid currentColor;"


class Row(NamedTuple):
    """A name, and what stands beside it in each column."""

    name: str
    cells: tuple[str, ...]


class Table(eqx.Module):
    """A table of estimates. `print` it, or end a notebook's cell with it.

    Attributes
    ----------
    title : str
    header : tuple of (label, value)
        What is said about the whole fit.
    columns : tuple of str
        Headings of the columns, after that of the names, which is empty.
    sections : tuple of tuples of rows
        Rows of cells, set; a rule separates the sections.
    notes : tuple of str
        Sentences below the table.
    numbers : dict of arrays
        The columns of `to_frame`, in full precision; a heading of two levels is a pair.
    index : tuple of str
        The names of its rows.

    Examples
    --------
    With `result` from the example of `fit`:

    >>> table = result.summary(kind="robust")
    >>> table.index
    ('slope',)
    >>> table.to_frame().columns[0]
    'estimate'
    """

    title: str
    header: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    sections: tuple[tuple[Row, ...], ...]
    notes: tuple[str, ...]
    numbers: dict[str | tuple[str, str], np.ndarray]
    index: tuple[str, ...]

    def __str__(self) -> str:
        rows = [row for section in self.sections for row in section]
        grid = [Row("", self.columns), *rows]
        name_width = max(9, *(len(row.name) for row in grid))
        widths = [
            max(len(row.cells[k]) for row in grid) + (4 if k == 0 else 2)
            for k in range(len(self.columns))
        ]
        total = max(name_width + sum(widths), 58)
        name_width = total - sum(widths)

        def line(row: Row) -> str:
            cells = (f"{cell:>{width}}" for cell, width in zip(row.cells, widths, strict=True))
            return (f"{row.name:<{name_width}}" + "".join(cells)).rstrip()

        thick, thin = "=" * total, "-" * total
        lines = [self.title.center(total).rstrip(), thick]
        if self.header:
            left_width = total // 2 - 1
            for left, right in self._header_pairs():
                lines.append(
                    (_pair(left, left_width) + "  " + _pair(right, total - left_width - 2)).rstrip()
                )
            lines.append(thin)
        lines.append(line(Row("", self.columns)))
        for section in self.sections:
            lines += [thin, *map(line, section)]
        lines.append(thick)
        for note in self.notes:
            lines += textwrap.wrap(note, total)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _header_pairs(self) -> list[tuple[tuple[str, str], tuple[str, str]]]:
        """The header in two columns, read row by row."""
        return list(zip_longest(self.header[::2], self.header[1::2], fillvalue=("", "")))

    def _repr_html_(self) -> str:
        """The table as HTML that takes its colours from the page."""

        def cell(text: str, align: str, tag: str = "td", style: str = "") -> str:
            return f'<{tag} style="{_CELL.format(align)}{style}">{html.escape(text)}</{tag}>'

        def line(row: Row, tag: str = "td") -> str:
            name = cell(row.name, "left", "th", "font-weight:normal;")
            return f"<tr>{name}{''.join(cell(text, 'right', tag) for text in row.cells)}</tr>"

        style = "border-collapse:collapse;font-variant-numeric:tabular-nums;margin:0.5em 0;"
        parts = [f'<div><div style="font-weight:bold;">{html.escape(self.title)}</div>']
        if self.header:
            parts.append(f'<table style="{style}"><tbody>')
            for (one, x), (two, y) in self._header_pairs():
                cells = cell(one, "left"), cell(x, "right"), cell(two, "left"), cell(y, "right")
                parts.append(f"<tr>{''.join(cells)}</tr>")
            parts.append("</tbody></table>")
        parts.append(f'<table style="{style}border-bottom:1px solid currentColor;">')
        parts.append(f'<thead style="{_RULE}">{line(Row("", self.columns), "th")}</thead>')
        for section in self.sections:
            parts.append(f'<tbody style="{_RULE}">{"".join(map(line, section))}</tbody>')
        parts.append("</table>")
        parts += [f'<div style="max-width:45em;">{html.escape(note)}</div>' for note in self.notes]
        return "\n".join([*parts, "</div>"])

    def to_frame(self) -> "pandas.DataFrame":
        """The numbers in full precision, one row a parameter. Needs pandas.

        Raises
        ------
        ImportError
            Without pandas.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ImportError(
                "`to_frame` needs pandas, which is not installed: `pip install pandas`. "
                "`numbers` has the same columns as NumPy arrays."
            ) from None
        return pd.DataFrame(self.numbers, index=list(self.index))

    def to_latex(self) -> str:
        r"""The table as a `tabular` for LaTeX with `\usepackage{booktabs}`.

        What is said about the whole fit is a section below the estimates, without the diagnostics
        of a search that converged, and the notes are comments, for the caption.
        """
        num = len(self.columns)
        lines = [rf"\begin{{tabular}}{{l{'r' * num}}}", r"\toprule", _latex_row("", self.columns)]
        sections = list(self.sections)
        header = self.header
        if ("Converged", "yes") in header:
            header = tuple(pair for pair in header if pair[0] not in _DIAGNOSTICS)
        if header:
            blank = ("",) * (num - 1)
            sections.append(tuple(Row(label, (value, *blank)) for label, value in header))
        for section in sections:
            lines += [r"\midrule", *(_latex_row(*row) for row in section)]
        lines += [r"\bottomrule", r"\end{tabular}", *(f"% {note}" for note in self.notes)]
        return "\n".join(lines)


def _pair(pair: tuple[str, str], width: int) -> str:
    """A label at the left and its value at the right of a field."""
    label, value = pair
    return label + f"{value:>{width - len(label)}}"


def _latex_row(name: str, cells: tuple[str, ...]) -> str:
    return " & ".join([_latex(name), *map(_latex_number, cells)]) + r" \\"


def _latex(text: str) -> str:
    """Text for LaTeX."""
    return "".join(_LATEX.get(char, char) for char in text)


def _latex_number(text: str) -> str:
    """A cell for LaTeX: minus signs for hyphens, and powers of ten."""
    try:
        float(text.strip("()"))
    except ValueError:
        return _latex(text)
    power = _EXPONENT.sub(lambda found: rf"{found[1]} \times 10^{{{int(found[2])}}}", text)
    return f"${power}$" if power != text or "-" in text else text
