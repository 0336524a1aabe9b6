"""Large matrices are gone through block by block: nothing is left out, nothing counts twice."""

import jax.numpy as jnp
import numpy as np
import pytest

from .helpers import check_solved
from .zoo import N, zoo

# In blocks of at most 36 of 203 units: the last of them begins before the one before ends.
LARGE, BLOCK, NUM_UNITS = 1_000, 900, N + 3


@pytest.fixture
def small_blocks(own_programs, monkeypatch):
    from mixsqpx import _blocks

    monkeypatch.setattr(_blocks, "_LARGE", LARGE)
    monkeypatch.setattr(_blocks, "_BLOCK", BLOCK)


@pytest.mark.parametrize("num_units", [100, 101, 203, 333])
def test_every_unit_is_new_once(small_blocks, num_units):
    from mixsqpx._blocks import fold_blocks

    values = jnp.arange(1.0, num_units + 1)

    def add(block, total):
        return total + jnp.sum(jnp.where(block.is_new, block.of(values, 0), 0.0))

    def copy(block, whole):
        return block.put(block.of(values, 0)[None, :], whole)

    # Integers: no rounding.
    total = fold_blocks(add, jnp.asarray(0.0), num_units, 25)
    assert float(total) == num_units * (num_units + 1) / 2
    whole = fold_blocks(copy, jnp.zeros((1, num_units)), num_units, 25)
    np.testing.assert_array_equal(whole[0], values)


@pytest.mark.parametrize("name", ["normal_location", "narrow_kernels", "zero_weights"])
def test_solved_in_blocks(small_blocks, name):
    import mixsqpx

    # A shape that no other test has, since the compiled programs know only shapes.
    problem = zoo()[name]
    more = slice(NUM_UNITS - N)
    log_lik = np.concatenate([problem.log_lik, problem.log_lik[more]])
    weights = np.concatenate([problem.weights, problem.weights[more]])
    solution = mixsqpx.mixsolve(log_lik, weights)
    check_solved(log_lik, weights, solution)


def test_hessian_in_blocks_in_both_precisions():
    from mixsqpx._hessian import damped_hessian
    from mixsqpx._problem import MixProblem

    rng = np.random.default_rng(0)
    n, k = 31_002, 60
    lik, scale = rng.uniform(size=(k, n)), rng.uniform(size=n) / np.sqrt(n)
    problem = MixProblem(jnp.asarray(lik), jnp.zeros(n), jnp.full(n, 1 / n))
    exact = np.einsum("ji,ki,i->jk", lik, lik, scale**2)
    # Sums of positive terms in any order: a relative error of (number of terms) eps at the very
    # most; the root of the number is what rounding makes of it, and six times that safe. The ridge
    # is on the diagonal alone.
    for rough, eps, ridge in ((False, 2.0**-52, 2.0 ** (-52 * 2 / 3)), (True, 2.0**-23, 1e-6)):
        hess = damped_hessian(problem, slice(None), jnp.asarray(scale), jnp.asarray(rough))
        expected = exact + np.diag(ridge * np.diag(exact))
        np.testing.assert_allclose(hess, expected, rtol=6 * np.sqrt(n) * eps)
