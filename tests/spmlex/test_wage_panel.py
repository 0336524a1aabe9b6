"""The wage panel of the examples: two of its local maxima, and normal random effects."""

import jax.numpy as jnp
import numpy as np
import pytest

from .helpers import example_above


@pytest.fixture(scope="module")
def example():
    return example_above("wage_panel.py", "Estimates")


@pytest.fixture(scope="module")
def data(example):
    return example["load"]()


# The figures have as many digits as are given; the next one rounds within half a unit.
@pytest.mark.slow  # fits of a shape of their own
def test_from_the_standard_deviation_of_random_effects(example, data):
    import spmlex

    slopes = example["least_squares"](data, theta=0.0)[0][1:]
    start = example["WageModel"](jnp.asarray(slopes), jnp.asarray(-1.05))
    result = spmlex.fit(start, data, example["SUPP"])
    assert result.result == spmlex.RESULTS.successful
    assert result.gap <= 1e-10
    assert result.grad_norm <= 1e-8
    estimates = dict(zip(example["REGRESSORS"], np.asarray(result.model.beta), strict=True))
    # Rounding may lead the search to another of the maxima, which lie between these values.
    assert -2170.34 <= result.loglik <= -2170.17
    assert abs(estimates["union"] - 0.1031) <= 1e-3
    assert abs(estimates["married"] - 0.0677) <= 2e-3
    # Those of normal random effects are 0.0178 and 0.0168, below; errors that depend on each other
    # over the years make the robust ones larger. They differ by 2e-4 between the maxima.
    places = [example["REGRESSORS"].index(name) for name in ("union", "married")]
    std_errs = {kind: result.std_errors(kind)[places] for kind in ("hessian", "robust")}
    np.testing.assert_allclose(std_errs["hessian"], [0.0176, 0.0168], rtol=0, atol=1e-3)
    np.testing.assert_allclose(std_errs["robust"], [0.0213, 0.0204], rtol=0, atol=1e-3)


def test_normal_random_effects(example, data):
    beta, std_errs, _, loglik = example["random_effects"](data)
    union, married = (example["REGRESSORS"].index(name) for name in ("union", "married"))
    np.testing.assert_allclose(beta[[union, married]], [0.1055, 0.0636], rtol=0, atol=5e-5)
    np.testing.assert_allclose(std_errs[[union, married]], [0.0178, 0.0168], rtol=0, atol=5e-5)
    assert abs(loglik + 2186.959) <= 5e-4
