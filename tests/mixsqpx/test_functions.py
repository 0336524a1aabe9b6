"""The pieces, at any proportions, and the data sets."""

from contextlib import nullcontext
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .helpers import (
    arrays,
    numpy_gap,
    numpy_gradient,
    numpy_hessian,
    numpy_log_mix,
    numpy_objective,
    numpy_ratios,
    numpy_weights,
    plant,
    rounding,
)
from .r_cases import load_case

N, M = 30, 7


def problems():
    """Log-likelihoods, proportions and weights, one entry for each thing that can go wrong."""
    rng = np.random.default_rng(8)
    ell = rng.normal(scale=2.0, size=(N, M))
    inside = rng.dirichlet(np.ones(M))
    edge = np.array([0.5, 0.0, 0.2, 0.0, 0.3, 0.0, 0.0])
    weights = rng.uniform(0.5, 2.0, N)
    holes = np.where(rng.uniform(size=(N, M)) < 0.5, -np.inf, ell)
    holes[:, 0] = ell[:, 0]
    holes[:, 5] = -np.inf
    unusable, some = ell.copy(), weights.copy()
    some[[2, 11, 17]] = 0.0
    unusable[2], unusable[11, 3], unusable[17] = np.nan, np.inf, -np.inf
    far = ell.copy()
    far[:, 1] += (
        300.0  # a component outside the mixture: aᵢⱼ/uᵢ overflows in float32, not in float64
    )
    return {
        "inside": (ell, inside, weights),
        "edge": (ell, edge, weights),
        "equal_weights": (ell, edge, None),
        "row_offsets": (ell + rng.normal(scale=1e5, size=N)[:, None], edge, weights),
        "large": (1e5 * ell, inside, weights),
        "zero_likelihoods": (holes, edge, weights),
        "zero_weights": (unusable, edge, some),
        "far_from_the_mixture": (far, edge, weights),
        "tiny_proportions": (ell, np.array([1e-200, 0.0, 1 - 1e-15, 1e-15, 0, 0, 0]), weights),
    }


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", problems())
def test_against_numpy(name, dtype):
    import mixsqpx

    args = arrays(*problems()[name], dtype=dtype)
    # The numbers that the package sees, in double precision: float32 may have rounded them.
    ell, p, weights = (None if x is None else np.asarray(x, np.float64) for x in args)
    tol = rounding(N, M, dtype)
    omega = numpy_weights(weights, N)
    counted = omega > 0
    log_mix = numpy_log_mix(ell[counted], p)
    ratios = numpy_ratios(ell[counted], p)
    fits = 2 * np.log(ratios.max()) < np.log(np.finfo(dtype).max)

    objective = jax.jit(mixsqpx.objective)(*args)
    assert objective.dtype == dtype
    size = 1 + float(omega[counted] @ np.abs(log_mix))
    assert abs(float(objective) - numpy_objective(ell, p, weights)) <= tol * size

    gap = jax.jit(mixsqpx.optimality_gap)(*args)
    assert gap.dtype == dtype
    expected = numpy_gap(ell, p, weights)
    # Its rounding is relative in exp(gap); of terms exp(x) with x large it is |x| eps more.
    if fits:
        assert abs(float(gap) - expected) <= tol * (1 + abs(expected))
    assert float(gap) >= expected - tol * (1 + abs(expected))  # and infinite is a bound

    posterior = jax.jit(mixsqpx.posterior)(*args)
    assert posterior.dtype == dtype
    allowed = (tol + (M + 1) * np.finfo(dtype).eps) * np.ones((counted.sum(), M))
    got = np.asarray(posterior, np.float64)[counted]
    assert np.all(np.abs(got - p[None, :] * ratios) <= allowed)
    assert np.all(got[:, p == 0] == 0)
    np.testing.assert_allclose(got.sum(axis=1), 1.0, rtol=0, atol=tol)

    hess = jax.jit(mixsqpx.hessian)(*args)
    assert hess.dtype == dtype
    if fits:
        scale = 2 * tol * (1 + np.log(ratios.max()))
        np.testing.assert_allclose(hess, numpy_hessian(ell, p, weights), rtol=scale, atol=scale)


def test_at_a_planted_optimum():
    import mixsqpx

    planted = plant(3, N, M, 3)
    args = arrays(planted.log_lik, planted.probs, planted.weights)
    tol = rounding(N, M)
    # The gap is zero up to its rounding, which includes that of log R by which ℓ was made.
    assert abs(float(mixsqpx.optimality_gap(*args))) <= 10 * tol
    assert abs(float(mixsqpx.objective(*args)) - planted.objective) <= 10 * tol
    omega = numpy_weights(planted.weights, N)
    expected = planted.ratios.T @ (omega[:, None] * planted.ratios)
    np.testing.assert_allclose(mixsqpx.hessian(*args), expected, rtol=20 * tol, atol=0)


def test_the_gap_is_a_bound_and_zero_at_no_other_point():
    import mixsqpx

    planted = plant(4, N, M, 3)
    for seed in range(20):
        probs = np.random.default_rng(seed).dirichlet(np.full(M, 0.3))
        args = arrays(planted.log_lik, probs, planted.weights)
        above = float(mixsqpx.objective(*args)) - planted.objective
        assert 0 < above <= float(mixsqpx.optimality_gap(*args))


def test_unit_without_likelihood():
    import mixsqpx

    # Component 1 explains no unit but the last, component 2 no unit at all.
    ell = np.zeros((N, M))
    ell[-1] = -np.inf
    ell[-1, 1] = 0.0
    ell[:-1, 1] = -np.inf
    ell[:, 2] = -np.inf
    args = arrays(ell, np.eye(M)[0], np.ones(N))
    assert mixsqpx.objective(*args) == np.inf
    assert mixsqpx.optimality_gap(*args) == np.inf
    # A unit that does not count does not count here either.
    args = (*args[:2], jnp.ones(N).at[-1].set(0.0))
    assert mixsqpx.objective(*args) == 0.0
    assert abs(float(mixsqpx.optimality_gap(*args))) <= rounding(N, M)
    np.testing.assert_array_equal(mixsqpx.posterior(*args)[:-1], np.eye(M)[[0] * (N - 1)])


def test_units_of_no_weight_do_not_overflow():
    import mixsqpx

    # The second component is a thousand nats above the mixture, for a unit that does not count.
    ell, weights = jnp.array([[0.0, -1.0], [0.0, -2.0], [-1000.0, 0.0]]), jnp.array([1.0, 1.0, 0.0])
    probs = mixsqpx.mixsolve(ell, weights).probs
    np.testing.assert_array_equal(probs, [1.0, 0.0])
    assert abs(float(mixsqpx.optimality_gap(ell, probs, weights))) <= rounding(2, 2)
    other = np.exp([-1.0, -2.0])
    expected = [[1.0, other.mean()], [other.mean(), (other**2).mean()]]
    np.testing.assert_allclose(mixsqpx.hessian(ell, probs, weights), expected, rtol=1e-15)
    # Nor do their posteriors have derivatives that are not finite.
    posterior = jax.jacrev(lambda ell: mixsqpx.posterior(ell, probs))(ell)
    np.testing.assert_array_equal(posterior, np.zeros((3, 2, 3, 2)))


def test_posteriors_of_unusable_units():
    import mixsqpx

    ell = jnp.array([[0.0, 1.0], [jnp.nan, 0.0], [0.0, jnp.inf], [-jnp.inf, -jnp.inf]])
    found = mixsqpx.posterior(ell, jnp.array([0.5, 0.5]))
    np.testing.assert_allclose(found[0], np.exp([0.0, 1.0]) / np.exp([0.0, 1.0]).sum(), rtol=1e-15)
    assert np.all(np.isnan(found[1:]))


def test_the_gap_of_proportions_in_single_precision():
    import mixsqpx

    ell = jnp.asarray(np.random.default_rng(8).normal(size=(200, 30)))
    probs = mixsqpx.mixsolve(ell.astype(jnp.float32)).probs
    # The sum is off one by rounding, and the gap is what single precision leaves.
    assert abs(float(mixsqpx.optimality_gap(ell, probs))) <= 1e-5
    # So it is for whom the sum was rounded first, and the numbers cast then.
    cast = jnp.asarray(np.asarray(probs, float))
    assert abs(float(mixsqpx.optimality_gap(ell, cast))) <= 1e-5


def said_if(is_wrong):
    says = "^`probs` is not a vector of proportions"
    return pytest.warns(UserWarning, match=says) if is_wrong else nullcontext()


@pytest.mark.parametrize(("change", "is_rounding"), [(-1e-18, True), (-1e-8, True), (-1e-6, False)])
def test_the_gap_where_a_solver_leaves_a_negative_entry(change, is_rounding):
    import mixsqpx

    ell = jnp.asarray(np.random.default_rng(8).normal(size=(200, 30)))
    probs = mixsqpx.mixsolve(ell).probs
    out = int(np.argmin(probs))
    assert probs[out] == 0
    # Taken for zero, this is the certified optimum; else nothing is said.
    with said_if(not is_rounding):
        gap = float(mixsqpx.optimality_gap(ell, probs.at[out].set(change)))
    assert gap == float(mixsqpx.optimality_gap(ell, probs)) if is_rounding else np.isnan(gap)


@pytest.mark.parametrize(("scale", "is_rounding"), [(1 + 1e-6, True), (1.001, False)])
def test_the_gap_where_the_sum_is_off_one(scale, is_rounding):
    import mixsqpx

    ell = jnp.asarray(np.random.default_rng(8).normal(size=(200, 30)))
    probs = jnp.full(30, 1 / 30)
    with said_if(not is_rounding):
        gap = float(mixsqpx.optimality_gap(ell, probs * scale))
    # The bound is that of the proportions divided by their sum, to the rounding of a sum of 30.
    expected = float(mixsqpx.optimality_gap(ell, probs))
    assert gap == pytest.approx(expected, abs=1e-14) if is_rounding else np.isnan(gap)


# ---- derivatives of the pieces -------------------------------------------------------------------


@cache
def derivatives():
    """Compiled once: gradient and Hessian in the proportions, gradient in data and weights."""
    import mixsqpx

    f = mixsqpx.objective
    return jax.jit(jax.grad(f, 1)), jax.jit(jax.hessian(f, 1)), jax.jit(jax.grad(f, (0, 2)))


@pytest.mark.parametrize(
    "name", ["inside", "edge", "equal_weights", "row_offsets", "zero_likelihoods", "zero_weights"]
)
def test_derivatives_in_the_proportions(name):
    ell, p, weights = problems()[name]
    args = arrays(ell, p, weights)
    tol = 2 * rounding(N, M)
    gradient = derivatives()[0](*args)
    expected = numpy_gradient(ell, p, weights) - 1
    np.testing.assert_allclose(gradient, expected, rtol=tol, atol=tol)
    hess = numpy_hessian(ell, p, weights)
    np.testing.assert_allclose(derivatives()[1](*args), hess, rtol=tol, atol=tol)


@pytest.mark.parametrize(
    "name", ["inside", "edge", "row_offsets", "zero_likelihoods", "zero_weights"]
)
def test_derivatives_in_the_data(name):
    ell, p, weights = problems()[name]
    counted, omega = weights > 0, numpy_weights(weights, N)
    by_data, by_weight = derivatives()[2](*arrays(ell, p, weights))
    tol = 2 * rounding(N, M)
    # -ωᵢ times the posterior; with raw weights w, (-log uᵢ - f)/Σw.
    expected = np.zeros((N, M))
    ratios = numpy_ratios(ell[counted], p)
    expected[counted] = -omega[counted, None] * np.where(p > 0, p * ratios, 0.0)
    np.testing.assert_allclose(by_data, expected, rtol=0, atol=tol)
    log_mix = numpy_log_mix(ell[counted], p)
    value = numpy_objective(ell, p, weights)
    size = 1 + np.abs(log_mix).max()
    np.testing.assert_allclose(
        np.asarray(by_weight)[counted],
        (-log_mix - value) / weights.sum(),
        rtol=0,
        atol=tol * size,
    )
    assert np.all(np.isfinite(by_weight))


# ---- data sets -----------------------------------------------------------------------------------


def test_thumbtacks_are_those_of_the_r_package():
    from mixsqpx import datasets

    case = load_case("tacks")
    prob, log_lik, weights = datasets.thumbtacks()
    assert case.weights is not None
    np.testing.assert_array_equal(weights, case.weights)
    # XLA's log1p(-p) is off by up to 35 eps for p from 0.3 to 0.4 (measured), and taken nine times;
    # the grid's rounding is eps p, times 9/(1 - p) < 600 × 9 at the end of it, or 9/p.
    tol = 6000 * np.finfo(float).eps
    np.testing.assert_allclose(log_lik, case.log_lik, rtol=0, atol=tol)
    assert prob.shape == (299,)
    # The rows are the counts 1 to 9 of ten: the tenth has the probability that is left.
    total = np.exp(np.asarray(log_lik)).sum(axis=0) + (1 - np.asarray(prob)) ** 9
    np.testing.assert_allclose(total, 1.0, rtol=tol)


def test_thumbtacks_on_another_grid():
    from mixsqpx import datasets

    prob, log_lik, weights = datasets.thumbtacks(1)
    assert log_lik.shape == (9, 1)
    np.testing.assert_allclose(prob, [0.5], rtol=1e-15)
    np.testing.assert_allclose(
        np.exp(log_lik[:, 0]) * 2**9, [9, 36, 84, 126, 126, 84, 36, 9, 1], rtol=1e-14
    )
    assert float(weights.sum()) == 320


def test_scale_mixture():
    from mixsqpx import datasets

    key = jax.random.PRNGKey(3)
    z, scale, log_lik = datasets.scale_mixture(key, 50, 12)
    assert z.shape == (50,)
    assert scale.shape == (12,)
    assert log_lik.shape == (50, 12)
    z, scale = np.asarray(z), np.asarray(scale)
    assert scale[0] == 0
    ends = [0.1, 2 * np.abs(z).max()]
    np.testing.assert_allclose(scale[[1, -1]], ends, rtol=1e-14)
    ratios = scale[2:] / scale[1:-1]
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-13)
    variance = 1 + scale**2
    density = np.exp(-(z[:, None] ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    # exp brings the rounding of the logarithm, at most 30 here, into the relative error.
    np.testing.assert_allclose(np.exp(log_lik), density, rtol=200 * np.finfo(float).eps)
    again = datasets.scale_mixture(key, 50, 12)[0]
    np.testing.assert_array_equal(again, z)
    other = datasets.scale_mixture(jax.random.PRNGKey(4), 50, 12)[0]
    assert np.all(np.asarray(other) != z)


@pytest.mark.parametrize(("kind", "inside"), [("normal", 0.47187), ("normal_and_t", 0.56315)])
def test_laws_of_the_scale_mixture(kind, inside):
    from mixsqpx import datasets

    # P(|z| < 1) is 0.68269 for N(0, 1), 0.26112 for N(0, 9), 0.62610 for t₄. Five standard errors.
    z, _, _ = datasets.scale_mixture(jax.random.PRNGKey(0), 20_000, 2, kind=kind)
    share = float(jnp.mean(jnp.abs(z) < 1))
    assert abs(share - inside) < 5 * np.sqrt(0.25 / 20_000)


def test_data_sets_refuse_nonsense():
    from mixsqpx import datasets

    sample = partial(datasets.scale_mixture, jax.random.PRNGKey(0))
    for call in (
        lambda: sample(0, 5),
        lambda: sample(5, 1),
        lambda: datasets.thumbtacks(0),
    ):
        with pytest.raises(ValueError, match="num_"):
            call()
