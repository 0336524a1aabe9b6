"""Supports of several coordinates: how they are made, and what a table says of their grids."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mixsqpx import mixsolve
from spmlex import FunctionModel, fit, product_grid

from .helpers import raises

NUM_UNITS = 80
RNG = np.random.default_rng(3)
X, Z = RNG.normal(size=(2, NUM_UNITS, 4))
TYPES = np.array([[-1.0, 0.6], [1.1, -0.5], [0.1, 1.4]])[RNG.integers(0, 3, NUM_UNITS)]
MEAN = TYPES[:, :1] + TYPES[:, 1:] * X + 0.5 * Z
DATA = {"x": X, "y": MEAN + 1.5 * RNG.normal(size=X.shape), "z": Z}
BUYS = {**DATA, "y": np.where(2 * MEAN + RNG.logistic(size=X.shape) > 0, 1.0, -1.0)}
BUYS["y"][:9] = -1.0


def index(params, data, supp):
    level, slope = (supp[:, 0], supp[:, 1]) if not isinstance(supp, dict) else supp.values()
    common = params["gamma"] * data["z"]
    return common[:, :, None] + level[None, None, :] + slope[None, None, :] * data["x"][:, :, None]


def normal(params, data, supp):
    error = data["y"][:, :, None] - index(params, data, supp)
    return jnp.sum(-0.5 * (error / 1.5) ** 2, axis=1)


def logit(params, data, supp):
    return jnp.sum(jax.nn.log_sigmoid(data["y"][:, :, None] * index(params, data, supp)), axis=1)


def square(low, high, num=7):
    axis = np.linspace(low, high, num)
    return product_grid({"level": axis, "slope": axis})


def fitted(supp, function=normal, data=DATA):
    return fit(FunctionModel({"gamma": jnp.array(0.1)}, function), data, supp)


def gain_on(result, *grids):
    """What the log-likelihood gains on more points, at the same parameters."""
    supp = {name: jnp.concatenate([g[name] for g in (result.supp, *grids)]) for name in grids[0]}
    log_lik = result.model.lclk(result.problem.data, supp)
    return -NUM_UNITS * float(mixsolve(log_lik).objective) - result.loglik


def said(note):
    return float(note.split("would add ")[1].split()[0])


@pytest.mark.slow  # several fits, of shapes of their own
def test_a_good_grid_is_not_noted():
    result = fitted(square(-1.5, 2.1))
    (note,) = result.summary().notes
    assert note.startswith("These standard errors")
    # By all points halfway, not those near mass alone.
    halves = square(-1.5, 2.1, 13)
    log_lik = np.asarray(normal(result.params.params, DATA, halves))
    mix = np.exp(np.asarray(normal(result.params.params, DATA, result.supp))) @ result.probs
    most = np.log((np.exp(log_lik) / mix[:, None]).mean(axis=0).max())
    assert 0 < result.grid_gap() == pytest.approx(most, abs=1e-10)


def test_a_narrow_grid_is_noted():
    result = fitted(square(-0.3, 0.3))
    note, _ = result.summary().notes
    assert note.startswith("The grid is short for this fit")
    assert "Unless the latent variables end there" in note
    # The points offered are those around what has mass; all of a wide grid gain more.
    wide = gain_on(result, square(-0.9, 0.9, 13))
    assert 0.9 * wide < said(note) <= 1.005 * wide  # three digits are shown


def test_a_coarse_grid_is_noted():
    result = fitted(square(-3.0, 3.6))
    note, _ = result.summary().notes
    assert note.startswith("The grid is coarse for this fit")
    assert "up to 1.1 in `level`, 1.1 in `slope` apart" in note
    halves = gain_on(result, square(-3.0, 3.6, 13))
    assert said(note) == pytest.approx(halves, rel=0.02)  # two of three digits
    # Where it is so coarse that a standard deviation might have shrunk to its step.
    note, _ = fitted(square(-7.0, 8.0)).summary().notes
    assert note.startswith("The grid is coarse for this fit: masses between its points could")


def test_the_order_and_the_kind_of_a_support_do_not_matter():
    supp = square(-0.3, 0.3)
    mixed = RNG.permutation(49)
    array = jnp.stack([supp["level"], supp["slope"]], axis=1)[mixed]
    one, other = fitted(supp), fitted(array)
    assert said(one.summary().notes[0]) == said(other.summary().notes[0])
    assert one.grid_gap() == pytest.approx(other.grid_gap(), rel=1e-6)  # the ends of two searches


def test_mass_at_ends_that_the_data_do_not_place():
    result = fitted(square(-4.0, 5.0), logit, BUYS)
    (note,) = (note for note in result.summary().notes if "At the ends of the grid" in note)
    # Units that never buy: as good with a level as far out again as the grid is wide.
    at_end = np.asarray((result.supp["level"] == -4.0) & (result.probs > 0))
    moved = result.supp["level"].at[at_end].add(-9.0)
    log_lik = np.asarray(logit(result.params.params, BUYS, {**result.supp, "level": moved}))
    assert np.sum(np.log(np.exp(log_lik) @ result.probs)) > result.loglik - 2.0
    assert f"{result.probs[at_end].sum():.2g} where `level` is -4" in note
    assert "variances and correlations" in note


def test_means_and_quantiles_of_coordinates():
    result = fitted(square(-1.5, 2.1))
    means = result.average(lambda model, data, supp: supp)
    assert means.names == ("level", "slope")
    alone = result.average(lambda model, data, supp: supp["slope"])
    np.testing.assert_allclose(means.value[1], alone.value, rtol=1e-12)
    np.testing.assert_allclose(means.std_errors[1], alone.std_errors, rtol=1e-9)
    # One an entry a unit and a point, the other an entry a point.
    shifted = result.average(
        lambda model, data, supp: {"x": data["x"][:, :1] + 0 * supp["level"][None], **supp}
    )
    assert shifted.names == ("x", "level", "slope")
    assert shifted.value[0] == pytest.approx(X[:, 0].mean(), abs=1e-12)
    np.testing.assert_allclose(shifted.value[1:], means.value, rtol=1e-12)

    slope, probs = np.asarray(result.supp["slope"]), np.asarray(result.probs)
    found = float(result.quantile(0.3, coordinate="slope"))
    assert probs[slope <= found].sum() >= 0.3 > probs[slope < found].sum()
    units = np.asarray(result.posterior_quantile(0.3, coordinate="slope"))
    posterior = np.asarray(result.posterior())
    below = (posterior * (slope[None, :] <= units[:, None])).sum(axis=1)
    strictly = (posterior * (slope[None, :] < units[:, None])).sum(axis=1)
    assert np.all((below >= 0.3) & (strictly < 0.3))
    with raises(ValueError, "`coordinate` must be one of", "level, slope; none was named"):
        result.quantile(0.3)
    with raises(ValueError, "level, slope; not 'price'"):
        result.posterior_quantile(0.3, coordinate="price")


def test_a_support_on_a_line_is_noted():
    axis = jnp.linspace(-1.5, 2.1, 7)
    notes = fitted({"level": axis, "slope": -axis}).summary().notes
    assert notes[0].startswith("The 7 support points are on one line: `level` and `slope` all")
    with raises(ValueError, "Points between", "`product_grid`", "compare `loglik`"):
        fitted({"level": axis, "slope": -axis}).grid_gap()


def test_a_coordinate_of_two_values_tells_types():
    supp = product_grid({"level": [-1.0, 1.0], "slope": [0.0, 1.0]})
    (note,) = fitted(supp).summary().notes
    assert note.startswith("These standard errors")


def test_product_grid():
    supp = product_grid({"b": [3.0, 1.0], "a": np.arange(3)})
    assert list(supp) == ["b", "a"]
    np.testing.assert_array_equal(supp["b"], [3, 3, 3, 1, 1, 1])
    np.testing.assert_array_equal(supp["a"], [0, 1, 2, 0, 1, 2])


def test_product_grid_refuses(without_annotations):
    with raises(TypeError, "`axes` must be a mapping", "not list"):
        product_grid([np.arange(3)])
    with raises(ValueError, "`axes` is empty"):
        product_grid({})
    with raises(ValueError, "`axes` of `a` must be a vector of finite numbers", r"\(2, 2\)"):
        product_grid({"a": np.eye(2)})
    with raises(ValueError, "`axes` of `a`", "6 entries have 3 values", "combinations"):
        product_grid({"a": np.repeat(np.arange(3), 2)})


def test_vectors_of_unequal_lengths():
    supp = {"level": jnp.linspace(-1.0, 1.0, 7), "slope": jnp.linspace(-1.0, 1.0, 5)}
    with raises(ValueError, "`supp`", "7", "5", r"`product_grid\(supp\)` has all combinations"):
        fitted(supp)
