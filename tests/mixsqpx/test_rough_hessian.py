"""Hessians in single precision: where they cannot be factorised, the next step is in double."""

import jax.numpy as jnp
import numpy as np
import pytest

from .helpers import check_solved
from .zoo import N, zoo


@pytest.fixture
def without_factors(own_programs, monkeypatch):
    """A negative diagonal for every Hessian in single precision."""
    from mixsqpx import _mixsqp

    formed = _mixsqp.damped_hessian

    def indefinite(problem, members, scale, rough):
        hess = formed(problem, members, scale, rough)
        return jnp.where(rough, hess - 2 * jnp.diag(jnp.diag(hess)), hess)

    monkeypatch.setattr(_mixsqp, "damped_hessian", indefinite)


@pytest.mark.parametrize("name", ["normal_location", "narrow_kernels"])
@pytest.mark.parametrize("start", ["own", "optimum without half of the components"])
def test_solved_all_the_same(without_factors, name, start):
    """Also where no component in the mixture has a slope, and all that is left is to enter."""
    import mixsqpx

    problem = zoo()[name]
    more = slice(N - 6, N)
    log_lik = np.concatenate([problem.log_lik, problem.log_lik[more]])
    weights = np.concatenate([problem.weights, problem.weights[more]])
    init = None
    if start != "own":
        half = mixsqpx.mixsolve(log_lik[:, ::2], weights)
        init = np.zeros(log_lik.shape[1])
        init[::2] = half.probs
    check_solved(log_lik, weights, mixsqpx.mixsolve(log_lik, weights, init=init))
