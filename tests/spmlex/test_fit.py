"""`fit`: what it returns, what may be held or weighted, and how it ends."""

from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spmlex import RESULTS, TrustRegionNewton, fit, profile_ll

from .helpers import (
    central_differences,
    flatten,
    log_lik_of,
    mixture_gap,
    mixture_value,
    profile_hessians,
)
from .models import Problem, duration_problem, factor_problem, panel_problem

MODEL, DATA, SUPP = PROBLEM = panel_problem(1)
# Jax compiles the tests' own evaluations once.
VALUE = jax.jit(lambda model, weights: profile_ll(model, DATA, SUPP, weights=weights)[0])


@cache
def fitted():
    return fit(*PROBLEM)


def gradient_at(model, weights=None):
    """By central differences of values: exact to 2e-9, see `helpers.STEP`."""
    theta, rebuild = flatten(model)
    weights = jnp.ones(60) if weights is None else jnp.asarray(weights, dtype=float)
    return central_differences(lambda theta: VALUE(rebuild(theta), weights), theta)


def test_success_is_a_certified_stationary_point():
    result = fitted()
    assert result.result == RESULTS.successful
    assert np.max(np.abs(gradient_at(result.model))) <= 1e-8
    assert result.grad_norm <= 1e-9
    log_lik = log_lik_of(Problem(result.model, DATA, SUPP))
    assert mixture_gap(log_lik, result.probs) <= 1e-12
    assert result.gap <= 1e-12
    np.testing.assert_allclose(
        result.loglik, -60 * mixture_value(log_lik, result.probs), rtol=1e-13
    )
    # And a minimum: the exact Hessian, by a formula of the tests' own, is positive definite.
    hess, _ = profile_hessians(result.model, DATA, SUPP, result.probs)
    assert np.linalg.eigvalsh(hess)[0] > 0.1


@pytest.mark.parametrize("unit", [1e-11, 1e10])
def test_units_of_regressors_do_not_matter(unit):
    # At zero the gradient in the coefficients is below 1e-11 with the one, and at the optimum its
    # rounding is above 1e-7 with the other.
    start = eqx.tree_at(lambda m: m.beta, MODEL, jnp.zeros(2))
    result = fit(start, {**DATA, "x": DATA["x"] * unit}, SUPP)
    assert result.result == RESULTS.successful
    assert result.gap <= 1e-12
    np.testing.assert_allclose(result.model.beta * unit, fitted().model.beta, rtol=1e-8)
    np.testing.assert_allclose(result.std_errors()[:2] * unit, fitted().std_errors()[:2], rtol=1e-6)


@pytest.mark.slow  # several fits, of shapes of their own
def test_many_parameters():
    # A likelihood that is nearly quadratic in each of them.
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 3, 101))
    y = x @ (rng.normal(size=101) / 10) + rng.choice([-1.0, 1.3], (300, 1))
    data = {"x": jnp.asarray(x), "y": jnp.asarray(y + 0.6 * rng.normal(size=y.shape))}
    start = type(MODEL)(jnp.zeros(101), jnp.zeros(()))
    result = fit(start, data, SUPP)
    assert result.result == RESULTS.successful
    assert result.stats["minimiser"] == "BFGS"
    assert result.grad_norm <= 1.5e-6
    assert result.gap <= 1e-12
    # Newton's method is what judges the answer: it has to find the same value.
    newton = fit(start, data, SUPP, minimiser=TrustRegionNewton())
    assert newton.grad_norm <= 1e-9
    # BFGS stops at a gradient g of at most 1.5e-6, which leaves n gᵀH⁻¹g/2 of the log-likelihood.
    np.testing.assert_allclose(result.loglik, newton.loglik, atol=1e-6)


@pytest.mark.slow  # several fits, of shapes of their own
def test_many_active_points_on_the_way():
    """The Hessian is compiled for 32 points, and for more where the distribution has more."""
    model, data, supp = factor_problem(300, 61)
    result = fit(eqx.tree_at(lambda m: m.log_std_e, model, jnp.full(3, -1.0)), data, supp)
    assert result.result == RESULTS.successful
    active = result.history["num_active"]
    assert active[:-1].max() > 32 > active[-1]
    (value, _), grad = jax.value_and_grad(profile_ll, has_aux=True)(result.model, data, supp)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(grad)) <= 1e-9
    log_lik = log_lik_of(Problem(result.model, data, supp))
    assert mixture_gap(log_lik, result.probs) <= 1e-12
    # Two inner solves of one problem, each to a gap of 1e-13.
    np.testing.assert_allclose(-result.loglik / 300, value, rtol=0, atol=2e-13)
    np.testing.assert_allclose(fit(model, data, supp).loglik, result.loglik, rtol=1e-12)


def test_what_a_result_says():
    result = fitted()
    assert result.n_obs == 60
    assert isinstance(result.loglik, float)
    assert isinstance(result.gap, float)
    assert isinstance(result.grad_norm, float)
    assert result.param_names == ("beta[0]", "beta[1]", "log_sd")
    expected = np.concatenate([result.model.beta, result.model.log_sd[None]])
    np.testing.assert_array_equal(result.estimates, expected)
    assert eqx.tree_equal(result.params, result.model)
    np.testing.assert_array_equal(result.supp, SUPP)
    assert result.probs.shape == (15,)
    assert result.stats["num_active"] == np.count_nonzero(result.probs)
    assert result.stats["minimiser"] == "TrustRegionNewton"


def test_history():
    result = fitted()
    history, steps = result.history, result.stats["num_steps"]
    assert set(history) == {"value", "grad_norm", "step", "gap", "num_active"}
    assert {len(column) for column in history.values()} == {steps}
    np.testing.assert_allclose(history["value"][0], VALUE(MODEL, jnp.ones(60)), rtol=1e-13)
    first = np.max(np.abs(gradient_at(MODEL)))
    np.testing.assert_allclose(history["grad_norm"][0], first, rtol=1e-7)
    np.testing.assert_allclose(history["value"][-1], -result.loglik / 60, rtol=1e-13)
    assert history["num_active"][-1] == result.stats["num_active"]
    # The minimiser takes no step up; 1e-14 is rounding.
    assert np.all(np.diff(history["value"]) <= 1e-14)
    assert np.all(history["gap"] <= 1e-12)
    # Nothing has moved yet at the start; later steps are those between the iterates.
    assert history["step"][0] == 0
    assert np.all(history["step"][-3:] > 0)
    assert np.sum(history["step"]) >= np.max(np.abs(result.estimates - flatten(MODEL)[0]))
    # The tolerance of the default minimiser.
    tol = 1e-10 * (1 + np.abs(history["value"]))
    assert (history["grad_norm"] <= tol).tolist() == [False] * (steps - 1) + [True]


def test_a_printed_result_has_the_numbers():
    result = fitted()
    text = str(result)
    rows = [line.split() for line in text.splitlines()]
    for name, value in zip(result.param_names, result.estimates, strict=True):
        (row,) = [row for row in rows if row and row[0] == name]
        assert float(row[1]) == pytest.approx(value, abs=5e-7)
    words = " ".join(text.split())
    for expected in (
        "Units 60",
        f"Log-likelihood {result.loglik:.6f}",
        "Support points 15",
        f"active {result.stats['num_active']}",
        f"gap {result.gap:.1e}",
        f"Gradient norm {result.grad_norm:.1e}",
        f"Iterations {result.stats['num_steps']}",
        "Converged yes",
    ):
        assert expected in words
    assert len({len(line) for line in text.splitlines() if set(line) <= {"=", "-"}}) == 1


def test_a_start_at_the_estimate_is_left_at_once():
    again = fit(fitted().model, DATA, SUPP)
    assert again.result == RESULTS.successful
    assert again.stats["num_steps"] == 1
    assert eqx.tree_equal(again.model, fitted().model)
    # Nearby, Newton's method needs two steps, and one to see that it has arrived.
    near = jax.tree.map(lambda x: x + 1e-3, fitted().model)
    again = fit(near, DATA, SUPP)
    assert again.result == RESULTS.successful
    assert again.stats["num_steps"] <= 4
    np.testing.assert_allclose(again.estimates, fitted().estimates, atol=1e-8)


@pytest.mark.parametrize(
    "start",
    [(10.0, -10.0, 3.0), (-30.0, 30.0, 0.0), (0.0, 0.0, 8.0), (5.0, 5.0, -2.0), (0.8, -0.4, -4.0)],
)
def test_bad_starts(start):
    # Errors of up to 100 standard deviations, and densities as flat as e⁸.
    model = type(MODEL)(jnp.array(start[:2]), jnp.array(start[2]))
    result = fit(model, DATA, SUPP)
    assert result.result == RESULTS.successful
    assert np.max(np.abs(gradient_at(result.model))) <= 1e-8
    np.testing.assert_allclose(result.loglik, fitted().loglik, rtol=1e-10)
    # 1e-10/0.1: gradient tolerance over the smallest curvature.
    np.testing.assert_allclose(result.estimates, fitted().estimates, atol=1e-8)


def test_integer_weights_are_repeated_rows():
    # 60 rows drawn from 60 with replacement, as many as there are: one shape, one compilation.
    counts = np.random.default_rng(3).multinomial(60, np.full(60, 1 / 60))
    assert counts.min() == 0
    assert counts.max() > 2
    weighted = fit(*PROBLEM, weights=counts.astype(float))
    repeated_data = jax.tree.map(lambda x: jnp.repeat(x, counts, axis=0), DATA)
    repeated = fit(MODEL, repeated_data, SUPP)
    assert weighted.result == repeated.result == RESULTS.successful
    assert weighted.n_obs == repeated.n_obs == 60
    # Of two fits with gradients below 5e-10 and curvatures above 0.1.
    np.testing.assert_allclose(weighted.estimates, repeated.estimates, atol=1e-8)
    np.testing.assert_allclose(weighted.loglik, repeated.loglik, rtol=1e-12)
    assert np.max(np.abs(gradient_at(weighted.model, counts))) <= 1e-8
    log_lik = log_lik_of(Problem(weighted.model, DATA, SUPP))
    assert mixture_gap(log_lik, weighted.probs, counts) <= 1e-12
    # It is not the unweighted fit.
    assert np.max(np.abs(weighted.estimates - fitted().estimates)) > 1e-3


def test_free():
    result = fit(*PROBLEM, free=type(MODEL)(beta=True, log_sd=False))
    assert result.result == RESULTS.successful
    assert result.param_names == ("beta[0]", "beta[1]")
    gradient = gradient_at(result.model)
    assert np.max(np.abs(gradient[:2])) <= 1e-8
    # What is held stays to the last bit, and would like to move.
    np.testing.assert_array_equal(result.model.log_sd, MODEL.log_sd)
    assert result.params.log_sd is None
    assert np.abs(gradient[2]) > 1e-2
    assert result.loglik < fitted().loglik
    assert "beta[1]" in str(result)
    assert "log_sd" not in str(result)
    # One boolean may stand for a whole subtree.
    everything = fit(*PROBLEM, free=True)
    np.testing.assert_array_equal(everything.estimates, fitted().estimates)


def test_groups():
    groups = np.random.default_rng(4).integers(0, 2, 60)
    result = fit(*PROBLEM, groups=groups)
    assert result.result == RESULTS.successful
    assert result.probs.shape == (15, 2)
    log_lik = log_lik_of(Problem(result.model, DATA, SUPP))
    total = 0.0
    for label in (0, 1):
        part = log_lik[groups == label]
        assert mixture_gap(part, result.probs[:, label]) <= 1e-12
        total -= len(part) * mixture_value(part, result.probs[:, label])
    np.testing.assert_allclose(result.loglik, total, rtol=1e-13)
    assert result.loglik > fitted().loglik
    assert result.grad_norm <= 1e-9
    assert result.stats["num_active"] == np.count_nonzero(result.probs.sum(axis=1))


def test_a_model_with_leaves_that_are_not_parameters():
    problem = duration_problem()
    result = fit(*problem)
    assert result.result == RESULTS.successful
    assert result.param_names == ("beta[0]", "beta[1]")
    # Integers, functions and strings are where they were.
    not_a_parameter = partial(eqx.filter, filter_spec=eqx.is_inexact_array, inverse=True)
    assert eqx.tree_equal(*map(not_a_parameter, (result.model, problem.model)))
    log_lik = log_lik_of(Problem(result.model, problem.data, problem.supp))
    assert mixture_gap(log_lik, result.probs) <= 1e-12
    assert result.grad_norm <= 1e-9
    # The truth, up to two standard errors: 1/√(150 spells) each.
    np.testing.assert_allclose(result.model.beta, [0.5, 0.7], atol=0.16)


def test_float32():
    single = jax.tree.map(lambda x: x.astype(jnp.float32), PROBLEM)
    result = fit(*single)
    assert result.result == RESULTS.successful
    assert result.probs.dtype == result.model.beta.dtype == jnp.float32
    # Gradient: f_θp δp with δp up to √gap = 1e-3; over the smallest curvature.
    assert np.max(np.abs(gradient_at(jax.tree.map(jnp.float64, result.model)))) <= 3e-3
    np.testing.assert_allclose(result.estimates, fitted().estimates, atol=1e-2)
    np.testing.assert_allclose(result.loglik, fitted().loglik, rtol=1e-5)


def test_numpy_scalars_are_parameters_too():
    # `np.log(0.6)` is a NumPy scalar and no array, but whoever writes it wants it estimated.
    model = type(MODEL)(np.asarray(MODEL.beta), np.float64(MODEL.log_sd))
    result = fit(model, DATA, SUPP)
    assert result.param_names == fitted().param_names
    np.testing.assert_array_equal(result.estimates, fitted().estimates)
