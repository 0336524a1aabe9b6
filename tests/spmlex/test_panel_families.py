"""Densities of the families beside SciPy's, their derivatives, their tails, and their draws."""

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from .helpers import central_differences, raises

INDEX = np.linspace(-3.0, 3.0, 13)
RNG = np.random.default_rng(0)


class Case(NamedTuple):
    """A family by name, outcomes, what stands beside them, a shape, and SciPy's log density."""

    family: str
    outcomes: Any
    beside: dict[str, Any]
    shape: list[float]
    expected: Any


def _ordered(cdf):
    def expected(y, index, shape):
        cuts = np.r_[-np.inf, 0.0, np.cumsum(np.exp(shape)), np.inf]
        low, high = cuts[y.astype(int)] - index, cuts[y.astype(int) + 1] - index
        # In the tail where differences have their digits.
        low, high = np.where(low > 0, -high, low), np.where(low > 0, -low, high)
        return np.log(cdf(high) - cdf(low))

    return expected


def _weibull(y, index, shape, event):
    k = np.exp(shape[0]) if shape else 1.0
    law = stats.weibull_min(k, scale=np.exp(-index / k))
    return np.where(event > 0, law.logpdf(y), law.logsf(y))


def _negative_binomial(y, index, shape):
    size = np.exp(-shape[0])
    return stats.nbinom.logpmf(y, size, size / (size + np.exp(index)))


COUNTS = RNG.poisson(3.0, 40).astype(float)
ONES = RNG.integers(0, 2, 40).astype(float)
TRIALS = RNG.integers(1, 30, 40).astype(float)
SUCCESSES = np.floor(TRIALS * RNG.uniform(size=40))
LEVELS = RNG.integers(0, 4, 40)
TIMES = RNG.exponential(2.0, 40)
EVENTS = RNG.integers(0, 2, 40).astype(float)
CASES = [
    Case("normal", RNG.normal(size=40), {}, [-0.3],
         lambda y, v, s: stats.norm.logpdf(y, v, np.exp(s[0]))),
    Case("logit", ONES, {}, [], lambda y, v, s: stats.bernoulli.logpmf(y, special.expit(v))),
    Case("probit", ONES, {}, [], lambda y, v, s: stats.bernoulli.logpmf(y, stats.norm.cdf(v))),
    Case("logit", SUCCESSES, {"trials": TRIALS}, [],
         lambda y, v, s: stats.binom.logpmf(y, TRIALS[:, None], special.expit(v))),
    Case("probit", SUCCESSES, {"trials": TRIALS}, [],
         lambda y, v, s: stats.binom.logpmf(y, TRIALS[:, None], stats.norm.cdf(v))),
    Case("poisson", COUNTS, {}, [], lambda y, v, s: stats.poisson.logpmf(y, np.exp(v))),
    Case("negative binomial", COUNTS, {}, [0.2], _negative_binomial),
    Case("negative binomial", COUNTS, {}, [-4.0], _negative_binomial),
    Case("ordered logit", LEVELS, {}, [0.1, -0.4], _ordered(special.expit)),
    Case("ordered probit", LEVELS, {}, [0.1, -0.4], _ordered(stats.norm.cdf)),
    Case("exponential", TIMES, {"event": EVENTS}, [],
         lambda y, v, s: _weibull(y, v, s, EVENTS[:, None])),
    Case("weibull", TIMES, {"event": EVENTS}, [0.4],
         lambda y, v, s: _weibull(y, v, s, EVENTS[:, None])),
]  # fmt: skip
IDS = [f"{case.family} {k}" for k, case in enumerate(CASES)]


def encoded(family, outcomes, beside):
    """The family with its levels, and the rows, one column each."""
    from spmlex.panel._families import FAMILIES, Outcome

    found, rows = FAMILIES[family].encode(Outcome("y", pd.Series(outcomes), beside))
    return found, {name: jnp.asarray(x)[:, None] for name, x in rows.items()}


def density(case, index=INDEX, shape=None, law=None):
    family, rows = law or encoded(case.family, case.outcomes, case.beside)
    shape = jnp.asarray(case.shape if shape is None else shape, float)
    grid = jnp.broadcast_to(jnp.asarray(index)[None, :], (len(case.outcomes), len(index)))
    return family.log_density(rows, grid, shape if shape.size else None)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_against_scipy(case):
    expected = case.expected(np.asarray(case.outcomes, float)[:, None], INDEX[None, :], case.shape)
    np.testing.assert_allclose(density(case), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_gradients_and_hessians_against_differences(case):
    where, num = jnp.asarray([0.3, -0.7]), 2
    law = encoded(case.family, case.outcomes, case.beside)

    @jax.jit
    def total(flat):
        return jnp.sum(density(case, flat[:num], flat[num:], law), axis=0)

    def summed(flat):
        return jnp.sum(total(flat))

    flat = jnp.concatenate([where, jnp.asarray(case.shape, float)])
    gradient = jax.jit(jax.jacrev(total))(flat)
    scale = float(jnp.max(jnp.abs(gradient)))
    # Of 40 terms, and by differences of fourth order: see STEP.
    np.testing.assert_allclose(
        gradient, central_differences(total, flat), rtol=0, atol=1e-9 * max(scale, 1.0)
    )
    hessian = jax.jit(jax.hessian(summed))(flat)
    scale = float(jnp.max(jnp.abs(hessian)))
    np.testing.assert_allclose(
        hessian,
        central_differences(jax.jit(jax.grad(summed)), flat),
        rtol=0,
        atol=1e-9 * max(scale, 1.0),
    )


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_tails_are_finite(case):
    """An index of ±25 is a probability of 1e-11 or of 1e-138; nothing is lost there."""
    index = np.array([-25.0, 25.0])
    values = np.asarray(density(case, index))
    assert np.isfinite(values).all()
    law = encoded(case.family, case.outcomes, case.beside)
    gradient = jax.jit(jax.jacfwd(lambda flat: density(case, flat, law=law)))(jnp.asarray(index))
    assert np.isfinite(gradient).all()


def test_probabilities_of_1e_minus_300():
    index = np.array([-37.0, -30.0, -20.0, -12.0, -5.0])
    probit = density(Case("probit", [1.0, 0.0], {}, [], None), index)
    assert probit[0, 0] < -680
    np.testing.assert_allclose(probit[0], stats.norm.logcdf(index), rtol=1e-13)
    # Of probabilities close to one the logarithm has the digits of the probability.
    np.testing.assert_allclose(probit[1], stats.norm.logsf(index), rtol=1e-13, atol=1e-16)
    logit = density(Case("logit", [1.0, 0.0], {}, [], None), np.array([-690.0, -40.0]))
    np.testing.assert_allclose(logit[0], [-690.0, -40.0], rtol=1e-15)
    np.testing.assert_allclose(logit[1], -np.exp([-690.0, -40.0]), rtol=1e-15)
    # The category between cut points far out in a tail: its probability is Φ(b) - Φ(a) of both
    # small, and the same in the other tail.
    case = Case("ordered probit", [0, 1, 2, 0, 1, 2], {}, [0.0], None)
    middle = density(case, np.array([-30.0, 31.0]))[1]
    low, high = stats.norm.logcdf(-31.0), stats.norm.logcdf(-30.0)
    np.testing.assert_allclose(middle, high + np.log1p(-np.exp(low - high)), rtol=1e-13)
    case = Case("ordered logit", [0, 1, 2, 0, 1, 2], {}, [0.0], None)
    middle = density(case, np.array([-300.0, 301.0]))[1]
    np.testing.assert_allclose(middle, -300.0 + np.log(1 - np.exp(-1.0)), rtol=1e-15)


def test_large_counts_keep_their_digits():
    """Of y log μ - μ - lgamma(y + 1), each 1e6 in size, double precision leaves ten digits.

    The saddle-point form is exact to rounding where μ = y: -log(2πy)/2 less Stirling's correction.
    """
    y = np.array([1e5, 1e5, 12.0, 0.0])
    case = Case("poisson", y, {}, [], None)
    index = np.log([1e5, 1e5 + 300, 12.0])
    found = np.asarray(density(case, index))
    at_mode = -0.5 * np.log(2 * np.pi * 1e5) - 1 / (12 * 1e5) + 1 / (360 * 1e15)
    assert abs(found[0, 0] - at_mode) <= 1e-13
    # log(1 + x) - x for x = 0.003, by its series.
    x = 300 / 1e5
    series = 1e5 * (-(x**2) / 2 + x**3 / 3 - x**4 / 4 + x**5 / 5 - x**6 / 6)
    # The index itself is rounded: 1e5 times eps log(1e5), times x.
    assert abs(found[0, 1] - at_mode - series) <= 1e-11
    np.testing.assert_allclose(found[2:], stats.poisson.logpmf(y[2:, None], np.exp(index)[None]),
                               rtol=1e-12)  # fmt: skip
    # Towards Poisson as α goes to zero, by its first-order term α((y - μ)² - y)/2.
    close = density(Case("negative binomial", y, {}, [np.log(1e-14)], None), index)
    mean = np.exp(index)[None, :]
    first = 1e-14 * ((y[:, None] - mean) ** 2 - y[:, None]) / 2
    np.testing.assert_allclose(close - found, first, rtol=0, atol=2e-9)
    moderate = density(Case("negative binomial", y, {}, [np.log(1e-3)], None), index)
    np.testing.assert_allclose(
        moderate, _negative_binomial(y[:, None], index[None, :], [np.log(1e-3)]), rtol=1e-9
    )


def test_choices():
    from spmlex.panel._families import FAMILIES, Outcome

    occasion = np.repeat(np.arange(6), 3)
    chosen = np.eye(3)[RNG.integers(0, 3, 6)].ravel()
    outcome = Outcome(
        "y", pd.Series(chosen), {"occasion": occasion, "alternatives": np.array(list("abc"))}
    )
    family, _ = FAMILIES["conditional logit"].encode(outcome)
    assert family.categories == ("a", "b", "c")
    y, index = chosen.reshape(6, 3), RNG.normal(size=(6, 3, 4))
    available = np.ones((6, 3))
    available[2, int(np.argmin(y[2]))] = 0.0
    rows = {"y": jnp.asarray(y)[..., None], "available": jnp.asarray(available)[..., None]}
    found = family.log_density(rows, jnp.asarray(index), None)
    weight = np.exp(index) * available[..., None]
    expected = np.log(np.sum(y[..., None] * weight, axis=1) / np.sum(weight, axis=1))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    gradient = jax.jacrev(lambda v: jnp.sum(family.log_density(rows, v, None)))(jnp.asarray(index))
    np.testing.assert_allclose(
        gradient, y[..., None] - weight / np.sum(weight, axis=1, keepdims=True), atol=1e-14
    )
    far = family.log_density(rows, 800.0 * jnp.asarray(index), None)
    assert np.isfinite(far).all()
    outcome.beside["occasion"] = np.repeat(np.arange(9), 2)
    with raises(ValueError, "`y` must be 1 for one alternative of each occasion", "of 9 occasions"):
        FAMILIES["conditional logit"].encode(outcome)


@pytest.mark.parametrize("case", [case for case in CASES if "event" not in case.beside])
def test_draws_have_the_density(case):
    """Means of 20 000 draws, within five standard errors; ordered: shares of categories."""
    num = 20_000
    family, rows = encoded(case.family, case.outcomes, case.beside)
    rows = {name: jnp.broadcast_to(x[5:6], (num, 1)) for name, x in rows.items()}
    shape = jnp.asarray(case.shape) if case.shape else None
    index = jnp.full((num, 1), 0.4)
    drawn = family.draw(jax.random.key(0), rows, index, shape)
    assert {name: x.shape for name, x in drawn.items()} == {
        name: x.shape for name, x in rows.items()
    }
    # What goes with an outcome is drawn anew with it.
    again = family.log_density(drawn, index, shape)
    assert np.isfinite(again).all()
    values = np.asarray(drawn["y"], float)[:, 0]
    mean = np.asarray(family.mean(index[:1], shape))[..., 0, 0]
    if family.categories:
        found = np.bincount(values.astype(int), minlength=mean.size) / num
        assert np.all(np.abs(found - mean) <= 5 * np.sqrt(mean * (1 - mean) / num))
        return
    mean = mean * float(rows["trials"][0, 0]) if "trials" in rows else mean
    assert abs(values.mean() - mean) <= 5 * values.std() / np.sqrt(num)
    if "trials" in rows:
        return
    value = jnp.asarray(np.median(values) if family.discrete else np.quantile(values, 0.3))
    share = np.mean(values <= float(value))
    below = float(family.cdf(value, index[0, 0], shape))
    assert abs(share - below) <= 5 * np.sqrt(below * (1 - below) / num)


def test_distribution_functions_add_up_the_densities():
    for case in CASES:
        family, _ = encoded(case.family, case.outcomes, case.beside)
        shape = jnp.asarray(case.shape) if case.shape else None
        if family.categories or "trials" in case.beside:
            continue
        index = jnp.asarray([-0.5, 1.2])
        if not family.discrete:
            slope = jax.jacfwd(lambda v: family.cdf(v, index, shape))(jnp.asarray(0.7))  # noqa: B023
            found = jnp.exp(family.log_prob(jnp.asarray(0.7), index, shape))
            np.testing.assert_allclose(slope, found, rtol=1e-12)
            continue
        probs = [jnp.exp(family.log_prob(jnp.full(2, k), index, shape)) for k in (0.0, 1.0)]
        np.testing.assert_allclose(family.cdf(jnp.full(2, 1.3), index, shape), sum(probs),
                                   rtol=1e-12)  # fmt: skip
        np.testing.assert_array_equal(family.cdf(jnp.full(2, -0.1), index, shape), 0.0)


@pytest.mark.parametrize(
    ("family", "outcomes", "beside", "words"),
    [
        ("logit", [0.0, 2.0, 1.0], {}, ["`y` must be 0 or 1", "2.0 in row 1"]),
        ("logit", ["no", "yes"], {}, ["`y` must be a number", "row 0 holds 'no'", "comparison"]),
        ("probit", [3.0], {"trials": np.array([2.0])}, ["number of successes", "3.0 in row 0"]),
        ("probit", [3.0], {"trials": np.array([0.0])}, ["`trials` must be a positive", "0.0"]),
        ("poisson", [1.0, -1.0], {}, ["must be a count", "-1.0 in row 1"]),
        ("negative binomial", [0.5, 1.5], {}, ["must be a count", "0.5 in row 0, and 1 more"]),
        ("ordered logit", [1, 2, 1], {}, ["the categories [1, 2]", '`family="logit"`']),
        ("ordered probit", pd.Categorical(list("abc")), {}, ["without an order", "ordered=True"]),
        ("weibull", [1.0, 0.0], {}, ["is a duration and must be positive", "row 1"]),
        ("weibull", [1.0], {"event": np.array([2.0])}, ["`event` must be 1 for a spell"]),
        ("exponential", [1.0], {"event": np.array([0.0])}, ["no spell ended"]),
        ("normal", [1.0, np.inf], {}, ["must be finite", "inf in row 1"]),
    ],
)  # fmt: skip
def test_outcomes_that_a_family_does_not_have(family, outcomes, beside, words):
    with raises(ValueError, *map(re.escape, words)):
        encoded(family, outcomes, beside)
