"""Solves that cannot succeed: a failure is named, and the last iterate is what it says it is."""

import numpy as np
import pytest

from .helpers import numpy_gap, plant, rounding

# The problem of `test_errors.py`.
N, M = 40, 12
GOOD = plant(1, N, M, 4)
INIT = np.full(M, 1 / M)


def solve(log_lik, weights, init, **kwargs):
    import mixsqpx

    return mixsqpx.mixsolve(log_lik, weights, init=init, **kwargs)


@pytest.mark.parametrize("name", ["MixSQP", "EM"])
def test_step_limit(name):
    import mixsqpx

    options = {"solver": getattr(mixsqpx, name)(), "max_steps": 3}
    args = (GOOD.log_lik, GOOD.weights, np.eye(M)[0] * 0.99 + 0.01 * INIT)
    if name == "MixSQP":
        options["max_steps"] = 1
    with pytest.raises(RuntimeError, match="`max_steps`") as caught:
        solve(*args, **options)
    assert "unit at fault" not in str(caught.value)
    solution = solve(*args, **options, throw=False)
    check_last_iterate(solution, mixsqpx.RESULTS.mix_max_steps_reached)
    assert int(solution.stats["num_steps"]) == options["max_steps"]


def test_gap_that_the_precision_cannot_reach():
    import mixsqpx

    # No gap is below zero: the solver goes on until its steps change nothing any more. Nobody else
    # gets such a tolerance past the check.
    solver = mixsqpx.MixSQP()
    object.__setattr__(solver, "gap_tol", -1.0)
    options = {"solver": solver}
    args = (GOOD.log_lik, GOOD.weights, INIT)
    with pytest.raises(RuntimeError, match="precision.*`gap_tol`"):
        solve(*args, **options)
    solution = solve(*args, **options, throw=False)
    check_last_iterate(solution, mixsqpx.RESULTS.precision_exhausted)
    assert float(solution.gap) <= rounding(N, M)  # and it got as far as it could
    assert int(solution.stats["num_steps"]) < 1000


def check_last_iterate(solution, result):
    """A feasible point with its true gap, and no claim beyond that."""
    assert solution.result == result
    p = np.asarray(solution.probs)
    assert np.all(p >= 0)
    assert abs(p.sum() - 1) <= (M + 1) * np.finfo(float).eps
    gap = numpy_gap(GOOD.log_lik, p, GOOD.weights)
    assert abs(float(solution.gap) - gap) <= rounding(N, M) * (1 + np.exp(gap))
    assert int(solution.stats["unit"]) == -1


def test_em_cannot_leave_a_face_and_says_so():
    import mixsqpx

    start = np.eye(M)[np.flatnonzero(GOOD.probs == 0)[0]]  # a vertex outside the optimum
    solution = solve(
        GOOD.log_lik, GOOD.weights, start, solver=mixsqpx.EM(), max_steps=1000, throw=False
    )
    assert solution.result != mixsqpx.RESULTS.successful
    assert float(solution.gap) > 1e-3
    np.testing.assert_array_equal(solution.probs, start)


def test_every_failure_has_a_message_of_its_own():
    import mixsqpx

    names = [
        "mix_max_steps_reached",
        "max_passes_reached",
        "precision_exhausted",
        "nonfinite",
        "invalid_log_lik",
        "zero_likelihood",
        "invalid_weights",
        "zero_weights",
        "infeasible_init",
    ]
    messages = {mixsqpx.RESULTS[getattr(mixsqpx.RESULTS, name)] for name in names}
    assert len(messages) == len(names)
    assert all(len(message) > 20 and message.endswith(".") for message in messages)
    assert mixsqpx.RESULTS[mixsqpx.RESULTS.successful] == ""
