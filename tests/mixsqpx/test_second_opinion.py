"""Against Clarabel, an interior-point solver for exponential cones, on small random problems.

More of them, and larger ones, are in benchmarks/reliability/second_opinion.py.
"""

import clarabel
import numpy as np
import pytest
from scipy import sparse

from .helpers import check_solved, numpy_gap, numpy_log_mix, numpy_objective, plant, rounding
from .recipes import M, N, Recipe, solve

PROBLEMS = [
    Recipe(seed, kind, 1.0, offset, weighting)
    for seed, (kind, offset, weighting) in enumerate(
        (kind, offset, weighting)
        for kind in ("gamma", "location", "peaked", "holes", "ties")
        for offset in (0.0, 1e3)
        for weighting in ("equal", "some_zero", "wide")
    )
]


def second_opinion(log_lik, weights):
    """Minimise -Σ ωᵢ tᵢ + Σ xⱼ over x >= 0 and t with exp tᵢ <= (a x)ᵢ."""
    ell, omega = log_lik[weights > 0], weights[weights > 0] / weights.sum()
    lik = np.exp(ell - ell.max(axis=1, keepdims=True))
    n, m = lik.shape
    cones = np.zeros((3 * n, m + n))
    cones[2::3, :m] = -lik
    cones[3 * np.arange(n), m + np.arange(n)] = -1.0
    offset = np.zeros(m + 3 * n)
    offset[m + 1 :: 3] = 1.0
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-10
    solution = clarabel.DefaultSolver(
        sparse.csc_matrix((m + n, m + n)),
        np.concatenate([np.ones(m), -omega]),
        sparse.csc_matrix(np.vstack([np.hstack([-np.eye(m), np.zeros((m, n))]), cones])),
        offset,
        [clarabel.NonnegativeConeT(m), *[clarabel.ExponentialConeT()] * n],
        settings,
    ).solve()
    probs = np.maximum(np.asarray(solution.x)[:m], 0.0)
    return probs / probs.sum()


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_never_worse_and_the_gap_is_true(problem):
    log_lik, weights = problem.make()
    ours, theirs = solve(log_lik, weights), second_opinion(log_lik, weights)
    check_solved(log_lik, weights, ours)
    size = 1 + np.abs(numpy_log_mix(log_lik[weights > 0], ours.probs)).max()
    tol = 2 * rounding(N, M) * size
    value = numpy_objective(log_lik, ours.probs, weights)
    other = numpy_objective(log_lik, theirs, weights)
    assert value <= other + 1e-10 + tol
    gap = numpy_gap(log_lik, theirs, weights)
    assert other <= value + gap + tol
    assert other - value <= 1e-6  # Clarabel has solved it: there is something to compare with


@pytest.mark.parametrize("num_ties", [0, 1, 4])
@pytest.mark.parametrize("seed", range(4))
def test_planted_optimum_with_and_without_strict_complementarity(seed, num_ties):
    # Components outside the mixture whose multiplier is zero all the same: the optimum is still
    # unique, but a solver may keep a little of them, of the order of the root of its gap.
    planted = plant(seed, N, M, 4, num_ties)
    ours = solve(planted.log_lik, planted.weights)
    check_solved(planted.log_lik, planted.weights, ours)
    multipliers = planted.gradient[planted.probs == 0]
    assert np.sum(np.abs(multipliers) < 1e-14) == num_ties
    if num_ties == 0:
        np.testing.assert_array_equal(np.asarray(ours.probs) > 0, planted.probs > 0)
    strict = planted.gradient > 1e-14
    assert np.all(np.asarray(ours.probs)[strict] == 0)
    tol = rounding(N, M) * (1 + np.abs(planted.log_lik).max())
    assert abs(float(ours.objective) - planted.objective) <= 1e-10 + tol
    # Strong convexity: λ/2 |p - p*|² is at most the gap, λ that of H on all that may be positive.
    ratios = planted.ratios[:, ~strict]
    omega = planted.weights / planted.weights.sum()
    lowest = np.linalg.eigvalsh(ratios.T @ (omega[:, None] * ratios))[0]
    error = 2 * np.sqrt(2 * (float(ours.gap) + tol) / lowest)
    assert error < 1e-3
    assert np.linalg.norm(ours.probs - planted.probs) <= error
    np.testing.assert_allclose(
        ours.gradient, planted.gradient, rtol=0, atol=error * np.linalg.norm(ratios) + tol
    )
