"""The orthogonal estimator over drawn outcomes, and what it refuses."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spmlex

from .models import FactorModel, factor_problem
from .orthogonal_models import DrawnLogit, Effects, Logit, logit_data

SUPP = jnp.linspace(-3.0, 3.0, 9)


class DrawnFactor(FactorModel):
    """The factor model, with a way to draw outcomes."""

    def sample(self, key, data, latent):
        loading = jnp.concatenate([jnp.ones(1), self.coef])
        noise = jnp.exp(self.log_std_e)[None, :] * jax.random.normal(key, data.shape)
        return latent[:, None] * loading[None, :] + noise


class WrongSpread(FactorModel):
    """It takes the logarithm of a standard deviation for that of a variance."""

    def sample(self, key, data, latent):
        loading = jnp.concatenate([jnp.ones(1), self.coef])
        noise = jnp.exp(0.5 * self.log_std_e)[None, :] * jax.random.normal(key, data.shape)
        return latent[:, None] * loading[None, :] + noise


class NoData(FactorModel):
    """It returns one outcome of three."""

    def sample(self, key, data, latent):
        return latent[:, None] + jax.random.normal(key, (data.shape[0], 1))


class OtherData(DrawnLogit):
    """It returns outcomes without the covariates."""

    def sample(self, key, data, latent):
        return {"y": super().sample(key, data, latent)["y"]}


class SomeOutcomes(Logit):
    """It leaves the last pattern out."""

    def all_outcomes(self, data):
        return jax.tree.map(lambda x: x[:-1], super().all_outcomes(data))


class RaggedOutcomes(Logit):
    """It repeats the outcomes and not the covariates."""

    def all_outcomes(self, data):
        return super().all_outcomes(data) | {"x": data["x"]}


@pytest.fixture(scope="module")
def factor():
    start, data, supp = factor_problem(300, 25)
    model = DrawnFactor(start.coef, start.log_std_e)
    return model, data, supp, spmlex.fit_orthogonal(model, data, supp, jax.random.key(0))


def test_the_factor_model(factor):
    """From a start far from the truth, which is (1.5, 0.3) and (0, 0.2, -0.3)."""
    _, _, _, found = factor
    assert found.result == spmlex.RESULTS.successful
    assert found.moment_norm <= 1e-6
    assert found.stats["simulation_share"] <= 0.25
    assert found.stats["overlap"] >= 0.9
    truth = np.array([1.5, 0.3, 0.0, 0.2, -0.3])
    # Five estimates, each within three and a half of its standard errors: one sample in 400 is not.
    assert (np.abs(found.estimates - truth) <= 3.5 * found.std_errors()).all()
    assert found.stats["ridge_bias"] <= 0.25


def test_the_working_distribution_hardly_matters(factor):
    """Estimates under others differ by parts of a standard error."""
    model, data, supp, found = factor
    other = spmlex.fit_orthogonal(
        model, data, supp, jax.random.key(0), options=spmlex.Orthogonal(em_steps=8)
    )
    assert other.result == spmlex.RESULTS.successful
    assert np.abs(other.working - found.working).max() > 0.01
    # The benchmark of coverage has 0.3 as the median of this ratio.
    assert (np.abs(other.estimates - found.estimates) <= 1.5 * found.std_errors()).all()


def test_another_key_moves_by_the_error_of_simulation(factor):
    model, data, supp, found = factor
    other = spmlex.fit_orthogonal(model, data, supp, jax.random.key(7))
    share = max(found.stats["simulation_share"], other.stats["simulation_share"])
    # The difference of two, and four standard errors of it.
    error = 4 * np.sqrt(2) * share * found.std_errors()
    assert other.result == spmlex.RESULTS.successful
    assert np.abs(other.estimates - found.estimates).max() > 0
    assert (np.abs(other.estimates - found.estimates) <= error).all()


def test_two_latent_dimensions():
    rng = np.random.default_rng(3)
    types = np.array([[-1.0, 1.0], [1.0, -1.0]])[rng.integers(0, 2, 300)]
    x, z = rng.normal(size=(2, 300, 4))
    y = 0.7 * x + types[:, :1] + types[:, 1:] * z + 0.6 * rng.normal(size=(300, 4))
    axis = np.linspace(-2.0, 2.0, 5)
    supp = np.stack([a.ravel() for a in np.meshgrid(axis, axis, indexing="ij")], axis=1)
    found = spmlex.fit_orthogonal(
        Effects(jnp.zeros(()), jnp.zeros(())), {"x": x, "z": z, "y": y}, supp, jax.random.key(0)
    )
    assert found.result == spmlex.RESULTS.successful
    assert found.moment_norm <= 1e-6
    truth = np.array([0.7, np.log(0.6)])
    # Three and a half standard errors of two estimates: one sample in a thousand is further off.
    assert (np.abs(found.estimates - truth) <= 3.5 * found.std_errors()).all()
    mean = found.average(lambda model, data, supp: supp)
    assert mean.value.shape == (2,)
    lower, upper = mean.conf_int().T
    centre = types.mean(axis=0)
    assert ((lower < centre) & (centre < upper)).all()


def test_free_holds_the_rest(factor):
    model, data, supp, found = factor
    free = spmlex.fit_orthogonal(
        model, data, supp, jax.random.key(0), free=DrawnFactor(True, False)
    )
    assert free.result == spmlex.RESULTS.successful
    assert free.param_names == ("coef[0]", "coef[1]")
    np.testing.assert_array_equal(free.model.log_std_e, model.log_std_e)
    # What is held at a value a few standard errors off moves the rest, and shortens its errors.
    assert (free.std_errors() < found.std_errors()[:2]).all()


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (WrongSpread, ValueError, r"`sample` and `lclk` of the model disagree.*`log_std_e\[\d\]`"),
        (
            NoData,
            ValueError,
            r"`sample` of the model.*shape \(n, 1\) where `data` has \(n, 3\)",
        ),
        (FactorModel, TypeError, r"`FactorModel` does not say.*`sample\(key, data, latent\)`"),
    ],
)
def test_what_cannot_draw_is_refused(factor, model, error, message):
    start, data, supp, _ = factor
    with pytest.raises(error, match=message):
        spmlex.fit_orthogonal(model(start.coef, start.log_std_e), data, supp, jax.random.key(0))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (OtherData, r"`sample` of the model must return what `data` is, covariates included"),
        (SomeOutcomes, r"`all_outcomes` lists sum to 0\.\d+ for unit \d+"),
        (RaggedOutcomes, r"one new leading axis.*\[8, 60\]"),
    ],
)
def test_what_does_not_list_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        spmlex.fit_orthogonal(model(jnp.zeros(2)), logit_data(60, 3), SUPP, jax.random.key(0))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"em_steps": -1}, ValueError, "`em_steps` must not be negative"),
        ({"em_steps": 2.0}, TypeError, "`em_steps` must be an integer"),
        ({"ridge": 0.0}, ValueError, "`ridge` must be positive"),
        ({"simulation_tol": -0.1}, ValueError, "`simulation_tol` must be positive"),
    ],
)
@pytest.mark.usefixtures("without_annotations")
def test_options_are_checked(options, error, message):
    with pytest.raises(error, match=message):
        spmlex.Orthogonal(**options)


@pytest.mark.usefixtures("without_annotations")
def test_bad_questions(factor):
    _, _, _, found = factor
    with pytest.raises(ValueError, match=r"`name` must be one of 'coef\[0\]'"):
        found.score_test("slope", 0.0)
    with pytest.raises(ValueError, match=r"\(300, 25, \.\.\.\).*returned shape \(7,\)"):
        found.average(lambda model, data, supp: jnp.zeros(7))
    with pytest.raises(ValueError, match="not finite at some support point"):
        found.average(lambda model, data, supp: jnp.log(supp))
    with pytest.raises(ValueError, match="`clusters` has the label 3 alone"):
        found.std_errors(np.full(300, 3))
    with pytest.raises(ValueError, match="`level` must be between 0 and 1"):
        found.conf_int(95)
    with pytest.raises(TypeError, match="`key` must be a key"):
        spmlex.fit_orthogonal(*factor[:3], 0)


def test_a_file_holds_the_key_of_the_draws(factor, tmp_path):
    """They are made anew, the same ones."""
    model, data, _, found = factor
    found.save(tmp_path / "factor.npz")
    read = spmlex.load(tmp_path / "factor.npz", model, data=data)
    assert isinstance(read, spmlex.OrthogonalResult)
    assert read.result == spmlex.RESULTS.successful
    assert read.stats == found.stats
    name = found.param_names[0]
    assert read.score_test(name, 1.4) == found.score_test(name, 1.4)
