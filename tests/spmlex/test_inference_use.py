"""Posteriors, averages, criteria and draws."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from .helpers import log_lik_of, posterior
from .models import NUM_POINTS, NUM_UNITS, FactorModel, Problem


@pytest.fixture(scope="module")
def groups():
    return np.arange(NUM_UNITS) % 2


@pytest.fixture(scope="module")
def grouped(problem, groups):
    import spmlex

    return spmlex.fit(*problem, groups=groups)


def test_posterior(result, grouped, problem, groups):

    log_lik = log_lik_of(Problem(result.model, problem.data, problem.supp))
    expected = posterior(log_lik, result.probs)
    np.testing.assert_allclose(result.posterior(), expected, rtol=0, atol=1e-13)
    new = result.posterior(problem.data[5:9])
    np.testing.assert_allclose(new, expected[5:9], rtol=0, atol=1e-13)
    supp = np.asarray(problem.supp)
    np.testing.assert_allclose(result.posterior_mean(), expected @ supp, atol=1e-12)
    np.testing.assert_array_equal(result.posterior_mode(), supp[expected.argmax(axis=1)])
    quantile = np.asarray(result.posterior_quantile(0.3))
    below = (expected * (supp[None, :] <= quantile[:, None])).sum(axis=1)
    strictly = (expected * (supp[None, :] < quantile[:, None])).sum(axis=1)
    assert (below >= 0.3).all()
    assert (strictly < 0.3).all()

    log_lik = log_lik_of(Problem(grouped.model, problem.data, problem.supp))
    by_group = np.stack([posterior(log_lik, p) for p in np.asarray(grouped.probs).T])
    expected = by_group[groups, np.arange(NUM_UNITS)]
    np.testing.assert_allclose(grouped.posterior(), expected, rtol=0, atol=1e-13)
    new = grouped.posterior(problem.data[5:9], groups[5:9])
    np.testing.assert_allclose(new, expected[5:9], rtol=0, atol=1e-13)


def test_posterior_of_bad_units(result, grouped, problem, groups):

    with pytest.raises(ValueError, match=r"Unit 2 \(counting from zero\) has no valid likelihood"):
        result.posterior(problem.data[:4].at[2].set(jnp.nan))
    with pytest.raises(ValueError, match="`groups` are of no use"):
        result.posterior(problem.data, groups)
    with pytest.raises(ValueError, match="`groups` are needed"):
        grouped.posterior(problem.data)
    with pytest.raises(ValueError, match="must be from 0 to 1"):
        grouped.posterior(problem.data, groups + 1)
    with pytest.raises(ValueError, match="`level` must be one number between 0 and 1"):
        result.posterior_quantile(1.0)


@pytest.mark.slow  # several fits, of shapes of their own
def test_posterior_of_units_without_weight_or_likelihood(problem):
    """Of a unit that does not count, and whose data are missing, nothing is said."""
    import spmlex

    data = problem.data.at[7].set(jnp.nan)
    weights = np.ones(NUM_UNITS)
    weights[7] = 0.0
    result = spmlex.fit(problem.model, data, problem.supp, weights=weights)
    known = np.arange(NUM_UNITS) != 7
    for values in (
        result.posterior()[:, 0],
        result.posterior_mean(),
        result.posterior_mode(),
        result.posterior_quantile(0.5),
        result.sample_latent(jax.random.PRNGKey(0), given_data=True),
    ):
        np.testing.assert_array_equal(np.isfinite(values), known)
    # A likelihood that is infinite at some points is no better.
    broken = spmlex.FunctionModel(problem.model, infinite_above_90)
    infinite = spmlex.fit(broken, problem.data.at[7].set(99.0), problem.supp, weights=weights)
    np.testing.assert_array_equal(np.isnan(infinite.posterior()).all(axis=1), ~known)
    np.testing.assert_array_equal(np.isnan(infinite.posterior_mode()), ~known)
    np.testing.assert_array_equal(np.isnan(infinite.posterior_quantile(0.5)), ~known)
    # A level that no sum of masses resolves is that of the first point with mass.
    least = problem.supp[np.argmax(np.asarray(infinite.probs) > 0)]
    np.testing.assert_array_equal(infinite.posterior_quantile(1e-300)[:7], least)
    # An integer cannot be NaN.
    model = spmlex.FunctionModel(problem.model, lambda m, d, s: m.lclk(d, s.astype(d.dtype)))
    counted = spmlex.fit(model, data, jnp.arange(-12, 13), weights=weights)
    with pytest.raises(ValueError, match="Unit 7 has data that cannot be used"):
        counted.posterior_mode()
    # Nor does it touch an average, whose derivatives would be NaN with it.
    others = spmlex.fit(problem.model, problem.data[known], problem.supp)
    share = [r.average(positive_share) for r in (result, others)]
    # The fits differ by their tolerances.
    np.testing.assert_allclose(share[0].value, share[1].value, rtol=1e-8)
    np.testing.assert_allclose(share[0].std_errors, share[1].std_errors, rtol=1e-6)


def infinite_above_90(model, data, supp):
    infinite = (data[:, :1] > 90) & (supp[None, :] > 1)
    return jnp.where(infinite, jnp.inf, model.lclk(data, supp))


@pytest.mark.slow  # several fits, of shapes of their own
def test_what_cannot_vary_has_no_standard_error(result, grouped, problem):
    """Not NaN by a variance that is a rounding error below zero."""
    import spmlex

    for fit in (result, grouped):
        for kind in ("hessian", "opg", "robust"):
            total = fit.delta(lambda model, probs: jnp.sum(probs, axis=0), kind=kind)
            # Rounding of an influence that is zero, summed over the units.
            assert (total.std_errors <= 1e-12).all()
    # A distribution on one point is all that the model may have.
    one = spmlex.fit(problem.model, problem.data, jnp.array([0.5]))
    assert one.average(lambda model, data, supp: supp).std_errors == 0.0


def positive_share(model, data, supp):
    """Probability that the second outcome of a unit like this would be above its first."""
    z = (model.coef[0] * supp[None, :] - data[:, :1]) / jnp.exp(model.log_std_e[1])
    return jax.scipy.stats.norm.cdf(z)


def test_average_of_what_is_undefined_where_there_is_no_mass(result):
    empty = np.asarray(result.probs) == 0
    defined = result.average(lambda model, data, supp: supp**2 * model.coef[1])
    hole = jnp.where(empty, jnp.nan, 0.0)
    for holes in (hole, jnp.broadcast_to(hole, (NUM_UNITS, NUM_POINTS))):

        def function(model, data, supp, holes=holes):
            return jnp.broadcast_to(supp**2 * model.coef[1], holes.shape) + holes

        found = result.average(function)
        np.testing.assert_allclose(found.value, defined.value, rtol=1e-12)
        np.testing.assert_allclose(found.std_errors, defined.std_errors, rtol=1e-12)


def test_delta_of_parameters_is_the_covariance(result):

    for kind in ("hessian", "opg", "robust"):
        found = result.delta(lambda m, p: jnp.exp(m.log_std_e), kind=kind)
        std = np.exp(result.estimates[2:])
        np.testing.assert_allclose(found.value, std, rtol=1e-12)
        expected = std[:, None] * result.cov(kind)[2:, 2:] * std[None, :]
        # The functions of θ alone have no derivative in the masses.
        np.testing.assert_allclose(found.cov, expected, rtol=1e-9)
        half = found.conf_int()[:, 1] - found.value
        np.testing.assert_allclose(half, 1.959963984540054 * found.std_errors, rtol=1e-9)


def test_delta_by_the_joint_information(result, problem):
    """The covariance of θ and the masses is the inverse of the joint Hessian on Σp = 1."""

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

    found = result.delta(lambda m, p: jnp.stack([p @ problem.supp, m.coef[0] * p[0]]))
    # p[0] has no mass, so its derivative does not count, and the product is zero.
    row = np.concatenate([np.zeros(5), np.asarray(points)])
    expected = row @ cov @ row
    assert float(result.probs[0]) == 0.0
    # The condition number of the joint Hessian is some 1e6.
    np.testing.assert_allclose(found.cov[0, 0], expected, rtol=1e-6)
    assert found.cov[1, 1] == 0.0
    np.testing.assert_allclose(found.value, [result.probs @ problem.supp, 0.0], atol=1e-12)


def test_average(result, grouped, problem, groups):

    # E[λ₂ v]: of the distribution alone, and the same written unit by unit.
    one = result.average(lambda m, d, s: m.coef[0] * s)
    other = result.average(lambda m, d, s: m.coef[0] * s[None, :] + 0 * d[:, :1])
    by_hand = result.delta(lambda m, p: m.coef[0] * (p @ problem.supp))
    for found in (one, other):
        np.testing.assert_allclose(found.value, by_hand.value, rtol=1e-12)
        np.testing.assert_allclose(found.std_errors, by_hand.std_errors, rtol=1e-9)
    # Units of two groups: a marginal effect that varies over units, by JAX.
    effect = jax.grad(lambda v, x: jnp.tanh(v * x))

    def function(model, data, supp):
        return jax.vmap(jax.vmap(effect, (0, None)), (None, 0))(supp, data[:, 0])

    found = grouped.average(function, kind="robust")
    values = np.asarray(function(None, problem.data, problem.supp))
    own = np.asarray(grouped.probs).T[groups]
    np.testing.assert_allclose(found.value, np.mean(np.sum(own * values, axis=1)), rtol=1e-12)
    weights = np.stack([values[groups == g].mean(axis=0) for g in (0, 1)], axis=1) / 2
    expected = grouped.delta(lambda m, p: jnp.sum(p * weights), kind="robust")
    np.testing.assert_allclose(found.std_errors, expected.std_errors, rtol=1e-9)
    with pytest.raises(ValueError, match=r"but it returned shape \(3,\)"):
        result.average(lambda m, d, s: jnp.ones(3))


def test_criteria(result, grouped):

    active = int(np.sum(np.asarray(result.probs) > 0))
    assert result.num_free() == 5 + active - 1
    assert result.num_free(count_masses=False) == 5
    assert result.aic == pytest.approx(2 * (4 + active) - 2 * result.loglik)
    expected = (4 + active) * math.log(NUM_UNITS) - 2 * result.loglik
    assert result.bic == pytest.approx(expected)
    assert grouped.num_free() == 5 + int(np.sum(np.asarray(grouped.probs) > 0)) - 2


def test_grid_gap(result, grouped, problem, groups):

    middle = Problem(result.model, problem.data, 0.5 * (problem.supp[1:] + problem.supp[:-1]))
    for fit, own in ((result, [slice(None)]), (grouped, [groups == 0, groups == 1])):
        on_grid = log_lik_of(Problem(fit.model, problem.data, problem.supp))
        between = log_lik_of(Problem(fit.model, *middle[1:]))
        probs = np.asarray(fit.probs).reshape(NUM_POINTS, -1)
        gains = []
        for g, rows in enumerate(own):
            mix = np.exp(on_grid[rows]) @ probs[:, g]
            gains.append(max(np.log((np.exp(between[rows]) / mix[:, None]).mean(axis=0).max()), 0))
        assert fit.grid_gap() == pytest.approx(np.mean(gains), abs=1e-10)
        assert fit.grid_gap() > 0


@pytest.mark.slow  # a search at each of several values, or several fits
def test_grid_gap_where_likelihood_ratios_overflow():
    """Two types, each halfway between two points, and 200 outcomes a unit."""
    import spmlex

    rng = np.random.default_rng(0)
    y = rng.choice([-4.0, 4.0], (60, 1)) + rng.normal(size=(60, 200))
    data = {"x": rng.normal(size=(60, 200)), "y": y}

    def lclk(slope, data, supp):
        error = data["y"] - slope * data["x"]
        return -0.5 * jnp.sum((error[:, None, :] - supp[None, :, None]) ** 2, axis=2)

    model = spmlex.FunctionModel(jnp.zeros(()), lclk)
    for groups in (None, np.arange(60) % 2):
        fit = spmlex.fit(model, data, jnp.array([-8.0, 0.0, 8.0]), groups=groups)
        probs = np.asarray(fit.probs).reshape(3, -1)
        on_grid = np.asarray(lclk(fit.params.params, data, jnp.array([-8.0, 0.0, 8.0])))
        between = np.asarray(lclk(fit.params.params, data, jnp.array([-4.0, 4.0])))
        gains = []
        for g in range(probs.shape[1]):
            own = np.arange(60) % probs.shape[1] == g
            mix = logsumexp(on_grid[own], b=probs[:, g], axis=1)
            gains.append(logsumexp(between[own] - mix[:, None], axis=0).max() - np.log(own.sum()))
        assert min(gains) > np.log(np.finfo(float).max)  # the ratio itself is infinite
        assert fit.grid_gap() == pytest.approx(np.mean(gains), rel=1e-12)
        assert "The grid is coarse" in str(fit)


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

    key = jax.random.PRNGKey(3)
    many = jnp.zeros((20_000, 3))
    latent = np.asarray(result.sample_latent(key, many))
    found = (latent[:, None] == np.asarray(problem.supp)).mean(axis=0)
    # Frequencies of 20 000 draws have standard deviations of 0.0035 at most.
    np.testing.assert_allclose(found, result.probs, rtol=0, atol=0.02)
    assert (found[np.asarray(result.probs) == 0] == 0).all()
    given = np.asarray(result.sample_latent(key, given_data=True))
    off = given - np.asarray(result.posterior_mean())
    # The means of the posteriors: off by their spread, below one, over the root of 300.
    assert abs(off.mean()) <= 0.2
    assert given.shape == grouped.sample_latent(key).shape == (NUM_UNITS,)
    with pytest.raises(TypeError, match=r"has no method `sample\(key, data, latent\)`"):
        result.simulate(key)
    able = eqx.tree_at(
        lambda r: r.model, result, Sampling(result.model.coef, result.model.log_std_e)
    )
    outcomes = np.asarray(able.simulate(key, many))
    mean = float(result.probs @ problem.supp) * np.array([1.0, *result.estimates[:2]])
    # Standard deviations of the outcomes are 5 at most: 0.03 for the mean.
    np.testing.assert_allclose(outcomes.mean(axis=0), mean, rtol=0, atol=0.15)
