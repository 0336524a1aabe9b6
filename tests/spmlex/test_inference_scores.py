"""Scores, the Hessian, and how estimates respond to weights: beside computations in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .helpers import central_differences, flatten, log_lik_of, profile_hessians
from .models import FactorModel, Problem, factor_problem, level_and_slope_problem

NUM_UNITS, NUM_POINTS = 300, 25


@pytest.fixture(scope="module")
def problem():
    return factor_problem(NUM_UNITS, NUM_POINTS)


@pytest.fixture(scope="module")
def groups():
    return np.arange(NUM_UNITS) % 2


@pytest.fixture(scope="module")
def weights():
    return np.random.default_rng(0).integers(0, 4, NUM_UNITS).astype(float)


@pytest.fixture(scope="module")
def result(problem):
    import spmlex

    return spmlex.fit(*problem)


@pytest.fixture(scope="module")
def grouped(problem, groups, weights):
    """Of two groups, with weights: some of them zero, for a unit without valid data too."""
    import spmlex

    data = problem.data.at[int(np.argmin(weights))].set(jnp.nan)
    return spmlex.fit(problem.model, data, problem.supp, groups=groups, weights=weights)


def optimal(log_lik, weights, probs):
    """Optimal masses on the points that have mass in `probs`, to rounding: Newton's method."""
    active = probs > 0
    lik = np.exp(log_lik[:, active])
    p = probs[active]
    omega = weights / weights.sum()
    for _ in range(8):
        ratios = lik / (lik @ p)[:, None]
        hess = ratios.T @ (omega[:, None] * ratios)
        p = p + np.linalg.lstsq(hess, omega @ ratios - 1, rcond=1e-13)[0]
    out = np.zeros(probs.size)
    out[active] = p
    return out


def unit_values(problem, theta, probs, labels, weights):
    """log uᵢ(θ, p(θ)) of each unit, the active points held."""
    rebuild = flatten(problem.model)[1]
    log_lik = log_lik_of(Problem(rebuild(theta), problem.data, problem.supp))
    values = np.zeros(len(log_lik))
    for g in range(probs.shape[1]):
        own = labels == g
        p = optimal(log_lik[own], weights[own], probs[:, g])
        values[own] = np.log(np.exp(log_lik[own]) @ p)
    return values


# Truncation of the differences: 4/30 (1e-4)⁴ times a fifth derivative, a few hundreds at most;
# rounding: eps times log u over the step, some 1e-11, times the conditioning of p(θ): H has
# eigenvalues down to 1e-3 here.
FD_TOL = 1e-7


@pytest.mark.parametrize("which", ["result", "grouped"])
def test_scores_are_total_derivatives(which, problem, groups, weights, request):
    result = request.getfixturevalue(which)
    is_grouped = which == "grouped"
    labels = groups if is_grouped else np.zeros(NUM_UNITS, int)
    omega = weights if is_grouped else np.ones(NUM_UNITS)
    probs = np.asarray(result.probs).reshape(NUM_POINTS, -1)
    expected = central_differences(
        lambda theta: unit_values(problem, theta, probs, labels, omega), result.estimates
    )
    scores = result.scores()
    counts = omega > 0
    np.testing.assert_allclose(scores[counts], expected[counts], rtol=0, atol=FD_TOL)
    assert (scores[~counts] == 0).all()
    # A stationary point: the weighted mean is the gradient.
    assert np.abs(omega @ scores / omega.sum()).max() <= 1e-8


def test_without_the_response_scores_are_spread_out_too_much(result):
    from spmlex._inference._scores import linearisation

    held = np.asarray(linearisation(result)[0].held_scores)
    scores = result.scores()
    assert np.abs(held.mean(axis=0)).max() <= 1e-8
    # Standard errors from outer products of the two: those of the loading differ by a third or so.
    std_errors = [np.sqrt(np.diagonal(np.linalg.inv(s.T @ s))) for s in (held, scores)]
    assert std_errors[0][0] <= 0.8 * std_errors[1][0]
    np.testing.assert_allclose(std_errors[1], result.std_errors("opg"), rtol=1e-8)


def test_hessian_by_its_formula(result, problem):
    from spmlex._inference._scores import hessian

    expected, _ = profile_hessians(result.model, problem.data, problem.supp, result.probs)
    # Both solve with H, whose condition number is some 1e5 here.
    np.testing.assert_allclose(hessian(result), NUM_UNITS * expected, rtol=1e-8, atol=1e-6)


def test_scores_with_a_latent_variable_of_two_dimensions():
    import spmlex

    problem = level_and_slope_problem()
    result = spmlex.fit(*problem)
    n = result.n_obs
    expected = central_differences(
        lambda theta: unit_values(
            problem, theta, np.asarray(result.probs)[:, None], np.zeros(n, int), np.ones(n)
        ),
        result.estimates,
    )
    np.testing.assert_allclose(result.scores(), expected, rtol=0, atol=FD_TOL)


@pytest.mark.parametrize("unit", [1, 9])
def test_influence_of_a_unit(unit, problem, grouped, groups, weights):
    """More weight on a unit moves θ and F by its influence function, from which errors are."""
    import spmlex

    step = 1e-3
    assert weights[unit] > 0

    def functional(model, probs):
        means = jnp.stack([problem.supp, problem.supp**2]) @ probs
        return jnp.concatenate([model.coef, means.ravel()])

    def at(change):
        changed = weights.copy()
        changed[unit] += change
        refit = spmlex.fit(grouped.model, *problem[1:], groups=groups, weights=changed)
        assert refit.result == spmlex.RESULTS.successful
        return np.asarray(functional(refit.model, refit.probs))

    moved = (at(step) - at(-step)) / (2 * step)
    # "cluster" adds up outer products of the influences, each times its weight. They sum to zero,
    # so with one unit against all others it is twice the outer product of that unit's own.
    clusters = np.zeros(NUM_UNITS, int)
    clusters[unit] = 1
    cov = grouped.delta(functional, kind="cluster", clusters=clusters).cov
    # Truncation: of the order step². Gaps of 1e-13 leave some 1e-7 in the masses, over 2 step.
    expected = 2 * weights[unit] ** 2 * np.outer(moved, moved)
    np.testing.assert_allclose(cov, expected, rtol=0, atol=1e-3 * np.abs(expected).max())


@pytest.mark.slow
def test_information_equality_at_the_truth():
    """Cross-products of scores over the information: the identity, up to sampling error."""
    import spmlex
    from spmlex._inference._scores import hessian

    n = 20_000
    problem = factor_problem(n, NUM_POINTS)
    truth = FactorModel(jnp.array([1.5, 0.3]), jnp.array([0.0, 0.2, -0.3]))
    result = spmlex.fit(truth, problem.data, problem.supp)
    information, scores = hessian(result), result.scores()
    assert np.abs(scores.mean(axis=0)).max() <= 1e-8
    root = np.linalg.inv(np.linalg.cholesky(information))
    ratio = root @ (scores.T @ scores) @ root.T
    # Entries have standard deviations of about sqrt(2/n) = 0.01, more with heavy tails: scores of
    # variances are squares of normal variables, whose fourth moments are 15 for 3.
    np.testing.assert_allclose(ratio, np.eye(5), rtol=0, atol=0.1)


@pytest.mark.slow
def test_single_precision():
    import spmlex

    problem = factor_problem(NUM_UNITS, NUM_POINTS)
    single = jax.tree.map(lambda x: x.astype(jnp.float32), problem)
    results = [spmlex.fit(*p) for p in (problem, single)]
    # Estimates of single precision are off by some 1e-4, and second derivatives by a few of these.
    np.testing.assert_allclose(results[1].std_errors(), results[0].std_errors(), rtol=1e-2)
