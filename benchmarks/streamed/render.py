"""The page of the benchmark of matrices larger than memory, from `streamed.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..shared.markdown import commands, gap_text, run_text, seconds, size_text, table
from ..shared.results import read

EXTRAPOLATED = {"n": 40_000_000, "m": 111}
"""Of a size that users of mashr have asked about (its issue 69)."""


def memory(num_bytes: float) -> str:
    """In GB."""
    return f"{num_bytes / 1e9:.2f} GB"


def row(found: dict[str, Any]) -> list[str]:
    """What one size took."""
    once, solved = found["runs"]["read"], found["runs"]["solve"]
    passes = solved["passes"]
    return [
        size_text(found),
        memory(found["file_bytes"]),
        seconds(once["seconds"]),
        seconds(solved["seconds"]),
        str(passes),
        f"{solved['seconds'] / (passes * once['seconds']):.2f}",
        f"{solved['processor_seconds'] / (passes * once['processor_seconds']):.2f}",
        memory(solved["peak_bytes"]),
        gap_text(solved["gap"]),
        str(solved["active"]),
    ]


def page(results: Path, before: str) -> str:
    """The whole page."""
    del before
    found = read(results / "streamed.json")
    head = ["", "file", "read once", "solve", "passes", "a pass", "its processor time"]
    head += ["peak memory", "gap", "active"]
    largest = max(found["sizes"], key=lambda size: size["n"] * size["m"])
    entries = {name: size["n"] * size["m"] for name, size in (("this", largest),)}
    share = EXTRAPOLATED["n"] * EXTRAPOLATED["m"] / entries["this"]
    loads = [run["load"] for size in found["sizes"] for run in size["runs"].values()]
    lines = [
        "# Benchmark of matrices larger than memory",
        "",
        f"{run_text(found)} Load average of the machine when runs ended: {min(loads):.1f} to "
        f"{max(loads):.1f}.",
        "",
        *commands("streamed", "render streamed"),
        "Normal scale mixtures: effects with standard errors, under prior scales from zero to "
        "twenty, the log densities in float32 in a file. `mixsolve_blocks` on a memory map of it, "
        f"to a gap of {found['gap_tol']:.0e} in double precision, in a process of its own, "
        "compilation included and imports not; the pages of the file may be in the system's cache. "
        "“Read once” reads the file and takes the exponentials, in double precision and in a "
        "process of its own. “A pass” is the time of a solve divided by its passes, in units of "
        "that; of the first pass a memory map reads the sample alone.",
        "",
        *table(head, [row(size) for size in found["sizes"]]),
        "",
        "Memory does not grow with the number of rows, without weights: JAX and its programs, a "
        "few blocks and the sample. With weights it is 16 bytes more for each row.",
        "",
        f"The {size_text(EXTRAPOLATED)} of mashr's issue 69 would take "
        f"{seconds(share * largest['runs']['solve']['seconds'])} at the rate of "
        f"{size_text(largest)}, extrapolated and not run.",
    ]
    return "\n".join(lines).rstrip() + "\n"
