"""Every solver over the zoo, from every start, in both precisions, to the certificate."""

import jax.numpy as jnp
import numpy as np
import pytest

from .helpers import (
    annotations_off,
    check_solved,
    numpy_gap,
    numpy_objective,
    plant,
    probs_error,
    rounding,
)
from .zoo import M, N, narrow_kernels, zoo

NAMES = tuple(zoo())
STANDARD = tuple(name for name, problem in zoo().items() if problem.log_lik.shape == (N, M))
GAP_TOL = 1e-10


def objective_rounding(problem, probs) -> float:
    counted = problem.weights > 0
    size = 1 + abs(numpy_objective(problem.log_lik, probs, problem.weights))
    size += np.nanmax(np.abs(problem.log_lik[counted].max(axis=1)))
    return rounding(*problem.log_lik.shape) * float(size)


@pytest.mark.parametrize("name", NAMES)
def test_zoo(name):
    import mixsqpx

    problem = zoo()[name]
    solution = mixsqpx.mixsolve(problem.log_lik, problem.weights)
    check_solved(problem.log_lik, problem.weights, solution)
    assert solution.probs.dtype == jnp.float64
    # Newton's method: a few steps to find the active set, a few for its last digits. Ten were seen.
    assert int(solution.stats["num_steps"]) <= 30


@pytest.mark.parametrize("name", [*STANDARD, "tall", "thumbtacks"])
def test_zoo_in_single_precision(name):
    import mixsqpx

    problem = zoo()[name]
    log_lik, weights = problem.log_lik.astype(np.float32), problem.weights.astype(np.float32)
    solution = mixsqpx.mixsolve(log_lik, weights)
    check_solved(log_lik, weights, solution, gap_tol=1e-5)
    parts = (solution.probs, solution.objective, solution.gap, solution.gradient)
    assert {part.dtype for part in parts} == {jnp.dtype(jnp.float32)}
    # The gap bounds the distance to the optimum of the same data, in double precision; there, p has
    # to sum to one in double precision too.
    exact = mixsqpx.mixsolve(log_lik.astype(np.float64), weights.astype(np.float64))
    probs = np.asarray(solution.probs, np.float64)
    above = numpy_objective(log_lik, probs / probs.sum(), weights) - float(exact.objective)
    assert -GAP_TOL - objective_rounding(problem, probs) <= above
    assert above <= 1e-5 + rounding(*log_lik.shape, np.float32)


# EM's rate is that of the worst direction: 100 000 steps are not enough for the scale mixture, and
# with weights of 12 orders of magnitude they end at a gap of 2.4e-6.
@pytest.mark.parametrize("name", [name for name in STANDARD if name != "normal_scale"])
def test_em(name):
    import mixsqpx

    problem = zoo()[name]
    gap_tol = 1e-5 if name == "unequal_weights" else 1e-8
    solution = mixsqpx.mixsolve(
        problem.log_lik, problem.weights, solver=mixsqpx.EM(gap_tol=gap_tol), max_steps=100_000
    )
    check_solved(problem.log_lik, problem.weights, solution, gap_tol=gap_tol)
    other = mixsqpx.mixsolve(problem.log_lik, problem.weights)
    difference = float(solution.objective - other.objective)
    tol = objective_rounding(problem, solution.probs)
    assert -GAP_TOL - tol <= difference <= gap_tol + tol


def test_one_em_step_is_probs_times_one_minus_gradient():
    import mixsqpx

    problem = zoo()["gamma"]
    start = np.arange(1.0, M + 1) / np.arange(1.0, M + 1).sum()
    solution = mixsqpx.mixsolve(
        problem.log_lik, problem.weights, init=start, solver=mixsqpx.EM(), max_steps=1, throw=False
    )
    ratios = np.exp(problem.log_lik) / (np.exp(problem.log_lik) @ start)[:, None]
    tol = rounding(N, M)
    np.testing.assert_allclose(solution.probs, start * ratios.mean(axis=0), rtol=tol, atol=0)


@pytest.mark.parametrize("seed", range(8))
def test_planted_optimum(seed):
    import mixsqpx

    planted = plant(seed, N, M, 3 + seed)
    solution = mixsqpx.mixsolve(planted.log_lik, planted.weights)
    check_solved(planted.log_lik, planted.weights, solution)
    p = np.asarray(solution.probs)
    np.testing.assert_array_equal(p > 0, planted.probs > 0)
    tol = probs_error(planted.log_lik, p, planted.weights)
    assert np.linalg.norm(p - planted.probs) <= tol
    # f is off by the gap at most, and by the rounding of a mean of numbers of size 10.
    assert abs(float(solution.objective) - planted.objective) <= GAP_TOL + 10 * rounding(N, M)
    # g moves by H (p - p*), with entries of H that are means of products of two ratios.
    slope = np.linalg.norm(planted.ratios, axis=0).max() ** 2 * planted.weights.max()
    slope /= planted.weights.sum()
    off = np.abs(np.asarray(solution.gradient) - planted.gradient).max()
    assert off <= slope * np.sqrt(M) * tol + rounding(N, M)


# ---- what is known of single problems ------------------------------------------------------------


def test_components_that_explain_nothing_get_nothing():
    import mixsqpx

    problem = zoo()["zero_columns"]
    solution = mixsqpx.mixsolve(problem.log_lik, problem.weights)
    np.testing.assert_array_equal(np.asarray(solution.probs)[[0, 5, 14]], 0.0)
    np.testing.assert_array_equal(np.asarray(solution.gradient)[[0, 5, 14]], 1.0)


def test_optimum_at_a_vertex_is_exact():
    import mixsqpx

    for name, best in [("vertex", 0), ("one_unit", 1), ("one_by_one", 0), ("one_component", 0)]:
        problem = zoo()[name]
        solution = mixsqpx.mixsolve(problem.log_lik, problem.weights)
        np.testing.assert_array_equal(solution.probs, np.eye(len(solution.probs))[best])


def test_each_unit_its_own_component():
    import mixsqpx

    # The likelihood is the identity: a component's share is the weight of its unit. The lightest
    # weights are below any threshold that one might use to call a proportion zero.
    weights = np.geomspace(1e-12, 1.0, M)
    log_lik = np.full((N, M), -np.inf)
    log_lik[:M][np.eye(M, dtype=bool)] = np.linspace(-5, 5, M)
    padded = np.zeros(N)
    padded[:M] = weights
    solution = mixsqpx.mixsolve(log_lik, padded)
    check_solved(log_lik, padded, solution)
    # H is diagonal, 1/pⱼ: each proportion is off by gⱼ of itself. -gⱼ <= gap, Σ pⱼgⱼ = 0.
    share = weights / weights.sum()
    np.testing.assert_array_less(share - 3 * GAP_TOL, np.asarray(solution.probs))
    np.testing.assert_allclose(solution.probs, share, rtol=0, atol=GAP_TOL)
    np.testing.assert_array_less(share / (1 + 2 * GAP_TOL), np.asarray(solution.probs))


@pytest.mark.parametrize(("width", "least", "most"), [(1.4, 100, 200), (0.2, 257, 300)])
def test_more_active_components_than_small_working_sets_hold(width, least, most):
    import mixsqpx

    # Working sets grow up a ladder of sizes, and these need its upper rungs.
    problem = narrow_kernels(width)
    solution = mixsqpx.mixsolve(problem.log_lik, problem.weights)
    check_solved(problem.log_lik, problem.weights, solution)
    assert least <= int(solution.stats["num_active"]) <= most


# ---- starts --------------------------------------------------------------------------------------


def starts():
    vertex = np.eye(M)
    return {
        "uniform": np.full(M, 1 / M),
        "first_vertex": vertex[0],
        "last_vertex": vertex[M - 1],
        "edge": (vertex[0] + vertex[1]) / 2,
        "near_vertex": (1 - 1e-6) * vertex[3] + 1e-6 / M,
        "tiny_parts": (1 - 1e-300) * vertex[20] + 1e-300 * vertex[4],
    }


@pytest.mark.parametrize("start", starts())
@pytest.mark.parametrize(
    "name", ["normal_location", "uniform_kernels", "narrow_kernels", "zero_columns"]
)
def test_any_start_leads_to_the_optimum(name, start):
    import mixsqpx

    # At the vertices most units of the last three have no likelihood, or one that underflows, and
    # a vertex of `zero_columns` has none for any unit.
    problem = zoo()[name]
    solution = mixsqpx.mixsolve(problem.log_lik, problem.weights, init=starts()[start])
    check_solved(problem.log_lik, problem.weights, solution)
    other = mixsqpx.mixsolve(problem.log_lik, problem.weights)
    tol = GAP_TOL + objective_rounding(problem, solution.probs)
    assert abs(float(solution.objective - other.objective)) <= tol


@pytest.mark.parametrize("start", starts())
def test_a_start_that_explains_every_unit_is_no_optimum(start):
    import mixsqpx

    # Components differ little, so that each explains all units. At a vertex g is zero on the
    # positive components, and a criterion that looks at these alone would stop there.
    planted = plant(11, N, M, 6)
    log_lik = np.log1p(0.1 * (planted.ratios - 1))
    solution = mixsqpx.mixsolve(log_lik, planted.weights, init=starts()[start])
    check_solved(log_lik, planted.weights, solution)
    assert int(solution.stats["num_active"]) > 1


@pytest.mark.parametrize("name", STANDARD)
def test_a_start_at_the_solution_stays(name):
    import mixsqpx

    problem = zoo()[name]
    first = mixsqpx.mixsolve(problem.log_lik, problem.weights)
    again = mixsqpx.mixsolve(problem.log_lik, problem.weights, init=first.probs)
    check_solved(problem.log_lik, problem.weights, again)
    # A gap of up to 1e-10 can be read as above it once p is divided by its sum: one step then.
    assert int(again.stats["num_steps"]) <= 1
    if int(again.stats["num_steps"]) == 0:
        eps = np.finfo(np.float64).eps
        np.testing.assert_allclose(again.probs, first.probs, rtol=(M + 1) * eps, atol=0)


def test_a_start_near_the_solution_saves_steps():
    import mixsqpx

    problem = zoo()["factor_model"]
    first = mixsqpx.mixsolve(problem.log_lik, problem.weights)
    nearby = problem.log_lik + 1e-4 * np.random.default_rng(3).normal(size=(N, M))
    warm = mixsqpx.mixsolve(nearby, problem.weights, init=first.probs)
    cold = mixsqpx.mixsolve(nearby, problem.weights)
    check_solved(nearby, problem.weights, warm)
    assert int(warm.stats["num_steps"]) < int(cold.stats["num_steps"])


# ---- options and dtypes --------------------------------------------------------------------------


def test_no_weights_are_equal_weights():
    import mixsqpx

    problem = zoo()["binomial"]
    without = mixsqpx.mixsolve(problem.log_lik)
    check_solved(problem.log_lik, None, without)
    with_ones = mixsqpx.mixsolve(problem.log_lik, problem.weights)
    # The same numbers up to the order of sums: p within its distance of the optimum, twice.
    tol = 2 * probs_error(problem.log_lik, with_ones.probs)
    assert np.linalg.norm(without.probs - with_ones.probs) <= tol


def test_a_loose_tolerance_stops_earlier():
    import mixsqpx

    problem = zoo()["factor_model"]
    loose = mixsqpx.mixsolve(problem.log_lik, problem.weights, solver=mixsqpx.MixSQP(gap_tol=1e-2))
    check_solved(problem.log_lik, problem.weights, loose, gap_tol=1e-2)
    tight = mixsqpx.mixsolve(problem.log_lik, problem.weights)
    assert numpy_gap(problem.log_lik, loose.probs) > GAP_TOL
    assert int(loose.stats["num_steps"]) < int(tight.stats["num_steps"])


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.float16, jnp.bfloat16])
def test_integers_and_half_precision_are_promoted(dtype):
    import mixsqpx

    log_lik = jnp.asarray(np.random.default_rng(1).integers(-9, 0, (N, M)), dtype)
    with annotations_off():  # which say Float, and mean what needs no conversion
        solution = mixsqpx.mixsolve(log_lik, np.ones(N, np.int32))
    wide, tol = (jnp.float64, GAP_TOL) if dtype == jnp.int32 else (jnp.float32, 1e-5)
    assert solution.probs.dtype == wide
    check_solved(log_lik.astype(wide), np.ones(N), solution, gap_tol=tol)
