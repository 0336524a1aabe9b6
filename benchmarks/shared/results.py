"""Files of results: a run writes a whole one, which says when, where and on which commit it ran."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import machine

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = ROOT / "docs"

WIDTH = 300
"""What is shorter is written on one line."""


def add_arguments(parser: argparse.ArgumentParser, name: str, *, resumable: bool = True) -> None:
    """The options of every benchmark that writes a file."""
    shown = f"benchmarks/results/{name}.json"
    text = f"file to write; by default {shown}, which only a run of everything may write"
    parser.add_argument("--output", type=Path, help=text)
    if resumable:
        text = "go on with the file of a run that was interrupted, on the same commit and machine"
        parser.add_argument("--resume", action="store_true", help=text)


class Results:
    """What one run has found so far.

    Attributes
    ----------
    content
        Of the file: `date` and `machine`, with the commit, and what the benchmark adds.
    """

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self.path, self.content = path, content

    @classmethod
    def begin(
        cls, parser: argparse.ArgumentParser, args: argparse.Namespace, name: str, *, part: bool
    ) -> Results:
        """Start a file, or go on with one.

        Parameters
        ----------
        parser, args
            The command line, with the options of `add_arguments`.
        name
            Of the file, where none is given.
        part
            Whether the run leaves out some of what its page shows.
        """
        if part and args.output is None:
            parser.error("this is a part of the benchmark: say with --output where it goes")
        path = args.output or RESULTS / f"{name}.json"
        date = datetime.now(UTC).strftime("%Y-%m-%d")
        content: dict[str, Any] = {"date": date, "machine": machine.describe()}
        if getattr(args, "resume", False) and path.exists():
            before = read(path)
            if reason := _differ(before["machine"], content["machine"]):
                parser.error(f"{path} cannot be gone on with: {reason}")
            content = before
        return cls(path, content)

    def save(self) -> None:
        """Write the file, with a note if another commit was checked out in the meantime."""
        now, others = machine.commit(), self.content.get("other_commits", [])
        if now not in (self.content["machine"]["commit"], *others):
            self.content["other_commits"] = [*others, now]
        self.path.write_text(as_text(self.content) + "\n", encoding="utf-8")


def _differ(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """Why two runs are not one, or None."""
    commit = before["commit"]
    if commit is None or commit != now["commit"]:
        return f"it is of commit {commit}, and checked out is {now['commit']}"
    if commit.endswith(machine.DIRTY):
        return "the code was changed since its commit"
    names = [k for k in now if k != "load_average" and before.get(k) != now[k]]
    return f"other {', '.join(names)}" if names else None


def read(path: Path) -> dict[str, Any]:
    """The content of a file."""
    return json.loads(path.read_text(encoding="utf-8"))


def as_text(value: Any, indent: int = 0) -> str:
    """JSON with a row a line, where it fits."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) <= WIDTH or not isinstance(value, dict | list):
        return flat
    if isinstance(value, dict):
        parts = [f"{json.dumps(k)}: {as_text(v, indent + 1)}" for k, v in value.items()]
    else:
        parts = [as_text(v, indent + 1) for v in value]
    inner = ",\n".join(" " * (indent + 1) + part for part in parts)
    return f"{flat[0]}\n{inner}\n{' ' * indent}{flat[-1]}"


def rounded(value: float) -> float:
    """To the six digits that a file keeps of a measurement."""
    return float(f"{value:.6g}")
