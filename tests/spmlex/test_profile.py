"""`profile_ll`: value, certificate, and the models, dtypes and arguments it takes."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mixsqpx import EM, MixSQP
from spmlex import profile_ll

from .helpers import log_lik_of, mixture_gap, mixture_value
from .models import (
    Problem,
    duration_problem,
    factor_problem,
    level_and_slope_problem,
    panel_problem,
    truncated_problem,
)

PROBLEMS = {
    # Seven points with mass on 48: less than the smallest working set holds.
    "factor": factor_problem(80, 48),
    "panel": panel_problem(1),
    # More points with mass than the smallest working set holds, and than derivatives count on.
    "many active points": panel_problem(3, num_units=120, num_points=60, sd=0.08, two_types=False),
    "level and slope": level_and_slope_problem(),
    "durations": duration_problem(),
    "impossible points": truncated_problem(),
}
# The default inner tolerance is a gap of 1e-13; recomputing the gap in NumPy adds rounding.
GAP = 1e-12
# Two orders of summation of log-likelihoods of size 1..10 differ by some eps of their size.
ROUNDING = 1e-14

SOLVE = jax.jit(profile_ll)
VALUE_AND_GRAD = jax.jit(jax.value_and_grad(profile_ll, has_aux=True))


@pytest.mark.parametrize("name", PROBLEMS)
def test_value_is_that_of_a_certified_optimum(name):
    problem = PROBLEMS[name]
    value, probs = profile_ll(*problem)
    log_lik = log_lik_of(problem)
    assert value.shape == ()
    assert probs.shape == log_lik.shape[1:]
    assert np.all(probs >= 0)
    np.testing.assert_allclose(np.sum(probs), 1, rtol=ROUNDING)
    np.testing.assert_allclose(value, mixture_value(log_lik, probs), rtol=ROUNDING)
    assert mixture_gap(log_lik, probs) <= GAP


def test_working_sets_of_both_sizes_are_in_use():
    # Premise of the parametrisation above, which else would leave a branch of the code out.
    from mixsqpx._mixsqp import _rungs
    from mixsqpx.implicit import _sizes

    for name, are_few in (("factor", True), ("many active points", False)):
        num_active = np.count_nonzero(profile_ll(*PROBLEMS[name])[1])
        shape = log_lik_of(PROBLEMS[name]).shape
        for first, last in ([size for size, _ in _rungs(*shape)], _sizes(*shape)):
            assert (num_active < first) == are_few
            assert num_active < last == shape[1]


def test_forward_mode_alone_is_refused():
    model, data, supp = PROBLEMS["panel"]
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jacfwd(lambda model: profile_ll(model, data, supp)[0])(model)


def test_weights_have_no_scale_and_count_units():
    model, data, supp = PROBLEMS["panel"]
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 60)
    weights[:3] = 0.0
    value, probs = profile_ll(model, data, supp, weights=weights)
    log_lik = log_lik_of(PROBLEMS["panel"])
    np.testing.assert_allclose(value, mixture_value(log_lik, probs, weights), rtol=ROUNDING)
    assert mixture_gap(log_lik, probs, weights) <= GAP
    # A unit without weight may hold anything.
    spoiled = {**data, "y": data["y"].at[1].set(jnp.nan)}
    scaled, _ = profile_ll(model, spoiled, supp, weights=1e6 * weights)
    np.testing.assert_allclose(scaled, value, rtol=ROUNDING)
    equal, _ = profile_ll(model, data, supp, weights=jnp.full(60, 7.0))
    np.testing.assert_allclose(equal, SOLVE(*PROBLEMS["panel"])[0], rtol=ROUNDING)


def test_support_as_a_dict():
    model, data, supp = PROBLEMS["level and slope"]
    value, probs = profile_ll(model, data, supp)
    named = {"level": supp[:, 0], "slope": supp[:, 1]}
    value_named, probs_named = profile_ll(model, data, named)
    np.testing.assert_allclose(value_named, value, rtol=ROUNDING)
    np.testing.assert_allclose(probs_named, probs, atol=1e-12)

    @jax.jit
    @jax.grad
    def grad_of(supp):
        return profile_ll(model, data, supp)[0]

    # The derivative has the structure of the support.
    grad, grad_named = grad_of(supp), grad_of(named)
    # Gradients of the two sums of squares: rounding, times the condition of the inner problem.
    np.testing.assert_allclose(grad_named["level"], grad[:, 0], atol=1e-12)
    np.testing.assert_allclose(grad_named["slope"], grad[:, 1], atol=1e-12)
    assert np.max(np.abs(grad)) > 1e-3


def test_leaves_that_are_not_parameters():
    model, data, supp = problem = PROBLEMS["durations"]
    value, _ = profile_ll(*problem)

    @eqx.filter_jit
    @eqx.filter_value_and_grad(has_aux=True)
    def compiled(model, data, supp):
        return profile_ll(model, data, supp)

    (again, _), grad = compiled(*problem)
    np.testing.assert_allclose(again, value, rtol=ROUNDING)
    assert jax.tree.leaves(grad) == [grad.beta]
    # The integers choose the regressors: exchanging them exchanges the derivatives.
    swapped = eqx.tree_at(
        lambda m: (m.columns, m.beta), model, (jnp.array([0, 2]), model.beta[::-1])
    )
    (again, _), grad_swapped = compiled(swapped, data, supp)
    np.testing.assert_allclose(again, value, rtol=ROUNDING)
    np.testing.assert_allclose(grad_swapped.beta, grad.beta[::-1], atol=1e-12)
    # A static field is part of the model too.
    rescaled = eqx.tree_at(lambda m: m.beta, model, model.beta / 2)
    rescaled = type(model)(rescaled.beta, model.columns, model.link, model.label, scale=2.0)
    np.testing.assert_allclose(profile_ll(rescaled, data, supp)[0], value, rtol=ROUNDING)


def test_integer_leaves_under_grad_with_allow_int():
    model, data, supp = PROBLEMS["durations"]
    params, static = eqx.partition(model, eqx.is_array)
    arrays, label = eqx.partition(data, eqx.is_array)

    @jax.jit
    @partial(jax.grad, argnums=(0, 1), allow_int=True)
    def grad_of(params, arrays):
        return profile_ll(eqx.combine(params, static), eqx.combine(arrays, label), supp)[0]

    grad, grad_data = grad_of(params, arrays)
    assert grad.columns.dtype == grad_data["num_spells"].dtype == jax.dtypes.float0
    assert np.all(np.isfinite(grad.beta))
    assert np.max(np.abs(grad.beta)) > 1e-3


def test_numpy_arrays_are_taken():
    as_numpy = jax.tree.map(np.asarray, PROBLEMS["panel"])
    assert isinstance(as_numpy.model.beta, np.ndarray)
    value, probs = profile_ll(*as_numpy, weights=np.ones(60))
    expected, expected_probs = profile_ll(*PROBLEMS["panel"])
    assert isinstance(value, jax.Array)
    assert isinstance(probs, jax.Array)
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(probs, expected_probs)


def test_float32():
    problem = PROBLEMS["panel"]
    single = jax.tree.map(lambda x: x.astype(jnp.float32), problem)
    (value, probs), grad = VALUE_AND_GRAD(*single)
    assert value.dtype == probs.dtype == grad.beta.dtype == jnp.float32
    (expected, _), expected_grad = VALUE_AND_GRAD(*problem)
    # Value: its own rounding, eps = 1.2e-7 in each of 60 terms of size 4, and a gap of 1e-6.
    np.testing.assert_allclose(value, expected, atol=3e-6)
    assert mixture_gap(log_lik_of(problem), probs / np.sum(probs)) <= 1e-5
    # Gradient: f_θp δp, where δp is up to √gap = 1e-3.
    for leaf, expected_leaf in zip(*map(jax.tree.leaves, (grad, expected_grad)), strict=True):
        np.testing.assert_allclose(leaf, expected_leaf, atol=3e-3)


@pytest.mark.parametrize("shape", ["one unit", "one point", "one of each"])
def test_smallest_problems(shape):
    model, data, supp = PROBLEMS["panel"]
    if shape != "one point":
        data = jax.tree.map(lambda x: x[:1], data)
    if shape != "one unit":
        supp = supp[4:5]
    value, probs = profile_ll(model, data, supp)
    log_lik = log_lik_of(Problem(model, data, supp))
    # The best of one point, or the best point of one unit: all mass there, no mixture.
    np.testing.assert_allclose(value, -np.mean(log_lik.max(axis=1)), rtol=ROUNDING)
    assert np.argmax(probs) == np.argmax(log_lik[0])
    np.testing.assert_allclose(np.max(probs), 1, rtol=ROUNDING)
    _, grad = VALUE_AND_GRAD(model, data, supp)
    # d ℓ/d log_sd = Σ_t z² - 3 at the point with the mass.
    log_sd = np.asarray(model.log_sd)
    squares = -2 * (log_lik.max(axis=1) + 3 * (log_sd + 0.5 * np.log(2 * np.pi)))
    np.testing.assert_allclose(grad.log_sd, 3 - np.mean(squares), rtol=1e-12)


def test_the_given_solver_is_used(monkeypatch):
    model, data, supp = PROBLEMS["panel"]
    log_lik = log_lik_of(PROBLEMS["panel"])
    best = mixture_value(log_lik, profile_ll(model, data, supp)[1])
    value, probs = profile_ll(model, data, supp, solver=EM(gap_tol=1e-3))
    gap = mixture_gap(log_lik, probs)
    # Linear convergence stops just below its tolerance; and the certificate holds.
    assert 1e-4 < gap <= 1e-3
    assert 0 < value - best <= gap
    monkeypatch.setattr(EM, "usual_max_steps", 100)
    with pytest.raises(RuntimeError, match="step limit"):
        profile_ll(model, data, supp, solver=EM(gap_tol=1e-14))
    value, _ = profile_ll(model, data, supp, solver=MixSQP(gap_tol=1e-14))
    np.testing.assert_allclose(value, best, rtol=ROUNDING)
