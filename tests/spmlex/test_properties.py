"""Properties of `profile_ll` on random problems, all of one shape so that JAX compiles once."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import assume, example, given
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree

from spmlex import profile_ll

from .helpers import (
    STEP,
    central_differences,
    flatten,
    mixture_gap,
    mixture_value,
    normalised,
    posterior,
)
from .models import panel_problem

SEEDS = st.integers(0, 2**31 - 1)
VALUE_AND_GRAD = jax.jit(jax.value_and_grad(profile_ll, has_aux=True))
SOLVE = jax.jit(profile_ll)
JACOBIAN = jax.jit(jax.jacobian(lambda model, data, supp: model.lclk(data, supp)))
# The tolerance of the inner problem is a gap of 1e-13, by which two values may differ; and they
# are sums of 60 terms of size up to 100.
SAME = 1e-12


class Draw(NamedTuple):
    """What Hypothesis draws, and prints when a test fails."""

    seed: int
    sd: float
    spread: float

    def build(self):
        """A panel, a model within 0.2 or about 0.7 of the truth, and weights, a tenth zero."""
        rng = np.random.default_rng(self.seed)
        model, data, supp = panel_problem(self.seed, sd=self.sd)
        theta, rebuild = flatten(model)
        model = rebuild(theta + self.spread * rng.normal(size=3))
        weights = rng.uniform(0.5, 2.0, 60) * (rng.uniform(size=60) > 0.1)
        return model, data, supp, jnp.asarray(weights)


DRAWS = st.builds(Draw, SEEDS, st.sampled_from([0.6, 0.3, 1.5]), st.sampled_from([0.0, 0.5]))


@given(DRAWS)
# Likelihoods so rough that some points explain no unit: second derivatives in p of 1e-298.
@example(Draw(3993, 0.3, 0.5))
def test_certificate(draw):
    *arguments, weights = draw.build()
    value, probs = SOLVE(*arguments, weights=weights)
    log_lik = np.asarray(arguments[0].lclk(*arguments[1:]))
    assert mixture_gap(log_lik, probs, weights) <= SAME
    np.testing.assert_allclose(value, mixture_value(log_lik, probs, weights), rtol=1e-13)
    np.testing.assert_allclose(np.sum(probs), 1, rtol=1e-13)


@given(DRAWS)
def test_envelope_theorem(draw):
    model, data, supp, weights = draw.build()
    (_, probs), grad = VALUE_AND_GRAD(model, data, supp, weights=weights)
    share = posterior(np.asarray(model.lclk(data, supp)), probs)
    share = share * normalised(weights, 60)[:, None]
    jacobian = JACOBIAN(model, data, supp)
    for ours, d_lclk in zip(*map(jax.tree.leaves, (grad, jacobian)), strict=True):
        expected = -np.tensordot(share, np.asarray(d_lclk), axes=2)
        # Rounding of sums of terms that cancel, up to the largest of them.
        size = np.max(np.tensordot(share, np.abs(d_lclk), axes=2))
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-13 * max(1, size))


@given(DRAWS)
def test_gradient_agrees_with_differences(draw):
    # Nearer to the truth, where the fifth derivative is not huge.
    model, data, supp, weights = draw._replace(spread=draw.spread / 5).build()
    theta, rebuild = flatten(model)
    active = []

    def value(theta):
        value, probs = SOLVE(rebuild(theta), data, supp, weights=weights)
        active.append(tuple(np.flatnonzero(probs)))
        return value

    expected = central_differences(value, theta)
    # Where a point gains or loses all mass within the stencil, the second derivative jumps and
    # differences are good to STEP times that jump only.
    assume(len(set(active)) == 1)
    _, grad = VALUE_AND_GRAD(model, data, supp, weights=weights)
    # Each of the two values may be off by the inner gap, and by rounding of its terms.
    scale = max(1.0, abs(float(value(theta))))
    tol = 2 * (1e-13 + 16 * np.finfo(float).eps * scale) / STEP
    # Truncation, (4/30) STEP⁴ f⁽⁵⁾. The odds of two neighbouring points move with the parameters
    # at the rate |x| Δ/sd² or less, and f⁽⁵⁾ is of the order of its fifth power.
    rate = np.max(np.abs(data["x"])) * (supp[1] - supp[0]) / np.exp(2 * model.log_sd)
    tol += 4 / 30 * STEP**4 * rate**5
    np.testing.assert_allclose(ravel_pytree(grad)[0], expected, rtol=0, atol=tol)


@given(DRAWS, SEEDS)
def test_order_of_units_and_support_points_does_not_matter(draw, seed):
    model, data, supp, weights = draw.build()
    rng = np.random.default_rng(seed)
    units, points = rng.permutation(60), rng.permutation(15)
    (value, _), grad = VALUE_AND_GRAD(model, data, supp, weights=weights)
    shuffled = jax.tree.map(lambda x: x[units], data)
    (value2, probs2), grad2 = VALUE_AND_GRAD(model, shuffled, supp[points], weights=weights[units])
    np.testing.assert_allclose(value2, value, rtol=SAME)
    # Both are certified, hence each other's optimum, though p may be poorly determined.
    log_lik = np.asarray(model.lclk(data, supp))
    moved = np.zeros(15)
    moved[points] = probs2
    assert mixture_gap(log_lik, moved, weights) <= SAME
    # f_θp δp, with a δp of up to the root of the gap, 3e-7, where terms of ∂ℓ are of size `scale`.
    scale = max(1.0, np.max(np.abs(ravel_pytree(grad)[0])))
    np.testing.assert_allclose(
        ravel_pytree(grad2)[0], ravel_pytree(grad)[0], rtol=0, atol=3e-7 * scale
    )


@given(DRAWS, SEEDS)
def test_names_of_groups_do_not_matter(draw, seed):
    model, data, supp, weights = draw.build()
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat([0, 1, 2], [30, 20, 10]))
    names = np.array([2, 0, 1])
    weights = jnp.maximum(weights, 0.1)
    grouped = partial(profile_ll, model, data, supp, weights=weights)
    value, probs = grouped(groups=groups)
    value2, probs2 = grouped(groups=names[groups])
    np.testing.assert_allclose(value2, value, rtol=SAME)
    log_lik = np.asarray(model.lclk(data, supp))
    for label in range(3):
        part, omega = log_lik[groups == label], np.asarray(weights)[groups == label]
        assert mixture_gap(part, probs[:, label], omega) <= SAME
        assert mixture_gap(part, probs2[:, names[label]], omega) <= SAME
    # More freedom: never worse than one distribution for all.
    assert value <= SOLVE(model, data, supp, weights=weights)[0] + SAME


@given(DRAWS)
def test_a_finer_grid_is_not_worse(draw):
    model, data, supp, weights = draw.build()
    finer = jnp.linspace(-3.0, 3.0, 29)
    np.testing.assert_allclose(finer[::2], supp, atol=1e-15)
    coarse, _ = SOLVE(model, data, supp, weights=weights)
    # The coarse points to the last bit, or the claim is not exact.
    fine, probs = SOLVE(model, data, finer.at[::2].set(supp), weights=weights)
    assert fine <= coarse + SAME * max(1.0, abs(float(coarse)))
    log_lik = np.asarray(model.lclk(data, finer))
    assert mixture_gap(log_lik, probs, weights) <= 1e-9
