"""The shape that most tests share has more than one size of working sets, and they use both."""

import numpy as np
import pytest

from .recipes import Recipe, solve
from .zoo import M, N, zoo


def sizes():
    """Of the working sets of the solver, and of the components that derivatives are taken on."""
    from mixsqpx._mixsqp import _rungs
    from mixsqpx.implicit import _sizes

    return [size for size, _ in _rungs(N, M)], _sizes(N, M)


def test_solver_and_derivatives_have_two_sizes():
    for first, last in sizes():
        assert first < last == M


KINDS = ("gamma", "location", "peaked", "holes", "ties")
PROBLEMS = {
    "zoo": [(p.log_lik, p.weights) for p in zoo().values() if p.log_lik.shape == (N, M)],
    "recipes": [
        Recipe(seed, kind, 1.0, 0.0, weighting).make()
        for seed, kind in enumerate(KINDS)
        for weighting in ("equal", "wide")
    ],
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_some_optima_fit_the_first_size_and_some_do_not(name):
    found = np.array([int(solve(*pair).stats["num_active"]) for pair in PROBLEMS[name]])
    for first, _ in sizes():
        assert np.sum(found < first) >= 3
        assert np.sum(found > first) >= 1
