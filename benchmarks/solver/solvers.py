"""The solvers of the comparison: what each is, how its worker is started, where it is not tried."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from ..peers.environments import WORKERS, clean_variables, python_of


@dataclass(frozen=True)
class Job:
    """One problem as files, and the limits of a run.

    Attributes
    ----------
    npy, raw
        The matrix as .npy, and column by column without a header for R.
    record
        Where the worker writes.
    n, m
        Shape of the matrix.
    repeats
        Warm solves.
    budget
        Seconds: for one solve, and for all warm ones together.
    em_steps
        Step limit of EM.
    """

    npy: Path
    raw: Path
    record: Path
    n: int
    m: int
    repeats: int
    budget: float
    em_steps: int


@dataclass(frozen=True)
class Solver:
    """A solver of the comparison.

    Attributes
    ----------
    name, label
        Key on the command line and in the results; name in tables.
    environment
        Name of the peer's environment; None for this interpreter.
    script
        Worker program in `peers`.
    options
        Further arguments of the worker.
    max_entries
        Largest n * m it is tried on.
    default
        Whether it runs when no solver is asked for.
    """

    name: str
    label: str
    environment: str | None
    script: str
    options: tuple[str, ...] = ()
    max_entries: int = 200_000_000
    default: bool = True

    @property
    def is_r(self) -> bool:
        """Whether the worker is an R program."""
        return self.script.endswith(".R")

    def missing(self, envs: Path | None) -> str | None:
        """Reason why the solver cannot run here, or None."""
        if self.is_r:
            return None if shutil.which("Rscript") else "no Rscript on PATH"
        if self.environment is None:
            return None
        if envs is None or not python_of(envs / self.environment).exists():
            return f"no environment {self.environment!r}: run `python -m benchmarks peers`"
        return None

    def command(self, envs: Path | None, job: Job) -> list[str]:
        """Command line of the worker."""
        script = str(WORKERS / self.script)
        if self.is_r:
            numbers = [str(job.n), str(job.m), str(job.repeats), str(job.budget)]
            return ["Rscript", script, str(job.raw), str(job.record), *numbers, *self.options]
        python = sys.executable
        if self.environment is not None and envs is not None:
            python = str(python_of(envs / self.environment))
        limits = ["--repeats", str(job.repeats), "--budget", str(job.budget)]
        steps = ["--max-steps", str(job.em_steps)] if self.name == "em" else []
        return [python, script, str(job.npy), str(job.record), *limits, *steps, *self.options]

    def variables(self) -> dict[str, str]:
        """Environment variables of the worker."""
        if self.environment is None:
            kept = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
            return kept | {"JAX_ENABLE_X64": "1"}
        return clean_variables() | {"PYTHONNOUSERSITE": "1", "JAX_ENABLE_X64": "1"}


_FULL = ("--full-matrix",)

SOLVERS: dict[str, Solver] = {
    s.name: s
    for s in (
        Solver("ours", "mixsqpx (this one)", None, "run_ours.py"),
        Solver("r", "R mixsqp", "r", "run_r.R"),
        Solver("cpp", "mixsqpx 0.1.4 (C++)", "cpp", "run_cpp.py"),
        Solver("rust", "mixsqpx 0.2.3a1 (Rust)", "rust", "run_rust.py"),
        Solver("em", "EM (this one)", None, "run_ours.py", ("--solver", "em"), 2_000_000),
        Solver("clarabel", "Clarabel", "convex", "run_convex.py", max_entries=2_000_000),
        # The same without their low-rank approximation of the matrix.
        Solver("r_full", "R mixsqp, full matrix", "r", "run_r.R", ("full",), default=False),
        Solver("cpp_full", "C++, full matrix", "cpp", "run_cpp.py", _FULL, default=False),
        Solver("rust_full", "Rust, full matrix", "rust", "run_rust.py", _FULL, default=False),
    )
}

REFERENCE = Solver("reference", "unit costs", None, "run_reference.py")
"""No solver: the costs of one pass of exp and of one gradient in JAX."""
