"""Predictions and average effects of panels, beside sums written out by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from .helpers import raises
from .panels import unbalanced

FRAME = unbalanced(num_units=60)
KEYS = {"unit": "unit", "time": "year"}
GRID = np.linspace(-2.0, 2.0, 17)


def fitted(formula, **options):
    from spmlex.panel import Panel

    return Panel(formula, FRAME, **KEYS | {"grid": GRID, "center": False} | options).fit(starts=1)


@pytest.fixture(scope="module")
def logit():
    return fitted("union ~ x + w + I(w**2) + C(region) + ended + x:ended", family="logit")


@pytest.fixture(scope="module")
def normal():
    return fitted("wage ~ x + w + ended", clusters="town")


def index_of(result, frame):
    """x'β + v of each row at each active point, with the masses."""
    beta = dict(zip(result.param_names, result.estimates, strict=True))
    common = sum(beta.get(name, 0.0) * frame[name] for name in ("x", "w", "ended"))
    common = common + beta.get("I(w ** 2)", 0.0) * frame["w"] ** 2
    common = common + beta.get("x:ended", 0.0) * frame["x"] * frame["ended"]
    for name in ("south", "west"):
        common = common + beta.get(f"C(region)[T.{name}]", 0.0) * (frame["region"] == name)
    probs = np.asarray(result.probs)
    active = probs > 0
    return common.to_numpy()[:, None] + np.asarray(result.supp)[active], probs[active]


def test_expected_outcomes_of_new_rows(logit):
    new = unbalanced(7, 10).drop(columns="union")
    index, masses = index_of(logit, new)
    found = logit.predict(new)
    assert found.index.tolist() == new.index.tolist()
    np.testing.assert_allclose(found, special.expit(index) @ masses, rtol=1e-12)
    probs = logit.predict_probs(new)
    assert probs.columns.tolist() == [0, 1]
    np.testing.assert_allclose(probs[1], found, rtol=1e-12)
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, rtol=1e-12)


def test_rows_with_missing_values_are_predicted_as_missing(logit):
    new = FRAME.copy()
    new.loc[new.index[2], "x"] = np.nan
    found = logit.predict(new)
    assert np.flatnonzero(found.isna()).tolist() == [2]
    complete = logit.predict()
    np.testing.assert_allclose(found.drop(new.index[2]), complete.drop(new.index[2]), rtol=1e-12)


def test_a_history_weights_the_latent_variable(logit):
    given = logit.predict(history="sample")
    index, masses = index_of(logit, FRAME)
    log_prob = np.where(FRAME["union"].to_numpy()[:, None] == 1, 1, -1) * index
    by_unit = pd.DataFrame(special.log_expit(log_prob)).groupby(FRAME["unit"].to_numpy()).sum()
    joint = np.exp(by_unit) * masses
    posterior = joint.div(joint.sum(axis=1), axis=0).loc[FRAME["unit"]].to_numpy()
    np.testing.assert_allclose(given, np.sum(special.expit(index) * posterior, axis=1), rtol=1e-10)
    # A frame of the same rows is the same history; new units have one of their own.
    again = logit.predict(FRAME, history=FRAME)
    np.testing.assert_allclose(again, given, rtol=1e-12)
    new = unbalanced(3, 5)
    new["unit"] += 1000
    assert logit.predict(new, history=new).notna().all()
    with raises(ValueError, "no history of unit 1000"):
        logit.predict(new, history="sample")
    with raises(ValueError, "`history` must be"):
        logit.predict(history="all")
    with raises(TypeError, "`history` must be a data frame", "bool"):
        logit.predict(history=True)
    with raises(ValueError, "`history` needs the outcome `union`"):
        logit.predict(new, history=new.drop(columns="union"))


def test_new_rows_need_not_say_whose_they_are(logit):
    new = unbalanced(7, 4)
    alone = logit.predict(new.drop(columns=["unit", "year"]))
    np.testing.assert_allclose(alone, logit.predict(new), rtol=1e-14)
    with raises(ValueError, "`unit` names 'unit'"):
        logit.predict(new.drop(columns="unit"), history="sample")


@pytest.mark.slow  # fits of a shape of their own
def test_quantiles_are_those_of_the_mixture(normal):
    new = unbalanced(7, 4)
    index, masses = index_of(normal, new)
    sigma = np.exp(normal.estimates[-1])
    found = normal.predict_quantiles(new, [0.1, 0.5])
    assert found.columns.tolist() == [0.1, 0.5]
    for level in (0.1, 0.5):
        below = stats.norm.cdf((found[level].to_numpy()[:, None] - index) / sigma) @ masses
        np.testing.assert_allclose(below, level, rtol=1e-9)


@pytest.mark.slow  # fits of a shape of their own
def test_quantiles_and_probabilities_of_counts(without_annotations):
    result = fitted("visits ~ x + w", family="poisson")
    index, masses = index_of(result, FRAME)
    probs = result.predict_probs()
    assert probs.columns.tolist() == list(range(int(FRAME["visits"].max()) + 1))
    np.testing.assert_allclose(probs[2], stats.poisson.pmf(2, np.exp(index)) @ masses, rtol=1e-10)
    for level in (0.3, 0.9):
        found = result.predict_quantiles(levels=level)[level].to_numpy()
        at, before = (
            stats.poisson.cdf((found - less)[:, None], np.exp(index)) @ masses for less in (0, 1)
        )
        assert np.all((at >= level) & (before < level))
    few = result.predict_probs(FRAME.head(3), [0, 100])
    assert few.shape == (3, 2)
    np.testing.assert_array_equal(result.predict_probs(FRAME.head(3), 0)[0], few[0])
    for values in ([0.5], [-1], "two"):
        with raises(ValueError, "`values` must be counts, such as"):
            result.predict_probs(values=values)


def test_effects_in_a_linear_model_are_its_coefficients(normal):
    found = normal.average_effects("x", "ended")
    places = [normal.param_names.index(name) for name in ("x", "ended")]
    np.testing.assert_allclose(found.value, normal.estimates[places], rtol=1e-10)
    np.testing.assert_allclose(found.std_errors, normal.std_errors()[places], rtol=1e-8)
    by_town = normal.panel.clusters
    # The clusters of the panel are those of its results.
    clustered = normal.average_effects("x", kind="cluster")
    np.testing.assert_allclose(
        clustered.std_errors, normal.std_errors("cluster", by_town)[places[:1]], rtol=1e-8
    )
    np.testing.assert_array_equal(
        normal.std_errors("cluster"), normal.std_errors("cluster", by_town)
    )
    table = found.summary()
    assert table.columns == ("estimate", "std. err.")
    assert table.title == "Average effects"
    assert dict(table.header) == {"Family": "normal", "Rows": f"{len(FRAME)}",
                                  "Standard errors": "hessian"}  # fmt: skip
    assert "of `x` the derivative; of `ended` one beside zero." in table.notes[0]
    assert "too small" in table.notes[1]
    assert found.summary(level=0.9).columns[-1] == "0.95]"
    assert clustered.summary().columns[-1] == "0.975]"
    assert normal.average_effects().names == ("ended", "w", "x")


def test_effects_beside_changed_frames(logit):
    """Derivatives beside differences of predictions, contrasts beside two predictions."""
    found = logit.average_effects("x", "w", "ended", "region")
    assert found.names == ("x", "w", "ended", "region[south]", "region[west]")

    def mean(**changes):
        return logit.predict(FRAME.assign(**changes)).mean()

    step = 1e-4
    expected = [
        (mean(**{name: FRAME[name] + step}) - mean(**{name: FRAME[name] - step})) / (2 * step)
        for name in ("x", "w")
    ]
    expected.append(mean(ended=1) - mean(ended=0))
    expected += [mean(region=name) - mean(region="north") for name in ("south", "west")]
    # Differences of second order leave 1e-9.
    np.testing.assert_allclose(found.value, expected, rtol=0, atol=1e-8)
    assert np.all(found.std_errors > 0)
    level = logit.average_prediction(ended=1)
    np.testing.assert_allclose(level.value, mean(ended=1), rtol=1e-12)
    np.testing.assert_allclose(logit.average_prediction().value, logit.predict().mean(), rtol=1e-12)
    column = logit.average_effects("x:ended")
    assert column.names == ("x:ended",)
    with raises(ValueError, r"`C\(region\)\[T.west\]` is one of 3 categories",
                r"`average_effects\('region'\)` has", "beside 'north'"):  # fmt: skip
        logit.average_effects("C(region)[T.west]")


@pytest.mark.slow  # fits of a shape of their own
def test_categories_have_a_probability_each():
    result = fitted("grade ~ x", family="ordered logit", weights="size")
    probs = result.predict_probs()
    assert probs.columns.tolist() == [0, 1, 2]
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(result.predict(), probs @ [0, 1, 2], rtol=1e-12)
    effects = result.average_effects("x")
    assert effects.names == ("x on 0", "x on 1", "x on 2")
    assert abs(effects.value.sum()) <= 1e-14
    # Weights of units are those of their rows.
    mean = np.average(probs[2], weights=FRAME["size"])
    np.testing.assert_allclose(result.average_prediction().value[2], mean, rtol=1e-12)


def test_what_is_not_there(logit, normal, without_annotations):
    with raises(ValueError, "`average_effects` names 'unions'", "'union'"):
        logit.average_effects("unions")
    with raises(ValueError, "`visits` does not stand right of the tilde", "C, ended|ended"):
        logit.average_effects("visits")
    with raises(ValueError, "categories", "'east'"):
        logit.predict(FRAME.assign(region="east"))
    with raises(ValueError, "`formula` names 'region', which is no column"):
        logit.predict(FRAME.drop(columns="region"))
    with raises(ValueError, "continuous", "`predict_quantiles`"):
        normal.predict_probs()
    with raises(ValueError, "`levels` must be between 0 and 1"):
        normal.predict_quantiles(levels=1.0)
    with raises(TypeError, r'`average_effects\("x", "z"\)`, not as list'):
        normal.average_effects(["x", "w"])
    with raises(ValueError, "`values` are for counts; these outcomes are"):
        logit.predict_probs(values=[0])
