"""Corners that few solves turn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .helpers import check_solved
from .recipes import Recipe
from .zoo import normal


def pivots(monkeypatch, hess, *args):
    """The solution of a quadratic program, and how many systems were solved for it."""
    from mixsqpx import _qp

    solved, count = _qp._newton_step, []

    def counted(*args):
        jax.debug.callback(lambda: count.append(1))
        return solved(*args)

    monkeypatch.setattr(_qp, "_newton_step", counted)
    out = jax.jit(lambda *args: _qp.solve_qp(*args))(jnp.asarray(hess), *args)
    jax.effects_barrier()
    return np.asarray(out), len(count)


# With factors of our own, and with LAPACK's.
@pytest.mark.parametrize("size", [12, 60])
def test_a_program_without_factors_ends_at_once(monkeypatch, size):
    hess = np.eye(size)
    hess[3, 3] = -1.0
    start = jnp.full(size, 1 / size)
    slope, tol = jnp.full(size, 0.1), jnp.asarray(1e-8)
    out, count = pivots(monkeypatch, hess, slope, start, tol)
    np.testing.assert_array_equal(out, start)
    assert count == 1


@pytest.mark.parametrize("size", [12, 60])
def test_a_program_with_factors_does_not(monkeypatch, size):
    start = jnp.full(size, 1 / size)
    # Minimum at zero for the first variable alone: y - start = -slope elsewhere.
    slope = jnp.where(jnp.arange(size) == 0, 1.0, -0.01)
    out, count = pivots(monkeypatch, np.eye(size), slope, start, jnp.asarray(1e-8))
    expected = np.where(np.arange(size) == 0, 0.0, 1 / size + 0.01)
    # Sums of numbers below one.
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-15)
    assert count >= 2


def batch():
    z = np.random.default_rng(0).normal(size=(3, 50))
    return jnp.asarray(np.stack([normal(each, np.linspace(-3, 3, 9), 1.0) for each in z]))


def solved(log_lik):
    import mixsqpx

    return jax.vmap(lambda each: mixsqpx.mixsolve(each, throw=False))(log_lik)


def raised(solution):
    import mixsqpx

    return mixsqpx.raise_on_failure(
        solution.probs, solution.result, solution.stats["unit"], solution.gap
    )


def test_a_good_batch_passes():
    import mixsqpx

    solution = solved(batch())
    assert bool(jnp.all(solution.result == mixsqpx.RESULTS.successful))
    assert float(jnp.max(solution.gap)) <= 1e-10
    np.testing.assert_array_equal(raised(solution), solution.probs)


def test_the_first_failure_of_a_batch_is_raised():
    with pytest.raises(ValueError, match=r"`log_lik` holds NaN[\s\S]*unit at fault: 7"):
        raised(solved(batch().at[1, 7, 2].set(jnp.nan).at[2, 5, 0].set(jnp.inf)))


def test_a_start_that_leaves_units_without_likelihood():
    """EM loses their mass; what follows makes up for it at once, compiled or not."""
    import mixsqpx

    log_lik, weights = Recipe(10206801, "holes", 10.0, 0.0, "wide").make()
    for solve in (mixsqpx.mixsolve, jax.jit(lambda *data: mixsqpx.mixsolve(*data))):
        solution = solve(log_lik, weights)
        check_solved(log_lik, weights, solution)
        assert int(solution.stats["num_steps"]) < 30
