"""Profile intervals where the gradient is known to six digits only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from spmlex import RESULTS, FunctionModel, fit

QUANTUM = 1e-5


@jax.custom_jvp
def square(z):
    return 0.5 * z**2


@square.defjvp
def _(primals, tangents):
    """Its derivative to some digits, as of a table or of a part in single precision."""
    (z,), (tangent,) = primals, tangents
    coarse = jnp.round(z / QUANTUM) * QUANTUM
    return square(z), (z + lax.stop_gradient(coarse - z)) * tangent


def exact(z):
    return 0.5 * z**2


def lclk(params, data, supp, of_square=square):
    mean = supp[None, :] + params["slope"] * data["x"][:, None]
    return -of_square((data["y"][:, None] - mean) * jnp.exp(-params["log_sd"])) - params["log_sd"]


def lclk_exact(params, data, supp):
    return lclk(params, data, supp, exact)


def fitted(function):
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    y = 0.7 * x + rng.choice([-1.0, 1.0], 200) + 0.5 * rng.normal(size=200)
    model = FunctionModel({"slope": jnp.array(0.5), "log_sd": jnp.array(-0.5)}, function)
    return fit(model, {"x": jnp.asarray(x), "y": jnp.asarray(y)}, jnp.linspace(-2.0, 2.0, 9))


@pytest.fixture(scope="module")
def rough():
    return fitted(lclk)


@pytest.mark.slow  # a search at each of several values, or several fits
def test_intervals_have_ends_where_a_fit_succeeds(rough):
    # Far from what the search of an interval asks of the gradient by itself, 1e-8, but small.
    assert rough.result == RESULTS.successful
    assert 3e-8 < rough.grad_norm <= 1.5e-6
    smooth = fitted(lclk_exact)
    for name in rough.param_names:
        interval, expected = rough.profile_interval(name), smooth.profile_interval(name)
        assert interval.lower_reason == interval.upper_reason == ""
        # The square of a gradient of 1e-6, 200 times, in a fall of four.
        np.testing.assert_allclose(
            [interval.lower, interval.upper], [expected.lower, expected.upper], atol=1e-6
        )
        values = np.array([expected.lower, expected.upper])
        np.testing.assert_allclose(
            rough.profile_curve(name, values), smooth.loglik - 1.920729, atol=1e-5
        )
