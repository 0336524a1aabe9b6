"""Frames and formulas as they come: each message names the column and the row."""

import re

import numpy as np
import pandas as pd
import pytest

from .helpers import raises

NUM, YEARS = 30, 4
RNG = np.random.default_rng(0)
EFFECT = np.repeat(RNG.normal(size=NUM), YEARS)
FRAME = pd.DataFrame(
    {
        "nr": np.repeat([f"p{k}" for k in range(NUM)], YEARS),
        "year": np.tile(np.arange(2000, 2000 + YEARS), NUM),
        "x": RNG.normal(size=NUM * YEARS),
    },
    index=[f"r{k}" for k in range(NUM * YEARS)],
)
FRAME["wage"] = EFFECT + FRAME["x"] + 0.5 * RNG.normal(size=NUM * YEARS)
FRAME["union"] = (FRAME["wage"] > 0).astype(int)
FRAME["visits"] = RNG.poisson(np.exp(EFFECT))
FRAME["region"] = RNG.choice(["north", "south", "west"], NUM * YEARS)


def panel(formula, frame=FRAME, **options):
    from spmlex.panel import Panel

    return Panel(formula, frame, **{"unit": "nr", "time": "year", "grid": [-1.0, 1.0]} | options)


def put(column, value, row="r7"):
    """The frame with one entry changed."""
    frame = FRAME.copy()
    frame[column] = frame[column].astype(object if isinstance(value, str) else float)
    frame.loc[row, column] = value
    return frame


CASES = {
    "unknown variable": (("wage ~ x + Region",), {}, ["`formula` names 'Region'", "it 'region'?"]),
    "unknown outcome": (("wages ~ x",), {}, ["`formula` names 'wages'", "it 'wage'?"]),
    "unknown unit": (("wage ~ x",), {"unit": "id"}, ["`unit` names 'id'", "It has 'nr', 'year'"]),
    "unknown weights": (("wage ~ x",), {"weights": "w"}, ["`weights` names 'w'"]),
    "one row a unit": (("wage ~ x", FRAME.reset_index()), {"unit": "index"},
                       ["Each unit, by its `index`, has one row", "right column?"]),
    "constant outcome": (("union ~ x", FRAME.assign(union=1)), {"family": "logit"},
                         ["`union` is 1 in all 120 rows"]),
    "separation by a dummy": (
        ("union ~ x + s", FRAME.assign(s=(FRAME["union"] == 1) & (FRAME["x"] > 0.5))),
        {"family": "logit"},
        ["`s` predicts", "not zero the outcome is always 1"],
    ),
    "separation": (("union ~ wage",), {"family": "probit"}, ["`wage` predicts", "no finite"]),
    "infinite regressor": (("wage ~ x", put("x", np.inf)), {}, ["`x` is inf in row 'r7'."]),
    "infinite function": (("wage ~ log(z)", FRAME.assign(z=FRAME["x"] ** 2).pipe(
        lambda f: f.assign(z=np.where(f.index == "r5", 0.0, f["z"])))), {},
        ["`log(z)` is -inf in row 'r5'."]),
    "function without a value": (
        ("wage ~ log(z)", put("x", 1.5).assign(z=np.where(FRAME.index >= "r8", -1.5, 2.0))), {},
        ["`log(z)` is not a number in row 'r8', where `z` is -1.5, and in 21 more rows."],
    ),
    "interaction without a value": (
        ("wage ~ x:np.sqrt(z)", FRAME.assign(z=np.where(FRAME.index == "r9", -1.0, 2.0))), {},
        ["`x:np.sqrt(z)` is not a number in row 'r9', where `x` is", "`z` is -1.0."],
    ),
    "outcome without a value": (("log(wage) ~ x", put("wage", -2.0, "r0").assign(
        wage=lambda f: f["wage"].abs().where(f.index != "r0", -2.0))), {},
        ["`log(wage)` is not a number in row 'r0', where `wage` is -2.0."]),
    "infinite outcome": (("wage ~ x", put("wage", -np.inf)), {},
                         ["`wage` must be finite, but it is -inf in row 'r7'."]),
    "repeated rows": (("wage ~ x", pd.concat([FRAME, FRAME.iloc[[3]]])), {},
                      ["'r3' (the rows at 3 and 120, counted from zero)", "of nr = 'p0', year"]),
    "combination": (("wage ~ x + z", FRAME.assign(z=2 * FRAME["x"])), {},
                    ["`z` is a combination of `x`", "Leave one"]),
    "dummies without a base": (("wage ~ 0 + x + C(region)",), {},
                               ["`C(region)[west]` is a combination", "need a base"]),
    "constant regressor": (("wage ~ x + one", FRAME.assign(one=1.0)), {},
                           ["`one` is 1 in all rows, as an intercept"]),
    "text outcome": (("region ~ x",), {}, ["`region` must be a number", "'r0'", "comparison"]),
    "text in an outcome": (("wage ~ x", put("wage", "n/a")), {}, ["row 'r7' holds 'n/a'"]),
    "text in a regressor": (("wage ~ x", put("x", "n/a")), {},
                            ["`x` holds numbers and text: row 'r7' has 'n/a'", "pd.to_numeric"]),
    "unknown family": (("wage ~ x",), {"family": "gaussian"}, ["'normal', 'logit'", "'gaussian'"]),
    "family of another case": (("visits ~ x",), {"family": "Poisson"}, ["Is it 'poisson'?"]),
    "family by a short name": (("visits ~ x",), {"family": "negbin"}, ["'negative binomial'?"]),
    "offset in the formula": (("visits ~ x + offset(wage)",), {},
                              ["`formula` has 'offset(wage)'", '`offset="column"`']),
    "effect in the formula": (("wage ~ x + (1 | nr)",), {}, ["has '(1 | nr)'", "`unit=`"]),
    "factor": (("wage ~ x + factor(region)",), {}, ["has 'factor(region)'", "written `C(x)`"]),
    "lag of a text": (("wage ~ lag('wage')",), {}, ["`lag('wage')` is of text: write `lag(wage)`"]),
    "numbers as text": (("wage ~ z", FRAME.assign(z=FRAME["x"].astype(str))), {},
                        ["`z` holds numbers as text", 'pd.to_numeric(frame["z"])']),
    "names that are not alike": (("count ~ x", FRAME.rename(columns={"year": "month"})),
                                 {"time": "month"}, ["names 'count'", "It has 'nr', 'month'"]),
    "no formula": (("wage",), {}, ["the outcome left of the tilde", "'wage'"]),
    "faulty formula": (("wage ~ x +* 2",), {}, ["'x +* 2' cannot be read"]),
    "two parts": (("wage ~ x | union",), {}, ["'x | union' has several parts"]),
    "unknown function": (("wage ~ logs(x)",), {}, ["`formula` names 'logs'"]),
    "weights that vary": (("wage ~ x", FRAME.assign(w=np.arange(120.0))), {"weights": "w"},
                          ["`weights` must be the same", "'r0' and 'r1'", "0.0 and 1.0"]),
    "negative weights": (("wage ~ x", FRAME.assign(w=-1.0)), {"weights": "w"},
                         ["`w` is a weight", "-1.0 in row 'r0', and 119 more"]),
    "groups that vary": (("wage ~ x",), {"groups": "region"}, ["`groups` must be the same"]),
    "lags without time": (("wage ~ lag(wage)",), {"time": None}, ["give `time=`"]),
    "nothing complete": (("wage ~ x", FRAME.assign(x=np.nan)), {}, ["120 rows without `x`"]),
    "argument of another family": (("wage ~ x",), {"trials": "visits"}, ["'logit' and 'probit'"]),
    "choices without alternatives": (("union ~ x",), {"family": "conditional logit"},
                                     ["needs `alternative`"]),
    "exposure of zero": (("visits ~ x",), {"family": "poisson", "exposure": "union"},
                         ["`union` is an exposure and must be positive", "0"]),
    "text as offset": (("visits ~ x",), {"family": "poisson", "offset": "region"},
                       ["`region` must be a number in each row"]),
    "outcome among the regressors": (("wage ~ wage",), {}, ["without any error"]),
    "grid of another": (("wage ~ x",), {"grid": {"x": [1.0]}}, ["'Intercept'", "has 'x'"]),
    "one grid for two": (("wage ~ 1",), {"heterogeneous": "1 + x"}, ["a dict with a vector"]),
    "grid of lists": (("wage ~ x",), {"grid": np.ones((2, 2))}, ["shape is (2, 2)"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_said(case):
    arguments, options, words = CASES[case]
    with raises(ValueError, *map(re.escape, words)):
        panel(*arguments, **options)


def test_columns_that_are_given_themselves(without_annotations):
    with raises(TypeError, "`exposure` must be the name of a column of the frame, not Series"):
        panel("visits ~ x", family="poisson", exposure=FRAME["union"])


def test_categories_that_no_row_has_are_left_out():
    frame = FRAME.assign(region=pd.Categorical(FRAME["region"], ["east", "north", "south", "west"]))
    assert panel("wage ~ region", frame).model.columns == ("region[T.south]", "region[T.west]")


def test_what_is_no_frame():
    for frame in ([1, 2], np.ones((3, 2))):
        with raises(TypeError, "`frame` must be a data frame", type(frame).__name__):
            panel("wage ~ x", frame)
    with raises(ValueError, "two columns of the name 'x'"):
        panel("wage ~ x", pd.concat([FRAME, FRAME[["x"]]], axis=1))
    with raises(ValueError, "has no rows"):
        panel("wage ~ x", FRAME.iloc[:0])


def test_what_a_table_says_of_the_regressors():
    from spmlex.panel._regressors import regressor_notes

    frame = FRAME.assign(born=np.repeat(RNG.normal(size=NUM), YEARS))
    grid = {"Intercept": np.linspace(-2.0, 2.0, 3), "x": [0.0, 1.5]}
    two = panel("wage ~ year + born", frame, heterogeneous="1 + x", grid=grid)
    assert regressor_notes(two) == [
        "The intercept is that where x is zero and the other regressors have their means.",
        "born does not vary within units.",
    ]
    assert "heterogeneous: Intercept, x, on 6 points, 3 from -2 to 2 by 2 from 0 to 1.5" in repr(
        two
    )
    assert regressor_notes(panel("wage ~ x")) == []


def test_more_effects_than_a_grid_is_chosen_for():
    frame = FRAME.assign(a=FRAME["x"] ** 2, b=FRAME["x"] ** 3, c=np.sin(3 * FRAME["x"]))
    with raises(ValueError, "4 heterogeneous coefficients at most", "there are 5"):
        panel("wage ~ 1", frame, heterogeneous="1 + x + a + b + c", grid=None)


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "formulaic", None)
    with raises(ImportError, "needs formulaic", r"pip install 'spmlex\[panel\]'"):
        panel("wage ~ x")
