"""What a frame and a formula become: arrays beside hand-written ones, and what is left out."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import special, stats

from .panels import choices, unbalanced

FRAME = unbalanced()
KEYS = {"unit": "unit", "time": "year"}
POINTS = np.linspace(-1.0, 1.0, 5)
GRID = {"grid": POINTS}


def panel(formula, frame=FRAME, **options):
    from spmlex.panel import Panel

    return Panel(formula, frame, **KEYS | GRID | options)


def log_lik(found):
    """ℓ of the model that was made, at its pooled estimates."""
    return np.asarray(found.model.lclk(found.data, found.supp))


LAWS = {
    "normal": ("wage", {}, lambda f, v, s: stats.norm.logpdf(f["wage"], v, np.exp(s[0]))),
    "logit": ("union", {}, lambda f, v, s: stats.bernoulli.logpmf(f["union"], special.expit(v))),
    "probit": (
        "passed", {"trials": "trials"},
        lambda f, v, s: stats.binom.logpmf(f["passed"], f["trials"], stats.norm.cdf(v)),
    ),
    "poisson": (
        "visits", {"exposure": "months"},
        lambda f, v, s: stats.poisson.logpmf(f["visits"], f["months"] * np.exp(v)),
    ),
    "negative binomial": (
        "visits", {"offset": "w"},
        lambda f, v, s: stats.nbinom.logpmf(
            f["visits"], np.exp(-s[0]), 1 / (1 + np.exp(s[0] + v + f["w"]))
        ),
    ),
    "ordered logit": (
        "grade", {},
        lambda f, v, s: np.log(np.select(
            [f["grade"] == 0, f["grade"] == 1],
            [special.expit(-v), special.expit(np.exp(s[0]) - v) - special.expit(-v)],
            special.expit(v - np.exp(s[0])),
        )),
    ),
    "ordered probit": (
        "grade", {},
        lambda f, v, s: np.log(np.select(
            [f["grade"] == 0, f["grade"] == 1],
            [stats.norm.cdf(-v), stats.norm.cdf(np.exp(s[0]) - v) - stats.norm.cdf(-v)],
            stats.norm.cdf(v - np.exp(s[0])),
        )),
    ),
    "exponential": (
        "spell", {"event": "ended"},
        lambda f, v, s: np.where(f["ended"] == 1, v, 0) - np.exp(v) * f["spell"],
    ),
    "weibull": (
        "spell", {"event": "ended"},
        lambda f, v, s: np.where(
            f["ended"] == 1, v + s[0] + np.expm1(s[0]) * np.log(f["spell"]), 0
        ) - np.exp(v) * f["spell"] ** np.exp(s[0]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", LAWS)
def test_a_model_beside_sums_over_rows(family):
    """Of an intercept and a slope that differ between units; SciPy's density, row by row."""
    outcome, options, law = LAWS[family]
    axes = {"Intercept": [-0.5, 0.4, 1.0], "x": [-0.3, 0.6]}
    found = panel(f"{outcome} ~ w + C(region)", family=family, heterogeneous="1 + x",
                  grid=axes, center=False, **options)  # fmt: skip
    assert found.model.columns == ("w", "C(region)[T.south]", "C(region)[T.west]")
    assert found.model.effects == ("Intercept", "x")
    np.testing.assert_array_equal(found.units, np.arange(40))
    frame, beta = FRAME.sort_values(["unit", "year"]), np.asarray(found.model.beta)
    shape = [] if found.model.shape is None else np.asarray(found.model.shape)
    common = beta[0] * frame["w"] + beta[1] * (frame["region"] == "south")
    common = common + beta[2] * (frame["region"] == "west")
    expected = [
        law(frame, (common + level + slope * frame["x"]).to_numpy(), shape)
        for level, slope in zip(found.supp["Intercept"], found.supp["x"], strict=True)
    ]
    sums = [pd.Series(np.asarray(value)).groupby(frame["unit"].to_numpy()).sum()
            for value in expected]  # fmt: skip
    np.testing.assert_allclose(log_lik(found), np.stack(sums, axis=1), rtol=1e-12, atol=1e-12)


def test_choices_beside_sums_over_occasions():
    from spmlex.panel import Panel

    frame = choices(num_units=20)
    # An alternative that is not there at an occasion has no row; shuffled, and one trip is left
    # out for lack of a price.
    frame = frame[(frame["mode"] != "train") | (frame["trip"] != 1) | (frame["taken"] == 1)]
    frame = frame.sample(frac=1.0, random_state=1)
    frame.loc[frame.index[3], "price"] = np.nan
    found = Panel("taken ~ C(mode) * income", frame, unit="person", time="trip",
                  family="conditional logit", alternative="mode", heterogeneous="0 + price",
                  grid=[-2.0, -0.5])  # fmt: skip
    assert found.model.effects == ("price",)
    gone = frame.iloc[3]
    whole = frame[(frame["person"] != gone["person"]) | (frame["trip"] != gone["trip"])]
    assert found.num_rows == len(whole)
    assert sum(found.dropped.values()) == len(frame) - len(whole)
    coef = dict(zip(found.model.columns, np.asarray(found.model.beta), strict=True))
    expected = np.zeros((20, 2))
    for (person, _), rows in whole.groupby(["person", "trip"]):
        fixed = sum(
            coef[f"C(mode)[T.{mode}]"] * (rows["mode"] == mode) for mode in ("car", "train")
        ) + sum(
            value * rows["income"] * (rows["mode"] == name.split("[T.")[1].split("]")[0])
            for name, value in coef.items() if name.endswith("income")
        )  # fmt: skip
        for k, slope in enumerate((-2.0, -0.5)):
            utility = fixed + slope * rows["price"]
            chosen = utility[rows["taken"] == 1].item()
            expected[person, k] += chosen - special.logsumexp(utility)
    np.testing.assert_allclose(log_lik(found), expected, rtol=1e-12, atol=1e-12)


FORMULA = "wage ~ x*w + C(region) + x:C(region)"


def test_the_order_of_rows_does_not_matter():
    expected = panel(FORMULA)
    again = panel(FORMULA, FRAME.sample(frac=1.0, random_state=9))
    np.testing.assert_array_equal(log_lik(again), log_lik(expected))
    assert again.model.columns == expected.model.columns


@pytest.mark.parametrize(
    "relabel",
    [
        lambda k: f"unit {k:03}",
        lambda k: pd.Timestamp("2000-01-01") + pd.Timedelta(days=k),
        lambda k: k - 17.5,
        lambda k: k if k < 20 else f"a{k:03}",  # numbers and text have no order
    ],
)
def test_labels_of_units_are_of_any_type(relabel):
    frame = FRAME.assign(unit=[relabel(k) for k in FRAME["unit"]])
    found, expected = panel(FORMULA, frame), panel(FORMULA)
    rows = dict(zip(found.units.tolist(), log_lik(found), strict=True))
    labels = pd.Series([relabel(k) for k in expected.units]).to_numpy().tolist()
    np.testing.assert_array_equal([rows[label] for label in labels], log_lik(expected))


@pytest.mark.parametrize("make", [dict, pl.DataFrame, pl.LazyFrame])
def test_frames_of_other_libraries(make):
    frame = make(FRAME.to_dict("list"))
    np.testing.assert_array_equal(log_lik(panel(FORMULA, frame)), log_lik(panel(FORMULA)))


def test_categories_of_another_library_keep_their_order():
    words = np.array(["low", "middle", "high"])
    frame = pl.DataFrame(FRAME.to_dict("list")).with_columns(
        pl.Series("grade", words[FRAME["grade"]], dtype=pl.Enum(words.tolist()))
    )
    found = panel("grade ~ x", frame, family="ordered logit")
    assert found.model.family.categories == ("low", "middle", "high")
    np.testing.assert_array_equal(
        log_lik(found), log_lik(panel("grade ~ x", family="ordered logit"))
    )


def test_rows_with_missing_values_are_left_out_and_counted():
    frame = FRAME.copy()
    rows = frame.index[:6].tolist()
    frame.loc[rows[0], "x"] = np.nan
    frame.loc[rows[1], ["x", "wage"]] = np.nan
    frame.loc[rows[2], "region"] = None
    frame.loc[rows[3], "town"] = None
    frame["unit"] = frame["unit"].astype(float)
    frame.loc[rows[4], "unit"] = np.nan
    found = panel("wage ~ x + C(region)", frame, clusters="town")
    assert found.dropped == {"unit": 1, "`wage`": 1, "`x`": 1, "`region`": 1, "`town`": 1}
    assert found.num_rows == len(frame) - 5
    assert "Left out: 1 row without unit, 1 row without `wage`" in repr(found)
    expected = panel("wage ~ x + C(region)", frame.drop(rows[:5]))
    np.testing.assert_array_equal(log_lik(found), log_lik(expected))


def test_lags_and_initial_values():
    """A year that is missing leaves a gap, and not the year before in its place."""
    frame = pd.DataFrame(
        {
            "unit": [1, 1, 1, 1, 2, 2, 2, 3, 3],
            "year": [2000, 2001, 2003, 2004, 2001, 2002, 2003, 2000, 2001],
            "y": [1.0, 2.0, 4.0, 8.0, 3.0, 1.0, 2.0, 5.0, 3.0],
        }
    )
    found = panel("y ~ lag(y) + initial(y)", frame.iloc[::-1], center=False)
    assert found.num_rows == 5
    assert found.dropped == {"an earlier row": 4}
    x, mask = np.asarray(found.data["x"]), np.asarray(found.data["mask"])
    np.testing.assert_array_equal(x[mask][:, 0], [1.0, 4.0, 3.0, 1.0, 5.0])
    np.testing.assert_array_equal(x[mask][:, 1], [1.0, 1.0, 3.0, 3.0, 5.0])
    np.testing.assert_array_equal(np.asarray(found.data["rows"]["y"])[mask], [2, 8, 1, 2, 3])
    # Where a lag comes from, among the rows that are used: -1 for a year that is not.
    np.testing.assert_array_equal(np.asarray(found.data["source"])[mask][:, 0], [-1, -1, -1, 0, -1])
    second = panel("y ~ lag(y, 2)", frame, center=False, family="poisson")
    kept = np.asarray(second.data["x"])[np.asarray(second.data["mask"])][:, 0]
    np.testing.assert_array_equal(kept, [2.0, 3.0])


def test_what_lags_and_initial_values_lack():
    """A year that is not there, one whose value is missing, and a first value that is missing."""
    frame = pd.DataFrame(
        {
            "unit": [1, 1, 1, 1, 2, 2, 2, 3, 3, 3],
            "year": [0, 1, 2, 3, 0, 1, 2, 0, 1, 2],
            "y": [1.0, 2.0, np.nan, 3.0, np.nan, 2.0, 4.0, 5.0, 3.0, 8.0],
            "x": [1.0, 0.0, 2.0, 5.0, 3.0, 1.0, 7.0, 2.0, 9.0, 4.0],
        }
    )
    found = panel("y ~ x + lag(y)", frame)
    assert found.dropped == {"`y`": 2, "an earlier row": 2, "an earlier value": 2}
    found = panel("y ~ x + initial(y)", frame)
    assert found.dropped == {"`y`": 2, "a first value": 2}
    # Of a value that is not there a comparison would make a zero.
    found = panel("x ~ I(lag(y) > 1)", frame)
    assert found.num_rows == 5
    assert found.dropped == {"`y`": 1, "an earlier row": 2, "an earlier value": 2}


def test_columns_that_follow_drawn_outcomes():
    from spmlex.panel._lags import Lag

    found = panel("visits ~ x + log(1 + lag(visits)) + I(lag(visits) > 0)", family="poisson")
    assert found.model.lags == (
        Lag("log(1 + lag(visits))", 1, "log(1 + lagged)"),
        Lag("I(lag(visits) > 0)", 1, "I(lagged > 0)"),
    )
    values = [np.asarray(lag(jnp.asarray([0.0, 2.0]))) for lag in found.model.lags]
    np.testing.assert_allclose(values, [[0.0, np.log(3.0)], [0.0, 1.0]], rtol=1e-15)
    assert found.model.can_draw
    for other in ("lag(visits)*x", "log(lag(visits) + lag(visits, 2) + 1)", "poly(lag(visits), 2)"):
        assert not panel(f"visits ~ {other}", family="poisson").model.can_draw


def test_units_are_followed_until_a_count_exceeds_those_of_the_sample():
    """With an effect of 2 and a lag in the log mean counts would grow without bound."""
    import jax

    found = panel("visits ~ x + lag(visits)", family="poisson", center=False)
    model = type(found.model)(jnp.asarray([0.0, 0.5]), *list(vars(found.model).values())[1:])
    drawn = model.sample(jax.random.key(0), found.data, jnp.full(40, 2.0))
    mask, before = np.asarray(drawn["mask"]), np.asarray(found.data["mask"])
    y, largest = np.asarray(drawn["rows"]["y"]), np.asarray(found.data["rows"]["y"])[before].max()
    exceeds = np.cumsum(np.where(before, y > largest, False), axis=1)
    np.testing.assert_array_equal(mask, before & (exceeds - (y > largest) == 0))
    assert 20 <= np.sum((mask != before).any(axis=1)) < 40
    lags = np.asarray(drawn["x"])[:, 1:, 1]
    seen = mask[:, 1:] & (np.asarray(drawn["source"])[:, 1:, 0] >= 0)
    np.testing.assert_array_equal(lags[seen], y[:, :-1][seen])
    assert np.isfinite(np.asarray(model.lclk(drawn, jnp.asarray([-3.0, 0.0, 3.0])))).all()


def test_means_within_units():
    frame = FRAME.assign(born=FRAME["unit"] % 7)
    found = panel("wage ~ x + born + lag(wage) + C(region)", frame, means=True, center=False)
    # Not of what does not vary within units, nor of outcomes.
    assert [name for name in found.model.columns if name.startswith("mean(")] == [
        "mean(x)", "mean(C(region)[T.south])", "mean(C(region)[T.west])",
    ]  # fmt: skip
    x, mask = np.asarray(found.data["x"]), np.asarray(found.data["mask"])
    place = found.model.columns.index("x")
    own = [np.mean(rows[is_row, place]) for rows, is_row in zip(x, mask, strict=True)]
    np.testing.assert_allclose(x[:, 0, found.model.columns.index("mean(x)")], own, rtol=1e-14)


def test_what_is_known_of_units():
    found = panel("wage ~ x", weights="size", groups="town", clusters="region2",
                  frame=FRAME.assign(region2=FRAME["unit"] // 10))  # fmt: skip
    by_unit = FRAME.drop_duplicates("unit").set_index("unit").sort_index()
    np.testing.assert_array_equal(found.weights, by_unit["size"])
    assert found.group_labels.tolist() == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(found.groups, np.arange(40) % 4)
    np.testing.assert_array_equal(found.clusters, np.arange(40) // 10)
    first = panel("union ~ x + lag(union)", family="logit", groups="initial(union)")
    start = FRAME.sort_values("year").groupby("unit")["union"].first()
    np.testing.assert_array_equal(first.group_labels[first.groups], start[first.units])


def test_pooled_estimates_are_those_of_least_squares_and_of_scores_of_zero():
    found = panel("wage ~ x + C(region)", center=False)
    frame = FRAME.sort_values(["unit", "year"])
    design = np.column_stack([np.ones(len(frame)), frame["x"], frame["region"] == "south",
                              frame["region"] == "west"]).astype(float)  # fmt: skip
    coef, squares = np.linalg.lstsq(design, frame["wage"], rcond=None)[:2]
    np.testing.assert_allclose(found.model.beta, coef[1:], rtol=1e-12)
    np.testing.assert_allclose(
        np.exp(2 * found.model.shape[0]), squares[0] / len(frame), rtol=1e-12
    )
    poisson = panel("visits ~ x", family="poisson", center=False)
    intercept, slope = poisson._pooled.coef
    error = frame["visits"] - np.exp(intercept + slope * frame["x"])
    # The search ends where the mean score is below eps to the power 3/4.
    assert abs(error.mean()) <= 1e-11
    assert abs((error * frame["x"]).mean()) <= 1e-11


def test_regressors_are_measured_from_their_means():
    raw, centred = panel("wage ~ x + w", center=False), panel("wage ~ x + w")
    np.testing.assert_allclose(centred.model.beta, raw.model.beta, rtol=1e-12)
    shift = np.asarray(raw.model.beta) @ FRAME[["x", "w"]].mean().to_numpy()
    moved = raw.model.lclk(raw.data, jnp.asarray(POINTS - shift))
    np.testing.assert_allclose(log_lik(centred), moved, rtol=1e-11, atol=1e-11)
    slope = panel("wage ~ x + w", heterogeneous="0 + x", grid=[0.0, 1.0])
    assert slope.model.columns == ("Intercept", "w")
    assert np.ptp(np.asarray(slope.data["x"])[..., 0]) == 0


def test_a_grid_that_is_chosen():
    from spmlex.panel import Panel

    found = Panel("visits ~ x", FRAME, family="poisson", **KEYS)
    supp = np.asarray(found.supp)
    assert 61 <= supp.size <= 201
    np.testing.assert_allclose(np.diff(supp), supp[1] - supp[0], rtol=1e-10)
    # It reaches beyond what any unit wants, or is within a hundredth of it, found in two steps.
    wide = np.linspace(supp[0] - 10, supp[-1] + 10, 2001)
    values = np.asarray(found.model.lclk(found.data, jnp.asarray(wide)))
    own = values[:, (wide >= supp[0]) & (wide <= supp[-1])]
    assert np.all(own.max(axis=1) >= values.max(axis=1) - 0.021)
    several = Panel("wage ~ w", FRAME, heterogeneous="1 + x", **KEYS)
    assert list(several.supp) == ["Intercept", "x"]
    assert len(np.unique(several.supp["x"])) == len(np.unique(several.supp["Intercept"])) == 25
