"""A plain function with a dict of parameters in place of a Module."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from spmlex import RESULTS, FunctionModel, fit, profile_ll

from .models import UnitEffect, panel_problem

MODEL, DATA, SUPP = panel_problem(1)
PARAMS = {"beta": MODEL.beta, "spread": {"log_sd": MODEL.log_sd}}


def lclk(params, data, supp):
    return UnitEffect(params["beta"], params["spread"]["log_sd"]).lclk(data, supp)


def test_is_the_model_that_a_module_would_be():
    model = FunctionModel(PARAMS, lclk)
    (value, _), grad = jax.value_and_grad(profile_ll, has_aux=True)(model, DATA, SUPP)
    (same, _), expected = jax.value_and_grad(profile_ll, has_aux=True)(MODEL, DATA, SUPP)
    assert value == same
    np.testing.assert_array_equal(grad.params["beta"], expected.beta)
    np.testing.assert_array_equal(grad.params["spread"]["log_sd"], expected.log_sd)


def test_fit():
    result = fit(FunctionModel(PARAMS, lclk), DATA, SUPP)
    module = fit(MODEL, DATA, SUPP)
    assert result.result == RESULTS.successful
    assert result.gap <= 1e-12
    assert result.param_names == ("beta[0]", "beta[1]", "spread.log_sd")
    np.testing.assert_array_equal(result.estimates, module.estimates)
    assert "spread.log_sd" in str(result)


def test_free():
    free = FunctionModel({"beta": True, "spread": False}, lclk)
    result = fit(FunctionModel(PARAMS, lclk), DATA, SUPP, free=free)
    assert result.param_names == ("beta[0]", "beta[1]")
    assert result.model.params["spread"]["log_sd"] == MODEL.log_sd


def test_params_of_any_structure():
    single = FunctionModel(
        jnp.append(MODEL.beta, MODEL.log_sd),
        lambda params, data, supp: UnitEffect(params[:2], params[2]).lclk(data, supp),
    )
    result = fit(single, DATA, SUPP)
    assert result.result == RESULTS.successful
    assert result.param_names == ("params[0]", "params[1]", "params[2]")
    assert eqx.is_array(result.model.params)
