"""Derivatives of `profile_ll`: closed forms, central differences, and JAX's transformations."""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from spmlex import FunctionModel, profile_ll

from .helpers import central_differences, flatten, profile_hessians
from .test_profile import PROBLEMS, ROUNDING, SOLVE, VALUE_AND_GRAD

# Relative to the largest entry. Values differ from exact ones by eps of their size and at worst by
# the inner gap, 1e-13, so their differences (see `helpers.STEP`) by 1e-9.
FROM_VALUES = 2e-9
# Gradients and probabilities err by up to the square root of the gap, and in the runs measured by
# far less: their differences agreed to 2e-10.
FROM_GRADIENTS = 1e-8


def assert_close(actual, expected, tol):
    scale = max(1.0, np.max(np.abs(expected)))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tol * scale)


class Derivatives(NamedTuple):
    value: jax.Array
    probs: jax.Array
    grad: jax.Array
    hess: jax.Array
    jac: jax.Array


class Flat:
    """A problem as functions of the vector θ. They share one compilation."""

    def __init__(self, problem, **options):
        self.model, self.data, self.supp = problem
        self.theta, rebuild = flatten(self.model)

        def both(theta):
            return profile_ll(rebuild(theta), self.data, self.supp, **options)

        def grad(theta):
            (value, probs), grad = jax.value_and_grad(both, has_aux=True)(theta)
            return grad, (value, probs, grad)

        def everything(theta):
            hess, (value, probs, grad_) = jax.jacfwd(grad, has_aux=True)(theta)
            jac = jax.jacrev(lambda theta: both(theta)[1])(theta)
            return Derivatives(value, probs, grad_, hess, jac)

        self.both = both
        self.everything = jax.jit(everything)
        self.here = self.everything(self.theta)

    def differences(self, name):
        """Of `value`, `probs`, `grad`, … in θ."""
        return central_differences(lambda theta: getattr(self.everything(theta), name), self.theta)


@cache
def flat_of(name):
    return Flat(PROBLEMS[name])


@pytest.fixture(params=PROBLEMS)
def flat(request):
    return flat_of(request.param)


@pytest.fixture
def panel():
    return flat_of("panel")


@pytest.mark.slow  # several fits, of shapes of their own
def test_one_number_eagerly_compiled_and_under_differentiation(panel):
    problem = PROBLEMS["panel"]
    value, probs = profile_ll(*problem)
    others = {
        "jit": SOLVE(*problem),
        "primal of value_and_grad": VALUE_AND_GRAD(*problem)[0],
        "inside hessian": (panel.here.value, panel.here.probs),
    }
    for name, (other, other_probs) in others.items():
        # One solve for all, but XLA compiles `lclk` together with different surroundings.
        np.testing.assert_allclose(other, value, rtol=ROUNDING, err_msg=name)
        # H of the active points has condition 1e3 here: 1e-12 is a hundred times ROUNDING.
        np.testing.assert_allclose(other_probs, probs, atol=1e-12, err_msg=name)


def test_gradient_against_differences(flat):
    expected = flat.differences("value")
    assert np.max(np.abs(expected)) > 0.05
    assert_close(flat.here.grad, expected, FROM_VALUES)


def test_probs_jacobian_against_differences(flat):
    expected = flat.differences("probs")
    assert np.max(np.abs(expected)) > 0.02
    assert_close(flat.here.jac, expected, FROM_GRADIENTS)
    # Mass stays one, and points without mass stay so.
    assert_close(np.sum(flat.here.jac, axis=0), np.zeros(flat.theta.size), 1e-12)
    np.testing.assert_array_equal(flat.here.jac[flat.here.probs == 0], 0.0)


def test_hessian_against_differences_and_formula(flat):
    differences = flat.differences("grad")
    assert_close(flat.here.hess, differences, FROM_GRADIENTS)
    formula, fixed_probs = profile_hessians(flat.model, flat.data, flat.supp, flat.here.probs)
    # Two ways to the same number: rounding times the condition of H_AA, some 1e3.
    assert_close(flat.here.hess, formula, 1e-11)
    # The Hessian at fixed p is another matrix, by far: p adapts, so the profile is flatter.
    assert np.max(np.abs(fixed_probs - differences)) > 0.04 * np.max(np.abs(differences))
    excess = np.linalg.eigvalsh(fixed_probs - flat.here.hess)
    assert excess[0] > -1e-10
    assert excess[-1] > 0.02


def test_stopping_the_gradient_at_p_is_not_what_we_do(panel):
    # The mistake that section 2 of the specification warns of: right gradient, wrong Hessian.
    _, rebuild = flatten(panel.model)

    @jax.jit
    def stopped(theta):
        probs = jax.lax.stop_gradient(panel.both(theta)[1])
        log_lik = rebuild(theta).lclk(panel.data, panel.supp)
        return -jnp.mean(jax.nn.logsumexp(log_lik, axis=1, b=probs[None, :]))

    assert_close(jax.grad(stopped)(panel.theta), panel.here.grad, 1e-12)
    wrong = jax.jit(jax.hessian(stopped))(panel.theta)
    right = panel.differences("grad")
    assert np.max(np.abs(wrong - right)) > 0.4
    assert_close(panel.here.hess, right, FROM_GRADIENTS)


def test_hessian_of_probs_against_differences(panel):
    expected = panel.differences("jac")
    hess = jax.jit(jax.hessian(lambda theta: panel.both(theta)[1]))(panel.theta)
    assert hess.shape == (15, 3, 3)
    assert np.max(np.abs(expected)) > 0.1
    assert_close(hess, expected, FROM_GRADIENTS)
    np.testing.assert_allclose(hess, np.swapaxes(hess, 1, 2), atol=1e-10)


@pytest.mark.slow  # compiles second derivatives of whole solves
def test_derivatives_in_data_support_and_weights(panel):
    weights = jnp.asarray(np.random.default_rng(0).uniform(0.5, 2.0, 60))
    vector, unravel = ravel_pytree((panel.data, panel.supp, weights))

    def both(vector):
        data, supp, weights = unravel(vector)
        return profile_ll(panel.model, data, supp, weights=weights)

    both = jax.jit(both)
    (_, probs), grad = jax.jit(jax.value_and_grad(both, has_aux=True))(vector)
    # Entries of the data enter in one way; of those every seventh. 75 are support and weights.
    entries = np.concatenate([np.arange(0, 540, 7), np.arange(540, 615)])
    expected = central_differences(lambda vector: both(vector)[0], vector, entries)
    assert_close(grad[entries], expected, FROM_VALUES)
    _, grad_supp, grad_weights = unravel(grad)
    assert np.max(np.abs(grad_supp)) > 1e-3
    assert np.max(np.abs(grad_weights)) > 1e-3
    np.testing.assert_array_equal(grad_supp[probs == 0], 0.0)
    # Scaling all weights changes nothing: homogeneity of degree zero.
    np.testing.assert_allclose(grad_weights @ weights, 0, atol=1e-12)
    jac = jax.jit(jax.jacrev(lambda vector: both(vector)[1]))(vector)
    expected = central_differences(lambda vector: both(vector)[1], vector, entries)
    assert_close(jac[:, entries], expected, FROM_GRADIENTS)
    assert np.max(np.abs(expected[:, -60:])) > 1e-3


def test_a_function_of_value_and_probs_together(panel):
    # Both cotangents at once: the chain rule from the two derivatives, each tested above.
    def combined(theta):
        value, probs = panel.both(theta)
        return value**2 + jnp.exp(probs @ panel.supp)

    value, probs, grad, _, jac = panel.here
    expected = 2 * value * grad + jnp.exp(probs @ panel.supp) * (panel.supp @ jac)
    assert_close(jax.jit(jax.grad(combined))(panel.theta), expected, 1e-12)


def test_vmap_over_parameters(panel):
    rng = np.random.default_rng(1)
    thetas = panel.theta[None, :] + 0.1 * jnp.asarray(rng.normal(size=(4, 3)))
    batched = jax.jit(jax.vmap(panel.everything))(thetas)
    loop = [panel.everything(theta) for theta in thetas]
    for name in Derivatives._fields:
        expected = np.stack([getattr(one, name) for one in loop])
        # The same solves; batched products sum in another order.
        assert_close(getattr(batched, name), expected, 1e-12)
    assert len({int(np.count_nonzero(one.probs)) for one in loop}) > 1  # solves of many lengths

    def mean_value(thetas):
        return jnp.mean(jax.vmap(panel.both)(thetas)[0])

    grad_of_mean = jax.jit(jax.grad(mean_value))(thetas)
    assert_close(grad_of_mean, np.stack([one.grad for one in loop]) / 4, 1e-12)


def test_vmap_over_weights(panel):
    # The bootstrap: one model, many weightings, resampled units with weight zero among them.
    rng = np.random.default_rng(2)
    weights = jnp.asarray(rng.multinomial(60, np.full(60, 1 / 60), size=3).astype(float))
    assert np.any(weights == 0)

    def graded(weights):
        def value_of(model):
            return profile_ll(model, panel.data, panel.supp, weights=weights)

        return jax.value_and_grad(value_of, has_aux=True)(panel.model)

    graded = jax.jit(graded)
    batched = jax.vmap(graded)(weights)
    loop = jax.tree.map(lambda *x: jnp.stack(x), *map(graded, weights))
    for ours, expected in zip(jax.tree.leaves(batched), jax.tree.leaves(loop), strict=True):
        assert_close(ours, expected, 1e-12)


def test_units_without_weight_may_hold_anything(panel):
    # Section 1 of the specification: such rows do not influence anything, NaN in them included.
    weights = jnp.ones(60).at[3].set(0.0)
    spoiled = {**panel.data, "y": panel.data["y"].at[3, 1].set(jnp.nan)}
    graded = jax.jit(jax.value_and_grad(profile_ll, has_aux=True))
    (expected, _), expected_grad = graded(panel.model, panel.data, panel.supp, weights=weights)
    (value, _), grad = graded(panel.model, spoiled, panel.supp, weights=weights)
    assert value == expected
    assert_close(grad.beta, expected_grad.beta, 1e-12)
    infinite = FunctionModel(panel.model, infinite_beyond_1000)
    far = {**panel.data, "y": panel.data["y"].at[3, 0].set(1e6)}
    (value, _), grad = graded(infinite, far, panel.supp, weights=weights)
    assert value == expected
    assert_close(grad.params.beta, expected_grad.beta, 1e-12)


def infinite_beyond_1000(model, data, supp):
    return jnp.where(data["y"][:, :1] > 1e3, jnp.inf, model.lclk(data, supp))


def test_scores_move_with_the_weights(panel):
    # d(gradient)/dω: what the scores of the units are made of.
    _, rebuild = flatten(panel.model)

    def value(theta, weights):
        return profile_ll(rebuild(theta), panel.data, panel.supp, weights=weights)[0]

    def twice(weights):
        grad = jax.grad(value)(panel.theta, weights)
        return grad, grad

    both = jax.jit(jax.jacfwd(twice, has_aux=True))
    weights = jnp.ones(60)
    cross, gradient = both(weights)
    assert_close(gradient, panel.here.grad, 1e-12)
    entries = np.arange(0, 60, 6)
    expected = central_differences(lambda weights: both(weights)[1], weights, entries)
    assert_close(cross[:, entries], expected, FROM_GRADIENTS)
    assert np.max(np.abs(expected)) > 0.01
    # The gradient has no scale in the weights.
    np.testing.assert_allclose(cross @ weights, np.zeros(3), atol=1e-12)


def test_duplicated_support_points(panel):
    doubled = Flat((panel.model, panel.data, jnp.concatenate([panel.supp, panel.supp])))
    np.testing.assert_allclose(doubled.here.value, panel.here.value, rtol=ROUNDING)
    # Only the sums over the copies are determined: to √(inner gap) = 3e-7, for either solve may
    # end with any gap below its tolerance. Copies make H_AA singular; the derivatives of what is
    # determined are unharmed.
    for name, merge in {
        "probs": lambda probs: probs[:15] + probs[15:],
        "jac": lambda jac: jac[:15] + jac[15:],
        "grad": lambda grad: grad,
        "hess": lambda hess: hess,
    }.items():
        ours = merge(getattr(doubled.here, name))
        assert_close(ours, getattr(panel.here, name), 3e-7)


def test_hessian_of_a_model_has_its_structure(panel):
    def value_of(model):
        return profile_ll(model, panel.data, panel.supp)[0]

    hess = jax.jit(jax.hessian(value_of))(panel.model)
    assert hess.beta.beta.shape == (2, 2)
    assert hess.beta.log_sd.shape == hess.log_sd.beta.shape == (2,)
    assert_close(hess.beta.beta, panel.here.hess[:2, :2], 1e-12)
    assert_close(hess.beta.log_sd, panel.here.hess[:2, 2], 1e-12)
    assert_close(hess.log_sd.log_sd, panel.here.hess[2, 2], 1e-12)
