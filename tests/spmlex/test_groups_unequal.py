"""Groups of very different sizes: padded in classes, the same numbers as group by group."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mixsqpx
from spmlex import FunctionModel, fit, profile_ll
from spmlex._model import as_groups

from .helpers import central_differences, mixture_gap
from .test_derivatives import FROM_GRADIENTS, FROM_VALUES, assert_close

SUPP = jnp.linspace(-3.0, 3.0, 9)


def lclk(theta, data, supp):
    """y ~ N(v + θ₁, exp(2 θ₂))."""
    z = (data[:, None] - supp[None, :] - theta[0]) * jnp.exp(-theta[1])
    return -0.5 * z**2 - theta[1]


MODEL = FunctionModel(jnp.array([0.1, -0.2]), lclk)


def sample(counts):
    """Outcomes, and labels in random order."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return jnp.asarray(rng.normal(size=labels.size) * 1.3), labels


# One group of a hundred, and groups of one to three between them: two classes, in no order.
COUNTS = [2, 1, 100, 3, 2, 1, 2, 3, 2, 2]
DATA, LABELS = sample(COUNTS)


@pytest.mark.parametrize(
    "counts",
    [
        [5],
        [1, 1, 1],
        [40, 19, 1],
        COUNTS,
        [10] * 500 + [100_000],
        np.geomspace(1, 1e5, 60).astype(int),
        np.random.default_rng(0).integers(1, 2000, 300),
    ],
)
def test_padding_is_bounded_and_loses_nobody(counts):
    labels = sample(counts)[1]
    groups = as_groups(labels, labels.size)
    assert groups is not None
    assert groups.num == len(counts)
    assert sum(units.size for units in groups.units) <= 4 * labels.size
    members = [np.asarray(u)[m] for u, m in zip(groups.units, groups.masks, strict=True)]
    members = np.concatenate(members)
    np.testing.assert_array_equal(np.sort(members), np.arange(labels.size))
    np.testing.assert_array_equal(groups.labels(labels.size), labels)


@pytest.mark.parametrize(
    ("counts", "shapes"),
    [
        ([40, 19, 1], [(3, 40)]),
        (COUNTS, [(1, 100), (9, 3)]),
        ([10] * 500 + [100_000], [(1, 100_000), (500, 10)]),
    ],
)
def test_no_more_classes_than_needed(counts, shapes):
    groups = as_groups(sample(counts)[1], sum(counts))
    assert groups is not None
    assert [units.shape for units in groups.units] == shapes


@pytest.mark.slow  # several fits, of shapes of their own
def test_a_large_group_among_many_small_ones():
    # Padded to the largest, the log-likelihoods of these would take 3.6 GB.
    data, labels = sample([10] * 500 + [100_000])
    value, probs = profile_ll(MODEL, data, SUPP, groups=labels)
    assert probs.shape == (9, 501)
    log_lik = np.asarray(lclk(MODEL.params, data, SUPP))
    total = 0.0
    for g in (0, 250, 500):
        own = log_lik[labels == g]
        # The solver's tolerance, 1e-13, and the rounding of a sum of one.
        assert mixture_gap(own, probs[:, g]) <= 1e-12
    for g in range(501):
        total -= np.sum(np.log(np.exp(log_lik[labels == g]) @ np.asarray(probs[:, g])))
    np.testing.assert_allclose(value, total / labels.size, rtol=1e-12)


def test_each_group_is_solved_by_itself():
    weights = np.random.default_rng(1).uniform(0.5, 2.0, LABELS.size)
    value, probs = profile_ll(MODEL, DATA, SUPP, groups=LABELS, weights=weights)
    log_lik = lclk(MODEL.params, DATA, SUPP)
    solver = mixsqpx.MixSQP(gap_tol=1e-13)
    total = 0.0
    for g in range(10):
        own = np.where(g == LABELS, weights, 0.0)
        alone = mixsqpx.mixsolve(log_lik, own, solver=solver)
        # Of two solves with gaps up to 1e-13, p differs by up to the root of that.
        np.testing.assert_allclose(probs[:, g], alone.probs, atol=3e-7)
        total += np.sum(own) * float(alone.objective)
    np.testing.assert_allclose(value, total / np.sum(weights), rtol=1e-12)


@pytest.mark.slow  # compiles second derivatives of whole solves
def test_derivatives():
    weights = jnp.asarray(np.random.default_rng(1).uniform(0.5, 2.0, LABELS.size))

    def value(theta):
        return profile_ll(FunctionModel(theta, lclk), DATA, SUPP, groups=LABELS, weights=weights)[0]

    grad = jax.jit(jax.grad(value))
    assert_close(grad(MODEL.params), central_differences(jax.jit(value), MODEL.params), FROM_VALUES)
    hess = jax.jit(jax.hessian(value))(MODEL.params)
    assert_close(hess, central_differences(grad, MODEL.params), FROM_GRADIENTS)
    # And under vmap.
    both = jax.jit(jax.vmap(jax.grad(value)))(jnp.stack([MODEL.params, MODEL.params + 0.1]))
    np.testing.assert_allclose(both[0], grad(MODEL.params), rtol=1e-9)


def test_the_unit_at_fault_is_numbered_in_the_data():
    unit = int(np.flatnonzero(LABELS == 7)[1])
    with pytest.raises(ValueError, match=rf"unit at fault: {unit} \(counting from zero\)"):
        profile_ll(MODEL, DATA.at[unit].set(jnp.nan), SUPP, groups=LABELS)
    weights = np.where(LABELS == 5, 0.0, 1.0)
    with pytest.raises(ValueError, match="all units in group 5 are zero"):
        profile_ll(MODEL, DATA, SUPP, groups=LABELS, weights=weights)


@pytest.mark.slow  # several fits, of shapes of their own
def test_inference():
    result = fit(MODEL, DATA, SUPP, groups=LABELS)
    assert result.gap <= 1e-12
    # The scores sum to zero at the optimum, and the information is that of the whole.
    assert np.max(np.abs(np.sum(result.scores(), axis=0))) <= 1e-6

    def value(theta):
        return profile_ll(FunctionModel(theta, lclk), DATA, SUPP, groups=LABELS)[0]

    expected = np.linalg.inv(jax.jit(jax.hessian(value))(result.model.params) * LABELS.size)
    np.testing.assert_allclose(result.cov(), expected, rtol=1e-6)
    result.plot_gradient()
