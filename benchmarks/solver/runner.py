"""Starts one worker, keeps its time, and reads what it left behind."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .solvers import Job, Solver

LOAD_SECONDS = 600.0
"""Time a worker may spend between two solves, and before the first: on reading and converting."""


def _stop(process: subprocess.Popen[str]) -> None:
    """End a worker and what it started."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _wait(process: subprocess.Popen[str], budget: float) -> bool:
    """Follow a worker's announcements until it ends.

    Parameters
    ----------
    process
        A worker, its standard output a pipe.
    budget
        Seconds for one solve.

    Returns
    -------
    in_time
        False if the worker was ended because a solve took longer than `budget`.
    """
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read(stream: IO[str]) -> None:
        with stream:
            for line in stream:
                lines.put(line.strip())
        lines.put(None)

    assert process.stdout is not None
    threading.Thread(target=read, args=(process.stdout,), daemon=True).start()
    limit = LOAD_SECONDS
    while True:
        try:
            line = lines.get(timeout=limit)
        except queue.Empty:
            _stop(process)
            return False
        if line is None:
            process.wait()
            return True
        if line == "#solve":
            limit = budget
        elif line == "#done":
            limit = LOAD_SECONDS


def _clear(record: Path) -> None:
    for suffix in (".json", ".npy", ".bin"):
        record.with_suffix(suffix).unlink(missing_ok=True)


def run_worker(solver: Solver, envs: Path | None, job: Job) -> dict[str, Any]:
    """Run a worker to its end.

    Parameters
    ----------
    solver
        Whose worker.
    envs
        Directory of the peers' environments.
    job
        The problem and the limits.

    Returns
    -------
    record
        The worker's own record, as far as it got. Where it did not finish the first solve `status`
        is "timeout", "killed" (most likely for memory) or "error". `message` has the last line of
        its standard error, if that tells why; `cut` is true if a later solve ran out of time.
    """
    _clear(job.record)
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        process = subprocess.Popen(
            solver.command(envs, job),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
            env=solver.variables(),
            start_new_session=os.name == "posix",
        )
        try:
            in_time = _wait(process, job.budget)
        finally:
            if process.poll() is None:
                _stop(process)
        errors.seek(0)
        said = [line.strip() for line in errors if line.strip()]
    record: dict[str, Any] = {"solver": solver.name}
    if job.record.exists():
        record |= json.loads(job.record.read_text()) | {"solver": solver.name}
    if not in_time:
        record["cut"] = True
    if "times_first" not in record and "exp_pass" not in record:
        record["status"] = "timeout" if not in_time else "error"
        if in_time and process.returncode < 0:
            record["status"] = "killed"
    if said and (process.returncode != 0 or "WARNING" in said[-1]):
        record["message"] = said[-1][:200]
    return record


def read_solutions(solver: Solver, job: Job) -> NDArray[np.float64]:
    """Solutions of all calls of the last worker, shape (calls, m); no rows if there are none."""
    path = job.record.with_suffix(".bin" if solver.is_r else ".npy")
    if not path.exists():
        return np.empty((0, job.m))
    if solver.is_r:
        return np.fromfile(path).reshape(-1, job.m)
    return np.asarray(np.load(path)).reshape(-1, job.m)
