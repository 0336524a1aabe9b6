"""`profile_ll` with a distribution for each group."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spmlex import profile_ll

from .helpers import log_lik_of, mixture_gap, mixture_value
from .test_derivatives import FROM_GRADIENTS, FROM_VALUES, Flat, assert_close
from .test_profile import GAP, PROBLEMS, ROUNDING, VALUE_AND_GRAD

PROBLEM = PROBLEMS["panel"]
# Three groups of 40, 19 and a single unit, which is number 7.
GROUPS = np.random.default_rng(5).permutation(np.repeat([0, 1], [40, 20]))
GROUPS[7] = 2
WEIGHTS = jnp.asarray(np.random.default_rng(6).uniform(0.5, 2.0, 60))


@pytest.fixture(scope="module")
def grouped():
    return Flat(PROBLEM, groups=GROUPS, weights=WEIGHTS)


def parts():
    """Units, log-likelihoods and weights of each group."""
    log_lik = log_lik_of(PROBLEM)
    for label in range(3):
        units = np.flatnonzero(label == GROUPS)
        yield label, log_lik[units], np.asarray(WEIGHTS)[units]


def test_each_group_has_its_own_certified_optimum():
    value, probs = profile_ll(*PROBLEM, groups=GROUPS, weights=WEIGHTS)
    assert probs.shape == (15, 3)
    np.testing.assert_allclose(np.sum(probs, axis=0), 1, rtol=ROUNDING)
    total = 0.0
    for label, log_lik, weights in parts():
        assert mixture_gap(log_lik, probs[:, label], weights) <= GAP
        total += np.sum(weights) * mixture_value(log_lik, probs[:, label], weights)
    np.testing.assert_allclose(value, total / np.sum(WEIGHTS), rtol=ROUNDING)
    # Freedom can only raise the likelihood, and here it does.
    assert value < profile_ll(*PROBLEM, weights=WEIGHTS)[0] - 1e-3


def test_a_group_of_one_unit_is_at_its_best_point():
    _, probs = profile_ll(*PROBLEM, groups=GROUPS, weights=WEIGHTS)
    expected = np.zeros(15)
    expected[np.argmax(log_lik_of(PROBLEM)[7])] = 1.0
    np.testing.assert_allclose(probs[:, 2], expected, atol=ROUNDING)


def test_equals_separate_solves():
    value, probs = profile_ll(*PROBLEM, groups=GROUPS, weights=WEIGHTS)
    total = 0.0
    for label in range(3):
        within = jnp.where(jnp.asarray(GROUPS) == label, WEIGHTS, 0.0)
        alone, probs_alone = profile_ll(*PROBLEM, weights=within)
        total += np.sum(within) * alone
        # Of two solves with gaps up to 1e-13, p differs by up to the root of that, 3e-7.
        np.testing.assert_allclose(probs[:, label], probs_alone, atol=3e-7)
    np.testing.assert_allclose(value, total / np.sum(WEIGHTS), rtol=ROUNDING)


def test_one_group_equals_none():
    zeros = np.zeros(60, dtype=np.int32)
    one = jax.jit(jax.value_and_grad(partial(profile_ll, groups=zeros), has_aux=True))
    (value, probs), grad = one(*PROBLEM)
    (expected, expected_probs), expected_grad = VALUE_AND_GRAD(*PROBLEM)
    assert probs.shape == (15, 1)
    np.testing.assert_allclose(value, expected, rtol=ROUNDING)
    np.testing.assert_allclose(probs[:, 0], expected_probs, atol=1e-12)
    assert_close(grad.beta, expected_grad.beta, 1e-12)


def test_jit_and_groups_as_a_jax_array(grouped):
    value, probs = profile_ll(*PROBLEM, groups=jnp.asarray(GROUPS), weights=WEIGHTS)
    compiled, compiled_probs = grouped.here[:2]
    np.testing.assert_allclose(compiled, value, rtol=ROUNDING)
    np.testing.assert_allclose(compiled_probs, probs, atol=1e-12)


def test_derivatives_against_differences(grouped):
    assert_close(grouped.here.grad, grouped.differences("value"), FROM_VALUES)
    assert_close(grouped.here.hess, grouped.differences("grad"), FROM_GRADIENTS)
    expected = grouped.differences("probs")
    assert expected.shape == (15, 3, 3)
    assert np.max(np.abs(expected)) > 0.1
    assert_close(grouped.here.jac, expected, FROM_GRADIENTS)
    # The one unit stays at its point.
    np.testing.assert_array_equal(grouped.here.jac[:, 2], 0.0)


def test_gradient_in_weights_is_the_closed_form():
    def value_of(weights):
        return profile_ll(*PROBLEM, groups=GROUPS, weights=weights)[0]

    grad = jax.jit(jax.grad(value_of))(WEIGHTS)
    # Of shares and of values: 1/Σw (-log mixture of the unit, with the F of its group, - value).
    value, probs = profile_ll(*PROBLEM, groups=GROUPS, weights=WEIGHTS)
    mixed = np.sum(np.exp(log_lik_of(PROBLEM)) * np.asarray(probs)[:, GROUPS].T, axis=1)
    expected = (-np.log(mixed) - value) / np.sum(WEIGHTS)
    assert_close(grad, expected, 1e-12)


def test_a_group_without_weight_is_named():
    # Its distribution is not determined, and the weights as a whole are not at fault.
    weights = jnp.where(jnp.asarray(GROUPS) == 1, 0.0, WEIGHTS)
    with pytest.raises(ValueError, match="group.* 1"):
        profile_ll(*PROBLEM, groups=GROUPS, weights=weights)
