"""Columns that are functions of a lagged outcome: where outcomes are drawn, they follow them."""

import ast
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from ._formula import Columns, Formula

_LAGGED = "lagged"
"""The name of the lagged outcome in an expression."""

# What formulas call by these names, in JAX; `np` stands for NumPy there.
_FUNCTIONS: dict[str, Any] = {name: getattr(jnp, name) for name in ("log", "log2", "log10", "exp")}
_KNOWN = {"np": jnp, "I": lambda x: x, **_FUNCTIONS}
# The column of a comparison, which formulas read as two categories.
_IS_TRUE = "[T.True]"


class Lag(NamedTuple):
    """A column that depends on outcomes through one of the same unit's earlier ones alone.

    Attributes
    ----------
    column : str
        Its name.
    periods : int
        How far it goes back.
    expression : str
        What it makes of the outcome there, which is called `lagged`.
    """

    column: str
    periods: int
    expression: str

    def __call__(self, outcome: Array) -> Array:
        """The column where that outcome is this one."""
        return _function(self.expression)(outcome)


def lags_of(formula: Formula, columns: Columns) -> tuple[Lag, ...]:
    """The common columns that are such functions, by what formulas and JAX both have."""
    found = (_lag_of(name, formula.outcome) for name in columns.common)
    return tuple(lag for lag in found if lag is not None)


def _lag_of(column: str, outcome: str) -> Lag | None:
    source = column.removesuffix(_IS_TRUE).removeprefix("{").removesuffix("}")
    reader = _Reader(outcome)
    try:
        tree = reader.visit(ast.parse(source, mode="eval"))
    except SyntaxError:
        return None
    if len(reader.periods) != 1 or not reader.is_known:
        return None
    return Lag(column, reader.periods.pop(), ast.unparse(tree))


class _Reader(ast.NodeTransformer):
    """Puts a name in place of the lags of an outcome, and looks at what else there is."""

    def __init__(self, outcome: str):
        self._outcome = outcome
        self.periods: set[int] = set()
        self.is_known = True

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if not (isinstance(node.func, ast.Name) and node.func.id == "lag"):
            return self.generic_visit(node)
        given = [*node.args[1:], *(word.value for word in node.keywords)] or [ast.Constant(1)]
        periods = given[0].value if isinstance(given[0], ast.Constant) else None
        if len(given) > 1 or not isinstance(periods, int) or not self._is_outcome(node.args[0]):
            self.is_known = False
            return node
        self.periods.add(periods)
        return ast.Name(_LAGGED, ast.Load())

    def _is_outcome(self, node: ast.AST) -> bool:
        return ast.unparse(node).replace(" ", "") == self._outcome.replace(" ", "")

    def visit_Name(self, node: ast.Name) -> ast.AST:
        self.is_known &= node.id in _KNOWN
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        is_numpy = isinstance(node.value, ast.Name) and node.value.id == "np"
        self.is_known &= is_numpy and hasattr(jnp, node.attr)
        return node


@lru_cache
def _function(expression: str) -> Callable[[Array], Array]:
    code = compile(expression, "<formula>", "eval")
    return lambda outcome: jnp.asarray(
        eval(code, {"__builtins__": {}, **_KNOWN, _LAGGED: outcome}), outcome.dtype
    )
