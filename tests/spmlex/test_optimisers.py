"""Other optimisers on `profile_ll`: those of docs/examples/optimisers.py."""

import jax
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from .helpers import example_above, log_lik_of, mixture_gap
from .models import Problem

NAMES = ("jaxopt, BFGS", "optax, L-BFGS", "SciPy, trust-exact", "optimagic, L-BFGS-B")


@pytest.fixture(scope="module")
def example():
    return example_above("optimisers.py", "All of them")


@pytest.fixture(scope="module")
def small(example):
    return example["problem"](200, 15)


@pytest.fixture(scope="module")
def estimates(example, small):
    import spmlex

    fitted = spmlex.fit(*small)
    assert fitted.result == spmlex.RESULTS.successful
    return fitted.estimates


@pytest.mark.slow  # a program for each minimiser
@pytest.mark.parametrize("name", NAMES)
def test_ends_where_fit_does(example, small, estimates, name):
    import spmlex

    start, data, supp = small
    with jax.numpy_dtype_promotion("standard"):  # optax's L-BFGS mixes integers
        model = example["OPTIMISERS"][name](start, data, supp)
    (_, probs), grad = jax.value_and_grad(spmlex.profile_ll, has_aux=True)(model, data, supp)
    # Their tolerances are at most 1e-6, in the largest entry or the l2 norm of the gradient.
    assert np.max(np.abs(ravel_pytree(grad)[0])) <= 1e-6
    assert mixture_gap(log_lik_of(Problem(model, data, supp)), probs) <= 1e-12
    # Gradient over the smallest curvature, 0.05.
    np.testing.assert_allclose(ravel_pytree(model)[0], estimates, atol=2e-5)


def test_all_are_tested(example):
    assert set(example["OPTIMISERS"]) == {"spmlex.fit", *NAMES}
