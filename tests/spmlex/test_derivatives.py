"""Derivatives of `profile_ll`: closed forms, central differences, and JAX's transformations."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from spmlex import profile_ll

from .helpers import central_differences, flatten, profile_hessians
from .test_profile import PROBLEMS

# Relative to the largest entry. Values differ from exact ones by eps of their size and at worst by
# the inner gap, 1e-13, so their differences (see `helpers.STEP`) by 1e-9.
FROM_VALUES = 2e-9
# Gradients and probabilities err by up to the square root of the gap, and in the runs measured by
# far less: their differences agreed to 2e-10.
FROM_GRADIENTS = 1e-8


def assert_close(actual, expected, tol):
    scale = max(1.0, np.max(np.abs(expected)))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tol * scale)


class Flat:
    """A problem as compiled functions of the vector θ."""

    def __init__(self, problem, **options):
        self.model, self.data, self.supp = problem
        self.theta, rebuild = flatten(self.model)

        def both(theta):
            return profile_ll(rebuild(theta), self.data, self.supp, **options)

        self.both = jax.jit(both)
        self.value = lambda theta: self.both(theta)[0]
        self.probs = lambda theta: self.both(theta)[1]
        self.grad = jax.jit(jax.grad(lambda theta: both(theta)[0]))
        self.hess = jax.jit(jax.hessian(lambda theta: both(theta)[0]))
        self.jac = jax.jit(jax.jacrev(lambda theta: both(theta)[1]))
        self.hess_probs = jax.jit(jax.hessian(lambda theta: both(theta)[1]))


@pytest.fixture(scope="module", params=PROBLEMS)
def flat(request):
    return Flat(PROBLEMS[request.param])


@pytest.fixture(scope="module")
def panel():
    return Flat(PROBLEMS["panel"])


def test_gradient_against_differences(flat):
    expected = central_differences(flat.value, flat.theta)
    assert np.max(np.abs(expected)) > 0.1
    assert_close(flat.grad(flat.theta), expected, FROM_VALUES)


def test_probs_jacobian_against_differences(flat):
    expected = central_differences(flat.probs, flat.theta)
    jac = flat.jac(flat.theta)
    assert np.max(np.abs(expected)) > 0.1
    assert_close(jac, expected, FROM_GRADIENTS)
    # Mass stays one, and points without mass stay so.
    assert_close(np.sum(jac, axis=0), np.zeros(flat.theta.size), 1e-12)
    np.testing.assert_array_equal(jac[flat.probs(flat.theta) == 0], 0.0)


def test_hessian_against_differences_and_formula(flat):
    hess = flat.hess(flat.theta)
    differences = central_differences(flat.grad, flat.theta)
    assert_close(hess, differences, FROM_GRADIENTS)
    formula, fixed_probs = profile_hessians(
        flat.model, flat.data, flat.supp, flat.probs(flat.theta)
    )
    # Two ways to the same number: rounding times the condition of H_AA, some 1e3.
    assert_close(hess, formula, 1e-11)
    # The Hessian at fixed p is another matrix, by far: p adapts, so the profile is flatter.
    assert np.max(np.abs(fixed_probs - differences)) > 0.04 * np.max(np.abs(differences))
    assert np.min(np.linalg.eigvalsh(fixed_probs - hess)) > -1e-10
    assert np.max(np.linalg.eigvalsh(fixed_probs - hess)) > 0.1


def test_stopping_the_gradient_at_p_is_not_what_we_do(panel):
    # The mistake that section 2 of the specification warns of: right gradient, wrong Hessian.
    _, rebuild = flatten(panel.model)

    def stopped(theta):
        probs = jax.lax.stop_gradient(panel.both(theta)[1])
        log_lik = rebuild(theta).lclk(panel.data, panel.supp)
        return -jnp.mean(jax.nn.logsumexp(log_lik, axis=1, b=probs[None, :]))

    assert_close(jax.grad(stopped)(panel.theta), panel.grad(panel.theta), 1e-12)
    wrong = jax.hessian(stopped)(panel.theta)
    right = central_differences(panel.grad, panel.theta)
    assert np.max(np.abs(wrong - right)) > 0.4
    assert np.max(np.abs(panel.hess(panel.theta) - right)) < 1e-7


def test_hessian_of_probs_against_differences(panel):
    expected = central_differences(panel.jac, panel.theta)
    hess = panel.hess_probs(panel.theta)
    assert hess.shape == (15, 3, 3)
    assert np.max(np.abs(expected)) > 0.1
    assert_close(hess, expected, FROM_GRADIENTS)
    np.testing.assert_allclose(hess, np.swapaxes(hess, 1, 2), atol=1e-10)


def test_derivatives_in_data_support_and_weights(panel):
    weights = jnp.asarray(np.random.default_rng(0).uniform(0.5, 2.0, 60))
    vector, unravel = ravel_pytree((panel.data, panel.supp, weights))

    def both(vector):
        data, supp, weights = unravel(vector)
        return profile_ll(panel.model, data, supp, weights=weights)

    value = jax.jit(both)
    (_, probs), grad = jax.jit(jax.value_and_grad(both, has_aux=True))(vector)
    expected = central_differences(lambda vector: value(vector)[0], vector)
    assert_close(grad, expected, FROM_VALUES)
    _, grad_supp, grad_weights = unravel(grad)
    assert np.max(np.abs(grad_supp)) > 1e-3
    assert np.max(np.abs(grad_weights)) > 1e-3
    np.testing.assert_array_equal(grad_supp[probs == 0], 0.0)
    # Scaling all weights changes nothing: homogeneity of degree zero.
    np.testing.assert_allclose(grad_weights @ weights, 0, atol=1e-12)
    # Probabilities in the support and the weights, the last 75 entries.
    jac = jax.jit(jax.jacrev(lambda tail: both(vector.at[-75:].set(tail))[1]))(vector[-75:])
    expected = central_differences(
        lambda tail: value(vector.at[-75:].set(tail))[1], vector[-75:]
    )
    assert_close(jac, expected, FROM_GRADIENTS)
    assert np.max(np.abs(expected[:, -60:])) > 1e-3


def test_a_function_of_value_and_probs_together(panel):
    # Both cotangents at once, as for the mean effect plus the likelihood.
    def combined(theta):
        value, probs = panel.both(theta)
        return value**2 + jnp.exp(probs @ panel.supp)

    expected = central_differences(combined, panel.theta)
    assert_close(jax.grad(combined)(panel.theta), expected, FROM_GRADIENTS)


def test_vmap_over_parameters(panel):
    rng = np.random.default_rng(1)
    thetas = panel.theta[None, :] + 0.1 * jnp.asarray(rng.normal(size=(4, 3)))
    functions = {"both": panel.both, "grad": panel.grad, "hess": panel.hess}
    for name, fn in functions.items():
        batched = jax.jit(jax.vmap(fn))(thetas)
        loop = jax.tree.map(lambda *x: jnp.stack(x), *[fn(theta) for theta in thetas])
        for ours, expected in zip(jax.tree.leaves(batched), jax.tree.leaves(loop), strict=True):
            # The same solves; batched products sum in another order.
            assert_close(ours, expected, 1e-12), name
    grad_of_mean = jax.grad(lambda thetas: jnp.mean(jax.vmap(panel.value)(thetas)))(thetas)
    assert_close(grad_of_mean, np.stack([panel.grad(theta) for theta in thetas]) / 4, 1e-12)


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


def test_hessian_of_a_model_has_its_structure():
    model, data, supp = PROBLEMS["panel"]
    hess = eqx.filter_jit(jax.hessian(lambda model: profile_ll(model, data, supp)[0]))(model)
    assert hess.beta.beta.shape == (2, 2)
    assert hess.beta.log_sd.shape == hess.log_sd.beta.shape == (2,)
    formula, _ = profile_hessians(*PROBLEMS["panel"], profile_ll(model, data, supp)[1])
    assert_close(hess.beta.beta, formula[:2, :2], 1e-11)
    assert_close(hess.log_sd.log_sd, formula[2, 2], 1e-11)
