"""Likelihood ratios, posteriors, averages, criteria and draws."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

from .helpers import log_lik_of, posterior
from .models import FactorModel, Problem, factor_problem

NUM_UNITS, NUM_POINTS = 300, 25
CRITICAL = 3.841458820694124
"""Quantile of chi-square with one degree of freedom, at 95%."""


@pytest.fixture(scope="module")
def problem():
    return factor_problem(NUM_UNITS, NUM_POINTS)


@pytest.fixture(scope="module")
def result(problem):
    import spmlex

    return spmlex.fit(*problem)


@pytest.fixture(scope="module")
def restricted(problem):
    """The second loading held at zero point three, the first at one and a half."""
    import spmlex

    start = eqx.tree_at(lambda m: m.coef, problem.model, jnp.array([1.5, 0.3]))
    return spmlex.fit(start, *problem[1:], free=FactorModel(False, True))


@pytest.fixture(scope="module")
def groups():
    return np.arange(NUM_UNITS) % 2


@pytest.fixture(scope="module")
def grouped(problem, groups):
    import spmlex

    return spmlex.fit(*problem, groups=groups)


def test_likelihood_ratio(result, restricted):
    import spmlex

    test = spmlex.likelihood_ratio_test(restricted, result)
    assert test.df == 2
    assert test.statistic == pytest.approx(2 * (result.loglik - restricted.loglik), abs=1e-9)
    assert test.p_value == pytest.approx(stats.chi2.sf(test.statistic, 2), rel=1e-9)
    # The restriction is true, and the Wald test of it much the same.
    off = restricted.estimates.size, result.estimates[:2] - np.array([1.5, 0.3])
    wald = off[1] @ np.linalg.solve(result.cov()[:2, :2], off[1])
    assert off[0] == 3
    # Both are quadratic to the first order in the distance, which is below two standard errors.
    assert test.statistic == pytest.approx(wald, rel=0.3)


def test_likelihood_ratio_of_what_is_not_nested(result, restricted, grouped):
    import spmlex

    with pytest.raises(ValueError, match="must have more parameters"):
        spmlex.likelihood_ratio_test(result, restricted)
    with pytest.raises(ValueError, match="differ in support points and groups"):
        spmlex.likelihood_ratio_test(restricted, grouped)
    worse = eqx.tree_at(lambda r: r.loglik, result, restricted.loglik - 1.0)
    with pytest.raises(ValueError, match="is below that of `restricted`"):
        spmlex.likelihood_ratio_test(restricted, worse)


@pytest.fixture(scope="module")
def held_loglik(result):
    """Independent of the profile: all but one scalar estimated, by SciPy on `profile_ll`."""
    import spmlex

    args = result.problem.data, result.supp

    @jax.jit
    def objective(theta):
        model = FactorModel(theta[:2], theta[2:])
        (value, _), grad = jax.value_and_grad(spmlex.profile_ll, has_aux=True)(model, *args)
        return value, jnp.concatenate([grad.coef, grad.log_std_e])

    def loglik(name, value):
        k = result.param_names.index(name)

        def of_rest(rest):
            value_and_grad = objective(jnp.asarray(np.insert(rest, k, value)))
            return float(value_and_grad[0]), np.delete(np.asarray(value_and_grad[1]), k)

        found = minimize(of_rest, np.delete(result.estimates, k), jac=True, tol=1e-9)
        return -found.fun * NUM_UNITS

    return loglik


# The estimates: positive, and negative.
@pytest.mark.parametrize("name", ["coef[0]", "log_std_e[2]"])
def test_profile_interval(result, held_loglik, name):
    import spmlex

    interval = spmlex.profile_interval(result, name)
    centre = result.estimates[result.param_names.index(name)]
    error = result.std_errors()[result.param_names.index(name)]
    assert (interval.lower_reason, interval.upper_reason) == ("", "")
    assert interval.lower < centre < interval.upper
    assert interval.upper - interval.lower == pytest.approx(3.92 * error, rel=0.1)
    # The root is found to 1e-6 of the root of the fall, SciPy's maximum to less.
    for end in (interval.lower, interval.upper):
        fall = 2 * (result.loglik - held_loglik(name, end))
        assert fall == pytest.approx(CRITICAL, abs=1e-4)


def test_profile_curve(result, held_loglik):
    import spmlex

    centre = result.estimates[0]
    curve = spmlex.profile_curve(result, "coef[0]", np.array([centre + 0.1, centre, centre - 0.05]))
    assert curve[1] == pytest.approx(result.loglik, abs=1e-8)
    assert curve[0] == pytest.approx(held_loglik("coef[0]", centre + 0.1), abs=1e-6)
    assert curve[2] == pytest.approx(held_loglik("coef[0]", centre - 0.05), abs=1e-6)
    with pytest.raises(ValueError, match="`name` must be a parameter, one of coef"):
        spmlex.profile_curve(result, "coef", np.ones(1))
    with pytest.raises(ValueError, match="`values` must be a vector"):
        spmlex.profile_curve(result, "coef[0]", np.array([np.nan]))


def test_profile_of_a_local_maximum(result):
    import spmlex

    worse = eqx.tree_at(lambda r: r.loglik, result, result.loglik - 1.0)
    with pytest.raises(RuntimeError, match="is a local maximum only"):
        spmlex.profile_curve(worse, "coef[0]", result.estimates[:1] + 1e-3)


class OneMean(eqx.Module):
    """y ~ N(v + shape(θ), 1/4), with one parameter."""

    theta: jax.Array
    shape: object = eqx.field(static=True)

    def lclk(self, data, supp):
        return -2.0 * (data[:, None] - supp[None, :] - self.shape(self.theta)) ** 2


def one_mean(shape, start):
    """On two support points at ±1: θ is identified by where they are."""
    rng = np.random.default_rng(5)
    data = rng.choice([-1.0, 1.0], 40) + 0.5 * rng.normal(size=40)
    return Problem(OneMean(jnp.array(start), shape), jnp.asarray(data), jnp.array([-1.0, 1.0]))


def identity(theta):
    return theta


def bounded(theta):
    """Far up it tends to 0.1, where the likelihood has fallen little."""
    return jnp.where(theta > 0, 0.1 * jnp.tanh(10 * theta), theta)


def test_profile_interval_around_zero():
    """With one parameter there is nothing to re-optimise; the estimate is zero, or nearly."""
    import spmlex

    problem = one_mean(identity, 0.1)
    off = spmlex.fit(*problem).estimates[0]
    result = spmlex.fit(problem.model, problem.data - off, problem.supp)
    assert abs(result.estimates[0]) <= 1e-9
    interval = spmlex.profile_interval(result, "theta", 0.9)
    assert interval.lower < 0 < interval.upper
    for end in (interval.lower, interval.upper):
        value, _ = spmlex.profile_ll(OneMean(jnp.array(end), identity), *result_args(result))
        fall = 2 * (40 * float(value) + result.loglik)
        assert fall == pytest.approx(stats.chi2.ppf(0.9, 1), abs=1e-5)


def result_args(result):
    return result.problem.data, result.supp


def test_profile_interval_without_an_end():
    import spmlex

    problem = one_mean(bounded, 0.01)
    off = spmlex.fit(*one_mean(identity, 0.1)).estimates[0]
    result = spmlex.fit(problem.model, problem.data - off + 0.02, problem.supp)
    interval = spmlex.profile_interval(result, "theta")
    assert math.isinf(interval.upper)
    assert "twice the fall of the log-likelihood is" in interval.upper_reason
    assert math.isfinite(interval.lower)
    assert interval.lower_reason == ""


def test_posterior(result, grouped, problem, groups):
    import spmlex

    log_lik = log_lik_of(Problem(result.model, problem.data, problem.supp))
    expected = posterior(log_lik, result.probs)
    np.testing.assert_allclose(spmlex.posterior(result), expected, rtol=0, atol=1e-13)
    new = spmlex.posterior(result, problem.data[5:9])
    np.testing.assert_allclose(new, expected[5:9], rtol=0, atol=1e-13)
    supp = np.asarray(problem.supp)
    np.testing.assert_allclose(spmlex.posterior_mean(result), expected @ supp, atol=1e-12)
    np.testing.assert_array_equal(spmlex.posterior_mode(result), supp[expected.argmax(axis=1)])
    quantile = np.asarray(spmlex.posterior_quantile(result, 0.3))
    below = (expected * (supp[None, :] <= quantile[:, None])).sum(axis=1)
    strictly = (expected * (supp[None, :] < quantile[:, None])).sum(axis=1)
    assert (below >= 0.3).all()
    assert (strictly < 0.3).all()

    log_lik = log_lik_of(Problem(grouped.model, problem.data, problem.supp))
    by_group = np.stack([posterior(log_lik, p) for p in np.asarray(grouped.probs).T])
    expected = by_group[groups, np.arange(NUM_UNITS)]
    np.testing.assert_allclose(spmlex.posterior(grouped), expected, rtol=0, atol=1e-13)
    new = spmlex.posterior(grouped, problem.data[5:9], groups[5:9])
    np.testing.assert_allclose(new, expected[5:9], rtol=0, atol=1e-13)


def test_posterior_of_bad_units(result, grouped, problem, groups):
    import spmlex

    with pytest.raises(ValueError, match=r"Unit 2 \(counting from zero\) has no valid likelihood"):
        spmlex.posterior(result, problem.data[:4].at[2].set(jnp.nan))
    with pytest.raises(ValueError, match="`groups` are of no use"):
        spmlex.posterior(result, problem.data, groups)
    with pytest.raises(ValueError, match="`groups` are needed"):
        spmlex.posterior(grouped, problem.data)
    with pytest.raises(ValueError, match="must be from 0 to 1"):
        spmlex.posterior(grouped, problem.data, groups + 1)
    with pytest.raises(ValueError, match="`level` must be between 0 and 1"):
        spmlex.posterior_quantile(result, 1.0)


def test_delta_of_parameters_is_the_covariance(result):
    import spmlex

    for kind in ("hessian", "opg", "robust"):
        found = spmlex.delta(result, lambda m, p: jnp.exp(m.log_std_e), kind=kind)
        std = np.exp(result.estimates[2:])
        np.testing.assert_allclose(found.value, std, rtol=1e-12)
        expected = std[:, None] * result.cov(kind)[2:, 2:] * std[None, :]
        # The functions of θ alone have no derivative in the masses.
        np.testing.assert_allclose(found.cov, expected, rtol=1e-9)
        half = found.conf_int()[:, 1] - found.value
        np.testing.assert_allclose(half, 1.959963984540054 * found.std_errors, rtol=1e-9)


def test_delta_by_the_joint_information(result, problem):
    """The covariance of θ and the masses is the inverse of the joint Hessian on Σp = 1."""
    import spmlex

    active = np.flatnonzero(np.asarray(result.probs) > 0)
    theta, masses = jnp.asarray(result.estimates), result.probs[active]
    points = problem.supp[active]

    def total(theta, masses):
        model = FactorModel(theta[:2], theta[2:])
        log_lik = model.lclk(problem.data, points)
        return -jnp.sum(jax.nn.logsumexp(log_lik, b=masses[None, :], axis=1))

    blocks = jax.hessian(total, argnums=(0, 1))(theta, masses)
    joint = np.block([[np.asarray(block) for block in row] for row in blocks])
    normal = np.concatenate([np.zeros(5), np.ones(active.size)])
    basis = np.linalg.svd(normal[None, :])[2][1:].T
    cov = basis @ np.linalg.inv(basis.T @ joint @ basis) @ basis.T

    found = spmlex.delta(result, lambda m, p: jnp.stack([p @ problem.supp, m.coef[0] * p[0]]))
    # p[0] has no mass, so its derivative does not count, and the product is zero.
    row = np.concatenate([np.zeros(5), np.asarray(points)])
    expected = row @ cov @ row
    assert float(result.probs[0]) == 0.0
    # The condition number of the joint Hessian is some 1e6.
    np.testing.assert_allclose(found.cov[0, 0], expected, rtol=1e-6)
    assert found.cov[1, 1] == 0.0
    np.testing.assert_allclose(found.value, [result.probs @ problem.supp, 0.0], atol=1e-12)


def test_average(result, grouped, problem, groups):
    import spmlex

    # E[λ₂ v]: of the distribution alone, and the same written unit by unit.
    one = spmlex.average(result, lambda m, d, s: m.coef[0] * s)
    other = spmlex.average(result, lambda m, d, s: m.coef[0] * s[None, :] + 0 * d[:, :1])
    by_hand = spmlex.delta(result, lambda m, p: m.coef[0] * (p @ problem.supp))
    for found in (one, other):
        np.testing.assert_allclose(found.value, by_hand.value, rtol=1e-12)
        np.testing.assert_allclose(found.std_errors, by_hand.std_errors, rtol=1e-9)
    # Units of two groups: a marginal effect that varies over units, by JAX.
    effect = jax.grad(lambda v, x: jnp.tanh(v * x))

    def function(model, data, supp):
        return jax.vmap(jax.vmap(effect, (0, None)), (None, 0))(supp, data[:, 0])

    found = spmlex.average(grouped, function, kind="robust")
    values = np.asarray(function(None, problem.data, problem.supp))
    own = np.asarray(grouped.probs).T[groups]
    np.testing.assert_allclose(found.value, np.mean(np.sum(own * values, axis=1)), rtol=1e-12)
    weights = np.stack([values[groups == g].mean(axis=0) for g in (0, 1)], axis=1) / 2
    expected = spmlex.delta(grouped, lambda m, p: jnp.sum(p * weights), kind="robust")
    np.testing.assert_allclose(found.std_errors, expected.std_errors, rtol=1e-9)
    with pytest.raises(ValueError, match=r"but it returned shape \(3,\)"):
        spmlex.average(result, lambda m, d, s: jnp.ones(3))


def test_criteria(result, grouped):
    import spmlex

    active = int(np.sum(np.asarray(result.probs) > 0))
    assert spmlex.num_free(result) == 5 + active - 1
    assert spmlex.num_free(result, count_masses=False) == 5
    assert spmlex.aic(result) == pytest.approx(2 * (4 + active) - 2 * result.loglik)
    expected = 5 * math.log(NUM_UNITS) - 2 * result.loglik
    assert spmlex.bic(result, count_masses=False) == pytest.approx(expected)
    assert spmlex.num_free(grouped) == 5 + int(np.sum(np.asarray(grouped.probs) > 0)) - 2


def test_grid_gap(result, grouped, problem, groups):
    import spmlex

    middle = Problem(result.model, problem.data, 0.5 * (problem.supp[1:] + problem.supp[:-1]))
    for fit, own in ((result, [slice(None)]), (grouped, [groups == 0, groups == 1])):
        on_grid = log_lik_of(Problem(fit.model, problem.data, problem.supp))
        between = log_lik_of(Problem(fit.model, *middle[1:]))
        probs = np.asarray(fit.probs).reshape(NUM_POINTS, -1)
        gains = []
        for g, rows in enumerate(own):
            mix = np.exp(on_grid[rows]) @ probs[:, g]
            gains.append(max(np.log((np.exp(between[rows]) / mix[:, None]).mean(axis=0).max()), 0))
        assert spmlex.grid_gap(fit) == pytest.approx(np.mean(gains), abs=1e-10)
        assert spmlex.grid_gap(fit) > 0


def test_a_note_on_a_coarse_grid(result):
    assert "The grid is coarse" not in str(result.summary())
    # Small errors beside a grid with points half a unit apart.
    params = eqx.tree_at(lambda m: m.log_std_e, result.params, jnp.array([-2.5, 0.0, 0.0]))
    shrunk = eqx.tree_at(lambda r: r.params, result, params)
    assert "The grid is coarse for this fit" in str(shrunk.summary(kind="opg"))


class Sampling(FactorModel):
    """The factor model that can be drawn from."""

    def sample(self, key, data, latent):
        loading = jnp.concatenate([jnp.ones(1), self.coef])
        error = jax.random.normal(key, data.shape) * jnp.exp(self.log_std_e)[None, :]
        return latent[:, None] * loading[None, :] + error


def test_draws(result, grouped, problem):
    import spmlex

    key = jax.random.PRNGKey(3)
    many = jnp.zeros((20_000, 3))
    latent = np.asarray(spmlex.sample_latent(result, key, many))
    found = (latent[:, None] == np.asarray(problem.supp)).mean(axis=0)
    # Frequencies of 20 000 draws have standard deviations of 0.0035 at most.
    np.testing.assert_allclose(found, result.probs, rtol=0, atol=0.02)
    assert (found[np.asarray(result.probs) == 0] == 0).all()
    given = np.asarray(spmlex.sample_latent(result, key, given_data=True))
    off = given - np.asarray(spmlex.posterior_mean(result))
    # The means of the posteriors: off by their spread, below one, over the root of 300.
    assert abs(off.mean()) <= 0.2
    assert given.shape == spmlex.sample_latent(grouped, key).shape == (NUM_UNITS,)
    with pytest.raises(TypeError, match=r"has no method `sample\(key, data, latent\)`"):
        spmlex.simulate(result, key)
    able = eqx.tree_at(
        lambda r: r.model, result, Sampling(result.model.coef, result.model.log_std_e)
    )
    outcomes = np.asarray(spmlex.simulate(able, key, many))
    mean = float(result.probs @ problem.supp) * np.array([1.0, *result.estimates[:2]])
    # Standard deviations of the outcomes are 5 at most: 0.03 for the mean.
    np.testing.assert_allclose(outcomes.mean(axis=0), mean, rtol=0, atol=0.15)
