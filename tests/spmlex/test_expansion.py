"""Gradient and Hessian as Newton's method takes them, against those of `profile_ll`."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spmlex._profile._expansion as expansion
from spmlex import profile_ll
from spmlex._model import as_groups
from spmlex._profile import default_mix_solver
from spmlex._search import Problem

from .helpers import flatten
from .test_groups import GROUPS, PROBLEM, WEIGHTS

# One inner optimum serves both: they differ in the order of their sums alone. Measured: 1.5e-15 of
# the largest entry.
TOL = 1e-13

# The data of this unit cannot be used, and it has no weight.
BROKEN = 3
BROKEN_DATA = {"x": PROBLEM.data["x"], "y": PROBLEM.data["y"].at[BROKEN].set(jnp.nan)}
CASES = {
    "plain": (PROBLEM.data, None, None),
    "weights": (BROKEN_DATA, None, WEIGHTS.at[BROKEN].set(0.0)),
    "groups": (PROBLEM.data, GROUPS, None),
    "both": (BROKEN_DATA, GROUPS, WEIGHTS.at[BROKEN].set(0.0)),
}


@cache
def reference(case):
    """Value, gradient and Hessian by `profile_ll`, which knows no chunks."""
    data, groups, weights = CASES[case]
    vector, rebuild = flatten(PROBLEM.model)
    solver = default_mix_solver(vector.dtype)

    def value(vector):
        return profile_ll(
            rebuild(vector), data, PROBLEM.supp, groups=groups, weights=weights, solver=solver
        )[0]

    derivatives = jax.jit(lambda x: (jax.grad(value)(x), jax.hessian(value)(x)))
    return value(vector), *derivatives(vector)


# Where a quick answer is wanted: one chunk, and without anything or with everything.
slow = pytest.mark.slow


@pytest.mark.slow  # compiles second derivatives of whole solves
@pytest.mark.parametrize(
    "case",
    ["plain", pytest.param("weights", marks=slow), pytest.param("groups", marks=slow), "both"],
)
@pytest.mark.parametrize(
    "chunk", [32_768, pytest.param(100, marks=slow)], ids=["one chunk", "many chunks"]
)
def test_equals_the_derivatives_of_profile_ll(case, chunk, monkeypatch):
    # 60 units at 15 points: nine chunks of 100 entries or fewer, each of seven units, of which the
    # last shares three with the one before.
    assert PROBLEM.supp.shape == (15,)
    monkeypatch.setattr(expansion, "_CHUNK", chunk)
    data, groups, weights = CASES[case]
    held = jax.tree.map(lambda _: None, PROBLEM.model)
    solver = default_mix_solver(jnp.dtype(float))
    problem = Problem(
        held, data, PROBLEM.supp, weights, as_groups(groups, len(GROUPS)), solver, None
    )
    # A function of its own, or the program compiled for the other size of chunks is found again.
    found = eqx.filter_jit(lambda model: problem.expand(model))(PROBLEM.model)
    value, grad, hess = reference(case)
    assert float(found.aux.gap) <= solver.gap_tol
    np.testing.assert_allclose(found.f, value, rtol=TOL)
    np.testing.assert_allclose(found.grad, grad, atol=TOL * np.abs(grad).max())
    np.testing.assert_allclose(found.hess, hess, atol=TOL * np.abs(hess).max())
