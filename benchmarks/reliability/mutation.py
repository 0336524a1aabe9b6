"""Do the tests notice a changed sign? `python -m benchmarks mutation --number 40`.

Mutation testing of the solver and of the derivatives, with cosmic-ray, in an environment of its
own. It copies the tree that is committed, runs the tests on it as it is, lets cosmic-ray list all
mutants, draws some by a seed, runs the tests that should kill them, and prints those that survive.
Mutants that Python itself refuses (shifts of floats, changed annotations) are not drawn: they say
nothing about the tests. A mutant that takes twice the processor time of the unchanged code is
ended, and counted by itself: it may never end, or only be slow.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from ..shared.results import ROOT

MIX, SPM = "packages/mixsqpx/src/mixsqpx", "packages/spmlex/src/spmlex"

PARTS = {
    "solver": (
        [
            f"{MIX}/{name}.py"
            for name in (
                "_mixsqp",
                "_start",
                "_hessian",
                "_qp",
                "_solver",
                "_problem",
                "_blocks",
                "_ladder",
                "_em",
            )
        ],
        "tests/mixsqpx/test_blocks.py tests/mixsqpx/test_errors.py "
        "tests/mixsqpx/test_second_opinion.py "
        "tests/mixsqpx/test_properties.py tests/mixsqpx/test_limits.py "
        "tests/mixsqpx/test_properties_agreement.py "
        "tests/mixsqpx/test_solve.py -k 'not single_precision and not tall'",
    ),
    "derivatives": (
        [f"{MIX}/implicit.py", f"{SPM}/_profile/_profile.py", f"{SPM}/_profile/_expansion.py"],
        "tests/spmlex/test_expansion.py tests/mixsqpx/test_derivatives.py "
        "tests/mixsqpx/test_derivatives_awkward.py tests/spmlex/test_derivatives.py "
        "tests/spmlex/test_groups.py tests/spmlex/test_profile.py tests/spmlex/test_errors.py",
    ),
}
"""What is mutated, and the tests that have to notice, the quickest first."""

ENDED = "Ended by the limit of processor time."
"""What the log of a mutant says whose tests took too long."""

REFUSED = ("Shift", "_Bit", "BitOr", "BitAnd", "BitXor", "Invert", "_Is", "Is_", "FloorDiv", "Mod")
"""Operators whose mutants are type errors on arrays."""


def is_worth_it(operator: str, line: str) -> bool:
    """Whether a mutant could run at all."""
    if any(word in operator for word in REFUSED) or "Decorator" in operator:
        return False
    annotation = (
        line.lstrip().startswith(("def ", "@", "*", '"')) or "->" in line or "| None" in line
    )
    return not annotation


def draw(session: Path, tree: Path, number: int, seed: int) -> tuple[int, int]:
    """Keep some mutants of a session, at most one an operator and place; numbers of both."""
    database = sqlite3.connect(session)
    rows = database.execute(
        "select job_id, module_path, operator_name, start_pos_row, start_pos_col "
        "from mutation_specs order by module_path, start_pos_row, start_pos_col, operator_name"
    ).fetchall()
    rng = random.Random(seed)
    rng.shuffle(rows)
    places = {}
    for job, path, operator, row, column in rows:
        line = (tree / path).read_text(encoding="utf-8").splitlines()[row - 1]
        if is_worth_it(operator, line):
            places.setdefault((path, row, column, operator.split("_")[0]), job)
    kept = set(list(places.values())[:number])
    gone = [(row[0],) for row in rows if row[0] not in kept]
    for table in ("mutation_specs", "work_items"):
        database.executemany(f"delete from {table} where job_id = ?", gone)
    database.commit()
    return len(places), len(kept)


def report(session: Path) -> None:
    """Print how many were killed, and the difference that each of the others makes."""
    rows = sqlite3.connect(session).execute(
        "select module_path, start_pos_row, test_outcome, output, diff "
        "from work_results join mutation_specs using (job_id) order by module_path, start_pos_row"
    )
    outcomes = [
        (f"{path}:{row}", "ENDED" if ENDED in output else outcome, diff)
        for path, row, outcome, output, diff in rows
    ]
    numbers = Counter(outcome for _, outcome, _ in outcomes)
    print(len(outcomes), "run:", ", ".join(f"{n} {name.lower()}" for name, n in numbers.items()))
    for place, outcome, diff in outcomes:
        if outcome != "KILLED":
            lines = [x for x in diff.splitlines() if x[:1] in "+-" and x[:3] not in ("+++", "---")]
            print(f"{place} {outcome.lower()}", *lines, sep="\n    ")


def write_script(path: Path, tree: Path, tests: str, limit: int | None) -> None:
    """The run of the tests, with a limit in seconds of processor time."""
    sources = os.pathsep.join(str(tree / Path(package).parent) for package in (MIX, SPM))
    path.write_text(
        f"cd '{tree}'\nulimit -t {limit or 'unlimited'}\n"
        f"export CI=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH='{sources}'\n"
        f"'{sys.executable}' -m pytest -n 0 -x -q -p no:cacheprovider {tests}\n"
        f"code=$?\nif [ $code -gt 128 ]; then echo '{ENDED}'; fi\nexit $code\n",
        encoding="utf-8",
    )


def processor_time(script: Path) -> float:
    """Seconds that the tests take on the unchanged code, which has to pass."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["bash", str(script)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(arguments: list[str]) -> None:
    """Run one part after the other."""
    parser = argparse.ArgumentParser("python -m benchmarks mutation", description=__doc__)
    parser.add_argument("--tool", default="cosmic-ray", help="the program cosmic-ray")
    parser.add_argument("--number", type=int, default=40, help="mutants of each part")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--work", type=Path, help="where to work; a temporary directory by default")
    args = parser.parse_args(arguments)
    work = args.work or Path(tempfile.mkdtemp())
    for part in args.part or PARTS:
        modules, tests = PARTS[part]
        tree = work / part
        tree.mkdir(parents=True)
        archive = subprocess.run(
            ["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True
        ).stdout
        subprocess.run(["tar", "-x", "-C", str(tree)], input=archive, check=True)
        script, config, session = (work / f"{part}.{end}" for end in ("sh", "toml", "sqlite"))
        write_script(script, tree, tests, None)
        seconds = processor_time(script)
        write_script(script, tree, tests, math.ceil(2 * seconds))
        config.write_text(
            f"[cosmic-ray]\nmodule-path = {modules!r}\ntimeout = 36000\nexcluded-modules = []\n"
            f'test-command = "bash {script}"\n[cosmic-ray.distributor]\nname = "local"\n',
            encoding="utf-8",
        )
        cosmic_ray = [args.tool, "init", str(config), str(session)]
        subprocess.run(cosmic_ray, cwd=tree, check=True)
        places, kept = draw(session, tree, args.number, args.seed)
        print(
            f"{part}: {places} places for a mutant, {kept} drawn, {seconds:.0f} s each", flush=True
        )
        subprocess.run([args.tool, "exec", str(config), str(session)], cwd=tree, check=True)
        report(session)
