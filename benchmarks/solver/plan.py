"""Which problems a run of `mixsolve` has, and which solvers sit one out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..shared.families import FAMILIES
from .solvers import Solver

Size = tuple[int, int]

SIZES: tuple[Size, ...] = (
    (2_000, 75),
    (5_000, 100),
    (20_000, 100),
    (2_000, 2_000),
    (20_000, 400),
    (100_000, 100),
    (100_000, 200),
    (1_000_000, 100),
)
"""Sizes of every family, by number of entries."""

MORE_SIZES: dict[str, tuple[Size, ...]] = {
    "gamma": ((1_000, 200),),
    "narrow_kernels": ((5_000, 300),),
}

QUICK = 2
"""How many of `SIZES` a quick run takes."""


def problems(
    families: list[str] | None, sizes: list[Size] | None, quick: bool
) -> list[tuple[str, Size]]:
    """Problems to run: by family, small to large.

    Parameters
    ----------
    families, sizes
        Those that were asked for; all of them where None.
    quick
        Whether two sizes are enough.
    """
    out = []
    for family in families or list(FAMILIES):
        common = SIZES[:QUICK] if quick else SIZES + MORE_SIZES.get(family, ())
        out += [(family, s) for s in sorted(sizes or common, key=lambda s: s[0] * s[1])]
    return out


def reasons(
    family: str, size: Size, solvers: list[Solver], done: list[dict[str, Any]], envs: Path | None
) -> dict[str, str]:
    """Solvers that are not run on a problem, and why.

    Parameters
    ----------
    family, size
        The problem.
    solvers
        Who takes part.
    done
        Problems that were run before: who ran out of time on one that is smaller in both directions
        is not tried again.
    envs
        Directory of the peers' environments.
    """
    out: dict[str, str] = {}
    smaller = [d for d in done if d["family"] == family and d["n"] <= size[0] and d["m"] <= size[1]]
    slow = {r["solver"] for d in smaller for r in d["runs"] if r["status"].startswith("timeout")}
    for solver in solvers:
        missing = solver.missing(envs)
        if missing is not None:
            out[solver.name] = f"absent: {missing}"
        elif size[0] * size[1] > solver.max_entries:
            out[solver.name] = "not tried: too large"
        elif solver.name in slow:
            out[solver.name] = "timeout on a smaller problem"
    return out
