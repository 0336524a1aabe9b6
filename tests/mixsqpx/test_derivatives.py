"""Derivatives of the optimum: in closed form, and against differences of re-solved problems."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .derivatives import (
    GAP_TOL,
    K,
    M,
    N,
    closed_form,
    data,
    directions,
    everything,
    everything_moved,
    gradient,
    hessian,
    jacobians,
    probs,
    slopes,
    solve,
    system_error,
)
from .helpers import arrays, check_solved, numpy_ratios, numpy_weights, probs_error, rounding

# ---- closed forms --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", jacobians)
@pytest.mark.parametrize("num_active", [1, K, 18])
def test_jacobians_of_probs(num_active, mode):
    # With one active component nothing moves.
    args = data(num_active)
    solution = solve(*args)
    check_solved(*args, solution, gap_tol=GAP_TOL)
    assert int(solution.stats["num_active"]) == num_active
    active = np.asarray(solution.probs) > 0
    by_data, by_weight = jacobians[mode](*args)
    tol = system_error(*args, solution.probs)
    for got, exact in zip(
        (by_data, by_weight), closed_form(args[0], solution.probs, args[1]), strict=True
    ):
        size = 1 + np.abs(exact).max()
        np.testing.assert_allclose(got, exact, rtol=0, atol=tol * size)
        np.testing.assert_allclose(np.sum(got, axis=0), 0.0, rtol=0, atol=tol * size)
        assert np.all(np.asarray(got)[~active] == 0)
    assert np.all(np.asarray(by_data)[:, :, ~active] == 0)


def test_gradient_of_the_objective_is_the_posterior():
    import mixsqpx

    args = data()
    solution = solve(*args)
    by_data, by_weight = gradient(*args)
    omega = numpy_weights(args[1], N)
    ratios = numpy_ratios(args[0], solution.probs)
    tol = rounding(N, M)
    expected = -omega[:, None] * np.asarray(solution.probs)[None, :] * ratios
    np.testing.assert_allclose(by_data, expected, rtol=0, atol=tol)
    posterior = mixsqpx.posterior(args[0], solution.probs, args[1])
    np.testing.assert_allclose(by_data, -omega[:, None] * np.asarray(posterior), rtol=0, atol=tol)
    log_mix = np.asarray(args[0])[:, 0] - np.log(ratios[:, 0])
    by_hand = (-log_mix - float(solution.objective)) / args[1].sum()
    np.testing.assert_allclose(by_weight, by_hand, rtol=0, atol=tol * np.abs(log_mix).max())


def test_start_and_diagnostics_have_no_derivative():
    def parts(log_lik, start):
        solution = solve(log_lik, data()[1], start)
        return (solution.gap, solution.gradient), (solution.probs, solution.objective)

    log_lik, start = data()[0], jnp.full((M,), 1 / M)
    (gap, slope), moved = jax.jit(jax.jacfwd(parts, 0))(log_lik, start)
    assert np.all(np.asarray(gap) == 0)
    assert np.all(np.asarray(slope) == 0)
    assert all(np.any(np.asarray(part) != 0) for part in moved)
    by_start = jax.jit(jax.jacrev(parts, 1))(log_lik, start)
    assert all(np.all(np.asarray(part) == 0) for part in jax.tree.leaves(by_start))


# ---- differences ---------------------------------------------------------------------------------


STEP = 3e-3


@cache
def differences(function):
    """Fourth-order central differences along the four `directions`, and their truncation error.

    D(h) = [8 (f(h) - f(-h)) - (f(2h) - f(-2h))]/12h is off by c h⁴ + O(h⁶): a fifteenth of
    |D(2h) - D(h)|. Taken without the 1/15, this leaves room for the O(h⁶). An error e of f itself
    adds at most (8 + 8 + 1 + 1) e/12h = 1.5 e/h, which is not included.
    """
    steps = np.array([1, 2, 4])
    shifts = STEP * np.concatenate([steps, -steps])
    points = [
        np.asarray(base) + shifts.reshape(1, -1, *[1] * base.ndim) * np.asarray(change)[:, None]
        for base, change in zip(data(), directions(), strict=True)
    ]
    values = jax.jit(jax.vmap(jax.vmap(function)))(*arrays(*points))
    result = {}
    for name, value in values.items():
        odd = np.asarray(value)[:, :3] - np.asarray(value)[:, 3:]
        fine, coarse = ((8 * odd[:, i] - odd[:, i + 1]) / (12 * STEP * 2**i) for i in (0, 1))
        result[name] = fine, np.abs(coarse - fine).max()
    return result


def check_slopes(function, name, error_of_value, tol):
    fine, error = differences(function)[name]
    allowed = error + 1.5 * error_of_value / STEP
    assert allowed < tol
    assert np.abs(slopes(function)[name]).reshape(4, -1).max(axis=1).min() > 1e4 * allowed
    np.testing.assert_allclose(slopes(function)[name], fine, rtol=0, atol=allowed)


def optimum_error():
    """|p - p*| at the gap that was asked for, or less."""
    log_lik, weights = data()
    return probs_error(log_lik, probs(log_lik, weights), weights)


def test_probs():
    check_slopes(everything, "probs", optimum_error(), 1e-7)


def test_objective():
    # f is off by the gap, and by the rounding of a mean of logarithms of size 10.
    check_slopes(everything, "objective", GAP_TOL + 10 * rounding(N, M), 1e-7)


def test_gradient():
    # An error of p enters through ω π and -log u, with ratios up to 10.
    check_slopes(everything, "gradient", 10 * (optimum_error() + rounding(N, M)), 1e-7)


@pytest.mark.slow  # compiles second derivatives of whole solves
def test_second_derivative_of_probs():
    # Derivatives at a p that is off by e are off by the next derivative times e: 100 e or less.
    check_slopes(everything_moved, "probs", 100 * optimum_error(), 1e-5)


def test_third_derivative_of_the_objective():
    check_slopes(everything_moved, "gradient", 100 * optimum_error(), 1e-5)


def test_hessian_of_the_objective():
    import mixsqpx

    (dd, dw), (wd, ww) = hessian(*data())
    size = N * M
    full = np.block(
        [
            [np.reshape(dd, (size, size)), np.reshape(dw, (size, N))],
            [np.reshape(wd, (N, size)), np.asarray(ww)],
        ]
    )
    np.testing.assert_allclose(full, full.T, rtol=0, atol=1e3 * rounding(N, M))
    along = [
        full @ np.concatenate([np.ravel(d), np.ravel(w)])
        for d, w in zip(*directions(), strict=True)
    ]
    tol = system_error(*data(), probs(*data()))
    np.testing.assert_allclose(along, slopes(everything)["gradient"], rtol=0, atol=tol)
    # With p held at the optimum the gradient is right and this Hessian wrong: the test sees it.
    log_lik, weights = data()
    fixed = probs(log_lik, weights)
    held = jax.jit(jax.hessian(lambda ell: mixsqpx.objective(ell, fixed, weights)))(log_lik)
    assert np.abs(np.reshape(held, (size, size)) - full[:size, :size]).max() > 1e-4
