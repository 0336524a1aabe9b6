"""What a result refuses: after a failed fit, along a flat direction, and for wrong arguments."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spmlex import RESULTS, SingularInformationError, fit

from .models import panel_problem
from .test_hostile import Choice, WithNuisance

MODEL, DATA, SUPP = PROBLEM = panel_problem(1)
KEY = jax.random.PRNGKey(0)
pytestmark = pytest.mark.usefixtures("without_annotations")


@pytest.fixture(scope="module")
def good():
    return fit(*PROBLEM)


@pytest.fixture(scope="module")
def failed():
    return fit(*PROBLEM, max_steps=1, throw=False)


@pytest.fixture(scope="module")
def flat():
    return fit(WithNuisance(MODEL.beta, MODEL.log_sd, jnp.array(3.0)), DATA, SUPP)


class Drawable(eqx.Module):
    def sample(self, key, data, latent):
        return latent


def drawable(result):
    return eqx.tree_at(lambda r: r.model, result, Drawable())


def square(model, probs):
    return model.beta**2


def value_of(model, data, supp):
    return supp


# Everything on a result that is a statement about the estimates.
USES = {
    "cov": lambda r: r.cov(),
    "std_errors": lambda r: r.std_errors(),
    "conf_int": lambda r: r.conf_int(),
    "hessian": lambda r: r.hessian(),
    "scores": lambda r: r.scores(),
    "bootstrap": lambda r: r.bootstrap(KEY, num=2),
    "profile_interval": lambda r: r.profile_interval("log_sd"),
    "delta": lambda r: r.delta(square),
    "average": lambda r: r.average(value_of),
    "posterior": lambda r: r.posterior(),
    "posterior_mean": lambda r: r.posterior_mean(),
    "posterior_mode": lambda r: r.posterior_mode(),
    "posterior_quantile": lambda r: r.posterior_quantile(0.5),
    "quantile": lambda r: r.quantile(0.5),
    "sample_latent": lambda r: r.sample_latent(KEY),
    "posterior of new units": lambda r: r.posterior(DATA),
    "posterior_mean of new units": lambda r: r.posterior_mean(DATA),
    "sample_latent of new units": lambda r: r.sample_latent(KEY, DATA),
}


@pytest.mark.parametrize("use", USES)
def test_nothing_is_said_after_a_fit_that_failed(use, failed):
    assert failed.result == RESULTS.fit_max_steps_reached
    with pytest.raises(RuntimeError, match="did not end at a stationary point"):
        USES[use](failed)


def test_a_failed_fit_can_be_looked_at(failed):
    assert "NO" in str(failed)
    assert "NO" in str(failed.summary())
    assert np.isfinite(failed.loglik)


@pytest.mark.parametrize("use", ["cov", "std_errors", "conf_int", "delta", "average"])
def test_a_flat_direction_is_named(use, flat):
    assert flat.result == RESULTS.successful
    with pytest.raises(SingularInformationError, match="singular along .*idle"):
        USES[use](flat)
    assert "idle" in str(flat.summary())
    # The distribution and its posterior are there all the same.
    np.testing.assert_allclose(np.sum(flat.posterior(), axis=1), 1, rtol=1e-12)


def test_separation_shows_in_the_standard_error():
    x = np.concatenate([np.linspace(-2, -0.5, 20), np.linspace(0.5, 2, 20)])
    data = {"x": jnp.asarray(x), "y": jnp.asarray(x > 0)}
    result = fit(Choice(jnp.array(1.0)), data, jnp.linspace(-1.0, 1.0, 5))
    assert result.model.beta > 20
    # No curvature is left: nobody takes this for an estimate.
    assert result.std_errors()[0] > 1e3


@pytest.mark.parametrize(
    ("use", "error", "says"),
    [
        (lambda r: r.cov("sandwich"), ValueError, "`kind`.*sandwich"),
        (lambda r: r.cov("cluster"), ValueError, "`clusters`"),
        (lambda r: r.cov("robust", clusters=np.arange(60)), ValueError, "`clusters`"),
        (lambda r: r.cov("cluster", clusters=np.arange(59)), ValueError, r"`clusters`.*60.*59"),
        (lambda r: r.cov("cluster", clusters=np.zeros(60, int)), ValueError, "`clusters`"),
        (lambda r: r.cov("cluster", clusters=np.full(60, np.nan)), ValueError, "`clusters`"),
        (lambda r: r.conf_int(level=1.0), ValueError, "`level`"),
        (lambda r: r.conf_int(level=np.nan), ValueError, "`level`"),
        (lambda r: r.conf_int(level=95), ValueError, "`level`"),
        (lambda r: r.profile_interval("gamma"), ValueError, "`name`.*log_sd.*gamma"),
        (lambda r: r.profile_interval("log_sd", level=0.0), ValueError, "`level`"),
        (lambda r: r.posterior_quantile(1.5), ValueError, "`level`"),
        (lambda r: r.bootstrap(KEY, num=1), ValueError, "`num`"),
        (lambda r: r.bootstrap(KEY, num=2, scheme="jackknife"), ValueError, "`scheme`.*jackknife"),
        (lambda r: r.posterior({**DATA, "y": DATA["y"][:-1]}), ValueError, "`data`.*60.*59"),
        (lambda r: r.posterior(groups=np.zeros(60, int)), ValueError, "`groups`"),
        (lambda r: r.average(lambda model, data, supp: jnp.ones(3)), ValueError, "`function`"),
        (lambda r: r.delta(lambda model, probs: jnp.sqrt(0 * model.beta)), ValueError,
         "`function`.*not finite"),
        (lambda r: r.delta(lambda model, probs: jnp.log(0 * model.beta)), ValueError,
         "`function`.*not finite"),
        (lambda r: r.delta(lambda model, probs: {"beta": model.beta}), TypeError,
         r"`function` must return an array, or a dict of numbers, but .* shape \(2,\)"),
        (lambda r: r.delta(lambda model, probs: {"beta": "two"}), TypeError,
         "`function` must return an array, or a dict of arrays, not a dict of str"),
        (lambda r: r.average(lambda model, data, supp: [supp]), TypeError,
         "`function` must return an array, or a dict of arrays, not list"),
        (lambda r: r.average(lambda model, data, supp: {"two": jnp.stack([supp, supp], 1)}),
         ValueError, r"a dict of arrays of shape \(60, 15\) or \(15,\), .* shape \(15, 2\)"),
        (lambda r: r.delta(lambda model: model.beta), TypeError,
         r"`function` is called as `function\(model, probs\)`, but takes `\(model\)`"),
        (lambda r: r.delta("beta"), TypeError,
         r"must be a function, .*`lambda model, probs: ...`, not 'beta'"),
        (lambda r: r.average(lambda supp: supp), TypeError, r"`function\(model, data, supp\)`"),
        (lambda r: r.delta(lambda probs, model: model.beta @ probs), AttributeError,
         r"beta.*raised by `function`, called as `function\(model, probs\)`"),
        (lambda r: r.average(lambda data, model, supp: model.beta * supp), AttributeError,
         r"beta.*called as `function\(model, data, supp\)`"),
        (lambda r: r.orthogonal(0), TypeError, r"`key` must be.*it is 0"),
        (lambda r: r.quantile(1.5), ValueError, "`level`"),
        (lambda r: r.simulate(KEY), TypeError, "no method `sample"),
        (lambda r: r.sample_latent(0), TypeError, r"`key` must be.*it is 0"),
        (lambda r: drawable(r).simulate(0), TypeError, r"`key` must be.*it is 0"),
        (lambda r: r.bootstrap(0), TypeError, r"`key` must be.*it is 0"),
    ],
)  # fmt: skip
def test_wrong_arguments(use, error, says, good):
    with pytest.raises(error, match=f"(?s){says}"):
        use(good)


def test_a_unit_that_the_estimate_cannot_explain_is_named(good):
    far = {**DATA, "y": DATA["y"].at[7].set(jnp.nan)}
    with pytest.raises(ValueError, match=r"Unit 7 .*no valid likelihood"):
        good.posterior(far)
    with pytest.raises(ValueError, match=r"Unit 7 .*no valid likelihood"):
        good.posterior_mean(far)


def test_an_error_in_a_function_comes_through_as_it_is(good):
    def refuse(*args):
        raise KeyError("no such column")

    for use in (good.delta, good.average):
        with pytest.raises(KeyError, match="no such column"):
            use(refuse)


def test_groups_of_a_posterior_are_asked_for():
    groups = np.repeat([0, 1], 30)
    result = fit(*PROBLEM, groups=groups)
    with pytest.raises(ValueError, match="`groups`"):
        result.posterior(DATA)
    with pytest.raises(ValueError, match="`groups`"):
        result.posterior(DATA, groups + 1)
    assert eqx.tree_equal(result.posterior(DATA, groups), result.posterior())
