"""What may not depend on how the parameters of a model are written."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spmlex import RESULTS, fit, profile_ll

from .helpers import flatten, mixture_gap, mixture_value
from .models import UnitEffect, panel_problem
from .test_properties import DRAWS

VALUE_AND_GRAD = jax.jit(jax.value_and_grad(profile_ll, has_aux=True))
HESSIAN = jax.jit(jax.hessian(lambda *args, **kwargs: profile_ll(*args, **kwargs)[0]))


class Scaled(eqx.Module):
    """β = scale × direction: moving mass from one to the other changes nothing."""

    scale: jax.Array
    direction: jax.Array
    log_sd: jax.Array

    def lclk(self, data, supp):
        return UnitEffect(self.scale * self.direction, self.log_sd).lclk(data, supp)


@given(DRAWS, st.sampled_from([0.01, 1.0, 100.0]))
def test_gradient_is_orthogonal_to_a_null_direction(draw, scale):
    model, data, supp, weights = draw.build()
    scaled = Scaled(jnp.asarray(scale), model.beta / scale, model.log_sd)
    (value, probs), grad = VALUE_AND_GRAD(scaled, data, supp, weights=weights)
    (same, _), of_beta = VALUE_AND_GRAD(model, data, supp, weights=weights)
    np.testing.assert_allclose(value, same, rtol=1e-12)
    parts = scale * grad.scale, -(scaled.direction @ grad.direction)
    # The derivative of each part is a sum of 60 terms of this size; the parts cancel.
    log_lik = np.asarray(model.lclk(data, supp))
    assert mixture_gap(log_lik, probs, weights) <= 1e-12
    size = float(jnp.abs(model.beta) @ jnp.abs(of_beta.beta)) + np.abs(log_lik[:, probs > 0]).max()
    assert abs(sum(parts)) <= 100 * np.finfo(float).eps * size


@given(DRAWS)
def test_hessian_knows_the_null_direction(draw):
    # Along the orbit t ↦ (scale eᵗ, direction e⁻ᵗ) the value is constant, so its second derivative
    # there, vᵀHv + gᵀa with velocity v and acceleration a, is zero.
    model, data, supp, weights = draw.build()
    scaled = Scaled(jnp.asarray(2.0), model.beta / 2, model.log_sd)
    _, grad = VALUE_AND_GRAD(scaled, data, supp, weights=weights)
    hess = flat_hessian(HESSIAN(scaled, data, supp, weights=weights))
    theta = np.asarray(flatten(scaled)[0])
    velocity, acceleration = theta * [1, -1, -1, 0], theta * [1, 1, 1, 0]
    parts = velocity @ hess @ velocity, np.asarray(flatten(grad)[0]) @ acceleration
    size = np.abs(velocity) @ np.abs(hess) @ np.abs(velocity) + np.abs(parts[1])
    # H_pp is inverted on the way: its condition number is lost from the digits at worst, and where
    # it is singular to the last of them, so may be half.
    assert abs(sum(parts)) <= 1e-7 * (1 + size)


def flat_hessian(hess):
    """Hessian of a `Scaled` model as a matrix."""
    names = ("scale", "direction", "log_sd")
    blocks = [[np.asarray(getattr(getattr(hess, a), b)) for b in names] for a in names]
    sizes = (1, 2, 1)
    return np.block(
        [
            [block.reshape(size, other) for block, other in zip(row, sizes, strict=True)]
            for row, size in zip(blocks, sizes, strict=True)
        ]
    )


class Rewritten(eqx.Module):
    """β = (sinh γ₁, γ₂ + γ₁/2), and the standard deviation log(1 + e^s)."""

    gamma: jax.Array
    s: jax.Array

    def rewrite(self):
        beta = jnp.stack([jnp.sinh(self.gamma[0]), self.gamma[1] + self.gamma[0] / 2])
        return UnitEffect(beta, jnp.log(jax.nn.softplus(self.s)))

    def lclk(self, data, supp):
        return self.rewrite().lclk(data, supp)


def rewritten(model):
    """The same model in the other parameters."""
    first = jnp.arcsinh(model.beta[0])
    gamma = jnp.stack([first, model.beta[1] - first / 2])
    return Rewritten(gamma, jnp.log(jnp.expm1(jnp.exp(model.log_sd))))


@cache
def both_fits(seed):
    """Fits from the same start, written both ways, and the Jacobian between their parameters."""
    model, data, supp = panel_problem(seed)
    fits = fit(model, data, supp), fit(rewritten(model), data, supp)
    theta, rebuild = flatten(fits[1].model)
    return *fits, np.asarray(jax.jacobian(lambda x: flatten(rebuild(x).rewrite())[0])(theta))


@pytest.mark.parametrize("seed", range(4))
def test_fit_does_not_depend_on_the_parameters(seed):
    one, other, _ = both_fits(seed)
    assert one.result == other.result == RESULTS.successful
    _, data, supp = panel_problem(seed)
    np.testing.assert_allclose(other.loglik, one.loglik, rtol=1e-12)
    # Gradients of 1e-10 and Hessians of the mean above 0.01: parameters to 1e-8.
    one_theta, other_theta = flatten(one.model)[0], flatten(other.model.rewrite())[0]
    np.testing.assert_allclose(other_theta, one_theta, rtol=0, atol=1e-8)
    value = mixture_value(np.asarray(one.model.lclk(data, supp)), one.probs)
    np.testing.assert_allclose(one.loglik, -60 * value, rtol=1e-12)


@pytest.mark.parametrize("kind", ["hessian", "opg", "robust", "cluster"])
@pytest.mark.parametrize("seed", range(2))
def test_standard_errors_transform_by_the_delta_method(seed, kind):
    one, other, jacobian = both_fits(seed)
    clusters = np.arange(60) // 2 if kind == "cluster" else None
    cov = one.cov(kind, clusters=clusters)
    transformed = jacobian @ other.cov(kind, clusters=clusters) @ jacobian.T
    # The term with the second derivative of the map times the gradient, 1e-10, is all that is
    # missing, and the estimates differ by 1e-8.
    np.testing.assert_allclose(transformed, cov, rtol=0, atol=1e-6 * np.abs(cov).max())
    errors = np.sqrt(np.diagonal(transformed))
    np.testing.assert_allclose(errors, one.std_errors(kind, clusters=clusters), rtol=1e-6)
