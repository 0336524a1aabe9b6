"""Section 7 of the specification: a factor model with 2000 units on 75 support points."""

from functools import cache

import jax
import jaxopt
import numpy as np
import optimistix as optx
import pytest

from spmlex import RESULTS, fit, profile_ll

from .helpers import central_differences, flatten, log_lik_of, mixture_gap, mixture_value
from .models import Problem, factor_problem

# Three independent implementations agree on these, to the digits given.
VALUE = 3.34668032195
COEF = (1.511956, 0.300690)
VARIANCES = (1.000690, 1.410154, 0.549627)


@cache
def problem():
    return factor_problem(2000, 75)


def variances(model):
    return np.exp(2 * np.asarray(model.log_std_e))


def check_optimum(model, probs):
    """The certificate in NumPy, and the gradient by differences of certified values."""
    _, data, supp = problem()
    log_lik = log_lik_of(Problem(model, data, supp))
    assert mixture_gap(log_lik, probs) <= 1e-12
    assert abs(mixture_value(log_lik, probs) - VALUE) <= 1e-9
    theta, rebuild = flatten(model)
    value = jax.jit(lambda theta: profile_ll(rebuild(theta), data, supp)[0])
    return np.max(np.abs(central_differences(value, theta)))


@pytest.fixture(scope="module")
def fitted():
    return fit(*problem())


def test_start_is_that_of_the_specification():
    # That of draws with `jax_threefry_partitionable`, which conftest.py asks of every JAX.
    np.testing.assert_allclose(problem().model.coef, (1.22487592, 2.33203663), atol=1e-8)


def test_default_fit(fitted):
    assert fitted.result == RESULTS.successful
    assert abs(-fitted.loglik / 2000 - VALUE) <= 1e-9
    np.testing.assert_allclose(fitted.model.coef, COEF, atol=1e-5)
    np.testing.assert_allclose(variances(fitted.model), VARIANCES, atol=1e-5)
    assert fitted.gap <= 1e-12
    assert fitted.grad_norm <= 1e-9
    # Differences of values are exact to 2e-9 (see `helpers.STEP`).
    assert check_optimum(fitted.model, fitted.probs) <= 1e-8
    assert fitted.stats["num_steps"] <= 20


def test_default_fit_converges_quadratically(fitted):
    grad_norm = fitted.history["grad_norm"]
    assert np.all(np.diff(fitted.history["value"]) <= 1e-14)
    # Newton: the error of a step is of the order of the square of that of the last. 0.4 measured;
    # gradients below 1e-7 are left out, whose squares are rounding.
    late = (grad_norm[:-1] < 0.02) & (grad_norm[:-1] > 1e-7)
    assert np.count_nonzero(late) >= 2
    assert np.all(grad_norm[1:][late] <= 1.0 * grad_norm[:-1][late] ** 2)


@pytest.mark.slow  # a program for each minimiser
def test_optimistix_bfgs():
    fitted = fit(*problem(), minimiser=optx.BFGS(rtol=1e-9, atol=1e-9))
    assert fitted.result == RESULTS.successful
    assert abs(-fitted.loglik / 2000 - VALUE) <= 1e-9
    np.testing.assert_allclose(fitted.model.coef, COEF, atol=1e-5)
    np.testing.assert_allclose(variances(fitted.model), VARIANCES, atol=1e-5)
    assert fitted.gap <= 1e-12
    assert fitted.grad_norm <= 1e-6
    assert fitted.stats["minimiser"] == "BFGS"


@pytest.mark.slow  # a program for each minimiser
def test_jaxopt_bfgs():
    model, data, supp = problem()
    # Its default tolerance, an l2 norm of the gradient of 1e-3, leaves the variances off by 5e-5.
    bfgs = jaxopt.BFGS(fun=profile_ll, has_aux=True, linesearch="zoom", tol=1e-5)
    params, state = bfgs.run(model, data, supp)
    assert state.error <= 1e-5
    assert abs(state.value - VALUE) <= 1e-9
    log_lik = log_lik_of(Problem(params, data, supp))
    np.testing.assert_allclose(state.value, mixture_value(log_lik, state.aux), rtol=1e-14)
    assert mixture_gap(log_lik, state.aux) <= 1e-12
    np.testing.assert_allclose(params.coef, COEF, atol=1e-5)
    np.testing.assert_allclose(variances(params), VARIANCES, atol=1e-5)
