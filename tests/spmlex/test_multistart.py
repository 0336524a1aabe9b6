"""`fit_multistart`: the best, the whole set, and what is refused."""

from functools import cache

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest

from spmlex import RESULTS, FunctionModel, MultistartResult, fit, fit_multistart

from .helpers import log_lik_of, mixture_gap
from .models import Problem, UnitEffect, panel_problem

MODEL, DATA, SUPP = panel_problem(1)


def unit_effect(*theta):
    return UnitEffect(jnp.array(theta[:2]), jnp.asarray(theta[2]))


# The third has standard deviations below which the squares overflow.
STARTS = [MODEL, unit_effect(10.0, -10.0, 3.0), unit_effect(0.0, 0.0, -500.0)]


@cache
def found():
    return fit_multistart(STARTS, DATA, SUPP)


def test_each_is_the_fit_from_its_start():
    assert len(found().fits) == 3
    for start, one in zip(STARTS[:2], found().fits[:2], strict=True):
        alone = fit(start, DATA, SUPP)
        assert one.result == alone.result == RESULTS.successful
        assert eqx.tree_equal(one.model, alone.model)
        assert one.loglik == alone.loglik
        assert one.stats["num_steps"] == alone.stats["num_steps"]


def test_a_start_that_cannot_be_evaluated_stops_nobody():
    assert found().fits[2].result == RESULTS.not_finite_at_start
    assert np.isnan(found().fits[2].loglik)
    assert found().num_successful == found().num_reached == 2


def test_the_best():
    best = found().best
    assert best.result == RESULTS.successful
    assert best.loglik == np.nanmax(found().logliks)
    assert best.grad_norm <= 1e-9
    assert mixture_gap(log_lik_of(Problem(best.model, DATA, SUPP)), best.probs) <= 1e-12
    # Both ended at one maximum: gradients below 3e-10 over curvatures above 0.1.
    one, other, _ = found().fits
    np.testing.assert_allclose(one.estimates, other.estimates, atol=1e-8)


@pytest.mark.slow  # several fits, of shapes of their own
def test_the_scale_of_the_weights_makes_no_maxima_one():
    # Two outcomes at zero and at a half turn: maxima there, the second lower by 1e-6 a unit.
    def lclk(theta, data, supp):
        bump = 1e-6 * jnp.cos(theta / 2) + 0.1 * jnp.cos(theta * 2)
        return bump + 0 * data[:, None] * supp[None, :]

    starts = [FunctionModel(jnp.array(start), lclk) for start in (0.2, 3.0)]
    data = jnp.zeros(2000)
    for weights in (None, np.full(2000, 1 / 2000)):
        both = fit_multistart(starts, data, jnp.arange(2.0), weights=weights)
        assert both.num_successful == 2
        assert both.num_reached == 1


def test_no_estimate_is_better_than_one_that_is_none():
    # A search that was cut off may be higher than one that ended at a lower maximum.
    good, lower = found().fits[0], found().fits[1]
    lower = eqx.tree_at(lambda f: f.loglik, lower, lower.loglik - 1.0)
    cut = eqx.tree_at(
        lambda f: (f.loglik, f.result), good, (good.loglik + 1.0, RESULTS.fit_max_steps_reached)
    )
    several = MultistartResult((cut, lower, good, found().fits[2]))
    assert several.best is good
    assert several.num_successful == 2
    assert several.num_reached == 1
    assert MultistartResult((found().fits[2], cut)).best is cut


def test_printed():
    lines = [line.split() for line in str(found()).splitlines()]
    assert "Fits from 3 starts" in str(found())
    assert [f"{found().best.loglik:.6f}", f"{found().best.grad_norm:.1e}", "2"] in lines
    assert ["no", "estimate", "1"] in lines
    assert str(found().best) in str(found())


def test_none_succeeds():
    with pytest.raises(RuntimeError, match="None of the 2 starts ended at a stationary point"):
        fit_multistart(STARTS[:2], DATA, SUPP, max_steps=2)
    several = fit_multistart(STARTS[:2], DATA, SUPP, max_steps=2, throw=False)
    assert several.num_successful == several.num_reached == 0
    assert several.best.result == RESULTS.fit_max_steps_reached


def test_no_start_can_be_evaluated():
    with pytest.raises(
        ValueError, match=r"At the starting `model`, `lclk` is -inf at every support"
    ):
        fit_multistart(STARTS[2:], DATA, SUPP)


def test_the_options_of_fit_arrive():
    options = {"weights": np.arange(60.0), "free": UnitEffect(True, False)}
    options |= {"minimiser": optx.BFGS(rtol=1e-9, atol=1e-9)}
    (one,) = fit_multistart([MODEL], DATA, SUPP, **options).fits
    alone = fit(MODEL, DATA, SUPP, **options)
    assert one.loglik == alone.loglik
    assert one.model.log_sd == MODEL.log_sd
    assert one.stats["minimiser"] == "BFGS"


def test_what_is_held_may_differ():
    starts = [MODEL, unit_effect(0.8, -0.4, 0.3)]
    fits = fit_multistart(starts, DATA, SUPP, free=UnitEffect(True, False)).fits
    assert [fit.model.log_sd for fit in fits] == [MODEL.log_sd, 0.3]


@pytest.mark.parametrize(
    ("models", "error", "words"),
    [
        ([], ValueError, "`models` is empty"),
        (MODEL, TypeError, "models"),  # jaxtyping says it where it checks the annotations
        ([MODEL, object()], TypeError, "must have a method `lclk"),
        (
            [MODEL, UnitEffect(jnp.zeros(3), jnp.asarray(0.0))],
            ValueError,
            "Starting model 1 differs from starting model 0 in the shape or dtype of `beta`",
        ),
        (
            [MODEL, UnitEffect({"x": jnp.zeros(2)}, jnp.asarray(0.0))],
            ValueError,
            "Starting model 1 differs in structure",
        ),
    ],
)
def test_starts_that_are_refused(models, error, words):
    with pytest.raises(error, match=words):
        fit_multistart(models, DATA, SUPP)
