"""The history of a fit belongs to the iterates, whatever the minimiser hands out with them."""

import numpy as np
import optax
import optimistix as optx
import pytest

from spmlex import RESULTS, TrustRegionNewton, fit, profile_ll

from .helpers import log_lik_of, mixture_gap
from .models import Problem, panel_problem

PROBLEM = panel_problem(1)
MINIMISERS = {
    "ours": TrustRegionNewton(),
    "BFGS": optx.BFGS(rtol=1e-9, atol=1e-9),
    "LBFGS": optx.LBFGS(rtol=1e-9, atol=1e-9),
    "NonlinearCG": optx.NonlinearCG(rtol=1e-9, atol=1e-9),
    "GradientDescent": optx.GradientDescent(learning_rate=0.1, rtol=1e-9, atol=1e-9),
    "NelderMead": optx.NelderMead(rtol=1e-9, atol=1e-9),
    "optax": optx.OptaxMinimiser(optax.sgd(1e-2), rtol=1e-9, atol=1e-9),
}


@pytest.mark.slow  # a program for each minimiser
@pytest.mark.parametrize("name", MINIMISERS)
def test_the_last_row_is_that_of_the_model(name):
    # After each number of steps: what is shown is the optimum at the model that is returned.
    longest = fit(*PROBLEM, minimiser=MINIMISERS[name], max_steps=4, throw=False)
    for steps in (1, 2, 4):
        cut = fit(*PROBLEM, minimiser=MINIMISERS[name], max_steps=steps, throw=False)
        assert cut.result == RESULTS.fit_max_steps_reached
        value, probs = profile_ll(cut.model, PROBLEM.data, PROBLEM.supp)
        # Two inner solves to a gap of 1e-13 from different starts.
        np.testing.assert_allclose(longest.history["value"][steps - 1], value, rtol=0, atol=1e-12)
        np.testing.assert_allclose(cut.loglik, -60 * value, rtol=0, atol=1e-10)
        assert cut.history["num_active"][-1] == cut.stats["num_active"] == np.sum(cut.probs > 0)
        assert cut.history["num_active"][-1] == np.sum(probs > 0)
        gap = mixture_gap(log_lik_of(Problem(cut.model, PROBLEM.data, PROBLEM.supp)), cut.probs)
        # The gap is some units in the last place of a sum of one.
        np.testing.assert_allclose(cut.history["gap"][-1], max(gap, 0.0), rtol=0, atol=1e-13)
