"""Problems that are related, and other ways to the same optimum, on problems drawn at random."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from .helpers import (
    arrays,
    check_solved,
    numpy_gap,
    numpy_hessian,
    numpy_log_mix,
    numpy_objective,
    rounding,
)
from .recipes import GAP_TOL, M, N, check_same_objective, problems, seeds, solve


def size_of(log_lik, weights, probs):
    """Size of the terms of the objective, whose sum is rounded."""
    return 1 + np.abs(numpy_log_mix(log_lik[weights > 0], probs)).max()


@given(problems, st.integers(0, M - 1), st.sampled_from([1e-3, 1.0, 700.0]))
def test_a_dominated_component_gets_nothing(problem, target, below):
    # Below another component at every unit it would lower the likelihood of all: g is at least
    # 1 - exp(-below) there, and more mass than the gap over that would be no optimum.
    log_lik, weights = problem.make()
    other = (target + 1) % M
    dominated, gone = log_lik.copy(), log_lik.copy()
    dominated[:, target] = dominated[:, other] - below
    gone[:, target] = -np.inf
    rows = np.isneginf(gone).all(axis=1)
    dominated[rows], gone[rows] = 0.0, 0.0
    dominated[rows, target] = gone[rows, target] = -below
    with_it, without = solve(dominated, weights), solve(gone, weights)
    check_solved(dominated, weights, with_it)
    check_same_objective(dominated, weights, without, with_it)
    slope = 1 - np.exp(-below)
    assert float(with_it.probs[target]) <= (GAP_TOL + rounding(N, M)) / slope
    assert float(with_it.gradient[target]) >= slope - 2 * rounding(N, M) - GAP_TOL


@given(problems, st.integers(1, M - 1))
def test_more_components_never_lower_the_likelihood(problem, kept):
    log_lik, weights = problem.make()
    fewer = np.where(np.arange(M) < kept, log_lik, -np.inf)
    unexplained = np.isneginf(fewer).all(axis=1)
    assume(np.any(weights[~unexplained] > 0))
    weights = np.where(unexplained, 0.0, weights)
    few, all_of_them = solve(fewer, weights), solve(log_lik, weights)
    check_solved(fewer, weights, few)
    np.testing.assert_array_equal(few.probs[kept:], 0)
    tol = GAP_TOL + 2 * rounding(N, M) * size_of(log_lik, weights, few.probs)
    assert float(all_of_them.objective) <= float(few.objective) + tol
    # The optimum of the fewer is a point of the larger problem, and its gap there a true bound.
    lost = numpy_objective(log_lik, few.probs, weights) - float(all_of_them.objective)
    with np.errstate(over="ignore"):  # a bound of infinity, where a unit is hardly explained
        assert lost <= numpy_gap(log_lik, few.probs, weights) + tol


@given(problems, seeds)
def test_a_unit_split_in_parts_is_one_unit(problem, seed):
    # The last unit becomes one more copy of another, which gives it a part of its weight.
    log_lik, weights = problem.make()
    rng = np.random.default_rng(seed)
    source, part = int(rng.integers(0, N - 1)), rng.uniform(0.01, 0.99)
    whole, split = weights.copy(), weights.copy()
    whole[-1] = 0.0
    whole[0] = max(whole[0], 1.0)
    split[:-1] = whole[:-1]
    copied = log_lik.copy()
    copied[-1] = copied[source]
    split[-1], split[source] = part * whole[source], (1 - part) * whole[source]
    one, two = solve(copied, whole), solve(copied, split)
    check_solved(copied, whole, one)
    check_solved(copied, split, two)
    check_same_objective(copied, whole, one, two)
    assert numpy_gap(copied, two.probs, whole) <= GAP_TOL + 2 * rounding(N, M)


COMPILED = jax.jit(solve)
IN_BATCHES = jax.jit(jax.vmap(solve))


@given(problems)
def test_compiled_and_not_are_the_same_solve(problem):
    log_lik, weights = problem.make()
    eager, compiled = solve(log_lik, weights), COMPILED(log_lik, weights)
    check_solved(log_lik, weights, compiled)
    check_same_objective(log_lik, weights, eager, compiled)


@given(st.tuples(problems, problems, problems))
def test_a_batch_is_a_loop(members):
    made = [member.make() for member in members]
    batch = IN_BATCHES(*arrays(*map(np.stack, zip(*made, strict=True))))
    for i, (log_lik, weights) in enumerate(made):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], batch)
        check_solved(log_lik, weights, one)
        check_same_objective(log_lik, weights, one, solve(log_lik, weights))


@given(problems)
def test_single_precision_is_near_double_precision(problem):
    import mixsqpx

    log_lik, weights = problem.make()
    low, light = log_lik.astype(np.float32), weights.astype(np.float32)
    single = mixsqpx.mixsolve(low, light, throw=False)
    double = solve(low.astype(np.float64), light.astype(np.float64))
    # It may not get to the gap that it is asked for; what it says of itself is true either way.
    tol = rounding(N, M, np.float32)
    gap = numpy_gap(low, single.probs, light)
    assert (single.result == mixsqpx.RESULTS.successful) == (float(single.gap) <= 1e-5)
    assert abs(float(single.gap) - gap) <= tol * (1 + np.exp(gap))
    assert gap <= 1e-4
    lost = numpy_objective(low, single.probs, light) - float(double.objective)
    slack = abs(np.sum(np.asarray(single.probs, float)) - 1)  # p sums to one in float32
    assert -GAP_TOL - slack <= lost - rounding(N, M) * size_of(low, light, double.probs) <= gap


@given(problems)
def test_em_agrees(problem):
    import mixsqpx

    log_lik, weights = problem.make()
    em = mixsqpx.mixsolve(
        log_lik, weights, solver=mixsqpx.EM(gap_tol=1e-4), max_steps=100_000, throw=False
    )
    ours = solve(log_lik, weights)
    # EM is slow, and stops where rounding leaves its iterate as it is: its gap is what it says.
    gap = numpy_gap(log_lik, em.probs, weights)
    assert abs(float(em.gap) - gap) <= rounding(N, M) * (1 + np.exp(gap))
    lost = numpy_objective(log_lik, em.probs, weights) - float(ours.objective)
    tol = GAP_TOL + 2 * rounding(N, M) * size_of(log_lik, weights, ours.probs)
    assert -tol <= lost <= gap + tol
    if em.result == mixsqpx.RESULTS.successful:
        assert gap <= 1e-4 + rounding(N, M)


STEP = 1e-4


@jax.jit
def slope_and_values(log_lik, weights, d_log_lik, d_weights):
    """Derivative of p along a direction, and p at four points of the line through it."""
    import mixsqpx

    def probs(t):
        moved = log_lik + t * d_log_lik, weights + t * d_weights
        return mixsqpx.mixsolve(*moved, solver=mixsqpx.MixSQP(gap_tol=1e-13), throw=False).probs

    _, slope = jax.jvp(probs, (0.0,), (1.0,))
    return slope, jax.lax.map(probs, STEP * jnp.array([-2.0, -1.0, 1.0, 2.0]))


@given(seeds, st.sampled_from([1.0, 10.0]))
def test_derivatives_agree_with_differences_away_from_kinks(seed, shape):
    rng = np.random.default_rng(seed)
    log_lik, weights = np.log(rng.gamma(shape, size=(N, M))), rng.uniform(0.5, 1.5, N)
    change, d_weights = rng.uniform(-1, 1, (N, M)), rng.uniform(-0.4, 0.4, N)
    slope, (down2, down, up, up2) = map(
        np.asarray, slope_and_values(*arrays(log_lik, weights, change, d_weights))
    )
    supports = {tuple(np.flatnonzero(p)) for p in (down2, down, up, up2)}
    assume(len(supports) == 1)  # no component enters or leaves within the stencil
    active = np.array(supports.pop())
    assert np.all(np.delete(slope, active) == 0)
    hess = numpy_hessian(log_lik, (up + down) / 2, weights)[np.ix_(active, active)]
    lowest = np.linalg.eigvalsh(hess)[0]
    assume(lowest > 1e-2)
    by_differences = (8 * (up - down) - (up2 - down2)) / (12 * STEP)
    # A p with gap 1e-13 may be off by 2√(gap/λ) in the first order; the differences divide by STEP.
    # Newton's last step squares that error: what is left is the rounding of g over λ.
    rounded = 1.5 * 4 * rounding(N, M) / lowest / STEP
    # Truncation, STEP⁴/30 p⁽⁵⁾: each derivative of p costs a factor of |dp| + 1, 5! of them.
    truncated = 4 * STEP**4 * (1 + np.linalg.norm(slope) / lowest) ** 5
    assume(rounded + truncated < 1e-4)  # else the differences are no judge
    np.testing.assert_allclose(slope, by_differences, rtol=0, atol=rounded + truncated)
