"""Duplicate rows: solved for once, and nobody can tell by the answer."""

import jax
import numpy as np
import pytest

from .helpers import arrays, check_solved
from .zoo import _binomial

N, M = 20_000, 50
# A sum of n numbers of size one, equal ones among them: their rounding errors are equal too.
TOL = N * float(np.finfo(float).eps)


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(3)
    return _binomial(rng, N, M), rng.uniform(0.5, 1.5, N)


def shapes_solved(monkeypatch):
    """The shapes that `mixsolve` solves for, in turn."""
    from mixsqpx import _mixsolve

    solve, shapes = _mixsolve.solve_arrays, []

    def recorded(log_lik, *args):
        shapes.append(log_lik.shape)
        return solve(log_lik, *args)

    monkeypatch.setattr(_mixsolve, "solve_arrays", recorded)
    return shapes


@pytest.mark.parametrize("is_weighted", [False, True])
def test_few_distinct_rows(counts, is_weighted, monkeypatch):
    import mixsqpx

    log_lik, weights = arrays(counts[0], counts[1] if is_weighted else None)
    shapes = shapes_solved(monkeypatch)
    solution = mixsqpx.mixsolve(log_lik, weights)
    assert shapes == [(32, M)]  # 21 counts, and the next power of two
    check_solved(log_lik, weights, solution, tol=TOL)
    whole = jax.jit(mixsqpx.mixsolve)(log_lik, weights)  # traced: nothing is known of its rows
    assert shapes[1:] == [(N, M)]
    check_solved(log_lik, weights, whole, tol=TOL)
    # Both are within their gaps of one minimum.
    tol = 1e-10 + TOL * (1 + abs(float(whole.objective)))
    assert abs(float(solution.objective - whole.objective)) <= tol


def test_rows_that_differ_too_little_for_the_lookup_are_kept_apart(counts, monkeypatch):
    import mixsqpx

    # Far below the rounding of the first column, and so of anything the lookup may add up.
    log_lik = np.where(np.arange(M) == 0, -1e18, counts[0])
    log_lik[::2, 1] = log_lik[::2, 2]
    shapes = shapes_solved(monkeypatch)
    solution = mixsqpx.mixsolve(*arrays(log_lik))
    assert shapes[-1] in [(64, M), (N, M)]
    check_solved(log_lik, None, solution, tol=TOL)


def test_single_precision_loses_no_weight():
    from mixsqpx._collapse import collapse

    # 300 000 weights of 0.1, added one by one in single precision: their sum is off by 3e-3.
    log_lik = np.repeat(np.log([[1.0, 2.0], [3.0, 1.0]]), 300_000, axis=0)
    weight = np.float32(0.1)
    smaller = collapse(*arrays(log_lik, np.full(600_000, weight), dtype=np.float32))
    assert smaller is not None
    # The largest weight is one; only their ratios matter.
    np.testing.assert_allclose(smaller[1], np.full(2, 300_000.0), rtol=1.2e-7)


def test_sums_of_weights_that_are_no_number(counts):
    import mixsqpx

    # The largest double is 1.8e308, and a distinct row stands for hundreds of units.
    log_lik = arrays(counts[0])[0]
    solution = mixsqpx.mixsolve(log_lik, arrays(np.full(N, 1.7e308))[0])
    check_solved(log_lik, None, solution, tol=TOL)


@pytest.mark.parametrize(
    ("name", "unit", "value"),
    [
        ("log_lik", 55, -np.inf),
        ("log_lik", 1234, np.nan),
        ("log_lik", 777, np.inf),
        ("weights", 4321, -1.0),
    ],
)
def test_faults_are_those_of_the_whole_matrix(counts, name, unit, value):
    import mixsqpx

    log_lik, weights = counts[0].copy(), counts[1].copy()
    {"log_lik": log_lik, "weights": weights}[name][unit] = value
    with pytest.raises(ValueError, match=rf"`{name}`[\s\S]*unit.*\b{unit}\b"):
        mixsqpx.mixsolve(*arrays(log_lik, weights))


def test_known_data_inside_of_a_traced_function(counts):
    import mixsqpx

    log_lik, weights = arrays(*counts)
    solution = jax.jit(lambda scale: (mixsqpx.mixsolve(log_lik, weights), scale))(1.0)[0]
    check_solved(log_lik, weights, solution, tol=TOL)


def test_a_continuous_sample_is_solved_as_it_is(monkeypatch):
    import mixsqpx

    z = np.random.default_rng(4).normal(size=(N, 1))
    log_lik = -0.5 * (z - np.linspace(-2, 2, M)) ** 2
    shapes = shapes_solved(monkeypatch)
    check_solved(log_lik, None, mixsqpx.mixsolve(*arrays(log_lik)))
    assert shapes == [(N, M)]
