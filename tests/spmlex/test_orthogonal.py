"""The orthogonal estimator, where expectations are exact sums."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import spmlex
from spmlex._orthogonal._outcomes import Outcomes
from spmlex._orthogonal._sample import Sample
from spmlex._table import number

from .orthogonal_models import DrawnLogit, Logit, logit_data

SUPP = jnp.linspace(-3.0, 3.0, 9)
NAMES = ("beta[0]", "beta[1]")
# Distributions on the grid, none of them the working one.
DISTRIBUTIONS = {
    "one point": np.eye(9)[6],
    "two points": 0.3 * np.eye(9)[1] + 0.7 * np.eye(9)[7],
    "skewed": np.arange(9.0) ** 2 / np.sum(np.arange(9.0) ** 2),
}
# Sums of some thousand terms of order one, and a solve with a matrix whose smallest eigenvalue is
# the ridge of 1e-4: 1e-16 * 1e3 / 1e-4.
ROUNDING = 1e-9


def sample_of(data, weights, labels=None, num_groups=1):
    """Units for the moments, as the estimator makes them."""
    held = Logit(None)
    labels = jnp.zeros(len(weights), int) if labels is None else jnp.asarray(labels)
    return Sample(held, data, SUPP, np.asarray(weights) / np.sum(weights), labels, num_groups)


def mixture(model, data, probs):
    """Density of each unit's outcomes under masses on the grid."""
    return np.exp(np.asarray(model.lclk(data, SUPP))) @ probs


def population(model, data, probs):
    """Every outcome of every unit, weighted by its probability: a sample without noise."""
    stacked = model.all_outcomes(data)
    num = stacked["y"].shape[0]
    rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), stacked)
    weights = mixture(model, rows, probs) / data["y"].shape[0]
    return rows, weights, num


@pytest.fixture(scope="module")
def working():
    weights = np.exp(-0.5 * np.asarray(SUPP) ** 2 / 2.0)
    return (weights / weights.sum())[:, None]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_mean_is_zero_under_any_distribution(name, working):
    """E ψ is what the ridge leaves, exactly, under distributions that are not the working one."""
    model, data, ridge = Logit(jnp.array([0.8, -0.4])), logit_data(40, 3), 1e-4
    rows, weights, num = population(model, data, DISTRIBUTIONS[name])
    params = Logit(model.beta)
    everywhere = sample_of(rows, weights)
    # Γ is from expectations given the covariates of the units alone, so the units are the sample.
    units = sample_of(data, np.ones(40))
    slopes = Outcomes(units, params, working, jax.random.key(0), NAMES).moments(params, ridge)
    terms = everywhere.terms(params, rows, working)
    psi = np.asarray(terms.scores) - np.asarray(terms.ratios) @ slopes.slopes[0]
    mean = everywhere.weights @ psi
    left = ridge * (DISTRIBUTIONS[name] / np.sqrt(working[:, 0])) @ slopes.slopes[0]
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(mean, left, atol=ROUNDING)
    # The score itself is not orthogonal: this is what the projection is for.
    assert np.abs(everywhere.weights @ np.asarray(terms.scores)).max() > 1e-3
    assert num == 8


def test_scores_and_jacobian_against_differences(working):
    """s is the derivative of log p, and J minus that of the mean, under the working model."""
    model, data = Logit(jnp.array([0.8, -0.4])), logit_data(40, 3)
    rows, weights, _ = population(model, data, working[:, 0])
    sample, params = sample_of(rows, weights), Logit(model.beta)
    step = 1e-6
    # Units of the population have the covariates of the units, so that expectations are the same.
    units = sample_of(data, np.ones(40))

    def mean(beta):
        moved = Logit(jnp.asarray(beta))
        moments = Outcomes(units, params, working, jax.random.key(0), NAMES).moments(moved, 1e-4)
        terms = sample.terms(moved, rows, working)
        psi = np.asarray(terms.scores) - np.asarray(terms.ratios) @ moments.slopes[0]
        return sample.weights @ psi, np.asarray(terms.log_mix)

    here = Outcomes(units, params, working, jax.random.key(0), NAMES).moments(params, 1e-4)
    scores = np.asarray(sample.terms(params, rows, working).scores)
    for k in range(2):
        ends = [mean(np.asarray(model.beta) + s * step * np.eye(2)[k]) for s in (-1, 1)]
        slope = (ends[1][0] - ends[0][0]) / (2 * step)
        by_unit = (ends[1][1] - ends[0][1]) / (2 * step)
        # Central differences: step² times third derivatives, and rounding over the step.
        np.testing.assert_allclose(scores[:, k], by_unit, atol=1e-8)
        np.testing.assert_allclose(-slope, here.jacobian[:, k], atol=1e-8)


def test_two_periods_are_conditional_logit():
    """With one regressor pattern the distribution says nothing of n01/n10, and that is all."""
    counts = {(0, 0): 60, (0, 1): 45, (1, 0): 20, (1, 1): 40}
    y = np.repeat(np.array(list(counts)), list(counts.values()), axis=0).astype(float)
    x = np.zeros((len(y), 2, 1))
    x[:, 1, 0] = 1.0
    data = {"y": jnp.asarray(y), "x": jnp.asarray(x)}
    found = spmlex.fit_orthogonal(
        Logit(jnp.zeros(1)),
        data,
        SUPP,
        jax.random.key(0),
        options=spmlex.Orthogonal(ridge=1e-9),
    )
    assert found.result == spmlex.RESULTS.successful
    assert found.moment_norm <= 1e-6
    # The ridge is 1e-9 of the largest eigenvalue, and the smallest of those that matter is 1e-3.
    np.testing.assert_allclose(found.estimates, np.log(45 / 20), atol=1e-5)
    # That of log(n01/n10) is the root of 1/n01 + 1/n10; leaving a unit out adds parts of 1/n.
    assert found.std_errors()[0] == pytest.approx(np.sqrt(1 / 45 + 1 / 20), rel=2 / 65)


@pytest.fixture(scope="module")
def listed():
    data = logit_data(120, 3)
    return data, spmlex.fit_orthogonal(Logit(jnp.zeros(2)), data, SUPP, jax.random.key(0))


def test_a_root_is_certified(listed):
    _, found = listed
    assert found.result == spmlex.RESULTS.successful
    assert found.moment_norm <= 1e-6
    assert found.stats["exact"]
    assert found.stats["num_draws"] == 8
    assert found.stats["simulation_share"] == 0.0
    assert 0 < found.stats["information"] <= 1
    assert "Orthogonal estimates" in str(found)
    assert found.param_names == NAMES


def test_intervals_are_drawn(listed):
    _, found = listed
    ax = spmlex.plot_coefficients({"orthogonal": found}, level=0.9)
    marks, _, (bars,) = ax.containers[0]
    np.testing.assert_array_equal(marks.get_xdata(), found.estimates)
    ends = np.array([segment[:, 0] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, found.conf_int(0.9), rtol=1e-12)
    plt.close(ax.figure)


def test_draws_agree_with_sums(listed):
    """The estimate from draws is off by the error that it reports."""
    data, exact = listed
    found = spmlex.fit_orthogonal(DrawnLogit(jnp.zeros(2)), data, SUPP, jax.random.key(1))
    assert found.result == spmlex.RESULTS.successful
    assert not found.stats["exact"]
    assert 0 < found.stats["simulation_share"] <= 0.25
    # Four standard errors of the draws, of two parameters: one in ten thousand.
    error = found.stats["simulation_share"] * exact.std_errors()
    assert (np.abs(found.estimates - exact.estimates) <= 4 * error).all()
    # A share of 0.25 adds 3% to them, and moves the slopes that they are made of by parts of it.
    np.testing.assert_allclose(found.std_errors(), exact.std_errors(), rtol=0.1)
    again = spmlex.fit_orthogonal(DrawnLogit(jnp.zeros(2)), data, SUPP, jax.random.key(1))
    np.testing.assert_array_equal(again.estimates, found.estimates)


def test_the_slope_under_another_distribution(working):
    """Minus the derivative of E_F ψ in θ, where F is not the working distribution."""
    model, data, probs = Logit(jnp.array([0.8, -0.4])), logit_data(40, 3), DISTRIBUTIONS["skewed"]
    rows, weights, _ = population(model, data, probs)
    sample, units, ridge, step = sample_of(rows, weights), sample_of(data, np.ones(40)), 1e-8, 1e-5
    outcomes = Outcomes(units, Logit(model.beta), working, jax.random.key(0), NAMES)

    def mean(beta):
        moved = Logit(jnp.asarray(beta))
        slopes = outcomes.moments(moved, ridge).slopes[0]
        terms = sample.terms(moved, rows, working)
        return sample.weights @ (np.asarray(terms.scores) - np.asarray(terms.ratios) @ slopes)

    here = outcomes.moments(model, ridge)
    slope = outcomes.slope(model, here, probs[:, None])
    for k in range(2):
        ends = [mean(np.asarray(model.beta) + s * step * np.eye(2)[k]) for s in (-1, 1)]
        # The ridge keeps E_F ψ from being zero at every θ, by parts of its root here.
        np.testing.assert_allclose((ends[0] - ends[1]) / (2 * step), slope[:, k], atol=1e-4)
    # Under the working distribution it is J.
    own = outcomes.slope(model, here, working)
    np.testing.assert_allclose(own, here.jacobian, atol=ROUNDING)
    assert np.abs(slope - own).max() > 1e-3


def test_it_starts_from_a_fit_or_from_anywhere(listed):
    data, found = listed
    fitted = spmlex.fit(Logit(jnp.zeros(2)), data, SUPP).orthogonal(jax.random.key(0))
    far = spmlex.fit_orthogonal(Logit(jnp.array([3.0, 3.0])), data, SUPP, jax.random.key(0))
    for other in (fitted, far):
        assert other.result == spmlex.RESULTS.successful
        # The working distribution is made at the first root, whose tolerance is 0.1 standard errors
        # and matters to second order.
        np.testing.assert_allclose(
            other.estimates, found.estimates, atol=0.01 * found.std_errors().min()
        )


def test_weights_are_repetitions(listed):
    data, _ = listed
    weights = np.arange(120) % 3
    rows = np.repeat(np.arange(120), weights)
    repeated = jax.tree.map(lambda x: x[rows], data)
    broken = {"y": data["y"].at[0].set(jnp.nan), "x": data["x"]}
    one = spmlex.fit_orthogonal(
        Logit(jnp.zeros(2)), broken, SUPP, jax.random.key(0), weights=1.0 * weights
    )
    other = spmlex.fit_orthogonal(Logit(jnp.zeros(2)), repeated, SUPP, jax.random.key(0))
    assert one.result == other.result == spmlex.RESULTS.successful
    # The same sums in another order; the start, and with it the working distribution, is found to a
    # tolerance of one of its standard errors, which depends on the number of units.
    tol = 0.02 * one.std_errors().min()
    np.testing.assert_allclose(one.estimates, other.estimates, atol=tol)
    # Rows that are one unit are one cluster.
    np.testing.assert_allclose(one.std_errors(), other.std_errors(clusters=rows), rtol=0.02)


def test_groups_have_distributions_of_their_own(working):
    """Orthogonal to each group's distribution, with unequal shares."""
    model, data, ridge = Logit(jnp.array([0.8, -0.4])), logit_data(40, 3), 1e-4
    labels = (np.arange(40) % 4 == 0).astype(int)
    masses = np.stack([DISTRIBUTIONS["one point"], DISTRIBUTIONS["skewed"]], axis=1)
    both = np.concatenate([working, DISTRIBUTIONS["two points"][:, None] * 0.5 + 0.5 / 9], axis=1)
    stacked = model.all_outcomes(data)
    rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), stacked)
    own = np.tile(labels, 8)
    lik = np.exp(np.asarray(model.lclk(rows, SUPP)))
    weights = np.sum(lik * masses.T[own], axis=1) / 40
    params = Logit(model.beta)
    everywhere = sample_of(rows, weights, own, 2)
    units = sample_of(data, np.ones(40), labels, 2)
    moments = Outcomes(units, params, both, jax.random.key(0), NAMES).moments(params, ridge)
    terms = everywhere.terms(params, rows, both)
    explained = np.einsum("nm,nmp->np", np.asarray(terms.ratios), moments.slopes[own])
    mean = everywhere.weights @ (np.asarray(terms.scores) - explained)
    left = ridge * np.einsum(
        "mg,gmp,g->p", masses / np.sqrt(both), moments.slopes, np.array([0.75, 0.25])
    )
    np.testing.assert_allclose(mean, left, atol=ROUNDING)


def test_groups_that_are_copies():
    data = logit_data(80, 3)
    twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), data)
    one = spmlex.fit_orthogonal(Logit(jnp.zeros(2)), twice, SUPP, jax.random.key(0))
    two = spmlex.fit_orthogonal(
        Logit(jnp.zeros(2)), twice, SUPP, jax.random.key(0), groups=np.arange(160) // 80
    )
    assert one.result == two.result == spmlex.RESULTS.successful
    assert two.working.shape == (9, 2)
    # All sums are the same but for their order.
    np.testing.assert_allclose(one.estimates, two.estimates, atol=1e-6)
    np.testing.assert_allclose(one.cov(), two.cov(), rtol=1e-4)


def test_tests_and_intervals_agree(listed):
    _, found = listed
    index, name = 0, NAMES[0]
    estimate, error = found.estimates[index], found.std_errors()[index]
    at_estimate = found.score_test(name, float(estimate))
    # The others are found to a norm of 1e-4.
    assert abs(at_estimate.statistic) <= 1e-3
    lower, upper = found.score_interval(name)
    for end, sign in ((lower, 1), (upper, -1)):
        tested = found.score_test(name, end)
        # An end is found to 1e-3 standard errors.
        assert tested.statistic == pytest.approx(sign * 1.959964, abs=5e-3)
        assert tested.p_value == pytest.approx(0.05, abs=1e-3)
    assert lower < estimate < upper
    wald = found.wald_test(lambda model: model.beta[0] - 0.2)
    assert wald.df == 1
    assert wald.statistic == pytest.approx(((estimate - 0.2) / error) ** 2, rel=1e-10)
    z = (estimate - 0.2) / error
    assert wald.p_value == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), rel=1e-6)
    np.testing.assert_allclose(
        found.conf_int()[index], estimate + 1.959964 * error * np.array([-1, 1])
    )
    doubled = found.delta(lambda model: 2 * model.beta)
    np.testing.assert_allclose(doubled.std_errors, 2 * found.std_errors(), rtol=1e-10)
    assert found.delta(lambda model: {"first": model.beta[0]}).names == ("first",)
    with pytest.raises(TypeError, match=r"`function\(model\)`, but takes `\(model, probs\)`"):
        found.delta(lambda model, probs: model.beta)
    # Printed as tables, with the numbers that they hold.
    words = " ".join(str(wald).split())
    assert (
        f"statistic df p {'-' * 58} chi-squared {wald.statistic:.6f} 1 {wald.p_value:.3f}" in words
    )
    words = " ".join(str(at_estimate).split())
    assert f"standard normal {number(at_estimate.statistic)} {at_estimate.p_value:.3f}" in words


def test_averages_are_moments_of_the_outcomes():
    """In a sample without noise an average is off by less than its bound, and no more."""
    model, data = Logit(jnp.array([0.8, -0.4])), logit_data(40, 3)
    probs = DISTRIBUTIONS["two points"]
    rows, weights, _ = population(model, data, probs)
    found = spmlex.fit_orthogonal(model, rows, SUPP, jax.random.key(0), weights=weights)
    assert found.result == spmlex.RESULTS.successful
    # The root is off by what the ridge leaves, parts of a standard error.
    assert (np.abs(found.estimates - model.beta) <= 0.05 * found.std_errors()).all()
    assert found.stats["ridge_bias"] <= 0.05
    values = {
        "mean": lambda model, data, supp: supp,
        "share": lambda model, data, supp: jnp.where(supp > 0, 1.0, 0.0),
        "effect": lambda model, data, supp: jax.nn.sigmoid(
            (data["x"][:, 0] @ model.beta)[:, None] + supp[None, :]
        ),
    }
    for name, function in values.items():
        got = found.average(function)
        t = np.asarray(function(model, rows, SUPP))
        truth = t @ probs if t.ndim == 1 else np.asarray(weights) / weights.sum() @ t @ probs
        # The root's own bias moves the average by as much.
        assert abs(got.value - truth) <= got.bias_bound + 5e-3, name
        lower, upper = got.conf_int()
        assert lower < truth < upper
        assert upper - lower >= 2 * 1.64 * got.std_errors
    # Several at once, by their names, as a table with the bounds.
    both = found.average(lambda *args: {name: values[name](*args) for name in ("mean", "effect")})
    assert both.names == ("mean", "effect")
    np.testing.assert_allclose(both.value[0], found.average(values["mean"]).value, rtol=1e-10)
    table = both.summary()
    np.testing.assert_array_equal(table.numbers["bias bound"], both.bias_bound)
    np.testing.assert_array_equal(table.numbers["[0.025"], both.conf_int()[:, 0])
    assert "whatever the distribution on the grid" in " ".join(str(both).split())
    # Three outcomes hardly tell where exactly the mass is, but they do tell of probabilities.
    bounds = [float(found.average(values[k]).bias_bound) for k in ("share", "effect")]
    assert bounds[1] < 0.1 * bounds[0]


def test_a_constant_is_refused():
    data = logit_data(120, 3)
    x = jnp.concatenate([data["x"], jnp.ones((120, 3, 1))], axis=2)
    model = Logit(jnp.zeros(3))
    with pytest.raises(RuntimeError, match=r"leaves no information"):
        spmlex.fit_orthogonal(model, data | {"x": x}, SUPP, jax.random.key(0))
    found = spmlex.fit_orthogonal(model, data | {"x": x}, SUPP, jax.random.key(0), throw=False)
    assert found.result == spmlex.RESULTS.no_information
    assert "No standard errors" in str(found)
    with pytest.raises(RuntimeError, match=r"no information"):
        found.cov()


def test_single_precision():
    data = jax.tree.map(lambda x: x.astype(jnp.float32), logit_data(120, 3))
    model = Logit(jnp.zeros(2, jnp.float32))
    found = spmlex.fit_orthogonal(model, data, SUPP.astype(jnp.float32), jax.random.key(0))
    double = spmlex.fit_orthogonal(Logit(jnp.zeros(2)), logit_data(120, 3), SUPP, jax.random.key(0))
    assert found.result == spmlex.RESULTS.successful
    assert found.estimates.dtype == np.float32
    assert found.moment_norm <= 1e-2
    # The tolerance of a root in single precision, 1e-2 standard errors, and rounding.
    assert (np.abs(found.estimates - double.estimates) <= 0.05 * double.std_errors()).all()


def test_sensitivity_is_a_table_of_roots(listed):
    data, found = listed
    table = found.sensitivity()
    assert table.index[0] == "as reported"
    np.testing.assert_allclose(table.numbers["beta[0]", "estimate"][0], found.estimates[0])
    small = spmlex.fit_orthogonal(
        Logit(jnp.zeros(2)), data, SUPP, jax.random.key(0), options=spmlex.Orthogonal(ridge=1e-5)
    )
    row = table.index.index("ridge 1e-05")
    # Its working distribution is made at the estimates, that of the other close to its start.
    tol = 0.01 * small.std_errors()[0]
    assert table.numbers["beta[0]", "estimate"][row] == pytest.approx(small.estimates[0], abs=tol)
    assert np.isfinite(table.numbers["beta[1]", "std. err."]).all()


def test_clusters_sum_before_squaring(listed):
    _, found = listed
    each = found.std_errors(clusters=np.arange(120))
    np.testing.assert_allclose(each, found.std_errors(), rtol=1e-10)
    pairs = found.std_errors(clusters=np.arange(120) // 2)
    assert not np.allclose(pairs, each)
    assert "60 clusters" in str(found.summary(clusters=np.arange(120) // 2))


def test_no_root_is_said():
    """Without a step there is no root: reported, or raised with the table."""
    data = logit_data(120, 3)
    model = Logit(jnp.array([2.0, 2.0]))
    found = spmlex.fit_orthogonal(model, data, SUPP, jax.random.key(0), max_steps=1, throw=False)
    assert found.result == spmlex.RESULTS.no_root
    assert "NO" in str(found)
    with pytest.raises(RuntimeError, match="No root"):
        found.std_errors()
    with pytest.raises(RuntimeError, match="Where it ended"):
        spmlex.fit_orthogonal(model, data, SUPP, jax.random.key(0), max_steps=1)


def test_flat_parameters_are_in_the_order_of_names():
    assert ravel_pytree(Logit(jnp.arange(2.0)))[0].shape == (2,)
    assert eqx.is_array(Logit(jnp.arange(2.0)).beta)


def test_a_file_holds_it(listed, tmp_path):
    """Numbers to the last bit, with and without the data; and what needs them says so."""
    data, found = listed
    found.save(tmp_path / "logit.npz")
    for given in (None, data):
        read = spmlex.load(tmp_path / "logit.npz", Logit(jnp.zeros(2)), data=given)
        assert isinstance(read, spmlex.OrthogonalResult)
        assert read.result == spmlex.RESULTS.successful
        np.testing.assert_array_equal(read.estimates, found.estimates)
        np.testing.assert_array_equal(read.cov(), found.cov())
        assert str(read) == str(found)
    assert read.score_test(NAMES[0], 0.5) == found.score_test(NAMES[0], 0.5)
    bare = spmlex.load(tmp_path / "logit.npz", Logit(jnp.zeros(2)))
    bare.save(tmp_path / "again.npz")
    again = spmlex.load(tmp_path / "again.npz", Logit(jnp.zeros(2)), data=data)
    np.testing.assert_array_equal(again.cov(), found.cov())
    with pytest.raises(RuntimeError, match="loaded without its data"):
        bare.score_test(NAMES[0], 0.5)
    other = data | {"y": data["y"].at[7].set(1 - data["y"][7])}
    with pytest.raises(ValueError, match=r"`data` are not those.*unit 7 "):
        spmlex.load(tmp_path / "logit.npz", Logit(jnp.zeros(2)), data=other)
    with pytest.raises(ValueError, match="holds 60 units"):
        spmlex.load(tmp_path / "logit.npz", Logit(jnp.zeros(2)), data=logit_data(60, 3))


def test_a_function_with_its_outcomes(listed):
    """The same model written as functions."""
    data, found = listed

    def lclk(params, data, supp):
        return Logit(params["beta"]).lclk(data, supp)

    def lister(params, data):
        return Logit(params["beta"]).all_outcomes(data)

    start = {"beta": jnp.zeros(2)}
    other = spmlex.fit_orthogonal(
        spmlex.FunctionModel(start, lclk, lister=lister), data, SUPP, jax.random.key(0)
    )
    assert other.result == spmlex.RESULTS.successful
    np.testing.assert_allclose(other.estimates, found.estimates, atol=ROUNDING)
    with pytest.raises(TypeError, match=r"`sampler\(params, key, data, latent\)`"):
        spmlex.fit_orthogonal(spmlex.FunctionModel(start, lclk), data, SUPP, jax.random.key(0))
