"""The page of the benchmark of first answers, from `first_answer.json`."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from ..shared.markdown import commands, gap_text, run_text, seconds, table
from ..shared.results import read

LABELS = {
    "ours": "this code",
    "base": "one program for all",
    "r": "R mixsqp",
    "cpp": "mixsqpx 0.1.4 (C++)",
    "rust": "mixsqpx 0.2.3a1 (Rust)",
}

Turn = list[dict[str, Any]]


def collect(turns: list[Turn]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Runs by case and by who ran."""
    out: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for turn in turns:
        for run in turn:
            out.setdefault(run["case"], {}).setdefault(run["who"], []).append(run)
    return out


def median(runs: list[dict[str, Any]], name: str) -> float | None:
    """Median over processes of a time, which may be a median itself."""
    found = [run[name] for run in runs if run.get(name)]
    return statistics.median(found) if found else None


def cell(value: float | None) -> str:
    """A time, if there is one."""
    return "" if value is None else seconds(value)


def worst_gap(runs: list[dict[str, Any]]) -> str:
    """The largest gap of all runs."""
    gaps = [float(run["gap"]) for run in runs if "gap" in run]
    return gap_text(max(gaps)) if gaps else ""


def times_section(title: str, text: str, turns: list[Turn], names: dict[str, str]) -> list[str]:
    """A table with a row for each case and solver, times beside those of this code."""
    rows = []
    for case, by_who in collect(turns).items():
        ours = median(by_who["ours"], "first")
        for who, runs in by_who.items():
            first = median(runs, "first")
            ratio = "" if who == "ours" or not first or not ours else f"{first / ours:.2f}"
            more = [cell(median(runs, name)) for name in names]
            label = f"{case}, {LABELS[who]}"
            errors = [run["error"] for run in runs if "error" in run]
            shown = errors[0] if errors and first is None else cell(first)
            rows.append([label, shown, ratio, *more, worst_gap(runs)])
    head = ["", "first answer", "of ours", *names.values(), "worst gap"]
    return [f"## {title}", "", text, "", *table(head, rows), ""]


def page(results: Path, before: str) -> str:
    """The whole page."""
    del before
    found = read(results / "first_answer.json")
    parts = found["parts"]
    repeats = max(len(turns) for turns in parts.values())
    lines = [
        "# Benchmark of first answers",
        "",
        f"{run_text(found)} Medians of {repeats} processes each, which take their turns. The clock "
        "starts before the solver is imported; JAX is by then, and the data are read.",
        "",
        *commands("peers ENVS", "first_answer --envs ENVS", "render first_answer"),
        f"“{LABELS['base']}” is this code at commit {found['base']}, which compiled one program "
        "for each shape, with all that a problem of it might need.",
        "",
    ]
    sections = {
        "solve": (
            "One problem",
            "The scale mixture of normals, by `mixsolve`. Warm: later calls of the process.",
            {"warm": "warm"},
        ),
        "shapes": (
            "Many problems of as many shapes",
            "300 to 3 000 units and 20 to 100 components at random, four families in turn, one "
            "process, compilation included.",
            {},
        ),
        "estimate": (
            "A model",
            "The factor model with three outcomes, 2 000 × 75, by `spmlex.fit`, or by jaxopt's "
            "BFGS over another solver; then another model on the same data, and the first "
            "bootstrap of 500 replications.",
            {"second_model": "second model", "bootstrap": "bootstrap"},
        ),
        "kept": (
            "With compiled programs kept",
            "The same in a second process, with the directory of JAX's persistent cache that the "
            "first one has filled.",
            {"second_model": "second model"},
        ),
        "busy": (
            "Beside other work",
            "Later calls in quiet, and while two other processes keep the cores busy.",
            {"warm": "quiet", "busy": "busy"},
        ),
        "batch": (
            "`vmap` over small problems",
            "60 problems of one shape, both ways warm.",
            {"vmap": "`vmap`", "loop": "loop"},
        ),
    }
    for part, (title, text, names) in sections.items():
        if parts.get(part):
            lines += times_section(title, text, parts[part], names)
    return "\n".join(lines).rstrip() + "\n"
