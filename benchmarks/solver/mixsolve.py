"""Time and accuracy of `mixsolve` beside its peers: `python -m benchmarks mixsolve`.

Every solver runs in a process of its own, one after the other, never two at a time; with --rounds
all of them take their turn again. The gap of each solution is computed by one function, in float64,
on the original matrix, and the worst of all calls counts.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..shared.families import FAMILIES
from ..shared.gap import WRONG, optimality_gap
from ..shared.results import Results, add_arguments, rounded
from .plan import Size, problems, reasons
from .runner import read_solutions, run_worker
from .solvers import REFERENCE, SOLVERS, Job, Solver

SETTINGS = ("repeats", "rounds", "budget", "em_steps", "seed")

UNIT_COSTS = ("exp_pass", "gradient", "gradient_by_component")

NO_COMPLAINT = ("converged", "not reported")
"""What a solver says that does not admit a failure."""


def verdict(record: dict[str, Any]) -> str:
    """One word on a run: ok, wrong (and not admitted), failed (and admitted), or its status.

    Parameters
    ----------
    record
        A run with `status` and, if there was a solution, `gap`.
    """
    if record.get("gap") is None:
        return str(record["status"])
    if record["gap"] <= WRONG:
        return "ok"
    return "wrong" if record["status"] in NO_COMPLAINT else "failed"


def _write_raw(log_lik: NDArray[np.float64], path: Path) -> None:
    """The matrix column by column, a few columns at a time to keep the copy small."""
    with path.open("wb") as file:
        for start in range(0, log_lik.shape[1], 16):
            np.ascontiguousarray(log_lik[:, start : start + 16].T).tofile(file)


def _json(x: float) -> float | str:
    """A number that JSON can hold."""
    return rounded(x) if np.isfinite(x) else "inf"


def _gaps(log_lik: NDArray[np.float64], solutions: NDArray[np.float64]) -> list[float]:
    """The gap of every call; a solution that was returned before is not measured again."""
    known: dict[bytes, float] = {}
    for p in solutions:
        if p.tobytes() not in known:
            known[p.tobytes()] = optimality_gap(log_lik, p)
    return [known[p.tobytes()] for p in solutions]


def merge(records: list[dict[str, Any]]) -> dict[str, Any]:
    """What a page says of the rounds of a solver: medians of the times, the worst of the rest.

    Parameters
    ----------
    records
        One record a round, with `gaps` added, the gap of every call.

    Returns
    -------
    run
        `first` and `warm_median` in seconds, `gap`, the worst, how many of the `calls` are `wrong`,
        and `memory_mb`, the peak above what the process held before; none of them where no round
        has a solution.
    """
    solved = [r for r in records if r.get("times_first") is not None]
    last = solved[-1] if solved else records[-1]
    out = {k: last[k] for k in ("solver", "version", "status", "message") if k in last}
    if not solved:
        return out
    out["first"] = rounded(statistics.median(r["times_first"] for r in solved))
    if warm := [t for r in solved for t in r["times_warm"]]:
        out["warm_median"] = rounded(statistics.median(warm))
    gaps = [g for r in solved for g in r["gaps"]]
    out |= {"gap": max(gaps), "calls": len(gaps), "wrong": sum(g > WRONG for g in gaps)}
    peak, before = max(r["peak_rss_mb"] or 0.0 for r in solved), last["baseline_rss_mb"]
    if peak and before is not None:
        out["memory_mb"] = rounded(max(peak - before, 0.0))
    return out


def run_problem(
    family: str,
    size: Size,
    solvers: list[Solver],
    skipped: dict[str, str],
    args: argparse.Namespace,
    scratch: Path,
) -> dict[str, Any]:
    """All solvers on one problem.

    Parameters
    ----------
    family, size
        The problem.
    solvers
        Who takes part.
    skipped
        Those of them that are not run, and why.
    args
        The command line.
    scratch
        Directory for the matrix and the records.

    Returns
    -------
    problem
        Its unit costs and one record per solver.
    """
    n, m = size
    job = Job(
        npy=scratch / "log_lik.npy",
        raw=scratch / "log_lik.bin",
        record=scratch / "record.json",
        n=n,
        m=m,
        repeats=args.repeats,
        budget=args.budget,
        em_steps=args.em_steps,
    )
    matrix = FAMILIES[family](n, m, args.seed)
    np.save(job.npy, matrix)
    if any(s.is_r and s.name not in skipped for s in solvers):
        _write_raw(matrix, job.raw)
    del matrix  # the workers need the memory
    log_lik = np.load(job.npy, mmap_mode="r")
    problem: dict[str, Any] = {"family": family, "n": n, "m": m}
    problem |= {name: getattr(args, name) for name in SETTINGS}
    costs = run_worker(REFERENCE, args.envs, job)
    problem["unit_costs"] = {name: rounded(costs[name]) for name in UNIT_COSTS if name in costs}
    rounds: dict[str, list[dict[str, Any]]] = {s.name: [] for s in solvers}
    for _ in range(args.rounds):
        for solver in solvers:
            if solver.name in skipped:
                reason = {"solver": solver.name, "status": skipped[solver.name]}
                rounds[solver.name] = rounds[solver.name] or [reason]
                continue
            record = run_worker(solver, args.envs, job)
            record["gaps"] = _gaps(log_lik, read_solutions(solver, job))
            rounds[solver.name].append(record)
            if record["status"] == "timeout":
                skipped[solver.name] = "timeout"
    runs = []
    for solver in solvers:
        run = merge(rounds[solver.name])
        run["verdict"] = verdict(run)
        if run.get("gap") is not None:
            run["gap"] = _json(run["gap"])
        runs.append(run)
        _report(family, size, run)
    problem["runs"] = runs
    del log_lik
    for path in scratch.iterdir():
        path.unlink()
    return problem


def _report(family: str, size: Size, run: dict[str, Any]) -> None:
    where = f"{family:16s}{size[0]:>8d} x {size[1]:<5d}{run['solver']:<11s}"
    if run.get("first") is None:
        print(f"{where}{run['status']}  {run.get('message', '')}", flush=True)
        return
    warm = f"{run['warm_median']:9.4f} s" if "warm_median" in run else "        - "
    gap = float(run["gap"])
    first = f"first {run['first']:8.3f} s"
    print(f"{where}{warm}  {first}  gap {gap:8.1e}  {run['verdict']}", flush=True)


def _size(text: str) -> Size:
    n, m = text.lower().split("x")
    return int(n), int(m)


def parse(arguments: list[str]) -> tuple[argparse.Namespace, Results]:
    """Command line, and the file that it asks for."""
    parser = argparse.ArgumentParser("python -m benchmarks mixsolve", description=__doc__)
    parser.add_argument("--envs", type=Path, help="directory made by `python -m benchmarks peers`")
    parser.add_argument("--quick", action="store_true", help="the two smallest sizes only")
    parser.add_argument("--family", action="append", choices=list(FAMILIES))
    parser.add_argument("--size", action="append", type=_size, metavar="NxM")
    parser.add_argument("--solver", action="append", choices=list(SOLVERS))
    parser.add_argument("--repeats", type=int, default=5, help="warm solves, at least")
    parser.add_argument("--rounds", type=int, default=1, help="turns of every solver")
    parser.add_argument("--budget", type=float, default=120.0, help="seconds a solve")
    parser.add_argument("--em-steps", type=int, default=1000, help="step limit of EM")
    parser.add_argument("--seed", type=int, default=0)
    add_arguments(parser, "mixsolve")
    args = parser.parse_args(arguments)
    part = bool(args.quick or args.family or args.size or args.solver or args.envs is None)
    return args, Results.begin(parser, args, "mixsolve", part=part)


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    args, results = parse(arguments)
    # Asked to end, end the worker as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    names = args.solver or [s.name for s in SOLVERS.values() if s.default]
    solvers = [SOLVERS[name] for name in names]
    results.content["labels"] = {s.name: s.label for s in solvers}
    found = results.content.setdefault("problems", [])
    done = {(p["family"], p["n"], p["m"]) for p in found}
    for family, size in problems(args.family, args.size, args.quick):
        if (family, *size) in done:
            continue
        skipped = reasons(family, size, solvers, found, args.envs)
        with tempfile.TemporaryDirectory() as scratch:
            found.append(run_problem(family, size, solvers, skipped, args, Path(scratch)))
        results.save()
