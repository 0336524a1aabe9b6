"""Pages and docstrings: every Python block and every example runs, and prints what is shown."""

import contextlib
import doctest
import importlib
import inspect
import io
import re
import tomllib
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from .mixsqpx.r_cases import load_case

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "packages").glob("*/README.md")),
    *sorted(DOCS.rglob("*.md")),
]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = {page: BLOCK.findall(page.read_text(encoding="utf-8")) for page in PAGES}
OUTPUT = re.compile(r"^```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Gaps and gradient norms are rounding, and how many steps lead there may depend on it; objectives
# are known to a gap of 1e-10.
ROUNDING = re.compile(
    r"(?<=objective \d\.\d{7})\d+|\b\d(\.\d+)?e[-+]\d+|\d+(?= steps)|(?<=Iterations) +\d+"
)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.slow  # pages that fit models, each of its own shapes
@pytest.mark.parametrize("page", [page for page, blocks in BLOCKS.items() if blocks], ids=name_of)
def test_snippets_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    namespace: dict = {"__name__": "__main__"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in BLOCKS[page]:
            exec(compile(block, str(page), "exec"), namespace)
    # What a page shows as output is what its blocks print, a block of output after the other.
    said = ROUNDING.sub("#", printed.getvalue())
    for shown in OUTPUT.findall(page.read_text(encoding="utf-8")):
        assert ROUNDING.sub("#", shown.strip()) in said


def test_pages_about_mixsqpx_do_without_spmlex():
    about = [*sorted((DOCS / "mixsqpx").glob("*.md")), ROOT / "packages/mixsqpx/README.md"]
    assert len(about) > 5
    assert not [page for page in about if "spmlex" in "".join(BLOCKS[page])]


def test_figures_of_the_readme_are_those_of_the_benchmarks():
    measured = (DOCS / "benchmarks/mixsolve.md").read_text(encoding="utf-8")
    measured += (DOCS / "benchmarks/fit.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"(?<=\| )[\d.]+ m?s(?:, \de-\d\d)?(?= \|)", readme)
    assert len(shown) == 14
    assert not [figure for figure in shown if figure not in measured]


def rows_of_r() -> list[list[str]]:
    page = (DOCS / "moving/same-numbers.md").read_text(encoding="utf-8")
    table = page.split("<!-- r -->")[1].split("<!-- end of r -->")[0].strip().splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table[2:]]


@pytest.mark.parametrize("row", rows_of_r(), ids=lambda row: row[0])
def test_numbers_of_r(row: list[str]):
    import mixsqpx

    case = load_case(row[0])
    weights = np.ones(len(case.log_lik)) if case.weights is None else case.weights
    ours, theirs = mixsqpx.mixsolve(case.log_lik, weights, init=case.init), case.runs["default"]
    here, in_r, gap, above, apart = map(float, row[1:])
    assert theirs.converged
    # Eight decimals are shown, and a solve is within its gap of the minimum.
    assert abs(float(ours.objective) - here) <= 0.5e-8 + 1e-10
    assert abs(theirs.objective - in_r) <= 0.5e-8
    # One digit is shown, so that the number is within half of it (1.49 is shown as 1): of the gap,
    # of a difference known to a gap of ours, and of proportions, which on a fine grid are known to
    # the root of it.
    assert theirs.gap == pytest.approx(gap, rel=0.5)
    assert theirs.objective - float(ours.objective) == pytest.approx(above, rel=0.5, abs=1e-10)
    difference = np.abs(theirs.probs - np.asarray(ours.probs)).max()
    assert difference == pytest.approx(apart, rel=0.5, abs=1e-5)


@pytest.mark.parametrize("package", ["mixsqpx", "spmlex"])
def test_a_package_says_its_version(package: str):
    project = tomllib.loads((ROOT / "packages" / package / "pyproject.toml").read_text("utf-8"))
    assert importlib.import_module(package).__version__ == project["project"]["version"]


# Of each package: whose examples come first, and leave their names to those that go on from them.
FIRST = ("spmlex.fit", "spmlex.fit_orthogonal", "spmlex.panel.Panel")


def public_names() -> list[str]:
    found = []
    for module in ("mixsqpx", "mixsqpx.datasets", "spmlex", "spmlex.panel"):
        public = importlib.import_module(module)
        names = [name for name in public.__all__ if not inspect.ismodule(getattr(public, name))]
        found += [f"{module}.{name}" for name in names]
    return found


def run_examples(name: str, namespace: dict) -> dict:
    """Run the examples of a docstring, and return the names that they leave."""
    module, _, attribute = name.rpartition(".")
    text = inspect.getdoc(getattr(importlib.import_module(module), attribute)) or ""
    test = doctest.DocTestParser().get_doctest(text, namespace, name, None, None)
    assert test.examples, f"{name} has no example."
    said: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=said.append, clear_globs=False)
    assert not said, "".join(said)
    return test.globs


@cache
def known_from(package: str) -> dict:
    """The names that a docstring may take for known: those of the first examples."""
    namespace: dict = {}
    for name in FIRST:
        if name.startswith(f"{package}."):
            namespace = run_examples(name, namespace)
    return namespace


@pytest.mark.parametrize("name", public_names())
def test_examples_of_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    run_examples(name, dict(known_from(name.split(".")[0])))
