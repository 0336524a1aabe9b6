"""The benchmarks start, and their pages are what the results say. None of them is run."""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import COMMANDS, main
from benchmarks.draw import FIGURES
from benchmarks.render import RENDERED
from benchmarks.shared import machine
from benchmarks.shared.families import FAMILIES
from benchmarks.shared.gap import optimality_gap
from benchmarks.shared.markdown import commit_text
from benchmarks.shared.results import PAGES, RESULTS, ROOT, Results, add_arguments, read
from benchmarks.solver.runner import read_solutions, run_worker
from benchmarks.solver.solvers import SOLVERS, Job

FILES = sorted(RESULTS.glob("*.json"))
NAMES = [path.stem for path in FILES]


@pytest.mark.parametrize("name", COMMANDS)
def test_command_starts(name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert f"usage: python -m benchmarks {name}" in capsys.readouterr().out


def test_commands_are_listed(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 0
    listed = re.findall(r"^ {4}(\w+)  +\S", capsys.readouterr().out, re.MULTILINE)
    assert listed == list(COMMANDS)
    assert main(["nothing"]) == 2
    assert "'nothing'" in capsys.readouterr().err


def test_documents_name_commands_that_there_are():
    pages = [*PAGES.rglob("*.md"), *ROOT.glob("*.md"), ROOT / "benchmarks" / "README.md"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in pages)
    named = set(re.findall(r"python -m benchmarks (\w+)", text))
    assert {"mixsolve", "fit", "coverage", "second_opinion", "mutation", "render"} <= named
    assert named - {"NAME"} <= set(COMMANDS)
    assert not re.search(r"python benchmarks|python -m benchmarks\.", text)


def test_results_are_those_of_the_pages():
    assert set(NAMES) <= {*RENDERED, "batch", "float32"}
    # No solution, and no time of a single call: those would be hundreds of kilobytes.
    assert max(path.stat().st_size for path in FILES) < 100_000


@pytest.mark.parametrize("name", [name for name in RENDERED if name in NAMES])
def test_page_is_what_the_results_say(name: str, tmp_path: Path):
    file = RENDERED[name][1]
    committed = (PAGES / file).read_text(encoding="utf-8")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(committed, encoding="utf-8")
    main(["render", name, "--pages", str(tmp_path)])
    assert (tmp_path / file).read_text(encoding="utf-8") == committed


def test_figures_are_drawn_without_jax(tmp_path: Path):
    code = (
        "import sys; from benchmarks.__main__ import main; main(['draw', sys.argv[1]]); "
        "assert not {'jax', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)
    assert {path.name for path in tmp_path.iterdir()} == set(FIGURES)
    for name in NAMES:
        if name in RENDERED:
            page = (PAGES / RENDERED[name][1]).read_text(encoding="utf-8")
            assert set(re.findall(r"\((\S+\.svg)\)", page)) <= set(FIGURES)


def begin(monkeypatch: pytest.MonkeyPatch, commit: str | None, *options: str, part: bool = False):
    """A run at a commit, on the command line `options`."""
    monkeypatch.setattr(machine, "commit", lambda: commit)
    parser = argparse.ArgumentParser()
    add_arguments(parser, "fit")
    return Results.begin(parser, parser.parse_args(options), "fit", part=part)


def test_a_part_does_not_replace_the_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        begin(monkeypatch, "abc", part=True)
    assert "--output" in capsys.readouterr().err
    assert begin(monkeypatch, "abc").path == RESULTS / "fit.json"


def test_a_run_goes_on_only_where_it_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    options = ("--output", str(tmp_path / "x.json"), "--resume")
    first = begin(monkeypatch, "abc", *options)
    first.content["rows"] = [{"time": 0.5, "text": "x" * 200}, {"time": 0.25, "text": "y" * 200}]
    first.save()
    assert len(first.path.read_text().splitlines()) > len(first.content["rows"])
    assert begin(monkeypatch, "abc", *options).content == first.content
    assert "rows" not in begin(monkeypatch, "abc", *options[:2]).content
    with pytest.raises(SystemExit):
        begin(monkeypatch, "def", *options)
    assert "of commit abc" in capsys.readouterr().err
    begin(monkeypatch, "abc-dirty", *options[:2]).save()
    with pytest.raises(SystemExit):
        begin(monkeypatch, "abc-dirty", *options)
    assert "changed since" in capsys.readouterr().err
    begin(monkeypatch, None, *options[:2]).save()
    with pytest.raises(SystemExit):
        begin(monkeypatch, None, *options)
    capsys.readouterr()


def test_rows_of_several_commits_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    run = begin(monkeypatch, "abc", "--output", str(tmp_path / "x.json"))
    run.save()
    assert commit_text(read(run.path)) == "commit `abc`"
    for commit in ("abc", "def", "def", None):
        monkeypatch.setattr(machine, "commit", lambda commit=commit: commit)
        run.save()
    text = commit_text(read(run.path))
    assert "**not one run**" in text
    assert "`abc`, `def` and others that were not recorded" in text


def test_worker_runs_by_its_path(tmp_path: Path):
    n, m = 30, 4
    log_lik = FAMILIES["gamma"](n, m, 0)
    job = Job(tmp_path / "x.npy", tmp_path / "x.bin", tmp_path / "r.json", n, m, 1, 60.0, 10)
    np.save(job.npy, log_lik)
    record = run_worker(SOLVERS["ours"], None, job)
    assert record["status"] == "converged"
    # Half a second of further calls, at most 50: the first alone says that it ran.
    solutions = read_solutions(SOLVERS["ours"], job)
    assert solutions.shape == (1 + len(record["times_warm"]), m)
    # The default tolerance of a solve.
    assert max(optimality_gap(log_lik, p) for p in solutions) <= 1e-10 + 1e-14
