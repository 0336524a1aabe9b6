"""What a new user does first, and what is said then: each message leads to what is meant."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from jax.scipy.stats import norm, poisson

from spmlex import RESULTS, FunctionModel, fit, fit_multistart, profile_ll

from .helpers import raises

NUM_UNITS, NUM_YEARS = 40, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(NUM_UNITS, NUM_YEARS))
EFFECT = RNG.choice([-0.5, 0.8], (NUM_UNITS, 1))
COUNTS = RNG.poisson(np.exp(EFFECT + 0.3 * X)).astype(float)
SUPP = jnp.linspace(-2.0, 2.0, 11)
MISSING = COUNTS.copy()
MISSING[7, 2] = MISSING[9, 0] = np.nan
FRAME = pd.DataFrame(
    {
        "unit": np.repeat(np.arange(NUM_UNITS), NUM_YEARS),
        "year": np.tile(np.arange(NUM_YEARS), NUM_UNITS),
        "y": COUNTS.ravel(),
        "x": X.ravel(),
    }
)
pytestmark = pytest.mark.usefixtures("without_annotations")


def counts(params, data, supp):
    index = supp[None, :, None] + params["beta"] * data["x"][:, None, :]
    return jnp.sum(poisson.logpmf(data["y"][:, None, :], jnp.exp(index)), axis=-1)


def masked(params, data, supp):
    """The mask keeps NaN out of the value alone."""
    error = data["y"][:, None, :] - supp[None, :, None] - params["beta"] * data["x"][:, None, :]
    return jnp.sum(jnp.where(jnp.isnan(data["y"])[:, None, :], 0.0, -0.5 * error**2), axis=-1)


def model(function, beta=0.1):
    return FunctionModel({"beta": jnp.array(beta)}, function)


def test_missing_outcomes_are_named_first():
    # The mass function makes -inf of NaN, so it looks as if the grid were too short.
    with raises(ValueError, r"^`data\['y'\]\[7, 2\]` is NaN", "-inf", "2 of 40", "mask"):
        fit(model(counts), {"x": X, "y": MISSING}, SUPP)
    # Of the unit that is at fault: another's that is left out is no matter.
    other = {"x": X, "y": MISSING, "unused": np.where(np.arange(NUM_UNITS) == 3, np.nan, 1.0)}
    with raises(ValueError, r"^`data\['y'\]\[7, 2\]` is NaN"):
        fit(model(counts), other, SUPP)


def test_without_missing_outcomes_the_grid_is_in_question():
    data = {"x": X, "y": np.where(np.arange(NUM_UNITS)[:, None] == 5, -1.0, COUNTS)}
    with raises(ValueError, "^At the starting `model`", "number 5", "range of `supp`"):
        fit(model(counts), data, SUPP)


@pytest.mark.slow  # compiles second derivatives of whole solves
def test_a_derivative_that_a_mask_does_not_keep_nan_out_of():
    data = {"x": X, "y": MISSING}
    assert np.isfinite(profile_ll(model(masked), data, SUPP)[0])
    with raises(RuntimeError, "value is finite", "derivative in `beta`", r"\['y'\]\[7, 2\]` is NaN",
                "`y = jnp.where"):  # fmt: skip
        fit(model(masked), data, SUPP)
    result = fit(model(masked), data, SUPP, throw=False)
    assert result.result == RESULTS.not_finite_at_start
    # What the message says is right.
    mended = {"x": X, "y": np.where(np.isnan(MISSING), 0.0, MISSING), "is": ~np.isnan(MISSING)}

    def right(params, data, supp):
        error = data["y"][:, None, :] - supp[None, :, None] - params["beta"] * data["x"][:, None, :]
        return jnp.sum(jnp.where(data["is"][:, None, :], -0.5 * error**2, 0.0), axis=-1)

    assert fit(model(right), mended, SUPP).grad_norm <= 1e-9


@pytest.mark.slow  # compiles second derivatives of whole solves
def test_a_derivative_at_the_edge():
    def root(params, data, supp):
        return counts(params, data, supp) + jnp.sqrt(params["beta"])

    with raises(RuntimeError, "value is finite", "derivative in `beta`", "`jnp.sqrt` at zero"):
        fit(model(root, 0.0), {"x": X, "y": COUNTS}, SUPP)


@pytest.mark.parametrize("function", [fit, profile_ll])
def test_a_data_frame(function):
    with raises(TypeError, "`data` is a data frame", "120 rows", "'unit', 'year', 'y', …",
                "one row a unit", r"frame.pivot\(", "units of their own"):  # fmt: skip
        function(model(counts), FRAME, SUPP)
    with raises(TypeError, r"`data\['panel'\]` is a data frame"):
        function(model(counts), {"panel": FRAME}, SUPP)
    with raises(TypeError, "`supp` is a data frame"):
        function(model(counts), {"x": X, "y": COUNTS}, FRAME)


def test_what_is_said_of_a_data_frame_is_right():
    wide = {
        name: FRAME.pivot(index="unit", columns="year", values=name).to_numpy() for name in "xy"
    }
    expected = fit(model(counts), {"x": X, "y": COUNTS}, SUPP)
    assert fit(model(counts), wide, SUPP).loglik == expected.loglik


def test_a_column_of_text():
    data = {"x": X, "y": COUNTS, "name": pd.Series(["Ann"] * NUM_UNITS)}
    with raises(TypeError, r"`data\['name'\]` holds text, such as 'Ann'", "np.unique"):
        fit(model(counts), data, SUPP)
    with raises(TypeError, r"`data\['when'\]` holds dates"):
        fit(model(counts), {**data, "name": X, "when": np.array(["2020"] * 40, "M8[Y]")}, SUPP)


@pytest.mark.slow  # several fits, of shapes of their own
def test_a_density_in_place_of_its_logarithm():
    def density(params, data, supp):
        return norm.pdf(data[:, None] - supp[None, :] - params["beta"])

    outcomes = COUNTS[:, 0]
    with pytest.warns(UserWarning, match="`lclk` returns .* zero or positive.*logarithm") as caught:
        result = fit(model(density), outcomes, SUPP, throw=False)
    assert len(caught) == 1
    # A table is looked at long after the warning has gone by.
    assert result.summary().notes[0].startswith("`lclk` returned no negative number at the start")

    def logarithm(params, data, supp):
        return jnp.log(density(params, data, supp))

    assert "no negative number" not in str(fit(model(logarithm), outcomes, SUPP))


@pytest.mark.parametrize("function", [fit, profile_ll])
def test_an_error_within_lclk_says_what_it_was_given(function):
    data, supp = {"x": X, "y": COUNTS}, {"a": SUPP, "b": SUPP}
    given = [r"`data` of x \(40, 3\), y \(40, 3\)", r"`supp` of a \(11,\), b \(11,\)"]

    def unknown(params, data, supp):
        return counts(params, data, supp["level"])

    with raises(KeyError, "level", *given):
        function(model(unknown), data, supp)
    with raises(TypeError, "raised by `lclk", r"`data` of shape \(11,\)", "`supp` of x"):
        function(model(lambda params, data, supp: data["x"]), SUPP, data)


def test_a_class_and_an_integer_in_place_of_a_model():
    class Counts(eqx.Module):
        beta: jax.Array

        def lclk(self, data, supp):
            return counts({"beta": self.beta}, data, supp)

    with raises(TypeError, "`model` is the class Counts. Give an instance"):
        fit(Counts, {"x": X, "y": COUNTS}, SUPP)
    with raises(ValueError, "`beta` is an array of int", r"Write `jnp.asarray\(0.0\)`"):
        fit(Counts(jnp.array(0)), {"x": X, "y": COUNTS}, SUPP)


def test_single_precision_is_said():
    narrow = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), ({"x": X, "y": COUNTS}, SUPP))
    single = FunctionModel({"beta": jnp.array(0.1, jnp.float32)}, counts)
    assert ("Precision", "float32") in fit(single, *narrow).summary().header
    assert "Precision" not in str(fit(model(counts), {"x": X, "y": COUNTS}, SUPP))


def test_leaves_that_are_held_because_of_their_type():
    def shifted(params, data, supp):
        index = supp[None, :, None] + params["beta"] * data["x"][:, None, :]
        index = params["scale"] * index + params["shift"]
        return jnp.sum(poisson.logpmf(data["y"][:, None, :], jnp.exp(index)), axis=-1)

    params = {"beta": jnp.array(0.1), "scale": 1.0, "shift": jnp.array(0, jnp.int32)}
    with jax.numpy_dtype_promotion("standard"):  # as users have it
        result = fit(FunctionModel(params, shifted), {"x": X, "y": COUNTS}, SUPP)
        words = " ".join(str(result).split())
    assert result.param_names == ("beta",)
    assert "Not estimated: `scale`, which is a float, `shift`, which is an array of int32." in words
    assert "Floating-point arrays alone are" in words
    assert "Not estimated" not in str(fit(model(counts), {"x": X, "y": COUNTS}, SUPP))


def test_latex_of_a_paper():
    result = fit(model(counts), {"x": X, "y": COUNTS}, SUPP)
    latex = result.summary().to_latex()
    assert "Log-likelihood" in latex
    for diagnostic in ("Optimality gap", "Gradient norm", "Iterations", "Converged"):
        assert diagnostic not in latex
        assert diagnostic in str(result)
    cut = fit(model(counts), {"x": X, "y": COUNTS}, SUPP, max_steps=1, throw=False)
    assert "Converged & NO" in cut.summary().to_latex()
    assert "Gradient norm" in cut.summary().to_latex()


def test_different_optima_are_shown_side_by_side():
    def bumps(theta, data, supp):
        """Maxima near 0, 3, 6, …, each higher than the one before."""
        value = (
            0.1 * theta["at"] + jnp.cos(2 * jnp.pi * theta["at"] / 3) - 0.1 * theta["other"] ** 2
        )
        return value + 0.0 * data[:, None] * supp[None, :]

    starts = [
        FunctionModel({"at": jnp.array(at), "other": jnp.array(0.1)}, bumps)
        for at in (0.1, 3.1, 2.9, 6.1, 9.1, 12.1, 15.1)
    ]
    found = fit_multistart(starts, jnp.zeros(20), jnp.arange(2.0))
    assert found.num_successful == 7
    lines = [line.split() for line in str(found).splitlines()]
    # The best first, two starts at one optimum once, and five at most.
    heading = next(k for k, line in enumerate(lines) if line[:1] == ["start"])
    assert lines[heading] == [word for k in "65431" for word in ("start", k)]
    expected = [f"{found.fits[k].estimates[0]:.6f}" for k in (6, 5, 4, 3, 1)]
    assert lines[heading + 1] == ["at", *expected]
    assert lines[heading + 2][0] == "other"
    assert lines[heading + 3] == ["and", "1", "more,", "in", "`fits`"]
