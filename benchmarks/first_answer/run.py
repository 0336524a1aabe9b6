"""Time until the first answer, beside peers and a commit: `python -m benchmarks first_answer`.

Every number is of a process of its own, which has imported JAX when the clock starts and nothing
else; R's clock starts before its package is loaded. All take their turns, and medians are reported.
The parts: `solve`, one problem; `shapes`, 200 problems of as many shapes; `estimate`, the factor
model, another model after it and 500 replications; `kept`, the same in a second process that finds
JAX's persistent cache; `busy`, beside two processes that do nothing but work; `batch`, `vmap`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..fit import models
from ..peers.environments import WORKERS, clean_variables, python_of
from ..shared.families import FAMILIES
from ..shared.gap import optimality_gap
from ..shared.results import ROOT, Results, add_arguments

BASE = "d1608b2"
"""The commit that `base` is, where one program held all that a problem might need."""

SIZES = ((2_000, 75), (20_000, 400), (100_000, 100))
SOLVERS = ("ours", "base", "r", "cpp", "rust")
NUM_SHAPES = 200
BUSY = (("normal_scale", 2_000, 75), ("gamma", 1_000, 200), ("narrow_kernels", 5_000, 300))
SPIN = "while True: pass"


@contextlib.contextmanager
def base_tree(commit: str) -> Iterator[Path]:
    """The repository at a commit, in a directory that is removed again."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "base"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", str(tree), commit], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


class Runner:
    """Starts workers, and says what they printed."""

    def __init__(self, envs: Path | None, base: Path) -> None:
        self.envs, self.trees = envs, {"ours": ROOT, "base": base}

    def has(self, who: str) -> bool:
        """Whether a solver can be run."""
        if who in ("cpp", "rust"):
            return self.envs is not None and python_of(self.envs / who).exists()
        return who != "r" or shutil.which("Rscript") is not None

    def __call__(self, task: str, who: str, data: Path, **variables: str) -> dict[str, Any]:
        """Run a task of `peers/run_first.py` in a new process."""
        kept = clean_variables()
        python = sys.executable
        if who in self.trees:
            packages = self.trees[who] / "packages"
            paths = [packages / "mixsqpx/src", packages / "spmlex/src", ROOT]
            kept["PYTHONPATH"] = os.pathsep.join(map(str, paths))
        elif self.envs is not None:
            python = str(python_of(self.envs / who))
        command = [python, str(WORKERS / "run_first.py"), task, who, str(data)]
        done = subprocess.run(
            command, env=kept | variables, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or [""])[-1]
            return {"error": f"exit status {done.returncode}: {last}"[:300]}
        return json.loads(done.stdout.strip().splitlines()[-1])

    def r(self, problems: list[np.ndarray], scratch: Path) -> dict[str, Any]:
        """R on some problems, in a new process."""
        (scratch / "sizes.csv").write_text(
            "".join(f"{x.shape[0]},{x.shape[1]}\n" for x in problems)
        )
        for i, x in enumerate(problems):
            np.asfortranarray(x).T.tofile(scratch / f"{i + 1}.bin")
        command = ["Rscript", str(WORKERS / "run_first.R"), str(scratch)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return {"error": done.stderr[-300:]}
        probs = np.fromfile(scratch / "probs.bin")
        ends = np.cumsum([x.shape[1] for x in problems])[:-1]
        split = [p.tolist() for p in np.split(probs, ends)]
        return json.loads(done.stdout) | {"probs": split if len(split) > 1 else split[0]}


def _medians(run: dict[str, Any]) -> dict[str, Any]:
    """The median of each time that was taken several times."""
    return {
        name: statistics.median(found) if isinstance(found, list) else found
        for name, found in run.items()
    }


def _with_gap(run: dict[str, Any], problems: list[np.ndarray]) -> dict[str, Any]:
    """The worst gap in place of the solutions."""
    if "probs" not in run:
        return run
    found = run.pop("probs")
    found = [found] if len(problems) == 1 else found
    gaps = [optimality_gap(x, np.asarray(p)) for x, p in zip(problems, found, strict=True)]
    return run | {"gap": max(gaps) if np.isfinite(max(gaps)) else "inf"}


def solve(run: Runner, turn: int, scratch: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """One problem, three sizes, every solver."""
    del turn
    for n, m in SIZES:
        matrix = FAMILIES["normal_scale"](n, m, 0)
        data = scratch / "solve.npz"
        np.savez(data, matrix)
        for who in filter(run.has, SOLVERS):
            found = run.r([matrix], scratch) if who == "r" else run("solve", who, data)
            yield f"{n} x {m}", who, _with_gap(found, [matrix])


def random_problems() -> list[np.ndarray]:
    """Problems of random shapes, of all families."""
    rng = np.random.default_rng(0)
    families = ["normal_scale", "normal_location", "binomial", "factor"]
    sizes = zip(rng.integers(300, 3001, NUM_SHAPES), rng.integers(20, 101, NUM_SHAPES), strict=True)
    return [
        FAMILIES[families[i % len(families)]](int(n), int(m), i) for i, (n, m) in enumerate(sizes)
    ]


def shapes(run: Runner, turn: int, scratch: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Many shapes in one process; the base once, as it takes minutes."""
    problems = random_problems()
    data = scratch / "shapes.npz"
    np.savez(data, *problems)
    for who in filter(run.has, ("ours", "r", "base") if turn == 0 else ("ours", "r")):
        found = run.r(problems, scratch) if who == "r" else run("shapes", who, data)
        yield f"{NUM_SHAPES} shapes", who, _with_gap(found, problems)


def _factor(scratch: Path) -> Path:
    """The factor model's data and start, in a file."""
    problem = models.factor(2_000, 75)
    path = scratch / "factor.npz"
    arrays = {"data": problem.data, "supp": problem.supp}
    arrays |= {"coef": problem.model.coef, "log_std": problem.model.log_std}
    np.savez(path, **{name: np.asarray(array) for name, array in arrays.items()})
    return path


def estimate(run: Runner, turn: int, scratch: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The factor model; the peers through jaxopt."""
    del turn
    data = _factor(scratch)
    for who in ("ours", "base"):
        yield "factor model", who, run("estimate", who, data, FIRST_BOOTSTRAP="1")
    for who in filter(run.has, ("cpp", "rust")):
        assert run.envs is not None
        record = scratch / "record.json"
        command = [str(python_of(run.envs / who)), str(WORKERS / "run_factor.py")]
        command += [str(data), str(record), "--peer", who, "--tol", "1e-5", "--repeats", "0"]
        subprocess.run(command, env=clean_variables(), capture_output=True, check=True)
        yield "factor model", who, {"first": json.loads(record.read_text())["cold"]}


def kept(run: Runner, turn: int, scratch: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A process that fills JAX's persistent cache, and one that finds it."""
    del turn
    variables = {
        "JAX_COMPILATION_CACHE_DIR": str(scratch / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    matrix = scratch / "solve.npz"
    np.savez(matrix, FAMILIES["normal_scale"](2_000, 75, 0))
    for task, data in (("solve", matrix), ("estimate", _factor(scratch))):
        run(task, "ours", data, **variables)
        found = run(task, "ours", data, **variables)
        found.pop("probs", None)
        yield task, "ours", found


def busy(run: Runner, turn: int, scratch: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Warm solves, in quiet and beside two processes that keep two cores busy."""
    del turn
    for family, n, m in BUSY:
        data = scratch / "busy.npz"
        np.savez(data, FAMILIES[family](n, m, 0))
        for who in ("ours", "base"):
            quiet = run("solve", who, data)
            others = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(2)]
            try:
                loaded = run("solve", who, data)
            finally:
                for process in others:
                    process.kill()
                    process.wait()
            found = {"first": quiet.get("first"), "warm": quiet.get("warm")}
            yield f"{family}, {n} x {m}", who, found | {"busy": loaded.get("warm")}


def batch(run: Runner, turn: int, scratch: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Sixty problems of 1 000 x 40."""
    del turn
    data = scratch / "batch.npz"
    np.savez(data, np.stack([FAMILIES["normal_scale"](1_000, 40, seed) for seed in range(60)]))
    for who in ("ours", "base"):
        yield "60 of 1 000 x 40", who, run("batch", who, data)


PARTS = {
    "solve": solve,
    "shapes": shapes,
    "estimate": estimate,
    "kept": kept,
    "busy": busy,
    "batch": batch,
}


def parse(arguments: list[str]) -> tuple[argparse.Namespace, Results]:
    """Command line, and the file that it asks for."""
    parser = argparse.ArgumentParser("python -m benchmarks first_answer", description=__doc__)
    parser.add_argument("--envs", type=Path, help="directory made by `python -m benchmarks peers`")
    parser.add_argument("--part", action="append", choices=list(PARTS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--base", default=BASE, help="the commit to compare with")
    add_arguments(parser, "first_answer")
    args = parser.parse_args(arguments)
    part = bool(args.part) or args.envs is None
    return args, Results.begin(parser, args, "first_answer", part=part)


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    args, results = parse(arguments)
    base = results.content.setdefault("base", args.base)
    parts = results.content.setdefault("parts", {})
    with base_tree(base) as tree:
        run = Runner(args.envs, tree)
        for part in args.part or PARTS:
            turns = parts.setdefault(part, [])
            while len(turns) < args.repeats:
                turn = []
                with tempfile.TemporaryDirectory() as scratch:
                    for case, who, found in PARTS[part](run, len(turns), Path(scratch)):
                        turn.append({"case": case, "who": who} | _medians(found))
                        first = found.get("first")
                        text = f"{first:8.3f} s" if first else found.get("error", "")
                        print(f"{part:10s}{case:30s}{who:8s}{text}", flush=True)
                turns.append(turn)
                results.save()
