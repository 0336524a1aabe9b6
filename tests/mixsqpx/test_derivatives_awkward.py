"""Derivatives at awkward optima, and combined with other transformations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mixsqpx import mixsolve

from .derivatives import (
    GAP_TOL,
    K,
    M,
    N,
    closed_form,
    data,
    directions,
    everything,
    gradient,
    hessian,
    jacobians,
    objective,
    planted,
    probs,
    slopes,
    solve,
    system_error,
)
from .helpers import arrays, check_solved, numpy_ratios, plant, probs_error, rounding

# ---- awkward optima ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", jacobians)
def test_duplicated_columns_give_the_solution_of_least_norm(mode):
    # All active columns twice, each pair sharing its mass unequally: H_AA has rank K of 2 K.
    base = planted()
    inside = np.flatnonzero(base.probs)
    columns = np.concatenate([inside, inside, np.flatnonzero(base.probs == 0)[: M - 2 * K]])
    share = np.zeros(M)
    share[:K], share[K : 2 * K] = 0.3 * base.probs[inside], 0.7 * base.probs[inside]
    args = arrays(base.log_lik[:, columns], base.weights, share)
    p = probs(*args)
    np.testing.assert_allclose(p, share, rtol=M * np.finfo(float).eps)  # the start is an optimum
    tol = 100 * probs_error(base.log_lik, base.probs, base.weights)
    got = jacobians[mode](*args)
    for one, exact in zip(got, closed_form(args[0], p, args[1]), strict=True):
        size = np.abs(exact).max()
        assert size > 1e-3
        np.testing.assert_allclose(one, exact, rtol=0, atol=tol * (1 + size))


@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
def test_most_components_are_active(mode):
    # 48 of 60, more than the first size that derivatives are compiled for, and more than are not.
    # Each unit has one component, whose mass is the weight of its units.
    rng = np.random.default_rng(4)
    member = rng.permutation(np.repeat(np.arange(48), 2))
    weights = rng.uniform(0.5, 2.0, 96)
    own = member[:, None] == np.arange(60)
    log_lik = jnp.where(own, rng.normal(size=96)[:, None], -jnp.inf)

    def masses(weights):
        p = mixsolve(log_lik, weights).probs
        return p, p

    jac, p = jax.jit(mode(masses, has_aux=True))(weights)
    total = weights.sum()
    # Both are sums of at most 96 terms, and the inner problem ends at its solution.
    np.testing.assert_allclose(p, own.T @ weights / total, rtol=0, atol=1e-14)
    np.testing.assert_allclose(jac, (own.T - np.asarray(p)[:, None]) / total, rtol=0, atol=1e-14)


@jax.jit
def moved_with_data(log_lik, tangent, weights):
    return jax.jvp(lambda ell: solve(ell, weights, None).probs, (log_lik,), (tangent,))[1]


# In single precision the tolerance is as far as it goes.
@pytest.mark.filterwarnings("ignore:`gap_tol` is 1.0e-13:UserWarning")
@pytest.mark.parametrize("weight", [1.0, 1e-6, 1e-10, 1e-14])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_unit_with_a_component_of_its_own(weight, dtype):
    # An outlier. Its component has 1/ω on the diagonal of H, 1e17 with the smallest weight, beside
    # which a singular value is not to be judged: the others move as if it were not there.
    rng = np.random.default_rng(3)
    y, means = 2 * rng.normal(size=1000), np.array([-2.0, 0.0, 2.0])
    others = -0.5 * (y[:, None] - means[None, :]) ** 2
    ell = np.full((1001, 4), -700.0)
    ell[:-1, :3], ell[-1, 3] = others, 0.0
    tangent = rng.normal(size=ell.shape)
    weights = np.append(np.ones(1000), weight)

    def moved(*args):
        return moved_with_data(*arrays(*args, dtype=dtype))

    found = np.asarray(moved(ell, tangent, weights), float)
    alone = np.asarray(moved(others, tangent[:-1, :3], np.ones(1000)), float)
    assert np.abs(alone).max() > 0.01
    # The share of the outlier, and errors of a system whose condition is some hundreds.
    share = weight / weights.sum()
    tol = 2 * share * np.abs(alone).max() + 1e3 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(found[:3], alone, rtol=0, atol=tol)
    assert abs(found.sum()) <= 1e3 * float(np.finfo(dtype).eps)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_derivatives_in_weights_of_any_scale(scale):
    base = planted()
    ell, weights = arrays(base.log_lik, base.weights)
    by_weights = jax.grad(lambda weights: solve(ell, weights, None).objective)
    expected = by_weights(weights)
    np.testing.assert_allclose(
        by_weights(weights * scale) * scale, expected, rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("name", ["EM", "MixSQP"])
def test_components_of_no_mass_to_speak_of_are_not_active(name):
    """EM drives no mass to zero, and at a start like this the gap is small from the first."""
    import mixsqpx

    base = planted()
    log_lik, weights = data()
    start = jnp.asarray(np.where(base.probs > 0, base.probs, 1e-16))
    init = start / jnp.sum(start) if name == "MixSQP" else None
    solver = getattr(mixsqpx, name)(gap_tol=1e-10)

    def both(log_lik):
        solution = mixsqpx.mixsolve(log_lik, weights, init=init, solver=solver, max_steps=100_000)
        return solution.probs, (solution.gap, solution.stats["num_active"])

    change = directions()[0][3]

    @jax.jit
    def moving(log_lik):
        return jax.jvp(both, (log_lik,), (change,), has_aux=True)

    p, moved, (gap, num_active) = moving(log_lik)
    assert gap <= 1e-10
    np.testing.assert_array_equal(p > 0, base.probs > 0)
    assert num_active == K
    assert np.all(moved[base.probs == 0] == 0)
    # Measured: 3e-11 with EM, whose proportions are less exact, and 4e-16.
    exact = moved_with_data(log_lik, change, weights)
    np.testing.assert_allclose(moved, exact, rtol=0, atol=1e-9 if name == "EM" else 1e-13)


@pytest.mark.parametrize("mode", jacobians)
def test_zero_weight_rows_have_zero_derivatives_in_their_data(mode):
    base = planted()
    ell, weights, off = base.log_lik.copy(), base.weights.copy(), [0, 7, 9]
    weights[off] = 0.0
    ell[0], ell[7, 2], ell[9] = np.nan, np.inf, -np.inf
    args = arrays(ell, weights)
    solution = solve(*args)
    check_solved(*args, solution, gap_tol=GAP_TOL)
    moved, moved_by_weight = (np.asarray(x) for x in jacobians[mode](*args))
    assert np.all(moved[:, off] == 0)
    kept = np.delete(ell, off, 0), solution.probs, np.delete(weights, off)
    expected = closed_form(*kept)
    tol = system_error(kept[0], kept[2], solution.probs)
    np.testing.assert_allclose(np.delete(moved, off, 1), expected[0], rtol=0, atol=tol)
    np.testing.assert_allclose(np.delete(moved_by_weight, off, 1), expected[1], rtol=0, atol=tol)


def test_zero_weight_rows_in_the_objective():
    base = planted()
    ell, weights, off = base.log_lik.copy(), base.weights.copy(), [0, 7, 9]
    weights[off] = 0.0
    ell[0], ell[7, 2], ell[9] = np.nan, np.inf, -np.inf
    by_data, by_weight = gradient(*arrays(ell, weights))
    assert np.all(np.asarray(by_data)[off] == 0)
    assert np.all(np.isfinite(by_data))
    assert np.all(np.isfinite(np.delete(by_weight, off)))
    (dd, dw), (wd, ww) = hessian(*arrays(ell, weights))
    assert np.all(np.asarray(dd)[off] == 0)
    assert np.all(np.asarray(dd)[:, :, off] == 0)
    for part in (dd, np.delete(dw, off, 2), np.delete(wd, off, 0)):
        assert np.all(np.isfinite(part))
    assert np.all(np.isfinite(np.delete(np.delete(ww, off, 0), off, 1)))


@pytest.mark.parametrize("mode", jacobians)
def test_weight_of_an_unusable_unit_keeps_the_simplex(mode):
    base = planted()
    ell, weights, off = base.log_lik.copy(), base.weights.copy(), [0, 9]
    weights[off] = 0.0
    ell[0], ell[9] = np.nan, -np.inf
    args = arrays(ell, weights)
    by_weight = jacobians[mode](*args)[1]
    kept = np.delete(ell, off, 0), np.delete(weights, off)
    tol = system_error(*kept, probs(*args))
    np.testing.assert_allclose(np.sum(by_weight, axis=0), 0.0, rtol=0, atol=tol)


def test_weight_of_a_usable_unit_from_zero():
    # A unit that does not count yet: what it would change is well defined.
    base = planted()
    weights = base.weights.copy()
    weights[4] = 0.0
    args = arrays(base.log_lik, weights)
    solution = solve(*args)
    expected = closed_form(base.log_lik, solution.probs, weights)[1]
    tol = system_error(*args, solution.probs)
    for jacobian in jacobians.values():
        np.testing.assert_allclose(jacobian(*args)[1], expected, rtol=0, atol=tol)
    ratios = numpy_ratios(base.log_lik, solution.probs)
    log_mix = base.log_lik[:, 0] - np.log(ratios[:, 0])
    by_hand = (-log_mix - float(solution.objective)) / weights.sum()
    tol = rounding(N, M) * np.abs(log_mix).max()
    np.testing.assert_allclose(gradient(*args)[1], by_hand, rtol=0, atol=tol)


@pytest.mark.parametrize("mode", jacobians)
def test_zero_likelihoods_have_finite_derivatives(mode):
    # Kernels of bounded support: -inf inside the active columns and outside.
    z = np.random.default_rng(4).uniform(-4, 4, N)
    distance = np.abs(z[:, None] - np.linspace(-4, 4, M)[None, :])
    args = arrays(np.where(distance <= 1.0, -0.1 * distance**2, -np.inf), np.ones(N))
    p = probs(*args)
    inside = np.asarray(args[0])[:, np.asarray(p) > 0]
    assert np.any(np.isinf(inside))
    tol = system_error(*args, p)
    for got, exact in zip(jacobians[mode](*args), closed_form(args[0], p, args[1]), strict=True):
        np.testing.assert_allclose(got, exact, rtol=0, atol=tol * (1 + np.abs(exact).max()))
    assert all(np.all(np.isfinite(part)) for part in jax.tree.leaves(hessian(*args)))


# ---- combinations with other transformations -----------------------------------------------------


def test_eager_equals_jit():
    log_lik, weights = data()
    tangents = tuple(d[3] for d in directions())
    eager = jax.jvp(probs, (log_lik, weights), tangents)[1]
    tol = system_error(log_lik, weights, probs(log_lik, weights))
    np.testing.assert_allclose(eager, slopes(everything)["probs"][3], rtol=0, atol=tol)
    by_data, by_weight = jax.grad(objective, (0, 1))(log_lik, weights)
    for one, other in zip((by_data, by_weight), gradient(log_lik, weights), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=10 * rounding(N, M))


def test_gradients_under_vmap_and_of_vmap():
    others = [plant(seed, N, M, k) for seed, k in ((1, 2), (2, 4), (3, 7))]
    log_liks, weights = arrays(
        np.stack([other.log_lik for other in others]), np.stack([other.weights for other in others])
    )
    single = [gradient(*pair) for pair in zip(log_liks, weights, strict=True)]
    batched = jax.jit(jax.vmap(jax.grad(objective, (0, 1))))(log_liks, weights)

    def total(log_liks, weights):
        return jnp.sum(jax.vmap(objective)(log_liks, weights))

    of_sum = jax.jit(jax.grad(total, (0, 1)))(log_liks, weights)
    for part in (0, 1):
        alone = np.stack([one[part] for one in single])
        tol = 10 * rounding(N, M)
        np.testing.assert_allclose(batched[part], alone, rtol=0, atol=tol)
        np.testing.assert_allclose(of_sum[part], alone, rtol=0, atol=tol)


def test_jacobian_under_vmap():
    # Members with different numbers of active components.
    others = [plant(seed, N, M, k) for seed, k in ((1, 2), (2, 4), (3, 7))]
    log_liks, weights = arrays(
        np.stack([other.log_lik for other in others]), np.stack([other.weights for other in others])
    )
    batched = jax.jit(jax.vmap(jax.jacrev(probs, (0, 1))))(log_liks, weights)
    for i, pair in enumerate(zip(log_liks, weights, strict=True)):
        tol = system_error(*pair, probs(*pair))
        for got, alone in zip(batched, jacobians["reverse"](*pair), strict=True):
            np.testing.assert_allclose(got[i], alone, rtol=0, atol=tol)


def test_single_precision():
    import mixsqpx

    log_lik, weights = data()
    low = (log_lik.astype(jnp.float32), weights.astype(jnp.float32))

    def low_probs(log_lik, weights):
        return mixsqpx.mixsolve(log_lik, weights).probs

    tangents = tuple(d[3].astype(jnp.float32) for d in directions())
    p, moved = jax.jit(lambda *args: jax.jvp(low_probs, args, tangents))(*low)
    assert p.dtype == moved.dtype == jnp.float32
    # p is off by H_AA⁻¹ times its gradient, and the slope by its derivative (below 100) times that.
    tol = 100 * probs_error(log_lik, np.asarray(p, np.float64), weights)
    assert tol < 1e-2 * np.abs(moved).max()
    np.testing.assert_allclose(moved, slopes(everything)["probs"][3], rtol=0, atol=tol)
