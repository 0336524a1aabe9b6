"""The table of the page on reliability, from `second_opinion.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..shared.markdown import commit_text, table
from ..shared.results import read

MARKS = ("<!-- second opinion -->\n", "<!-- end of second opinion -->\n")


def cells(name: str, groups: list[dict[str, Any]]) -> list[str]:
    """The row of some problems."""
    keys = ("gap", "gap_clarabel", "above_clarabel", "below_clarabel")
    return [
        name,
        str(sum(group["problems"] for group in groups)),
        *(f"{max(group[key] for group in groups):.1e}" for key in keys),
        str(sum(group["claims_broken"] for group in groups)),
    ]


def page(results: Path, before: str) -> str:
    """The page, with another table between the marks."""
    found = read(results / "second_opinion.json")
    groups = found["groups"]
    by: dict[str, list[dict[str, Any]]] = {group["family"]: [] for group in groups}
    by |= {f"{group['n']} × {group['m']}": [] for group in groups}
    for group in groups:
        by[group["family"]].append(group)
        by[f"{group['n']} × {group['m']}"].append(group)
    head = ["problems", "number", "worst gap of ours", "worst gap of Clarabel"]
    head += ["ours above Clarabel, at most", "Clarabel above ours, at most", "claims broken"]
    rows = [cells(name, part) for name, part in (by | {"**all**": groups}).items()]
    versions = found["machine"]["versions"]
    told = [f"{name} {versions[name]}" for name in ("mixsqpx", "jax", "numpy")]
    told += [f"clarabel {found['clarabel']}", commit_text(found)]
    text = f"Run on {found['date']} with {', '.join(told)}."
    top, rest = before.split(MARKS[0])
    _, bottom = rest.split(MARKS[1])
    body = "\n".join(["", *table(head, rows), "", text, "", ""])
    return top + MARKS[0] + body + MARKS[1] + bottom
