"""What the worker programs share: arguments, clock, memory, and the record they write.

A worker is one process that solves one problem with one solver. It prints `#solve` before and
`#done` after each solve, so that its parent can stop a solve that takes too long, and rewrites its
record after each solve, so that nothing is lost when that happens.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SETTLE_SECONDS = 0.5
MOST_REPEATS = 50
"""Short solves are repeated until they took half a second together, at most 50 times."""


class Outcome(NamedTuple):
    """What one solve returned.

    Attributes
    ----------
    probs
        The solution, shape (m,), as the solver returned it.
    iterations
        Iterations, where the solver tells them.
    status
        What the solver says about its own success.
    """

    probs: NDArray[np.float64]
    iterations: int | None
    status: str


class Peer(NamedTuple):
    """A solver as the workers see it.

    Attributes
    ----------
    name, version
        For the record.
    prepare
        From the numpy matrix to what the solver takes; not timed.
    solve
        The timed call. It must not return before the result is there.
    outcome
        From the result of `solve` to an `Outcome`; not timed.
    """

    name: str
    version: str
    prepare: Callable[[NDArray[np.float64]], Any]
    solve: Callable[[Any], Any]
    outcome: Callable[[Any], Outcome]


def parser() -> argparse.ArgumentParser:
    """Arguments that every worker takes."""
    out = argparse.ArgumentParser()
    out.add_argument("log_lik", type=Path, help=".npy file, float64, shape (n, m)")
    out.add_argument("record", type=Path, help="JSON file to write; .npy: solutions, (calls, m)")
    out.add_argument("--repeats", type=int, default=5, help="warm solves, at least")
    out.add_argument("--budget", type=float, default=120.0, help="seconds for all warm solves")
    return out


def _memory_mb(field: str) -> float | None:
    """A field of /proc/self/status in MiB: VmRSS is the present size, VmHWM the peak."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024.0
    return None


def _peak_mb() -> float | None:
    """Peak resident memory of this process in MiB.

    VmHWM where there is one: the peak that getrusage reports begins with the parent's on Linux.
    """
    peak = _memory_mb("VmHWM")
    if peak is None and sys.platform != "win32":
        import resource

        unit = 2**20 if sys.platform == "darwin" else 2**10
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return peak


def _prefer_for_oom() -> None:
    """If memory runs out, let the system end this process and not another one."""
    _write_proc("oom_score_adj", "1000")


def _write_proc(name: str, value: str) -> None:
    with contextlib.suppress(OSError):  # not Linux, or not allowed
        Path("/proc/self", name).write_text(value)


def _announce(event: str) -> None:
    print(f"#{event}", flush=True)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that `call` takes, and what it returns."""
    start = time.perf_counter()
    value = call()
    return time.perf_counter() - start, value


def _goes_on(record: dict[str, Any], args: argparse.Namespace, last: float) -> bool:
    """Whether there is to be another solve, after one that took `last` seconds.

    At least one warm solve; then no more than the budget allows; then more than were asked for
    where they are so short that more make a better median.
    """
    done, spent = len(record["times_warm"]), sum(record["times_warm"])
    if record["times_first"] is None or done == 0:
        return True
    if spent + last > args.budget:
        return False
    return done < args.repeats or (spent < SETTLE_SECONDS and done < MOST_REPEATS)


def run(peer: Peer, args: argparse.Namespace) -> None:
    """First solve, warm solves, record.

    Parameters
    ----------
    peer
        The solver.
    args
        Arguments from `parser`.
    """
    _prefer_for_oom()
    data = peer.prepare(np.load(args.log_lik))
    _write_proc("clear_refs", "5")  # the peak starts again from here
    record: dict[str, Any] = {
        "solver": peer.name,
        "version": peer.version,
        "times_first": None,
        "times_warm": [],
        "baseline_rss_mb": _memory_mb("VmRSS"),
    }
    last = 0.0
    solutions: list[NDArray[np.float64]] = []
    while _goes_on(record, args, last):
        _announce("solve")
        last, result = timed(lambda: peer.solve(data))
        _announce("done")
        outcome = peer.outcome(result)
        if record["times_first"] is None:
            record["times_first"] = last
        else:
            record["times_warm"].append(last)
        record["iterations"] = outcome.iterations
        record["status"] = outcome.status
        record["peak_rss_mb"] = _peak_mb()
        solutions.append(np.asarray(outcome.probs, dtype=np.float64))
        np.save(args.record.with_suffix(".npy"), np.stack(solutions))
        write_json(args.record, record)


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a record in one step, so that a reader never sees half of it."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record))
    part.replace(path)
