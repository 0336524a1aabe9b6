"""What a formula says of a frame: outcomes and columns, row by row."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from jaxtyping import Bool, Float

from ._evaluate import check_defined, evaluate_terms, parse, variables_of
from ._frame import Order, require
from ._lookup import FUNCTIONS, Lookup

if TYPE_CHECKING:
    import pandas as pd

INTERCEPT = "Intercept"
# What formulas of other programs have, and how it is said here.
_ELSEWHERE = {
    r"\boffset\([^)]*\)": 'an offset is an argument, `offset="column"`.',
    r"(?<!\w)\([^()|]*\|[^()|]*\)": "units are named by `unit=`, what differs between them by "
    "`heterogeneous=`.",
    r"\bfactor\([^)]*\)": "categories are written `C(x)`.",
}


class Formula:
    """An outcome, common terms and heterogeneous terms.

    Attributes
    ----------
    text : str
        Both, as they were given.
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
        for pattern, advice in _ELSEWHERE.items():
            if found := re.search(pattern, f"{formula} {heterogeneous}"):
                raise ValueError(f"`formula` has {found[0].strip()!r}: {advice}")
        self.text = f"{formula} {heterogeneous}"
        left, right = formula.split("~")
        self.outcome = left.strip()
        if not self.outcome:
            raise ValueError(f"`formula` {formula!r} has no outcome left of the tilde.")
        self._parts = {
            "common": parse(right, "formula"),
            "heterogeneous": parse(heterogeneous, "heterogeneous"),
        }
        self._specs: Any = None
        self._outcome = (
            None if self.outcome.isidentifier() else parse(f"0 + {{{self.outcome}}}", "formula")
        )

    @property
    def variables(self) -> tuple[str, ...]:
        """Columns that the right-hand sides read."""
        return tuple(sorted(set().union(*map(variables_of, self._parts.values()))))

    @property
    def outcome_variables(self) -> tuple[str, ...]:
        """Columns that the outcome is made of."""
        if self._outcome is None:
            return (self.outcome,)
        return tuple(sorted(variables_of(self._outcome)))

    def outcome_of(self, order: Order, lookup: Lookup) -> "pd.Series":
        """The outcome of each row, missing ones included.

        Raises
        ------
        ValueError
            Where it is a function that has no value.
        """
        pd, frame = require("pandas"), order.frame
        if self._outcome is None:
            return cast("pd.Series", frame[self.outcome])
        matrix = evaluate_terms(self._outcome, frame, lookup, na_action="ignore")
        if matrix.shape[1] != 1:
            raise ValueError(
                f"The outcome `{self.outcome}` is {matrix.shape[1]} columns, and must be one."
            )
        found = pd.Series(np.asarray(matrix)[:, 0], frame.index)
        missing = found.isna().to_numpy()
        check_defined(self.outcome, missing, self.outcome_variables, order, lookup)
        return found

    def fit(
        self, order: Order, lookup: Lookup, unusable: Bool[np.ndarray, " rows"]
    ) -> tuple["Columns", Bool[np.ndarray, " rows"]]:
        """Columns of the usable rows, and which these are; categories are known from here on.

        Raises
        ------
        ValueError
            Where a term cannot be evaluated, or has no value.
        """
        both = require("formulaic").Formula(**self._parts)
        matrices, used = _complete(both, order.frame, lookup, unusable)
        self._specs = matrices.model_spec
        self._check_terms(order, lookup, ~used & ~unusable)
        return _columns(matrices), used

    def again(
        self, order: Order, lookup: Lookup, unusable: Bool[np.ndarray, " rows"]
    ) -> tuple["Columns", Bool[np.ndarray, " rows"]]:
        """The same columns of another frame.

        Raises
        ------
        ValueError
            As `fit`, and for categories that were not there at first.
        """
        matrices, used = _complete(self._specs, order.frame, lookup, unusable)
        self._check_terms(order, lookup, ~used & ~unusable)
        return _columns(matrices), used

    def _check_terms(
        self, order: Order, lookup: Lookup, left_out: Bool[np.ndarray, " rows"]
    ) -> None:
        """Refuse terms that have no value in rows where their variables and lags are there."""
        present = ~np.asarray(order.frame[list(self.variables)].isna()).any(axis=1)
        if not (left_out & present & ~lookup.is_absent).any():
            return
        whole = evaluate_terms(self._specs, order.frame, lookup, na_action="ignore")
        for part in (whole.common, whole.heterogeneous):
            for name in part.columns:
                missing = left_out & part[name].isna().to_numpy()
                check_defined(name, missing, self.terms_of(name)[0], order, lookup)

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

    def categorical_of(self, column: str) -> tuple[str, tuple[Any, ...]] | None:
        """Variable and categories of a column that stands for one of them; None for others."""
        for spec in (self._specs.common, self._specs.heterogeneous):
            for term, places in spec.term_indices.items():
                if column not in [spec.column_names[k] for k in places]:
                    continue
                for factor in spec.term_factors[term]:
                    found = spec.encoder_state.get(factor.expr, (None, {}))[1]
                    if "categories" in found:
                        variable = next(iter(sorted(self.terms_of(column)[0])))
                        return variable, tuple(found["categories"])
        return None

    def terms_of(self, column: str) -> tuple[set[str], set[str]]:
        """Variables that a column is made of, and functions called there."""
        names: set[str] = set()
        for spec in (self._specs.common, self._specs.heterogeneous):
            for term, places in spec.term_indices.items():
                if column in [spec.column_names[k] for k in places]:
                    names |= set(map(str, spec.term_variables[term]))
        # By their roots: `np.log` is of NumPy, and `x.abs` of x.
        called = require("formulaic").transforms.TRANSFORMS.keys() | set(FUNCTIONS)
        functions = {name for name in names if name.split(".")[0] in called}
        return {name.split(".")[0] for name in names - functions}, functions


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
    matrices = evaluate_terms(formula, frame, lookup, na_action="drop", drop_rows=rest)
    used = np.zeros(len(frame), bool)
    used[matrices.common.index.to_numpy()] = True
    if (used & lookup.is_absent).any():
        # A function, such as a comparison, made something of a lag that is not there.
        return _complete(formula, frame, lookup, unusable | lookup.is_absent)
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
