"""The environments of the peers: `python -m benchmarks peers DIR` makes them.

DIR gets one Python 3.12 environment per peer: `cpp` and `rust` for the two releases of another
project named `mixsqpx`, `convex` for Clarabel through cvxpy. R is looked for, not installed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

PYTHON = "3.12"
"""The one version that all of the peers' releases run on."""

ENVIRONMENTS: dict[str, tuple[list[str], str]] = {
    "cpp": (["mixsqpx==0.1.4", "jaxopt==0.8.5", "jax==0.6.0", "jaxlib==0.6.0"], "mixsqpx, jaxopt"),
    "rust": (
        ["mixsqpx==0.2.3a1", "jaxopt==0.8.5", "jax==0.9.2", "jaxlib==0.9.2"],
        "mixsqpx, jaxopt",
    ),
    "convex": (["cvxpy-base>=1.6", "clarabel>=0.10"], "cvxpy, clarabel"),
}
"""Name of the environment: what is installed, and what must import."""

R_CHECK = (
    'cat(as.character(packageVersion("mixsqp")), R.version.string, sessionInfo()$BLAS, sep = "; ")'
)
R_ADVICE = (
    "install R and its package mixsqp, with a fast BLAS. Debian, Ubuntu: `apt-get install "
    "r-cran-mixsqp libopenblas0-pthread`; elsewhere `install.packages('mixsqp')` in R."
)


WORKERS = Path(__file__).resolve().parent
"""Where the worker programs are."""

HIDDEN = ("PYTHONPATH", "PYTHONHOME", "JAX_COMPILATION_CACHE_DIR")
"""Environment variables kept from the peers.

Ours and theirs are packages of the same name, so PYTHONPATH may not lead one to the other.
"""


def clean_variables() -> dict[str, str]:
    """The environment variables of a peer's process."""
    return {k: v for k, v in os.environ.items() if k not in HIDDEN}


def python_of(environment: Path) -> Path:
    """Interpreter of a virtual environment."""
    windows = environment / "Scripts" / "python.exe"
    return windows if os.name == "nt" else environment / "bin" / "python"


def _is_wanted(candidate: Path | str) -> bool:
    """Whether a command is a Python of the wanted version: shims on PATH may be empty."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        shown = subprocess.run(
            [str(candidate), "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
    except OSError:
        return False
    return shown.returncode == 0 and shown.stdout.strip() == PYTHON


def find_python() -> Path:
    """The interpreter to make environments with: this one, one on PATH, or one of pyenv's.

    Raises
    ------
    SystemExit
        If there is none.
    """
    candidates: list[Path | str] = [sys.executable]
    on_path = shutil.which(f"python{PYTHON}")
    if on_path is not None:
        candidates.append(on_path)
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates += sorted(root.glob(f"versions/{PYTHON}*/bin/python{PYTHON}"), reverse=True)
    for candidate in candidates:
        if _is_wanted(candidate):
            return Path(candidate)
    raise SystemExit(f"no Python {PYTHON} found, on PATH or in pyenv: install one")


def make_environment(directory: Path, name: str, base: Path) -> bool:
    """Make and check one environment; one that works already is left as it is.

    Parameters
    ----------
    directory
        Where the environments go.
    name
        Key of `ENVIRONMENTS`.
    base
        Python to make it with.

    Returns
    -------
    works
        Whether the peer can be imported.
    """
    requirements, modules = ENVIRONMENTS[name]
    environment = directory / name
    python = python_of(environment)
    clean = clean_variables()
    check = [str(python), "-c", f"import {modules}"]
    if python.exists() and subprocess.run(check, env=clean, capture_output=True).returncode == 0:
        print(f"{name}: there already")
        return True
    commands = [
        [str(base), "-m", "venv", "--clear", str(environment)],
        [str(python), "-m", "pip", "install", "--quiet", *requirements],
        check,
    ]
    for command in commands:
        if subprocess.run(command, env=clean).returncode != 0:
            print(f"{name}: failed at {' '.join(command[1:4])}; the benchmark will do without it")
            return False
    print(f"{name}: made, with {', '.join(requirements)}")
    return True


def check_r() -> bool:
    """Report on R and its package; nothing is installed."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        print(f"R: no Rscript on PATH; {R_ADVICE}")
        return False
    shown = subprocess.run([rscript, "-e", R_CHECK], capture_output=True, text=True, check=False)
    if shown.returncode != 0:
        print(f"R: the package mixsqp is absent; {R_ADVICE}")
        return False
    package, release, blas = [*shown.stdout.split("; "), "", ""][:3]
    fast = [name for name in ("openblas", "mkl", "blis", "Accelerate") if name in blas]
    print(f"R: mixsqp {package}, {release}, BLAS {fast[0] if fast else Path(blas).name}")
    if not fast:
        print("R: its BLAS looks like the reference one, which is slow; on Debian and Ubuntu")
        print("   `apt-get install libopenblas0-pthread` replaces it.")
    return True


def main(arguments: list[str]) -> int:
    """Make all environments; the exit status is 0 if every peer is ready."""
    parser = argparse.ArgumentParser("python -m benchmarks peers", description=__doc__)
    parser.add_argument("directory", type=Path, help="where the environments go")
    directory = parser.parse_args(arguments).directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    base = find_python()
    ready = [make_environment(directory, name, base) for name in ENVIRONMENTS]
    ready.append(check_r())
    return 0 if all(ready) else 1
