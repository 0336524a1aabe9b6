"""Bad input: each error names the argument, what is wrong and where."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spmlex import RESULTS, fit, profile_ll

from .helpers import raises
from .models import Given, panel_problem

MODEL, DATA, SUPP = PROBLEM = panel_problem(1)
# 12 units, 5 support points; θ is zero, so that `data` are the log-likelihoods.
ELL = np.random.default_rng(0).normal(size=(12, 5))
THETA = Given(jnp.array(0.0))
POINTS = jnp.arange(5.0)
BOTH = pytest.mark.parametrize("function", [profile_ll, fit])
pytestmark = pytest.mark.usefixtures("without_annotations")


def planted(unit, value):
    """Log-likelihoods with one faulty row, or one faulty entry if the value is NaN or +inf."""
    ell = ELL.copy()
    ell[unit, :] = np.where(np.arange(5) == 3, value, -np.inf if value == -np.inf else ell[unit])
    return jnp.asarray(ell)


@BOTH
def test_model_without_lclk(function):
    with raises(TypeError, "`model`", "`lclk", "Array", "none"):
        function(jnp.ones(3), DATA, SUPP)
    with raises(TypeError, "`model`", "`lclk", "dict"):
        function({"lclk": jnp.ones(1)}, DATA, SUPP)


@BOTH
@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (lambda ell: ell.T, r"\(5, 12\)"),
        (lambda ell: ell[:, 0], r"\(12,\)"),
        (lambda ell: jnp.sum(ell), r"shape \(\)"),
        (lambda ell: ell[:, :1], r"\(12, 1\)"),
        (lambda ell: ell[:-1], r"\(11, 5\)"),
        (lambda ell: list(ell), "list"),
        (lambda ell: None, "NoneType"),
    ],
)
def test_lclk_of_the_wrong_shape(function, wrong, what):
    class Wrong(Given):
        def lclk(self, data, supp):
            return wrong(super().lclk(data, supp))

    with raises(ValueError, "`lclk`", r"\(12, 5\)", "returned", what):
        function(Wrong(jnp.array(0.0)), jnp.asarray(ELL), POINTS)


@BOTH
@pytest.mark.parametrize("dtype", [jnp.int32, jnp.complex128, jnp.bool_])
def test_lclk_of_the_wrong_dtype(function, dtype):
    class Wrong(Given):
        def lclk(self, data, supp):
            return super().lclk(data, supp).astype(dtype)

    with raises(ValueError, "`lclk`", "floating", jnp.dtype(dtype).name):
        function(Wrong(jnp.array(0.0)), jnp.asarray(ELL), POINTS)


@BOTH
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_log_likelihoods_that_are_not_finite(function, value):
    with raises(ValueError, r"NaN or \+inf", r"\b7\b.*counting from zero"):
        function(THETA, planted(7, value), POINTS)


@BOTH
def test_a_unit_that_the_grid_cannot_explain(function):
    with raises(ValueError, "-inf|zero likelihood", r"\b7\b.*counting from zero"):
        function(THETA, planted(7, -np.inf), POINTS)


@BOTH
def test_units_are_numbered_in_the_data_and_not_in_their_group(function):
    # Number 7 is the second of its group.
    groups = np.repeat([0, 1], 6)
    with raises(ValueError, r"NaN or \+inf", r"\b7\b"):
        function(THETA, planted(7, np.nan), POINTS, groups=groups)
    with raises(ValueError, "-inf|zero likelihood", r"\b7\b"):
        function(THETA, planted(7, -np.inf), POINTS, groups=groups)


def test_how_many_units_are_at_fault_at_the_start_of_a_fit():
    ell = jnp.minimum(planted(7, np.nan), 1e3).at[9:11, 0].set(jnp.nan)
    with raises(ValueError, "starting `model`", "`lclk`", "NaN", "3 of 12", r"\b7\b"):
        fit(THETA, ell, POINTS)


@BOTH
def test_faulty_units_without_weight_are_not_looked_at(function):
    weights = np.ones(12)
    weights[7] = 0.0
    with raises(ValueError, r"\b8\b"):
        function(THETA, planted(7, np.nan).at[8, 0].set(jnp.nan), POINTS, weights=weights)


@BOTH
def test_lengths(function):
    x = DATA["x"]
    with raises(ValueError, "`data`", r"data\['x'\]", "60", r"data\['y'\]", "59"):
        function(MODEL, {**DATA, "y": DATA["y"][:-1]}, SUPP)
    with raises(ValueError, "`supp`", r"supp\[0\]", "15", r"supp\[1\]", "14"):
        function(MODEL, DATA, (SUPP, SUPP[:-1]))
    with raises(ValueError, r"`data\['z'\]`", "scalar"):
        function(MODEL, {**DATA, "z": jnp.array(1.0)}, SUPP)
    with raises(ValueError, "`supp`", "scalar"):
        function(MODEL, DATA, jnp.array(1.0))
    with raises(ValueError, "`data`", "no array"):
        function(MODEL, {"x": 1.0}, SUPP)
    with raises(ValueError, "`supp`", "no array"):
        function(MODEL, DATA, None)
    with raises(ValueError, "`data`", "empty"):
        function(MODEL, {"x": x[:0], "y": x[:0]}, SUPP)
    with raises(ValueError, "`supp`", "empty"):
        function(MODEL, DATA, SUPP[:0])


@BOTH
@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.ones(59), [r"\(60,\)", r"\(59,\)"]),
        (np.ones((60, 1)), [r"\(60,\)", r"\(60, 1\)"]),
        (np.array(1.0), [r"\(60,\)", r"\(\)"]),
        (np.where(np.arange(60) == 4, -1.0, 1.0), ["negative", r"\b4\b"]),
        (np.where(np.arange(60) == 4, np.nan, 1.0), ["finite", r"\b4\b"]),
        (np.where(np.arange(60) == 4, np.inf, 1.0), ["finite", r"\b4\b"]),
        (np.zeros(60), ["all zero"]),
    ],
)
def test_weights(function, weights, words):
    with raises(ValueError, "`weights`", *words):
        function(*PROBLEM, weights=weights)


def test_weights_may_be_integers_or_a_list():
    expected, _ = profile_ll(*PROBLEM)
    for weights in (np.full(60, 2), [3] * 60, jnp.full(60, 2, jnp.int8)):
        value, _ = profile_ll(*PROBLEM, weights=weights)
        np.testing.assert_allclose(value, expected, rtol=1e-14)


@BOTH
@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (np.zeros(59, int), [r"\(60,\)", r"\(59,\)"]),
        (np.zeros((60, 1), int), [r"\(60,\)", r"\(60, 1\)"]),
        (np.zeros(60), ["integers", "float64"]),
        (np.array(["a"] * 60), ["integers"]),
        (np.where(np.arange(60) < 3, -1, 0), ["zero", "-1"]),
        (np.where(np.arange(60) < 3, 2, 0), ["every label", "2", r"\b1\b"]),
    ],
)
def test_groups(function, groups, words):
    with raises(ValueError, "`groups`", *words):
        function(*PROBLEM, groups=groups)


def test_traced_groups():
    labels = jnp.zeros(60, jnp.int32)
    with raises(ValueError, "`groups`", "compiled", "close over"):
        jax.jit(lambda groups: profile_ll(*PROBLEM, groups=groups))(labels)


def test_faults_in_compiled_code_raise_with_the_same_text():
    solve = jax.jit(profile_ll)
    grad = jax.jit(jax.grad(profile_ll, has_aux=True))
    for function in (solve, grad):
        with raises(jax.errors.JaxRuntimeError, r"NaN or \+inf", r"unit at fault: 7"):
            jax.block_until_ready(function(THETA, planted(7, np.nan), POINTS))
    with raises(jax.errors.JaxRuntimeError, "zero likelihood", "unit at fault: 7"):
        jax.block_until_ready(solve(THETA, planted(7, -np.inf), POINTS))
    with raises(jax.errors.JaxRuntimeError, "`weights`", "negative", "unit at fault: 2"):
        jax.block_until_ready(
            solve(THETA, jnp.asarray(ELL), POINTS, weights=jnp.ones(12).at[2].set(-1.0))
        )
    # Shapes are known when compiling, and raise as they are.
    with raises(ValueError, "`weights`", r"\(12,\)"):
        solve(THETA, jnp.asarray(ELL), POINTS, weights=jnp.ones(11))


def test_solver():
    with raises(TypeError, "`solver`", "MixSQP"):
        profile_ll(*PROBLEM, solver="mixsqp")
    with raises(TypeError, "`mix_solver`", "MixSQP"):
        fit(*PROBLEM, mix_solver="mixsqp")


def test_a_model_without_parameters():
    class Fixed(eqx.Module):
        count: jax.Array
        name: str = "fixed"

        def lclk(self, data, supp):
            return data + 0.0 * supp[None, :]

    model = Fixed(jnp.arange(3))
    value, _ = profile_ll(model, jnp.asarray(ELL), POINTS)  # there is nothing wrong with this
    assert np.isfinite(value)
    with raises(ValueError, "nothing to estimate", "`model`", "floating-point array"):
        fit(model, jnp.asarray(ELL), POINTS)


@pytest.mark.parametrize(("leaf", "words"), [(jnp.zeros(0), "empty"), (jnp.array(1j), "complex")])
def test_leaves_that_cannot_be_estimated(leaf, words):
    with raises(ValueError, "`theta` cannot be estimated", words):
        fit(Given(leaf), jnp.asarray(ELL), POINTS)


def test_weights_that_are_words():
    for function in (profile_ll, fit):
        with raises(TypeError, "`weights`", "sampwt"):
            function(Given(jnp.array(0.0)), jnp.asarray(ELL), POINTS, weights="sampwt")


def test_data_inside_of_the_model():
    class Shifted(eqx.Module):
        theta: jax.Array
        shift: np.ndarray

        def lclk(self, data, supp):
            return data + self.theta + self.shift[:, None]

    model = Shifted(jnp.array(0.0), np.arange(12.0))
    with raises(ValueError, "`lclk` works on all units", "belongs in `data`", "shapes"):
        fit(model, jnp.asarray(ELL), POINTS)


@pytest.mark.parametrize(
    "rule",
    [
        lambda data, supp: supp - jnp.mean(supp),
        lambda data, supp: supp + jnp.linspace(-1.0, 1.0, supp.size),
        lambda data, supp: jnp.sort(-supp),
        lambda data, supp: jnp.arange(5.0),
        lambda data, supp: supp + jnp.mean(data),
        lambda data, supp: supp + data.shape[0],
    ],
)
# A parameter that starts at zero hides all of them there.
@pytest.mark.parametrize("start", [0.0, 0.3])
def test_units_and_support_points_that_are_not_treated_one_by_one(rule, start):
    class Entangled(eqx.Module):
        theta: jax.Array

        def lclk(self, data, supp):
            return -((data[:, :1] - self.theta * (2.0 + rule(data, supp))[None, :]) ** 2)

    with raises(ValueError, "`lclk`", "one by one", "derivatives|Derivatives"):
        fit(Entangled(jnp.array(start)), jnp.asarray(ELL), POINTS)


def test_a_fit_cannot_be_traced():
    with raises(TypeError, "A fit", "`jit`", "`profile_ll`"):
        jax.jit(lambda model: fit(model, DATA, SUPP).loglik)(MODEL)


def test_numbers_that_are_no_arrays():
    kind = type(MODEL)
    with raises(ValueError, "nothing to estimate", "`beta` is a float", "jnp.asarray"):
        fit(kind(0.5, 1), DATA, SUPP)
    with raises(ValueError, "`free`", "`log_sd`", "a float", "jnp.asarray"):
        fit(kind(MODEL.beta, 0.1), DATA, SUPP, free=kind(True, True))
    with raises(ValueError, "`supp`", "no array", "jnp.asarray"):
        fit(MODEL, DATA, [0.0, 1.0])


def test_a_model_of_lower_precision_than_its_data():
    low = jax.tree.map(lambda x: x.astype(jnp.float32), MODEL)
    with jax.numpy_dtype_promotion("standard"):
        result = fit(low, DATA, SUPP)
    assert result.result == RESULTS.successful
    assert result.model.beta.dtype == jnp.float64
    np.testing.assert_allclose(result.loglik, fit(*PROBLEM).loglik, rtol=1e-12)


def test_free():
    kind = type(MODEL)
    with raises(ValueError, "nothing to estimate", "`free`"):
        fit(*PROBLEM, free=kind(False, False))
    with raises(ValueError, "nothing to estimate", "`free`"):
        fit(*PROBLEM, free=False)
    for wrong in ({"beta": True}, (True, False, True), kind((True, False), True)):
        with raises(ValueError, "`free`", "structure of `model`"):
            fit(*PROBLEM, free=wrong)
    with raises(TypeError, "`free`", "True or False", "`beta`", "a str"):
        fit(*PROBLEM, free=kind("yes", True))
    with raises(TypeError, "`free`", "`beta`", "an array of bool", "as a whole"):
        fit(*PROBLEM, free=kind(jnp.array([True, False]), True))


@pytest.mark.parametrize("max_steps", [0, -3, 2.5, "ten"])
def test_max_steps(max_steps):
    with raises((TypeError, ValueError), "`max_steps`"):
        fit(*PROBLEM, max_steps=max_steps)


def test_minimiser():
    for wrong in ("BFGS", object()):
        with raises(TypeError, "`minimiser`"):
            fit(*PROBLEM, minimiser=wrong)
