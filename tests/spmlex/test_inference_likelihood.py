"""Likelihood ratios: tests, profile intervals and profiles."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

from .models import NUM_UNITS, FactorModel, Problem

CRITICAL = 3.841458820694124
"""Quantile of chi-square with one degree of freedom, at 95%."""


@pytest.fixture(scope="module")
def restricted(problem):
    """The second loading held at zero point three, the first at one and a half."""
    import spmlex

    start = eqx.tree_at(lambda m: m.coef, problem.model, jnp.array([1.5, 0.3]))
    return spmlex.fit(start, *problem[1:], free=FactorModel(False, True))


def test_likelihood_ratio(result, restricted):
    import spmlex

    test = spmlex.likelihood_ratio_test(restricted, result)
    assert test.df == 2
    assert test.statistic == pytest.approx(2 * (result.loglik - restricted.loglik), abs=1e-9)
    assert test.p_value == pytest.approx(stats.chi2.sf(test.statistic, 2), rel=1e-9)
    words = " ".join(str(test).split())
    assert words.startswith("Likelihood-ratio test")
    assert f"chi-squared {test.statistic:.6f} 2 {test.p_value:.3f}" in words
    # The restriction is true, and the Wald test of it much the same.
    off = restricted.estimates.size, result.estimates[:2] - np.array([1.5, 0.3])
    wald = off[1] @ np.linalg.solve(result.cov()[:2, :2], off[1])
    assert off[0] == 3
    # Both are quadratic but for the third derivatives over 1.5 standard errors. Measured: 5% apart.
    assert test.statistic == pytest.approx(wald, rel=0.1)


def test_likelihood_ratio_of_what_is_not_nested(result, restricted):
    import spmlex

    with pytest.raises(ValueError, match="must have more parameters"):
        spmlex.likelihood_ratio_test(result, restricted)
    other = eqx.tree_at(lambda r: r.problem.supp, result, result.supp + 0.1)
    with pytest.raises(ValueError, match="differ in their support points"):
        spmlex.likelihood_ratio_test(restricted, other)
    worse = eqx.tree_at(lambda r: r.loglik, result, restricted.loglik - 1.0)
    with pytest.raises(ValueError, match="is below that of `restricted`"):
        spmlex.likelihood_ratio_test(restricted, worse)


@pytest.mark.slow  # a search at each of several values, or several fits
def test_likelihood_ratio_of_other_weights_groups_and_grids(result, problem):
    import spmlex

    model, data, supp = problem
    weights, groups = np.linspace(0.5, 1.5, NUM_UNITS), np.arange(NUM_UNITS) % 2
    held = FactorModel(False, True)

    def pair(**options):
        turned = {name: array[::-1].copy() for name, array in options.items()}
        return spmlex.fit(model, data, supp, free=held, **options), [
            spmlex.fit(model, data, supp, **given) for given in (options, turned)
        ]

    for options, words in (
        ({"weights": weights}, "the weights"),
        ({"groups": groups}, "the groups"),
    ):
        restricted, (full, other) = pair(**options)
        assert spmlex.likelihood_ratio_test(restricted, full).df == 2
        with pytest.raises(ValueError, match=f"differ in {words} of units"):
            spmlex.likelihood_ratio_test(restricted, other)
    # Weights of one are those of none, and one rounding is no other grid.
    ones = spmlex.fit(model, data, np.nextafter(supp, 9), weights=np.ones(NUM_UNITS), free=held)
    assert spmlex.likelihood_ratio_test(ones, result).df == 2
    finer = spmlex.fit(model, data, supp * (1 + 1e-9), free=held)
    with pytest.raises(ValueError, match="differ in their support points"):
        spmlex.likelihood_ratio_test(finer, result)


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

    interval = result.profile_interval(name)
    centre = result.estimates[result.param_names.index(name)]
    error = result.std_errors()[result.param_names.index(name)]
    assert (interval.lower_reason, interval.upper_reason) == ("", "")
    assert interval.lower < centre < interval.upper
    # Third derivatives move both ends alike, fourths change the length. Measured: 0.15% apart.
    assert interval.upper - interval.lower == pytest.approx(3.92 * error, rel=0.01)
    # The root is found to 1e-6 of the root of the fall, SciPy's maximum to less.
    for end in (interval.lower, interval.upper):
        fall = 2 * (result.loglik - held_loglik(name, end))
        assert fall == pytest.approx(CRITICAL, abs=1e-4)


def test_profile_curve(result, held_loglik):

    centre = result.estimates[0]
    curve = result.profile_curve("coef[0]", np.array([centre + 0.1, centre, centre - 0.05]))
    assert curve[1] == pytest.approx(result.loglik, abs=1e-8)
    assert curve[0] == pytest.approx(held_loglik("coef[0]", centre + 0.1), abs=1e-6)
    assert curve[2] == pytest.approx(held_loglik("coef[0]", centre - 0.05), abs=1e-6)
    with pytest.raises(ValueError, match="`name` must be a parameter, one of coef"):
        result.profile_curve("coef", np.ones(1))
    with pytest.raises(ValueError, match="`values` must be a vector"):
        result.profile_curve("coef[0]", np.array([np.nan]))


def test_profile_of_a_local_maximum(result):

    worse = eqx.tree_at(lambda r: r.loglik, result, result.loglik - 1.0)
    with pytest.raises(RuntimeError, match="is a local maximum only"):
        worse.profile_curve("coef[0]", result.estimates[:1] + 1e-3)


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
    interval = result.profile_interval("theta", 0.9)
    assert interval.lower < 0 < interval.upper
    for end in (interval.lower, interval.upper):
        value, _ = spmlex.profile_ll(OneMean(jnp.array(end), identity), *result_args(result))
        fall = 2 * (40 * float(value) + result.loglik)
        assert fall == pytest.approx(stats.chi2.ppf(0.9, 1), abs=1e-5)


def result_args(result):
    return result.problem.data, result.supp


def test_an_end_that_cannot_be_reached_has_a_reason():
    """Far out and near the estimate the curve is there, and where it crosses it is not."""
    from spmlex._inference._profile_interval import _find_end

    def curve(value):
        return math.nan if 0.3 < value < 1.9 else value**2

    end, reason = _find_end(curve, 0.0, 2.0, 1.0)
    assert math.isnan(end)
    assert reason == "the search for the other parameters fails inside of the bracket of this end"
    end, reason = _find_end(lambda v: math.nan if v > 0.5 else v**2, 0.0, 2.0, 1.0)
    assert math.isnan(end)
    # Distances 2, 1, 0.5, and from there halfway to what failed.
    assert reason == "the search for the other parameters fails beyond 0.5"


def test_an_end_where_the_curve_jumps():
    from spmlex._inference._profile_interval import _find_end

    end, reason = _find_end(lambda v: 0.0 if v < 0.7 else 100.0, 0.0, 2.0, 1.0)
    # To a part of 1e-9 of the bracket, of width two.
    assert end == pytest.approx(0.7, abs=2e-9)
    assert reason == ""


def test_profile_interval_without_an_end():
    import spmlex

    problem = one_mean(bounded, 0.01)
    off = spmlex.fit(*one_mean(identity, 0.1)).estimates[0]
    result = spmlex.fit(problem.model, problem.data - off + 0.02, problem.supp)
    interval = result.profile_interval("theta")
    assert math.isinf(interval.upper)
    assert "twice the fall of the log-likelihood is" in interval.upper_reason
    assert math.isfinite(interval.lower)
    assert interval.lower_reason == ""


def test_an_interval_prints_its_ends_and_why_one_is_missing():
    import spmlex

    interval = spmlex.ProfileInterval("slope", 0.9, -math.inf, 1.5, "the profile is flat", "")
    words = " ".join(str(interval).split())
    assert "[0.05 0.95]" in words
    assert "slope -inf 1.500000" in words
    assert words.endswith("The lower end: the profile is flat.")
