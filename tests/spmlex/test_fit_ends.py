"""`fit` with other minimisers, and the ways in which a search ends without an estimate."""

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest

from mixsqpx import EM
from spmlex import RESULTS, TrustRegionNewton, fit

from .models import Given
from .test_fit import MODEL, PROBLEM, fitted, gradient_at


@pytest.mark.parametrize(
    "minimiser",
    [optx.BFGS(rtol=1e-9, atol=1e-9), optx.NonlinearCG(rtol=1e-10, atol=1e-10)],
    ids=["BFGS", "NonlinearCG"],
)
def test_optimistix_minimisers(minimiser):
    result = fit(*PROBLEM, minimiser=minimiser, max_steps=2000)
    assert result.result == RESULTS.successful
    assert result.stats["minimiser"] == type(minimiser).__name__
    # What `fit` calls small: 1.5e-6 of the value, 3.
    assert np.max(np.abs(gradient_at(result.model))) <= 5e-6
    assert result.grad_norm == pytest.approx(np.max(np.abs(gradient_at(result.model))), abs=1e-8)
    np.testing.assert_allclose(result.estimates, fitted().estimates, atol=5e-5)
    assert len(result.history["value"]) == result.stats["num_steps"]


def test_a_minimiser_that_stops_early_is_not_believed():
    # Stops when y and f change little, whatever the gradient.
    lazy = optx.BFGS(rtol=1e-2, atol=1e-2)
    result = fit(*PROBLEM, minimiser=lazy, throw=False)
    assert np.max(np.abs(gradient_at(result.model))) > 1e-4
    assert result.result == RESULTS.gradient_not_small
    assert result.grad_norm > 1e-4
    assert "Converged NO" in " ".join(str(result).split())
    with pytest.raises(RuntimeError, match="not small") as error:
        fit(*PROBLEM, minimiser=lazy)
    assert "beta[0]" in str(error.value)


def test_a_minimiser_that_has_arrived_is_not_waited_for():
    # Nothing meets tolerances of zero; without the fit's own look it ends at the limit of steps.
    result = fit(*PROBLEM, minimiser=optx.BFGS(rtol=0.0, atol=0.0))
    assert result.result == RESULTS.successful
    assert result.stats["num_steps"] < 200
    assert not np.any(result.history["step"][-20:])
    assert result.grad_norm <= 1.5e-6
    np.testing.assert_allclose(result.estimates, fitted().estimates, atol=5e-5)


def test_step_limit():
    result = fit(*PROBLEM, max_steps=2, throw=False)
    assert result.result == RESULTS.fit_max_steps_reached
    assert result.stats["num_steps"] == 2
    assert {len(column) for column in result.history.values()} == {2}
    with pytest.raises(RuntimeError, match="step limit.*max_steps") as error:
        fit(*PROBLEM, max_steps=2)
    # The error shows where the search ended.
    for expected in ("Log-likelihood", f"{result.loglik:.6f}", *result.param_names):
        assert expected in str(error.value)


def test_a_limit_that_is_just_enough():
    steps = fitted().stats["num_steps"]
    assert fit(*PROBLEM, max_steps=steps).result == RESULTS.successful
    short = fit(*PROBLEM, max_steps=steps - 1, throw=False)
    assert short.result == RESULTS.fit_max_steps_reached


def test_an_inner_solver_that_fails_is_reported(monkeypatch):
    # EM cannot reach this gap in the steps it has; the minimiser is content with the start.
    monkeypatch.setattr(EM, "usual_max_steps", 100)
    options = {
        "mix_solver": EM(gap_tol=1e-14),
        "minimiser": TrustRegionNewton(atol=10.0),
    }
    result = fit(*PROBLEM, **options, throw=False)
    assert result.gap > 1e-14
    assert result.result == RESULTS.inner_problem_failed
    with pytest.raises(RuntimeError, match="mixture proportions.*`mix_solver`"):
        fit(*PROBLEM, **options)


def test_derivatives_that_are_not_finite_at_the_start():
    class Root(Given):
        def lclk(self, data, supp):
            return super().lclk(data, supp) + jnp.sqrt(self.theta)

    data = jnp.asarray(np.random.default_rng(0).normal(size=(20, 5)))
    problem = Root(jnp.array(0.0)), data, jnp.arange(5.0)
    result = fit(*problem, throw=False)
    assert result.result == RESULTS.not_finite_at_start
    with pytest.raises(RuntimeError, match="not finite at the starting `model`"):
        fit(*problem)


def test_an_unbounded_likelihood_is_not_an_estimate():
    data = jnp.asarray(np.random.default_rng(0).normal(size=(20, 5)))
    problem = Given(jnp.array(0.0)), data, jnp.arange(5.0)
    # ℓ + θ rises for ever, with a gradient of one everywhere.
    result = fit(*problem, max_steps=60, throw=False)
    assert result.grad_norm == pytest.approx(1.0)
    assert result.result != RESULTS.successful


def test_a_minimiser_that_diverges():
    # Steps of length 10 times the gradient, which is far from small.
    minimiser = optx.GradientDescent(learning_rate=10.0, rtol=1e-8, atol=1e-8)
    result = fit(*PROBLEM, minimiser=minimiser, max_steps=20, throw=False)
    assert result.result != RESULTS.successful
    assert not result.grad_norm <= 1e-3
    with pytest.raises(RuntimeError, match="Where it ended"):
        fit(*PROBLEM, minimiser=minimiser, max_steps=20)


def test_a_minimiser_that_reports_failure():
    class Failing(TrustRegionNewton):
        def terminate(self, fn, y, args, options, state, tags):
            done, _ = super().terminate(fn, y, args, options, state, tags)
            return done, optx.RESULTS.stagnation

    result = fit(*PROBLEM, minimiser=Failing(), throw=False)
    assert result.result == RESULTS.minimiser_failed
    assert result.stats["minimiser"] == "Failing"
    with pytest.raises(RuntimeError, match="gave up"):
        fit(*PROBLEM, minimiser=Failing())


def test_starts_do_not_change_and_results_hold_arrays_of_jax():
    before = jax.tree.map(np.asarray, PROBLEM)
    result = fit(*before)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(result.model))
    assert isinstance(result.probs, jax.Array)
    for now, then in zip(*map(jax.tree.leaves, (MODEL, before.model)), strict=True):
        np.testing.assert_array_equal(now, then)
