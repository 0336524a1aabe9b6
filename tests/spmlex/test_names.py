"""Models that name the entries of their arrays, and where the names are shown."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spmlex import FunctionModel, compare, fit, fit_multistart, load

from .helpers import raises
from .models import UnitEffect, panel_problem

REGRESSORS = ("union", "educ")


class Named(UnitEffect):
    """Names from a static field."""

    regressors: tuple[str, ...] = eqx.field(static=True)

    @property
    def coef_names(self):
        return {"beta": self.regressors, "log_sd": "log σ"}


PROBLEM = panel_problem(0)
ARGUMENTS = (PROBLEM.data, PROBLEM.supp)
START = Named(PROBLEM.model.beta, PROBLEM.model.log_sd, REGRESSORS)


def lclk(params, data, supp):
    return UnitEffect(params["beta"], params["log_sd"]).lclk(data, supp)


@pytest.fixture(scope="module")
def result():
    return fit(START, *ARGUMENTS)


def test_names_stand_in_tables(result, tmp_path):
    assert result.param_names == ("union", "educ", "log σ")
    for shown in (result, result.summary(kind="robust"), compare({"a": result})):
        assert "union" in str(shown)
        assert "beta" not in str(shown)
    assert result.summary().to_frame().index.tolist() == ["union", "educ", "log σ"]
    assert "log $\\sigma$" in result.summary().to_latex()
    several = fit_multistart([START, START], *ARGUMENTS)
    assert several.best.param_names == result.param_names


def test_names_are_asked_for(result):
    interval = result.profile_interval("union")
    place = result.param_names.index("union")
    assert interval.lower < result.estimates[place] < interval.upper
    with raises(ValueError, "one of union, educ, log σ"):
        result.profile_interval("beta[0]")


def test_a_function_of_the_estimates_names_its_values(result):
    found = result.delta(lambda model, probs: {"sum": jnp.sum(model.beta), "sd": model.log_sd})
    assert found.names == ("sum", "sd")
    assert "sum" in str(found)
    assert "std. err." in str(found)
    plain = result.delta(lambda model, probs: jnp.stack([jnp.sum(model.beta), model.log_sd]))
    np.testing.assert_array_equal(found.value, plain.value)
    np.testing.assert_array_equal(found.std_errors, plain.std_errors)
    assert plain.names == ()
    assert plain.summary().index == ("[0]", "[1]")


def test_a_file_keeps_numbers_and_the_model_its_names(result, tmp_path):
    result.save(tmp_path / "fit.npz")
    again = load(tmp_path / "fit.npz", START, data=PROBLEM.data)
    assert again.param_names == result.param_names
    np.testing.assert_array_equal(again.estimates, result.estimates)


def test_a_model_of_a_function(result, tmp_path):
    params = {"beta": PROBLEM.model.beta, "log_sd": PROBLEM.model.log_sd}
    names = {"beta": list(REGRESSORS)}
    found = fit(FunctionModel(params, lclk, coef_names=names), *ARGUMENTS)
    assert found.param_names == ("union", "educ", "log_sd")
    np.testing.assert_allclose(found.estimates, result.estimates, rtol=0, atol=1e-9)
    # What numbers are called is no part of what a file holds.
    found.save(tmp_path / "fit.npz")
    unnamed = load(tmp_path / "fit.npz", FunctionModel(params, lclk))
    assert unnamed.param_names == ("beta[0]", "beta[1]", "log_sd")
    alone = FunctionModel(
        jnp.zeros(3), lambda p, data, supp: UnitEffect(p[:2], p[2]).lclk(data, supp),
        coef_names={"params": ["a", "b", "c"]},
    )  # fmt: skip
    assert fit(alone, *ARGUMENTS).param_names == ("a", "b", "c")


def test_held_arrays_keep_their_names_to_themselves():
    free = eqx.tree_at(lambda m: m.log_sd, jax.tree.map(lambda _: True, START), False)
    assert fit(START, *ARGUMENTS, free=free).param_names == REGRESSORS


@pytest.mark.usefixtures("without_annotations")
@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"beta": ["a", "a"]}, ["2 estimated numbers 'a'"]),
        ({"beta": ["a"]}, ["1 names for the 2 entries of 'beta': 'a'"]),
        ({"gamma": ["a"]}, ["'gamma', which is no", "It has 'beta', 'log_sd'"]),
        ({"beta": ["a", "log_sd"]}, ["2 estimated numbers 'log_sd'"]),
        ({"beta": [1, 2]}, ["must be text"]),
    ],
)
def test_names_that_do_not_fit(names, words):
    params = {"beta": PROBLEM.model.beta, "log_sd": PROBLEM.model.log_sd}
    with pytest.raises((TypeError, ValueError)) as caught:
        fit(FunctionModel(params, lclk, coef_names=names), *ARGUMENTS)
    assert all(word in str(caught.value) for word in words)


def test_names_that_are_no_mapping():
    class Listed(UnitEffect):
        coef_names = ("a", "b")

    with raises(TypeError, "must be a mapping", "'a', 'b'"):
        fit(Listed(PROBLEM.model.beta, PROBLEM.model.log_sd), *ARGUMENTS)
