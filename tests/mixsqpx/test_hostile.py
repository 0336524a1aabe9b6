"""Awkward input that is no fault: extreme sizes, scales, shapes and types are solved, and right."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .helpers import annotations_off, check_solved, numpy_gap, plant, rounding

N, M = 40, 12
GOOD = plant(1, N, M, 4)
EPS = np.finfo(float).eps


@pytest.fixture(autouse=True)
def _annotations_off():
    with annotations_off():
        yield


def solve(log_lik, weights=None, **kwargs):
    import mixsqpx

    return mixsqpx.mixsolve(log_lik, weights, **kwargs)


COMPILED = jax.jit(solve)
BOTH = pytest.mark.parametrize("way", [solve, COMPILED], ids=["eager", "jit"])


def extremes():
    """Matrices of finite log-likelihoods and -inf at the ends of what floating point holds."""
    rng = np.random.default_rng(0)
    ell, ones = GOOD.log_lik, np.ones(N)
    one_each = np.full((N, M), -np.inf)
    one_each[np.arange(N), np.arange(N) % M] = rng.normal(size=N)
    single = ell.copy()
    single[3] = -np.inf
    single[3, 7] = -2.0
    ladder = -1e4 * np.abs(np.arange(N)[:, None] % M - np.arange(M)[None, :])
    return {
        "magnitude_1e5": ell - 1e5,
        "magnitude_1e5_above": ell + 1e5,
        "magnitudes_of_both_signs": ell + 1e5 * rng.normal(size=N)[:, None],
        "components_1e4_apart": ladder,
        "components_1e4_apart_and_noise": ladder + rng.normal(size=(N, M)),
        "a_row_1e4_apart": np.where(np.arange(N)[:, None] == 5, -1e4 * np.arange(M), ell),
        "subnormal_likelihoods": ell - 740.0 * (np.arange(M) > 0),
        "subnormal_entries": ell * 1e-310,
        "likelihoods_at_the_edge_of_underflow": -np.linspace(700, 760, N * M).reshape(N, M),
        "one_finite_entry_in_each_row": one_each,
        "one_finite_entry_in_a_row": single,
        "one_finite_entry_in_all": np.where(np.arange(M) == 4, ones[:, None], -np.inf),
        "lowest_finite_number": np.where(ell < np.median(ell), -1.7e308, ell),
        "all_zero": np.zeros((N, M)),
    }


@BOTH
@pytest.mark.parametrize("name", extremes())
def test_extreme_log_likelihoods(name, way):
    log_lik = extremes()[name]
    # ℓ - r is exact or loses eps times the size of what is representable at all.
    finite = np.abs(log_lik[np.isfinite(log_lik)])
    size = min(float(finite.max()), 1e6)
    check_solved(log_lik, np.ones(N), way(log_lik, np.ones(N)), tol=rounding(N, M) + EPS * size)


@pytest.mark.parametrize("name", extremes())
def test_extreme_log_likelihoods_have_finite_derivatives(name):
    log_lik = jnp.asarray(extremes()[name])
    value, grad = VALUE_AND_GRAD(log_lik, jnp.ones(N))
    assert np.isfinite(value)
    assert np.all(np.isfinite(grad))
    # Minus posterior probabilities times 1/N: each row sums to -1/N.
    np.testing.assert_allclose(np.sum(grad, axis=1), -1 / N, rtol=1e3 * EPS)


VALUE_AND_GRAD = jax.jit(jax.value_and_grad(lambda ell, weights: solve(ell, weights).objective))


@pytest.mark.parametrize(
    ("shape", "way"),
    [((1, 1), solve), ((1, 7), solve), ((7, 1), solve), ((10, 5000), COMPILED)],
    ids=["1x1", "1x7", "7x1", "10x5000"],
)
def test_extreme_shapes(shape, way):
    n, m = shape
    log_lik = np.log(np.random.default_rng(2).gamma(1.0, size=shape))
    solution = way(log_lik, np.ones(n))
    check_solved(log_lik, np.ones(n), solution)
    if m == 1:
        np.testing.assert_array_equal(solution.probs, [1.0])
        np.testing.assert_allclose(solution.objective, -np.mean(log_lik), rtol=1e-14)
    if n == 1:  # all mass on the component that explains the unit best
        np.testing.assert_array_equal(solution.probs, np.arange(m) == np.argmax(log_lik))
        np.testing.assert_allclose(solution.objective, -np.max(log_lik), rtol=1e-14)
    if m == 5000:  # Lindsay: an optimum with at most as many components as units, if ours is basic
        assert int(solution.stats["num_active"]) <= 10


@BOTH
@pytest.mark.parametrize("weight", [3e-308, 1e-300, 1e307, 1.7e308])
def test_weights_at_the_ends_of_the_range(weight, way):
    check_solved(GOOD.log_lik, np.ones(N), way(GOOD.log_lik, np.full(N, weight)))


@pytest.mark.parametrize(
    ("weight", "error", "says"),
    [
        # XLA takes subnormal numbers for zeros on CPU: these weights, and the reciprocals of those.
        (5e-324, ValueError, "`weights` are all zero"),
        (1e-310, ValueError, "`weights` are all zero"),
    ],
)
def test_weights_beyond_the_ends_of_the_range(weight, error, says):
    weights = np.full(N, weight)
    with pytest.raises(error, match=says):
        solve(GOOD.log_lik, weights)
    with pytest.raises((ValueError, RuntimeError), match=says):  # JAX wraps it in either
        jax.block_until_ready(COMPILED(GOOD.log_lik, weights).probs)
    failed = solve(GOOD.log_lik, weights, throw=False)
    assert np.isnan(failed.gap)
    assert np.all(np.isnan(failed.probs)) or not np.isfinite(failed.objective)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "bool", "float16"])
def test_other_numbers_are_promoted(dtype):
    rng = np.random.default_rng(3)
    log_lik = rng.integers(0, 2 if dtype == "bool" else 7, (N, M)).astype(dtype)
    solution = solve(log_lik, np.ones(N))
    assert solution.probs.dtype == (np.float32 if dtype == "float16" else np.float64)
    promoted = log_lik.astype(solution.probs.dtype)
    gap_tol = 1e-5 if dtype == "float16" else 1e-10
    check_solved(promoted, np.ones(N), solution, gap_tol=gap_tol)
    # Half precision reaches to 65504, and -inf is -inf in it.
    if dtype == "float16":
        far = np.where(np.arange(M) == 0, -6e4, log_lik).astype(dtype)
        far[0, 1] = -np.inf
        check_solved(far.astype(np.float32), np.ones(N), solve(far, np.ones(N)), gap_tol=1e-5)


def test_containers():
    import pandas as pd

    expected = solve(GOOD.log_lik, GOOD.weights)
    frame = pd.DataFrame(GOOD.log_lik)
    frame["weight"] = GOOD.weights
    for log_lik, weights in [
        (frame.drop(columns="weight"), frame["weight"]),
        (GOOD.log_lik.tolist(), GOOD.weights.tolist()),
        (np.asfortranarray(GOOD.log_lik), GOOD.weights[::-1][::-1]),
        (jnp.asarray(GOOD.log_lik), tuple(GOOD.weights)),
    ]:
        np.testing.assert_array_equal(solve(log_lik, weights).probs, expected.probs)


def test_containers_that_are_refused():
    # A mask would be lost, and bytes of the other order are not for JAX.
    for bad in (np.ma.masked_less(GOOD.log_lik, -1.0), GOOD.log_lik.astype(">f8")):
        with pytest.raises(TypeError, match="`log_lik` cannot be made into a JAX array"):
            solve(bad)


def test_columns_of_a_data_frame_that_are_no_numbers():
    import pandas as pd

    frame = pd.DataFrame(GOOD.log_lik).assign(name="a")
    with pytest.raises(TypeError, match="`log_lik` cannot be made into a JAX array"):
        solve(frame, GOOD.weights)
    with pytest.raises(TypeError, match="`weights` cannot be made into a JAX array"):
        solve(GOOD.log_lik, frame["name"])
    with pytest.raises(ValueError, match=r"`weights` holds a negative or non-finite.* fault: 2 "):
        solve(GOOD.log_lik, pd.Series(GOOD.weights).where(np.arange(N) != 2))


def test_the_input_is_left_as_it_was():
    log_lik, weights = GOOD.log_lik.copy(), GOOD.weights.copy()
    log_lik.flags.writeable = weights.flags.writeable = False
    solve(log_lik, weights)
    np.testing.assert_array_equal(log_lik, GOOD.log_lik)


@pytest.mark.parametrize("name", ["components_1e4_apart_and_noise", "magnitude_1e5"])
def test_extremes_in_single_precision(name):
    import mixsqpx

    log_lik = extremes()[name].astype(np.float32)
    solution = solve(log_lik, np.ones(N, np.float32), throw=False)
    gap = numpy_gap(log_lik, solution.probs)
    tol = rounding(N, M, np.float32)
    assert solution.result == mixsqpx.RESULTS.successful
    assert abs(float(solution.gap) - gap) <= tol
    assert gap <= 1e-5 + tol
