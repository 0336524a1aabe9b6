"""Steps that take over the Hessian of the last: kept here for every size, however small."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given

from .helpers import check_solved, rounding
from .recipes import FOUND_WITH, GAP_TOL, Recipe, check_same_objective, problems, solve
from .zoo import normal


@pytest.fixture(scope="module", autouse=True)
def _kept(own_programs):
    from mixsqpx import _mixsqp

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_mixsqp, "_MUCH_WORK", 0)
        patch.setattr(_mixsqp, "_FAR_MORE", 0)
        patch.setattr(_mixsqp, "_FAR_LESS", 1e-9)
        yield


def one_more(problem):
    """The problem with a unit of no weight."""
    log_lik, weights = problem.make()
    return np.vstack([log_lik, log_lik[:1]]), np.append(weights, 0.0)


@given(problems)
@example(Recipe(602, "peaked", 1.0, 0.0, "wild", FOUND_WITH))
@example(Recipe(91, "ties", 0.1, 0.0, "wild", FOUND_WITH))
def test_solved(problem):
    log_lik, weights = one_more(problem)
    solution = solve(log_lik, weights)
    check_solved(log_lik, weights, solution)
    check_same_objective(*problem.make(), solution, solve(*problem.make()))


def stepped():
    """Problems of one size of working sets, and one of two."""
    yield one_more(Recipe(1, "gamma", 1.0, 0.0, "equal", FOUND_WITH))
    yield one_more(Recipe(2, "gamma", 10.0, 1.0, "wide", FOUND_WITH))
    yield one_more(Recipe(4, "peaked", 1.0, 0.0, "wide", FOUND_WITH))
    rng = np.random.default_rng(0)
    yield normal(rng.normal(size=300), np.linspace(-3, 3, 40), 0.3), np.ones(300)


@pytest.fixture(scope="module")
def trajectories():
    """States from the first to the last, of each of the problems."""
    from mixsqpx import MixSQP
    from mixsqpx._problem import build_problem

    solver = MixSQP()
    build = jax.jit(lambda log_lik, weights: build_problem(log_lik, weights)[0])
    init, step = jax.jit(lambda problem: solver.init(problem, None)), jax.jit(solver.step)
    found = []
    for log_lik, weights in stepped():
        problem = build(jnp.asarray(log_lik), jnp.asarray(weights))
        states = [init(problem)]
        while len(states) < 2 or float(states[-1].gap) > GAP_TOL:
            states.append(step(problem, states[-1]))
            assert len(states) < 60
        found.append((problem, states))
    return found


def is_reused(state):
    """Whether the step from a state takes over the Hessian."""
    worst = max(float(state.violation), float(state.slope))
    return int(state.num_steps) >= 0 and worst <= float(state.model.holds_below)


def test_some_steps_take_it_over(trajectories):
    for i in (0, 1, 3):
        _, states = trajectories[i]
        assert any(is_reused(state) for state in states[:-1])


def test_it_is_that_of_the_mixture_as_it_was(trajectories):
    """All components in the mixture are in it: one that is not would lose its mass unseen.

    Its entries, Σᵢ ωᵢ aᵢⱼ aᵢₖ/uᵢ², are those of a new one times numbers between the extremes of
    (old u/new u)², but for the ridge, 1e-6 where it is in single precision, and rounding there.
    """
    from mixsqpx._hessian import damped_hessian
    from mixsqpx._mixsqp import _rungs

    num_looked_at = 0
    for problem, states in trajectories:
        sizes = [size for size, _ in _rungs(*problem.shape)]
        formed_at = states[0]
        for before, state in itertools.pairwise(states):
            if not is_reused(before):
                formed_at = before
            if float(state.model.holds_below) >= 0:
                size = sizes[int(state.model.rung)]
                all_of_them = size == problem.shape[1]
                members = jnp.arange(size) if all_of_them else state.model.order[:size]
                assert set(np.flatnonzero(state.probs)) <= set(np.asarray(members))
                scale = jnp.sqrt(problem.weights) / state.mix_lik
                new = damped_hessian(problem, members, scale, jnp.asarray(False))
                old = state.model.hess[:size, :size]
                squares = np.asarray((formed_at.mix_lik / state.mix_lik) ** 2)
                assert np.all(old <= new / squares.min() * (1 + 1e-5) + 1e-12)
                assert np.all(old >= new / squares.max() * (1 - 1e-5) - 1e-12)
                num_looked_at += 1
    assert num_looked_at >= 8


def test_no_step_raises_the_objective(trajectories):
    for problem, states in trajectories:
        objectives = [float(problem.objective(state.mix_lik)) for state in states]
        # The sums in u and in the objective, of terms of at most the largest logarithm.
        size = 1 + float(jnp.max(jnp.abs(jnp.log(states[0].mix_lik) + problem.row_max)))
        assert np.all(np.diff(objectives) <= 2 * rounding(*problem.shape) * size)


@pytest.mark.parametrize(("start", "is_kept"), [("equal", True), ("vertex", False)])
def test_not_where_units_had_to_be_covered(trajectories, start, is_kept):
    """Units that hardly any mass explains get components from outside of the working set."""
    from mixsqpx import MixSQP
    from mixsqpx._solver import unevaluated

    problem, states = trajectories[2]
    m = problem.shape[1]
    probs = {"equal": jnp.full(m, 1 / m), "vertex": jnp.eye(m)[0]}[start]
    handed_over = eqx.tree_at(
        lambda model: model.holds_below, states[-1].model, jnp.asarray(jnp.inf)
    )
    state = MixSQP().step(problem, unevaluated(problem, probs, 1, handed_over))
    assert float(state.model.holds_below) == (np.inf if is_kept else -1.0)


@pytest.mark.parametrize("name", ["MixSQP", "EM"])
def test_resumes_where_another_problem_ended(trajectories, name):
    import mixsqpx

    problem, states = trajectories[0]
    state = getattr(mixsqpx, name)().resume(problem, states[-1])
    np.testing.assert_array_equal(state.probs, states[-1].probs)
    assert int(state.num_steps) < 0
