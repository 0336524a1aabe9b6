"""Tables of a fit and of several: what they say, and how they are set."""

import dataclasses
import math
import xml.etree.ElementTree as ET
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from spmlex import (
    RESULTS,
    FitResult,
    FunctionModel,
    Table,
    compare,
    fit,
    profile_ll,
)
from spmlex._table import Row, number

from .models import FactorModel, factor_problem

PROBLEM = factor_problem(200, 25)
NAMES = ("coef[0]", "coef[1]", "log_std_e[0]", "log_std_e[1]", "log_std_e[2]")


@cache
def fitted() -> FitResult:
    return fit(*PROBLEM)


@cache
def restricted() -> FitResult:
    return fit(*PROBLEM, free=FactorModel(True, False))


def unsuccessful():
    return eqx.tree_at(lambda r: r.result, fitted(), RESULTS.gradient_not_small)


def rows_of(text):
    """Name and numbers of each row between the second thin rule and the thick one."""
    width = len(text.splitlines()[1])
    rows = text.split("-" * width)[2].split("=" * width)[0].splitlines()[1:]
    return {line.split()[0]: line.split()[1:] for line in rows}


def test_numbers():
    result, table = fitted(), fitted().summary(kind="hessian")
    assert table.index == NAMES == result.param_names
    names = ["estimate", "std. err.", "z", "P>|z|", "[0.025", "0.975]"]
    assert list(table.numbers) == names == list(table.columns)
    estimate, std_err, z, p, low, high = table.numbers.values()
    np.testing.assert_array_equal(estimate, result.estimates)
    np.testing.assert_array_equal(std_err, result.std_errors())
    np.testing.assert_array_equal(z, estimate / std_err)
    # Against SciPy, which is no dependency: a few roundings.
    np.testing.assert_allclose(p, 2 * norm.sf(np.abs(z)), rtol=1e-12)
    np.testing.assert_allclose(np.stack([low, high], axis=1), result.conf_int(), rtol=1e-14)
    np.testing.assert_allclose(high - estimate, norm.ppf(0.975) * std_err, rtol=1e-9)


def test_text():
    result = fitted()
    text = str(result.summary(kind="hessian"))
    lines = text.splitlines()
    assert lines[0].strip() == "Profile likelihood estimates"
    width = len(lines[1])
    rules = [line for line in lines if set(line) <= {"=", "-"}]
    assert [line[0] for line in rules] == ["=", "-", "-", "="]
    assert max(map(len, lines)) == width
    last = len(lines) - 1 - lines[::-1].index(rules[-1])
    assert all(len(line) == width for line in lines[1 : last + 1] if line != lines[6])
    assert " ".join(lines[last + 1 :]) == result.summary().notes[-1]
    words = " ".join(text.split())
    for expected in (
        "Units 200",
        f"Log-likelihood {result.loglik:.6f}",
        "Support points 25",
        f"of them active {np.count_nonzero(result.probs)}",
        f"Optimality gap {result.gap:.1e}",
        f"Gradient norm {result.grad_norm:.1e}",
        f"Iterations {len(result.history['value'])}",
        "Converged yes",
        "Standard errors hessian",
        "estimate std. err. z P>|z| [0.025 0.975]",
    ):
        assert expected in words
    rows = rows_of(text)
    assert tuple(rows) == NAMES
    # As many decimals as are shown; the next one rounds within half a unit.
    half_units = np.array([5e-7, 5e-7, 5e-3, 5e-4, 5e-7, 5e-7]) * (1 + 1e-9)
    for k, row in enumerate(rows.values()):
        exact = [column[k] for column in result.summary(kind="hessian").numbers.values()]
        assert np.all(np.abs(np.array(row, dtype=float) - exact) <= half_units)
    assert repr(result.summary(kind="hessian")) == text


def test_intervals_are_shown_when_asked_for():
    """By default the table has standard errors, and says what they are worth."""
    result = fitted()
    table = result.summary()
    assert table.columns == ("estimate", "std. err.")
    np.testing.assert_array_equal(table.numbers["std. err."], result.std_errors())
    assert "add `sample(key, data, latent)` to the model" in table.notes[-1]
    assert str(result) == str(table)
    assert table.notes[-1] == result.summary(kind="robust").notes[-1]


def test_kind_and_level():
    table = fitted().summary(kind="robust", level=0.9)
    assert ("Standard errors", "robust") in table.header
    assert table.columns[-2:] == ("[0.05", "0.95]")
    np.testing.assert_array_equal(table.numbers["std. err."], fitted().std_errors("robust"))
    bounds = np.stack([table.numbers["[0.05"], table.numbers["0.95]"]], axis=1)
    np.testing.assert_allclose(bounds, fitted().conf_int(0.9, "robust"), rtol=1e-14)
    clusters = np.arange(200) // 2
    table = fitted().summary(kind="cluster", clusters=clusters)
    expected = fitted().std_errors("cluster", clusters)
    np.testing.assert_array_equal(table.numbers["std. err."], expected)


@pytest.mark.parametrize("result", [fitted, unsuccessful])
def test_wrong_arguments_are_errors_and_no_reason_for_a_table_without(result):
    with pytest.raises(ValueError, match="`kind` must be one of 'hessian'.*'bayes'"):
        result().summary(kind="bayes")
    with pytest.raises(ValueError, match="`clusters` are needed"):
        result().summary(kind="cluster")
    with pytest.raises(ValueError, match="`level` must be between 0 and 1.* 95.0"):
        result().summary(level=95.0)


def test_without_standard_errors():
    table = unsuccessful().summary()
    assert list(table.numbers) == ["estimate"]
    assert ("Standard errors", "none") in table.header
    assert ("Converged", "NO") in table.header
    assert "the search did not end at a stationary point" in " ".join(str(table).split())
    without_data = eqx.tree_at(lambda r: r.problem.data, fitted(), None)
    words = " ".join(str(without_data).split())
    assert "No standard errors:" in words
    assert "give `load` the data" in words
    rows = rows_of(str(without_data))
    np.testing.assert_allclose(
        [float(rows[name][0]) for name in NAMES], fitted().estimates, rtol=0, atol=5.01e-7
    )


def test_singular_information():
    """Two parameters of which the data see the sum alone."""

    def lclk(params, data, supp):
        halves = FactorModel(params["one"] + params["two"], params["log_std"])
        return halves.lclk(data, supp)

    half = fitted().model.coef / 2
    params = {"one": half, "two": half, "log_std": fitted().model.log_std_e}
    result = fit(FunctionModel(params, lclk), *PROBLEM[1:])
    text = " ".join(str(result).split())
    assert "Standard errors none" in text
    assert "singular along" in text
    assert "one[" in text.split("singular along")[1]
    assert "two[" in text.split("singular along")[1]


def test_weights_that_sum_to_one_are_noted():
    shares = np.full(200, 1 / 200)
    result = fit(*PROBLEM, weights=shares)
    words = "The weights of 200 units sum to 1. They are taken as frequencies: likelihood, criteria"
    assert f"{words} and standard errors are" in " ".join(str(result).split())
    assert f"shares: {words}" in " ".join(str(compare({"shares": result})).split())
    # The scale does not matter for these standard errors, but for all else.
    robust = " ".join(str(result.summary(kind="robust")).split())
    assert words.replace("likelihood, criteria", "likelihood and criteria are") in robust
    # Sampling weights that sum to the population, but not counts, and not a selection.
    many = 20.0 + 0.5 * (np.arange(200) % 2)
    assert "The weights of 200 units sum to 4050." in str(fit(*PROBLEM, weights=many))
    for counts in (np.full(200, 3.0), (np.arange(200) % 3 == 0).astype(float)):
        assert "The weights" not in str(fit(*PROBLEM, weights=counts))


def test_a_coarse_grid_is_noted(monkeypatch):
    gain = fitted().grid_gap()
    assert 0.01 < gain < 0.1
    assert "grid" not in str(fitted())
    monkeypatch.setattr("spmlex._inference._grid.COARSE", 0.01)
    table = fitted().summary()
    assert any("The grid is coarse for this fit" in note for note in table.notes)
    # In nats of the whole, as for a short grid: 200 units.
    words = f"could add up to {200 * gain:.3g} to the log-likelihood."
    assert words in " ".join(str(table).split())
    assert list(table.numbers)[1] == "std. err."


@pytest.mark.parametrize("num_points", [25, pytest.param(97, marks=pytest.mark.slow)])
def test_a_short_grid_is_noted(num_points):
    model, data, _ = PROBLEM
    short = fit(model, data, jnp.linspace(-2.0, 4.0, num_points))
    assert short.result == RESULTS.successful
    assert min(short.probs[0], short.probs[-1]) > 0.1
    text = " ".join(str(short).split())
    gain = float(text.split("masses beyond its ends would add ")[1].split()[0])
    # What a grid of three times the width brings, whatever the distance between its points. Of
    # these the note looks at ten on each side, and then at three digits: 12.4 for 12.4 and 12.5.
    wide = jnp.linspace(-8.0, 10.0, 3 * num_points - 2)
    held = profile_ll(short.model, data, wide)[0] * -short.n_obs
    assert held - short.loglik == pytest.approx(gain, rel=0.05)
    # Nothing is said where the model is not defined there.
    walled = fit(FunctionModel(model, _only_within), data, short.supp)
    assert walled.loglik == pytest.approx(short.loglik, rel=1e-12)
    assert "grid" not in str(walled)


def _only_within(model, data, supp):
    log_lik = model.lclk(data, supp)
    return jnp.where((supp >= -2.0) & (supp <= 4.0), log_lik, jnp.nan)


def test_headings_of_levels():
    columns = fitted().summary(kind="hessian", level=0.99999).columns
    assert columns[-2:] == ("[5e-06", "0.999995]")


def test_names_that_are_one_as_text():
    with pytest.raises(ValueError, match=r"Two names in `results` are one as text: \[1, '1'\]"):
        compare({1: fitted(), "1": restricted()})


def test_html():
    table = compare({"<all> & more": fitted(), "some": restricted()})
    for shown in (table, fitted().summary(), unsuccessful().summary()):
        html = shown._repr_html_()
        root = ET.fromstring(html)  # well-formed, or an exception
        *_, body = root.iter("table")
        rows = [[cell.text or "" for cell in row] for row in body.iter("tr")]
        assert rows[0] == ["", *shown.columns]
        cells = [[row.name, *row.cells] for section in shown.sections for row in section]
        assert rows[1:] == cells
        said = [text for text in root.itertext() if text.strip()]
        assert {*shown.notes, *(value for pair in shown.header for value in pair)} <= set(said)
        # Nothing that would look wrong on one of a light and a dark page.
        assert "color:" not in html.replace("currentColor", "")
    assert fitted()._repr_html_() == fitted().summary()._repr_html_()


def test_latex():
    table = compare({"50% & more_": fitted(), "some": restricted()})
    latex = table.to_latex()
    lines = latex.splitlines()
    assert lines[0] == r"\begin{tabular}{lrr}"
    assert lines[1] == r"\toprule"
    assert lines[2] == r" & 50\% \& more\_ & some \\"
    assert lines[4].startswith(r"coef{[}0{]} & ")
    assert latex.count(r"\midrule") == 2
    assert latex.count(r"\bottomrule") == 1
    body = [line for line in lines if line.endswith(r"\\")]
    for line in body:
        assert line.replace(r"\&", "").count("&") == 2
        assert not line.startswith("[")
    assert latex.count("{") == latex.count("}")
    assert f"${fitted().loglik:.3f}$" in latex
    single = fitted().summary(kind="hessian").to_latex()
    assert r"P\textgreater{}\textbar{}z\textbar{}" in single
    assert rf"log\_std\_e{{[}}2{{]}} & ${fitted().estimates[4]:.6f}$ & " in single
    assert "Units & 200 &" in single


def test_latex_escapes_everything():
    row = Row("\\{x}~^#$_", ("<-1",))
    table = Table("", (), ("a",), ((row,),), (), {}, ())
    line = table.to_latex().splitlines()[4]
    expected = r"\textbackslash{}\{x\}\textasciitilde{}\textasciicircum{}\#\$\_"
    assert line == expected + r" & \textless{}-1 \\"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-1.5", "$-1.5$"),
        ("1.5", "1.5"),
        ("1.23e-05", r"$1.23 \times 10^{-5}$"),
        ("-4.0e+12", r"$-4.0 \times 10^{12}$"),
        ("(8e-14)", r"$(8 \times 10^{-14})$"),
        ("nan", "nan"),
        ("2e-x", "2e-x"),
    ],
)
def test_latex_of_numbers(text, expected):
    table = Table("", (), ("a",), ((Row("λσ₁", (text,)),),), (), {}, ())
    line = table.to_latex().splitlines()[4]
    assert line == rf"$\lambda$$\sigma$$_1$ & {expected} \\"


def test_frame():
    frame = fitted().summary().to_frame()
    assert tuple(frame.index) == NAMES
    np.testing.assert_array_equal(frame["estimate"], fitted().estimates)
    np.testing.assert_array_equal(frame["std. err."], fitted().std_errors())
    both = compare({"all": fitted(), "some": restricted()}).to_frame()
    assert list(both.columns) == [
        ("all", "estimate"),
        ("all", "std. err."),
        ("some", "estimate"),
        ("some", "std. err."),
    ]
    np.testing.assert_array_equal(both["all", "estimate"], fitted().estimates)
    some = both["some", "std. err."].to_numpy()
    np.testing.assert_array_equal(some[:2], restricted().std_errors())
    assert np.isnan(some[2:]).all()


def test_compare():
    table = compare({"all": fitted(), "some": restricted()}, kind="robust")
    estimates, statistics = table.sections
    assert [row.name for row in estimates[::2]] == list(NAMES)
    for k, (above, below) in enumerate(zip(estimates[::2], estimates[1::2], strict=True)):
        assert below.name == ""
        assert above.cells[0] == f"{fitted().estimates[k]:.6f}"
        assert below.cells[0] == f"({fitted().std_errors('robust')[k]:.6f})"
        if k >= 2:
            assert above.cells[1] == below.cells[1] == ""
    values = {row.name: row.cells for row in statistics}
    assert values["Log-likelihood"] == (f"{fitted().loglik:.3f}", f"{restricted().loglik:.3f}")
    assert values["Units"] == ("200", "200")
    assert values["Parameters"] == ("5", "2")
    assert values["Active points"] == tuple(
        str(np.count_nonzero(one.probs)) for one in (fitted(), restricted())
    )
    assert values["AIC"] == tuple(f"{one.aic:.3f}" for one in (fitted(), restricted()))
    assert values["BIC"] == tuple(f"{one.bic:.3f}" for one in (fitted(), restricted()))
    assert table.notes == ("Standard errors in parentheses: robust.",)
    assert "(" not in str(compare({"failed": unsuccessful()})).split("Log-likelihood")[0]
    assert "No standard errors of failed:" in str(compare({"failed": unsuccessful()}))


def test_compare_refuses(without_annotations):
    with pytest.raises(TypeError, match="`results` must be a mapping of names to results.*list"):
        compare([fitted()])
    with pytest.raises(ValueError, match="`results` is empty"):
        compare({})


def test_names_of_nested_models():
    """Dicts, modules in modules, and arrays of two dimensions."""
    inner = FactorModel(jnp.zeros((2, 2)), jnp.zeros(()))
    params = {"wage": {"slope": jnp.zeros(2)}, "factors": [inner]}
    result = dataclasses.replace(fitted(), params=FunctionModel(params, lambda *_: jnp.zeros(())))
    names = [f"factors[0].coef[{i}, {j}]" for i in (0, 1) for j in (0, 1)]
    names += ["factors[0].log_std_e", "wage.slope[0]", "wage.slope[1]"]
    assert result.param_names == tuple(names)
    assert len(names) == sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000000"),
        (-1.25, "-1.250000"),
        (0.0001, "0.000100"),
        (1e-5, "1.00000e-05"),
        (-2.5e7, "-2.50000e+07"),
        (math.nan, "nan"),
    ],
)
def test_numbers_keep_their_digits(value, text):
    assert number(value) == text
