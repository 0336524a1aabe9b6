"""Plots of a fit: that the lines are where the numbers are."""

from functools import cache

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from spmlex import FitResult, fit, plot_coefficients

from .helpers import log_lik_of
from .models import Problem, factor_problem, level_and_slope_problem

PROBLEM = factor_problem(200, 25)
SUPP = np.asarray(PROBLEM.supp)
GROUPS = np.arange(200) % 2


@cache
def fitted(grouped: bool = False):
    return fit(*PROBLEM, groups=GROUPS if grouped else None)


@cache
def two_dimensional():
    model, data, supp = level_and_slope_problem()
    return fit(model, data, {"level": supp[:, 0], "slope": supp[:, 1]})


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def lines_of(ax):
    return {line.get_label(): np.asarray(line.get_data()) for line in ax.get_lines()}


def gradient_function(result, units, probs):
    """1 - mean of aᵢⱼ/uᵢ, by NumPy."""
    log_lik = log_lik_of(Problem(result.model, PROBLEM.data, PROBLEM.supp))[units]
    lik = np.exp(log_lik - log_lik.max(axis=1, keepdims=True))
    return 1 - np.mean(lik / (lik @ probs)[:, None], axis=0)


def test_distribution():
    result, (_, given) = fitted(), plt.subplots()
    ax = result.plot_distribution(ax=given)
    assert ax is given
    lines, probs = lines_of(ax), np.asarray(result.probs)
    x, y = lines["distribution"]
    # The distribution function is right-continuous: the step at each point is its mass.
    np.testing.assert_array_equal(x[1:-1], SUPP)
    np.testing.assert_allclose(np.diff(y[:-1]), probs, atol=1e-15)
    assert y[0] == 0
    assert y[-1] == pytest.approx(1, abs=1e-12)
    (line,) = [line for line in ax.get_lines() if line.get_label() == "distribution"]
    assert line.get_drawstyle() == "steps-post"
    np.testing.assert_array_equal(lines["masses"], [SUPP[probs > 0], probs[probs > 0]])
    (stems,) = ax.collections
    np.testing.assert_array_equal(
        [segment[1] for segment in stems.get_segments()], lines["masses"].T
    )
    assert ax.get_xlabel() == "Latent variable v"
    assert ax.get_ylabel() == "Probability"
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["distribution", "masses"]


def test_distributions_of_groups():
    ax = fitted(True).plot_distribution()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["group 0", "group 1"]
    lines = lines_of(ax)
    for g, probs in enumerate(np.asarray(fitted(True).probs).T):
        _, y = lines[f"distribution, group {g}"]
        np.testing.assert_allclose(np.diff(y[:-1]), probs, atol=1e-15)
        np.testing.assert_array_equal(lines[f"masses, group {g}"][1], probs[probs > 0])


def test_one_coordinate_of_two():
    result = two_dimensional()
    lines = lines_of(result.plot_distribution(coordinate="slope"))
    slopes, masses = np.asarray(result.supp["slope"]), np.asarray(result.probs)
    points = np.unique(slopes)
    assert points.size == 4
    expected = np.array([masses[slopes == point].sum() for point in points])
    np.testing.assert_array_equal(lines["distribution"][0][1:-1], points)
    np.testing.assert_allclose(np.diff(lines["distribution"][1][:-1]), expected, atol=1e-15)
    with pytest.raises(ValueError, match="`coordinate` must be one of .* level, slope; none"):
        result.plot_gradient()
    for plot in (FitResult.plot_distribution, FitResult.plot_gradient):
        with pytest.raises(ValueError, match="`coordinate` must be one of .*, slope; not 'wage'"):
            plot(result, coordinate="wage")
    ax = result.plot_gradient(coordinate="slope")
    np.testing.assert_array_equal(np.sort(lines_of(ax)["gradient"][0]), np.sort(slopes))
    # All 20 points, those above each other too, and no line through them.
    assert ax.get_lines()[1].get_linestyle() == "None"


def test_both_coordinates_of_two(without_annotations):
    result, (_, given) = two_dimensional(), plt.subplots()
    ax = result.plot_distribution(ax=given)
    assert ax is given
    circles = ax.collections[0]
    active = np.asarray(result.probs) > 0
    points = np.stack([result.supp["level"], result.supp["slope"]], axis=1)[active]
    drawn, order = np.asarray(circles.get_offsets()), np.lexsort(points.T[::-1])
    np.testing.assert_array_equal(drawn, points[order])
    # Areas are the masses, and none is too small to be seen.
    areas, masses = circles.get_sizes(), np.asarray(result.probs)[active][order]
    np.testing.assert_allclose(areas, np.maximum(2400 * masses, 6.0), rtol=1e-12)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Latent variable level", "Latent variable slope")
    # Circles at the ends of the grid are not cut.
    assert ax.get_xlim()[0] < -1.5 < 1.5 < ax.get_xlim()[1]
    swapped = result.plot_distribution(coordinate=("slope", "level"))
    assert np.asarray(swapped.collections[0].get_offsets())[:, 0].max() == points[:, 1].max()
    with pytest.raises(ValueError, match="`coordinate` must be one of .*, slope; not 'wage'"):
        result.plot_distribution(coordinate=("wage", "level"))
    with pytest.raises(ValueError, match="`coordinate` must be one name or two"):
        result.plot_distribution(coordinate=("level",))


def test_gradient():
    result = fitted()
    ax = result.plot_gradient()
    lines, probs = lines_of(ax), np.asarray(result.probs)
    expected = gradient_function(result, slice(None), probs)
    np.testing.assert_array_equal(lines["gradient"][0], SUPP)
    # Sums of 200 ratios, the largest of which is below 100.
    np.testing.assert_allclose(lines["gradient"][1], expected, atol=1e-12)
    np.testing.assert_array_equal(lines["active"][0], SUPP[probs > 0])
    # The certificate: zero where there is mass, nowhere below minus the gap. A gap of 1e-13 leaves
    # slopes up to its square root where there is mass.
    assert np.max(np.abs(lines["active"][1])) <= 1e-6
    assert np.min(lines["gradient"][1]) >= -result.gap - 1e-13
    assert np.max(lines["gradient"][1]) > 0.5


def test_gradients_of_groups():
    result = fitted(True)
    lines = lines_of(result.plot_gradient())
    for g, probs in enumerate(np.asarray(result.probs).T):
        expected = gradient_function(result, g == GROUPS, probs)
        np.testing.assert_allclose(lines[f"gradient, group {g}"][1], expected, atol=1e-12)
        np.testing.assert_array_equal(lines[f"active, group {g}"][0], SUPP[probs > 0])


def test_history():
    result = fitted()
    ax = result.plot_history()
    lines = lines_of(ax)
    history, steps = result.history, np.arange(1, result.stats["num_steps"] + 1)
    np.testing.assert_array_equal(lines["gradient norm"], [steps, history["grad_norm"]])
    short = history["value"] - history["value"][-1]
    expected = np.stack([steps, short])[:, short > 0]
    np.testing.assert_array_equal(lines["shortfall (nats per unit)"], expected)
    assert ax.get_yscale() == "log"
    ax.figure.canvas.draw()  # pytest turns a warning of the logarithmic axis into an error


def test_profile():
    result, (_, given) = fitted(), plt.subplots()
    ax = result.plot_profile("coef[0]", ax=given)
    assert ax is given
    lines, interval = lines_of(ax), result.profile_interval("coef[0]")
    x, y = lines["profile"]
    assert x.size == 21
    estimate = result.estimates[0]
    assert x[0] == pytest.approx(estimate - 1.2 * (estimate - interval.lower))
    assert x[-1] == pytest.approx(estimate + 1.2 * (interval.upper - estimate))
    # Some of the same numbers, after searches from other neighbours: each to 1e-9 of its mean.
    some = x[::7]
    np.testing.assert_allclose(
        y[::7], result.profile_curve("coef[0]", some) - result.loglik, atol=1e-6
    )
    # Half of the 95% quantile of chi-square with one degree of freedom.
    cut = -3.841458820694124 / 2
    np.testing.assert_allclose(lines["cut-off, 0.95"][1], cut, rtol=1e-12)
    ends = [[interval.lower, interval.upper], [cut, cut]]
    np.testing.assert_allclose(lines["ends of the interval"], ends, rtol=1e-12)
    np.testing.assert_array_equal(lines["estimate"], [[estimate], [0.0]])
    assert ((x > interval.lower) & (x < interval.upper) == (y > cut)).all()
    assert ax.get_xlabel() == "coef[0]"
    few = result.plot_profile("coef[0]", values=some[[1, 0, 2]], level=0.9)
    np.testing.assert_array_equal(lines_of(few)["profile"][0], some)
    assert lines_of(few)["cut-off, 0.9"][1][0] == pytest.approx(-2.705543454095404 / 2)
    with pytest.raises(ValueError, match="`name` must be a parameter, one of coef.0."):
        result.plot_profile("loading")


def test_coefficients():
    one, two, (_, given) = fitted(), fitted(True), plt.subplots()
    ax = plot_coefficients({"one": one, "two": two}, level=0.9, ax=given)
    assert ax is given
    half = 1.6448536269514722  # 95% quantile of the normal distribution
    for result, (marks, _, (bars,)) in zip((one, two), ax.containers, strict=True):
        x, y = marks.get_data()
        np.testing.assert_array_equal(x, result.estimates)
        # Within a third of the rows, which count from the top.
        assert (np.round(np.asarray(y, float)) == np.arange(5)).all()
        ends = np.array([segment[:, 0] for segment in bars.get_segments()])
        errors = half * result.std_errors()
        np.testing.assert_allclose(ends, np.stack([x - errors, x + errors], axis=1), rtol=1e-12)
    assert [text.get_text() for text in ax.get_yticklabels()] == list(one.param_names)
    bottom, top = ax.get_ylim()
    assert bottom > top
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "two"]
    assert ax.get_xlabel() == "Estimate, 90% interval"


def test_some_coefficients_under_labels_of_their_own():
    result = fitted()
    ax = plot_coefficients({"one": result}, params={"coef[1]": "third", "coef[0]": "second"})
    np.testing.assert_array_equal(ax.containers[0][0].get_xdata(), result.estimates[[1, 0]])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["third", "second"]
    assert ax.get_legend() is None
    with pytest.raises(ValueError, match="`params` has 'wage', which no fit has. There are coef.0"):
        plot_coefficients({"one": result}, params=["coef[0]", "wage"])


def test_coefficients_of_what_is_no_fit(without_annotations):
    with pytest.raises(TypeError, match="`results` must be a mapping of names .* not list"):
        plot_coefficients([fitted()])
    with pytest.raises(TypeError, match="`results` must hold results"):
        plot_coefficients({"one": fitted().estimates})
    with pytest.raises(ValueError, match="`results` is empty"):
        plot_coefficients({})
    with pytest.raises(ValueError, match="kind"):
        plot_coefficients({"one": fitted()}, kind="hc3")


def test_a_profile_without_ends(monkeypatch):
    """An unbounded side is drawn as far as the other; with none the user has to say how far."""
    result = fitted()
    whole = result.profile_interval("coef[0]")
    half = whole._replace(lower=-np.inf, lower_reason="it stays high")
    none = half._replace(upper=np.nan, upper_reason="it fails")
    monkeypatch.setattr("spmlex._report._plots.profile_interval", lambda *_: half)
    lines, estimate = lines_of(result.plot_profile("coef[0]")), result.estimates[0]
    x = lines["profile"][0]
    assert x[-1] - estimate == pytest.approx(estimate - x[0])
    assert lines["ends of the interval"][0].tolist() == [whole.upper]
    monkeypatch.setattr("spmlex._report._plots.profile_interval", lambda *_: none)
    message = "no finite end, so give `values`. Below, it stays high; above, it fails"
    with pytest.raises(ValueError, match=message):
        result.plot_profile("coef[0]")
