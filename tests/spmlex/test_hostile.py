"""Awkward models and data: solved and right, or refused in words, and never a plausible number."""

import _thread
import signal
import threading

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest

from spmlex import RESULTS, FunctionModel, fit, profile_ll

from .helpers import flatten, mixture_gap, mixture_value, raises
from .models import Given, UnitEffect, panel_problem

MODEL, DATA, SUPP = PROBLEM = panel_problem(1)
ELL = np.random.default_rng(0).normal(size=(12, 5))
THETA = Given(jnp.array(0.0))
POINTS = jnp.arange(5.0)
SOLVE = jax.jit(profile_ll)
VALUE_AND_GRAD = jax.jit(jax.value_and_grad(profile_ll, has_aux=True))
BOTH = pytest.mark.parametrize("way", [profile_ll, SOLVE], ids=["eager", "jit"])
pytestmark = pytest.mark.usefixtures("without_annotations")


# ---- numbers at the ends of the range ------------------------------------------------------------


def extremes():
    one_each = np.full((12, 5), -np.inf)
    one_each[np.arange(12), np.arange(12) % 5] = ELL[:, 0]
    return {
        "magnitude_1e5": ELL - 1e5,
        "points_1e4_apart": ELL - 1e4 * np.abs(np.arange(12)[:, None] % 5 - np.arange(5)),
        "subnormal_likelihoods": ELL - 740.0 * (np.arange(5) > 0),
        "subnormal_entries": ELL * 1e-310,
        "one_finite_entry_in_each_row": one_each,
    }


@BOTH
@pytest.mark.parametrize("name", extremes())
def test_extreme_log_likelihoods(name, way):
    ell = extremes()[name]
    value, probs = way(THETA, jnp.asarray(ell), POINTS)
    # ℓ is known to eps times its size.
    tol = 1e-13 + np.finfo(float).eps * np.abs(ell[np.isfinite(ell)]).max()
    assert mixture_gap(ell, probs) <= 1e-13 + tol
    np.testing.assert_allclose(value, mixture_value(ell, probs), rtol=1e-14, atol=tol)
    (same, _), grad = VALUE_AND_GRAD(THETA, jnp.asarray(ell), POINTS)
    np.testing.assert_allclose(same, value, rtol=1e-14, atol=tol)
    np.testing.assert_allclose(grad.theta, -1.0, rtol=1e-13)  # each posterior sums to one


def test_half_precision_log_likelihoods_are_promoted():
    class Half(eqx.Module):
        theta: jax.Array

        def lclk(self, data, supp):
            return (data + self.theta).astype(jnp.float16)

    value, probs = profile_ll(Half(jnp.array(0.0)), jnp.asarray(ELL), POINTS)
    rounded = ELL.astype(np.float16).astype(np.float32)
    assert probs.dtype == jnp.float32
    assert mixture_gap(rounded.astype(float), np.asarray(probs, float)) <= 1e-5
    np.testing.assert_allclose(value, mixture_value(rounded.astype(float), probs), rtol=1e-6)


# ---- containers ----------------------------------------------------------------------------------


@pytest.mark.slow  # several fits, of shapes of their own
def test_columns_of_a_data_frame_are_what_they_hold():
    import pandas as pd

    frame = pd.DataFrame(np.asarray(DATA["x"][:, :, 0]), columns=["a", "b", "c"])
    column = FunctionModel(
        jnp.array(0.5), lambda b, d, supp: -((d["a"][:, None] - b * supp[None, :]) ** 2)
    )
    by_frame = fit(column, {"a": frame["a"]}, SUPP)
    by_array = fit(column, {"a": DATA["x"][:, 0, 0]}, SUPP)
    assert by_frame.loglik == by_array.loglik
    value = profile_ll(column, {"a": frame["a"]}, SUPP)[0]
    assert value == profile_ll(column, {"a": DATA["x"][:, 0, 0]}, SUPP)[0]
    # A whole frame is not: its columns have names.
    for function in (profile_ll, fit):
        with raises(TypeError, "`data` is a data frame", "columns 'a', 'b', 'c'"):
            function(column, frame, SUPP)
    # The same as weights and groups.
    frame = pd.DataFrame({"weight": np.ones(12)})
    expected = profile_ll(THETA, jnp.asarray(ELL), POINTS)[0]
    value, _ = profile_ll(THETA, ELL, np.arange(5.0), weights=frame["weight"])
    assert value == expected
    labels = pd.Series(np.repeat([0, 1], 6))
    by_series, _ = profile_ll(THETA, ELL, POINTS, groups=labels)
    assert by_series == profile_ll(THETA, ELL, POINTS, groups=labels.to_numpy())[0]


def test_numpy_in_is_jax_in():
    numpy_problem = jax.tree.map(np.asarray, PROBLEM)
    assert profile_ll(*numpy_problem)[0] == profile_ll(*PROBLEM)[0]
    assert fit(*numpy_problem).loglik == fit(*PROBLEM).loglik


# ---- models that fail ----------------------------------------------------------------------------


class Refusing(eqx.Module):
    theta: jax.Array

    def lclk(self, data, supp):
        raise KeyError("no column `wage` in the data")


@pytest.mark.parametrize("function", [profile_ll, SOLVE, fit])
def test_an_error_in_lclk_comes_through_as_it_is(function):
    with raises(KeyError, "no column `wage`"):
        function(Refusing(jnp.array(0.0)), jnp.asarray(ELL), POINTS)


@pytest.mark.parametrize("function", [profile_ll, SOLVE, fit])
def test_data_of_the_wrong_length(function):
    with raises(ValueError, "`data`", r"data\['x'\]", "60", r"data\['y'\]", "59"):
        function(MODEL, {**DATA, "y": DATA["y"][:-1]}, SUPP)


def test_a_model_without_array_leaves():
    class Constant(eqx.Module):
        def lclk(self, data, supp):
            return data + 0.0 * supp[None, :]

    for way in (profile_ll, SOLVE):
        value, probs = way(Constant(), jnp.asarray(ELL), POINTS)
        assert mixture_gap(ELL, probs) <= 1e-12
        np.testing.assert_allclose(value, mixture_value(ELL, probs), rtol=1e-14)
    with raises(ValueError, "nothing to estimate", "`model`", "no leaf"):
        fit(Constant(), jnp.asarray(ELL), POINTS)


# ---- likelihoods without a maximum, or with many -------------------------------------------------


class WithNuisance(UnitEffect):
    """A parameter that does not matter."""

    idle: jax.Array = eqx.field(default_factory=lambda: jnp.array(3.0))


def test_a_parameter_that_does_not_matter_is_left_where_it_is():
    expected = fit(*PROBLEM)
    model = WithNuisance(MODEL.beta, MODEL.log_sd, jnp.array(3.0))
    result = fit(model, DATA, SUPP)
    assert result.result == RESULTS.successful
    assert result.model.idle == 3.0
    np.testing.assert_allclose(result.loglik, expected.loglik, rtol=1e-13)
    np.testing.assert_allclose(result.model.beta, expected.model.beta, rtol=0, atol=1e-9)


class Choice(eqx.Module):
    """Logit with a unit effect."""

    beta: jax.Array

    def lclk(self, data, supp):
        index = self.beta * data["x"][:, None] + supp[None, :]
        return jax.nn.log_sigmoid(jnp.where(data["y"][:, None], index, -index))


def test_separation_is_no_estimate_of_a_finite_parameter():
    # y says whether x is positive: the likelihood rises to one as β goes to infinity.
    x = np.concatenate([np.linspace(-2, -0.5, 20), np.linspace(0.5, 2, 20)])
    data = {"x": jnp.asarray(x), "y": jnp.asarray(x > 0)}
    problem = Choice(jnp.array(1.0)), data, jnp.linspace(-1.0, 1.0, 5)
    result = fit(*problem, throw=False)
    # The gradient is small where β is large, and that is all a stationary point needs; there is no
    # more likelihood to gain, and the flatness is seen by the information, not the search.
    assert result.model.beta > 20
    assert -1e-4 <= result.loglik <= 0
    if result.result != RESULTS.successful:
        with raises(RuntimeError, "Where it ended"):
            fit(*problem)


class Falling(eqx.Module):
    """A normal outcome whose log-likelihood is NaN where θ is beyond a wall."""

    theta: jax.Array
    wall: float = eqx.field(static=True)

    def lclk(self, data, supp):
        log_density = -0.5 * (data[:, None] - self.theta - supp[None, :]) ** 2
        return jnp.where(self.theta < self.wall, log_density, jnp.nan)


def falling(wall):
    data = jnp.asarray(5.0 + np.random.default_rng(7).normal(size=30))
    return Falling(jnp.array(-30.0), wall), data, jnp.array([-0.5, 0.0, 0.5])


def test_nan_beyond_the_optimum_is_stepped_around():
    # Newton's first steps are long: some land beyond the wall, where nothing can be evaluated.
    result = fit(*falling(5.5))
    free = fit(*falling(np.inf))
    assert result.result == RESULTS.successful
    np.testing.assert_allclose(result.model.theta, free.model.theta, rtol=0, atol=1e-8)
    np.testing.assert_allclose(result.loglik, free.loglik, rtol=1e-13)


def test_nan_between_the_start_and_the_optimum_is_a_failure():
    problem = falling(2.0)
    result = fit(*problem, throw=False)
    assert result.result != RESULTS.successful
    assert result.model.theta < 2.0
    assert np.isfinite(result.loglik)  # the last point that could be evaluated
    assert result.grad_norm > 1e-3
    with raises(RuntimeError, "gave up|step limit", "Where it ended"):
        fit(*problem)


def test_nan_in_the_middle_of_another_minimiser_is_a_failure():
    minimiser = optx.BFGS(rtol=1e-10, atol=1e-10)
    result = fit(*falling(2.0), minimiser=minimiser, max_steps=60, throw=False)
    assert result.result != RESULTS.successful
    assert not result.grad_norm <= 1e-3


# ---- interrupts ----------------------------------------------------------------------------------


def test_an_interrupt_ends_a_fit_and_nothing_else():
    # A process that a shell runs in the background is born deaf to it.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = fit(*PROBLEM)
    slow = optx.GradientDescent(learning_rate=1e-6, rtol=1e-14, atol=1e-14)
    options = {"minimiser": slow, "max_steps": 10**6}
    timer = threading.Timer(3.0, _thread.interrupt_main, (signal.SIGINT,))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(*PROBLEM, **options)
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, inherited)
    after = fit(*PROBLEM)
    assert after.loglik == before.loglik
    np.testing.assert_array_equal(flatten(after.model)[0], flatten(before.model)[0])


# ---- throw=False ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_faults_without_throwing_are_a_code_and_nan(value):
    from spmlex._profile import solve_profile

    ell = ELL.copy()
    ell[7] = value
    profile = solve_profile(THETA, jnp.asarray(ell), POINTS, throw=False)
    import mixsqpx

    code = "zero_likelihood" if value == -np.inf else "invalid_log_lik"
    assert profile.result == getattr(mixsqpx.RESULTS, code)
    for part in (profile.value, profile.probs, profile.gap):
        assert np.all(np.isnan(part))
