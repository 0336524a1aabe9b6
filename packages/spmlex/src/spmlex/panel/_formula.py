"""What a formula says of a frame: outcomes and columns, row by row."""

import re
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from jaxtyping import Bool, Float

from ._frame import FUNCTIONS, Lookup, check_columns, require

if TYPE_CHECKING:
    import pandas as pd

INTERCEPT = "Intercept"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m|[⧛⧚]")


class Formula:
    """An outcome, common terms and heterogeneous terms.

    Attributes
    ----------
    outcome : str
        Left of the tilde.
    variables : tuple of str
        Columns of the frame that the right-hand sides read, sorted.
    """

    def __init__(self, formula: str, heterogeneous: str):
        """Parse both.

        Raises
        ------
        ValueError
            For what is no formula, or has no outcome.
        """
        if not isinstance(formula, str) or formula.count("~") != 1:
            raise ValueError(
                '`formula` must be text such as "y ~ x + C(year)", the outcome left of the tilde, '
                f"not {formula!r}."
            )
        if not isinstance(heterogeneous, str) or "~" in heterogeneous:
            raise ValueError(
                '`heterogeneous` must be text such as "1" or "1 + x", the terms whose coefficients '
                f"differ between units, not {heterogeneous!r}."
            )
        left, right = formula.split("~")
        self.outcome = left.strip()
        if not self.outcome:
            raise ValueError(f"`formula` {formula!r} has no outcome left of the tilde.")
        self._parts = {
            "common": _parsed(right, "formula"),
            "heterogeneous": _parsed(heterogeneous, "heterogeneous"),
        }
        self._specs: Any = None
        self._outcome = (
            None if self.outcome.isidentifier() else _parsed(f"0 + {{{self.outcome}}}", "formula")
        )

    @property
    def variables(self) -> tuple[str, ...]:
        """Columns that the right-hand sides read."""
        return tuple(sorted(set().union(*map(_variables, self._parts.values()))))

    @property
    def outcome_variables(self) -> tuple[str, ...]:
        """Columns that the outcome is made of."""
        if self._outcome is None:
            return (self.outcome,)
        return tuple(sorted(_variables(self._outcome)))

    def outcome_of(self, frame: "pd.DataFrame", lookup: Lookup) -> "pd.Series":
        """The outcome of each row, missing ones included."""
        pd = require("pandas")
        if self._outcome is None:
            return cast("pd.Series", frame[self.outcome])
        matrix = _evaluated(self._outcome, frame, lookup, na_action="ignore")
        if matrix.shape[1] != 1:
            raise ValueError(
                f"The outcome `{self.outcome}` is {matrix.shape[1]} columns, and must be one."
            )
        return pd.Series(np.asarray(matrix)[:, 0], frame.index)

    def fit(
        self, frame: "pd.DataFrame", lookup: Lookup, unusable: Bool[np.ndarray, " rows"]
    ) -> tuple["Columns", Bool[np.ndarray, " rows"]]:
        """Columns of the usable rows, and which these are; categories are known from here on.

        Raises
        ------
        ValueError
            Where a term cannot be evaluated.
        """
        both = require("formulaic").Formula(**self._parts)
        matrices, used = _complete(both, frame, lookup, unusable)
        self._specs = matrices.model_spec
        return _columns(matrices), used

    def again(
        self, frame: "pd.DataFrame", lookup: Lookup, unusable: Bool[np.ndarray, " rows"]
    ) -> tuple["Columns", Bool[np.ndarray, " rows"]]:
        """The same columns of another frame.

        Raises
        ------
        ValueError
            For categories that were not there at first.
        """
        matrices, used = _complete(self._specs, frame, lookup, unusable)
        return _columns(matrices), used

    def categories_of(self, variable: str) -> tuple[Any, ...]:
        """Categories by which alone a variable is read; empty for one that is read as a number."""
        found: tuple[Any, ...] = ()
        for spec in (self._specs.common, self._specs.heterogeneous):
            for factor, variables in spec.factor_variables.items():
                if variable in set(map(str, variables)):
                    categories = spec.encoder_state.get(factor.expr, (None, {}))[1]
                    if "categories" not in categories:
                        return ()
                    found = tuple(categories["categories"])
        return found

    def terms_of(self, column: str) -> tuple[set[str], set[str]]:
        """Variables that a column is made of, and functions called there."""
        names: set[str] = set()
        for spec in (self._specs.common, self._specs.heterogeneous):
            for term, places in spec.term_indices.items():
                if column in [spec.column_names[k] for k in places]:
                    names |= set(map(str, spec.term_variables[term]))
        return names & set(self.variables), names - set(self.variables)


class Columns(NamedTuple):
    """Columns of common and of heterogeneous coefficients, and their names."""

    x: Float[np.ndarray, "rows k"]
    common: tuple[str, ...]
    z: Float[np.ndarray, "rows q"]
    effects: tuple[str, ...]

    def without(self, names: Iterable[str]) -> "Columns":
        """Less columns of some names."""
        keep = [k for k, name in enumerate(self.common) if name not in names]
        stay = [k for k, name in enumerate(self.effects) if name not in names]
        return Columns(
            self.x[:, keep],
            tuple(self.common[k] for k in keep),
            self.z[:, stay],
            tuple(self.effects[k] for k in stay),
        )

    def rows(self, used: np.ndarray | slice) -> "Columns":
        """Of some rows."""
        return self._replace(x=self.x[used], z=self.z[used])

    @property
    def names(self) -> tuple[str, ...]:
        """The heterogeneous columns first."""
        return self.effects + self.common

    @property
    def matrix(self) -> Float[np.ndarray, "rows p"]:
        """All columns, in the order of `names`."""
        return np.concatenate([self.z, self.x], axis=1)


def _complete(
    formula: Any, frame: "pd.DataFrame", lookup: Lookup, unusable: Bool[np.ndarray, " rows"]
) -> tuple[Any, Bool[np.ndarray, " rows"]]:
    """Both matrices of the rows in which nothing is missing, and which these are."""
    rest = set(np.flatnonzero(unusable).tolist())
    matrices = _evaluated(formula, frame, lookup, na_action="drop", drop_rows=rest)
    used = np.zeros(len(frame), bool)
    used[matrices.common.index.to_numpy()] = True
    return matrices, used


def _columns(matrices: Any) -> Columns:
    """Columns whose coefficient is heterogeneous have no common one."""
    effects = tuple(map(str, matrices.heterogeneous.columns))
    common = [name for name in matrices.common.columns if name not in effects]
    return Columns(
        np.asarray(matrices.common[common], float),
        tuple(common),
        np.asarray(matrices.heterogeneous, float),
        effects,
    )


def evaluate(expression: str, frame: "pd.DataFrame", lookup: Lookup, argument: str) -> "pd.Series":
    """A column, or what a formula calls `initial(y)`, of each row.

    Raises
    ------
    ValueError
        For columns that are not there.
    """
    pd = require("pandas")
    if expression in frame.columns:
        return cast("pd.Series", frame[expression])
    parsed = _parsed(f"0 + {{{expression}}}", argument)
    check_columns(frame, sorted(_variables(parsed)), f"`{argument}`")
    matrix = _evaluated(parsed, frame, lookup, na_action="ignore")
    if matrix.shape[1] != 1:
        raise ValueError(
            f"`{argument}` is {expression!r}, which makes {matrix.shape[1]} columns, and must be "
            "one. Text and categories are given by their column's name."
        )
    return pd.Series(np.asarray(matrix)[:, 0], frame.index)


def _variables(formula: Any) -> set[str]:
    """Names in a formula that are not those of functions."""
    return set(map(str, formula.required_variables)) - set(FUNCTIONS)


def _parsed(text: str, argument: str) -> Any:
    formulaic = require("formulaic")
    try:
        found = formulaic.Formula(text.strip() or "1")
    except formulaic.errors.FormulaicError as error:
        words = " ".join(_COLOURS.sub("", str(error)).split())
        raise ValueError(f"`{argument}` {text.strip()!r} cannot be read: {words}") from None
    if not isinstance(found, formulaic.SimpleFormula):
        raise ValueError(f"`{argument}` {text.strip()!r} has several parts, and must have one.")
    return found


def _evaluated(formula: Any, frame: "pd.DataFrame", lookup: Lookup, **options: Any) -> Any:
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
