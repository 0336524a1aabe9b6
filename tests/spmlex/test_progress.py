"""What is shown while a fit runs."""

import re
import sys

import numpy as np
import pytest

from spmlex import fit, fit_multistart

from .models import panel_problem

PROBLEM = panel_problem(1)


def test_shown_on_standard_error(capsys):
    result = fit(*PROBLEM, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    last = shown.err.rstrip().split("\r")[-1]
    assert last.startswith(f"fit: {result.stats['num_steps']} steps")
    (value,) = re.findall(r"value ([\d.]+)", last)
    assert float(value) == pytest.approx(-result.loglik / 60, abs=1e-8)
    for name, form in (("grad_norm", "gradient {:.1e}"), ("step", "step {:.1e}")):
        assert form.format(result.history[name][-1]) in last
    assert f"active {result.stats['num_active']}, gap {result.gap:.0e}" in last


def test_nothing_is_shown_unless_asked_for(capsys):
    quiet = fit(*PROBLEM)
    assert capsys.readouterr() == ("", "")
    loud = fit(*PROBLEM, progress=True)
    # The same search.
    for name, column in quiet.history.items():
        np.testing.assert_array_equal(column, loud.history[name])


def test_starts_are_counted(capsys):
    fit_multistart([PROBLEM.model] * 2, *PROBLEM[1:], progress=True)
    shown = [line.strip() for line in capsys.readouterr().err.split("\r") if line.strip()]
    assert shown[0] == "start 1 of 2: 0 steps, 00:00, compiling"
    # What is said of the first start does not stand beside the name of the second.
    second = next(line for line in shown if line.startswith("start 2 of 2"))
    assert "value" not in second


def test_without_tqdm(monkeypatch):
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="`progress=True` needs tqdm"):
        fit(*PROBLEM, progress=True)
