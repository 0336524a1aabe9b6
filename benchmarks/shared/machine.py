"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("mixsqpx", "jax", "jaxlib", "equinox", "lineax", "numpy")

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "MKL_NUM_THREADS",
    "XLA_FLAGS",
)
"""Environment variables that change how fast things run."""


DIRTY = "-dirty"
"""What follows the commit where code was changed since."""


def _from_proc(path: str, field: str) -> str | None:
    """First value of a field of a file in /proc, on Linux."""
    try:
        for line in Path(path).read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == field:
                return value.strip()
    except OSError:
        pass
    return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def load_average() -> float | None:
    """Load of the last minute, which tells whether the machine had other work."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def commit() -> str | None:
    """The commit that is checked out, marked if code was changed since; None outside of git."""
    git = ["git", "-C", str(Path(__file__).resolve().parents[2])]
    # Not what a run itself writes.
    code = ["packages", "benchmarks", "docs/examples", ":(exclude)benchmarks/results"]
    shown = []
    for command in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--", *code]):
        try:
            done = subprocess.run([*git, *command], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        shown.append(done.stdout.strip())
    head, changed = shown
    return head + DIRTY if changed else head


def describe() -> dict[str, Any]:
    """CPU, cores, memory, system, versions and commit, ready for JSON."""
    memory = _from_proc("/proc/meminfo", "MemTotal")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _from_proc("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": usable,
        "memory_gib": round(int(memory.split()[0]) / 2**20, 1) if memory else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in PACKAGES},
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "commit": commit(),
        "load_average": load_average(),
    }
