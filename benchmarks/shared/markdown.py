"""What the pages are made of: tables, numbers, and a first line that says what ran where."""

from __future__ import annotations

from typing import Any


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A table in Markdown: the first column to the left, the others to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]


def seconds(value: float) -> str:
    """A time with three digits that count."""
    if value >= 100.0:
        return f"{value:.0f} s"
    if value >= 1.0:
        return f"{value:.3g} s"
    return f"{value * 1e3:.3g} ms"


def gap_text(gap: float) -> str:
    """A gap with one digit; rounding below zero counts as zero."""
    return "∞" if gap == float("inf") else f"{max(gap, 0.0):.0e}"


def thousands(number: int) -> str:
    """With a space."""
    return f"{number:,}".replace(",", " ")


def size_text(problem: dict[str, Any]) -> str:
    """Rows and columns of a problem."""
    text = f"{thousands(problem['n'])} × {thousands(problem['m'])}"
    return text.replace(" ", "\N{NO-BREAK SPACE}")  # a size stays on one line


def commit_text(results: dict[str, Any]) -> str:
    """The commit of a run, or that it is no one run."""
    commits = [results["machine"]["commit"], *results.get("other_commits", [])]
    known = [f"`{commit}`" for commit in commits if commit is not None]
    if len(commits) == 1:
        return f"commit {known[0]}" if known else "at a commit that was not recorded"
    others = ["others that were not recorded"] if len(known) < len(commits) else []
    *first, last = [*known, *others]
    return f"**not one run**, but rows of commits {', '.join(first)} and {last}"


def run_text(results: dict[str, Any]) -> str:
    """When and where a run was made, and of what."""
    machine = results["machine"]
    return (
        f"Run on {results['date']}: {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}, "
        f"JAX {machine['versions']['jax']}, {commit_text(results)}."
    )


def commands(*lines: str) -> list[str]:
    """How to make a page: what is run with `python -m benchmarks`."""
    return [
        "The commands, from the root of the repository:",
        "",
        "```bash",
        *(f"python -m benchmarks {line}" for line in lines),
        "```",
        "",
    ]
