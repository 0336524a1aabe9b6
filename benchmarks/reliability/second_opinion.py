"""A second opinion: our solutions against those of Clarabel, an interior-point solver.

    taskset -c 0 python benchmarks/second_opinion.py

solves every problem of the plan with both, writes `results/second_opinion.json`, and the table of
`docs/pages/reliability.md` from it (`--render` does only that). It needs `pip install clarabel`.
Everything is judged by numpy, in float64, on the original matrix.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import clarabel
import jax
import numpy as np
from families import FAMILIES
from gap import optimality_gap
from numpy.typing import NDArray
from scipy import sparse

jax.config.update("jax_enable_x64", True)

import mixsqpx  # noqa: E402

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "second_opinion.json"
PAGE = HERE.parent / "docs" / "pages" / "reliability.md"
MARKS = ("<!-- second opinion -->\n", "<!-- end of second opinion -->\n")

SEED = 60000
"""The k-th problem of a family and shape has seed `SEED` + k."""

SHAPES = {
    (20, 5): 14,
    (50, 20): 12,
    (10, 100): 10,
    (200, 50): 10,
    (500, 100): 5,
    (1000, 150): 2,
    (2000, 200): 1,
}
"""Problems of each family by their shape."""

RANDOM_POINTS = 8
"""Points of the simplex at which the gap is held against what it bounds, in every problem."""

Matrix = NDArray[np.float64]


def with_holes(n: int, m: int, seed: int) -> Matrix:
    """Independent columns, 60% of the entries -inf, and at least one that is not in each row."""
    rng = np.random.default_rng(seed)
    log_lik = FAMILIES["gamma"](n, m, seed)
    keep = rng.random((n, m)) < 0.4
    keep[np.arange(n), rng.integers(0, m, n)] = True
    return np.where(keep, log_lik, -np.inf)


def with_ties(n: int, m: int, seed: int) -> Matrix:
    """Independent columns, in which rows and columns are drawn with replacement."""
    rng = np.random.default_rng(seed)
    return FAMILIES["gamma"](n, m, seed)[rng.integers(0, n, n)][:, rng.integers(0, m, m)]


ALL_FAMILIES = {**FAMILIES, "holes": with_holes, "ties": with_ties}


def draw_weights(n: int, seed: int) -> Matrix:
    """Equal weights for even seeds; else from 0.01 to 100, a tenth of them zero."""
    rng = np.random.default_rng(seed)
    if seed % 2 == 0:
        return np.ones(n)
    weights = 10.0 ** rng.uniform(-2.0, 2.0, n) * (rng.random(n) > 0.1)
    weights[0] = 1.0
    return weights


def objective(log_lik: Matrix, probs: Matrix, weights: Matrix) -> float:
    """f(p), by pairwise addition of logarithms: no product with a matrix."""
    counted = weights > 0
    ell, omega = log_lik[counted], weights[counted] / weights.sum()
    inside = probs > 0
    terms = ell[:, inside] + np.log(probs[inside])[None, :]
    return -float(omega @ np.logaddexp.reduce(terms, axis=1))


def rounding(log_lik: Matrix, weights: Matrix) -> float:
    """What both values of f may be off by: 40 eps of the size of their terms."""
    largest = np.abs(log_lik[weights > 0].max(axis=1))
    return 40 * float(np.finfo(float).eps) * (1 + float(largest.max()))


def clarabel_probs(log_lik: Matrix, weights: Matrix) -> tuple[Matrix, str]:
    """Minimise -Σ ωᵢ tᵢ + Σ xⱼ over x >= 0 and t with exp tᵢ <= (a x)ᵢ: exponential cones."""
    counted = weights > 0
    ell, omega = log_lik[counted], weights[counted] / weights.sum()
    lik = np.exp(ell - ell.max(axis=1, keepdims=True))
    n, m = lik.shape
    # Of each cone (tᵢ, 1, (a x)ᵢ), the first and the third row; the second is constant.
    rows = sparse.lil_array((3 * n, m + n))
    rows[2::3, :m] = -lik
    rows[np.arange(0, 3 * n, 3), m + np.arange(n)] = -1.0
    bounds = sparse.hstack([-sparse.eye_array(m), sparse.csr_array((m, n))])
    offset = np.zeros(m + 3 * n)
    offset[m + 1 :: 3] = 1.0
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-10
    solution = clarabel.DefaultSolver(
        sparse.csc_matrix((m + n, m + n)),
        np.concatenate([np.ones(m), -omega]),
        sparse.csc_matrix(sparse.vstack([bounds, rows])),
        offset,
        [clarabel.NonnegativeConeT(m), *[clarabel.ExponentialConeT()] * n],
        settings,
    ).solve()
    probs = np.maximum(np.asarray(solution.x)[:m], 0.0)
    return probs / probs.sum(), str(solution.status)


def compare(family: str, n: int, m: int, seed: int) -> dict[str, Any]:
    """Solve one problem with both, and hold every claim against the other's answer."""
    log_lik, weights = ALL_FAMILIES[family](n, m, seed), draw_weights(n, seed)
    ours = mixsqpx.mixsolve(log_lik, weights, throw=False)
    start = time.perf_counter()
    theirs, status = clarabel_probs(log_lik, weights)
    seconds = time.perf_counter() - start
    probs = np.asarray(ours.probs)
    values = [objective(log_lik, p, weights) for p in (probs, theirs)]
    # The gap bounds what is lost anywhere: above the lower of both values, hence the minimum.
    rng = np.random.default_rng(seed)
    broken = -np.inf
    for k in range(RANDOM_POINTS):
        p = rng.dirichlet(np.full(m, 10.0 ** (k % 3 - 1))) + 1e-12
        p /= p.sum()
        claimed = float(mixsqpx.optimality_gap(log_lik, p, weights))
        broken = max(broken, objective(log_lik, p, weights) - min(values) - claimed)
    return {
        "problem": [family, n, m, seed],
        "converged": bool(ours.result == mixsqpx.RESULTS.successful),
        "gap_claimed": float(ours.gap),
        "gap": optimality_gap(log_lik, probs, weights),
        "gap_clarabel": optimality_gap(log_lik, theirs, weights),
        "status_clarabel": status,
        "above_clarabel": values[0] - values[1],
        "rounding": rounding(log_lik, weights),
        "gap_broken_by": broken,
        "num_active": int(np.sum(probs > 0)),
        "seconds_clarabel": round(seconds, 4),
    }


def verdict(row: dict[str, Any]) -> list[str]:
    """What does not hold of one problem: nothing, it is hoped."""
    tol, above = row["rounding"], row["above_clarabel"]
    claims = {
        "converged": row["converged"],
        "the claimed gap is the gap": abs(row["gap"] - row["gap_claimed"]) <= 1e-12,
        "never worse": above <= 1e-10 + tol,
        "their answer is above ours by no more than their gap": -above <= row["gap_clarabel"] + tol,
        "the gap bounds what is lost": row["gap_broken_by"] <= tol,
    }
    return [claim for claim, holds in claims.items() if not holds]


def table(rows: list[dict[str, Any]]) -> str:
    """Results by family and by shape, as Markdown."""
    lines = [
        "| problems | number | worst gap of ours | worst gap of Clarabel | ours above Clarabel, at "
        "most | Clarabel above ours, at most | claims broken |",
        "|---|---|---|---|---|---|---|",
    ]
    parts = [(name, [r for r in rows if r["problem"][0] == name]) for name in ALL_FAMILIES]
    parts += [
        (f"{n} × {m}", [r for r in rows if tuple(r["problem"][1:3]) == (n, m)]) for n, m in SHAPES
    ]
    for name, part in [*parts, ("**all**", rows)]:
        if not part:
            continue
        cells = [
            str(len(part)),
            f"{max(r['gap'] for r in part):.1e}",
            f"{max(r['gap_clarabel'] for r in part):.1e}",
            f"{max(r['above_clarabel'] for r in part):.1e}",
            f"{max(-r['above_clarabel'] for r in part):.1e}",
            str(sum(len(verdict(r)) for r in part)),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def render() -> None:
    """Write the table into the page."""
    record = json.loads(RESULTS.read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    told = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    body = f"\n{table(record['rows'])}\nWith {told}.\n\n"
    PAGE.write_text(before + MARKS[0] + body + MARKS[1] + after, encoding="utf-8")


def main() -> None:
    """Run the plan."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--render", action="store_true", help="only write the table of the page")
    parser.add_argument("--only", type=int, help="the problems of this many entries or fewer")
    args = parser.parse_args()
    if not args.render:
        rows = []
        for (n, m), count in SHAPES.items():
            if args.only is not None and n * m > args.only:
                continue
            for family in ALL_FAMILIES:
                for seed in range(SEED, SEED + count):
                    rows.append(compare(family, n, m, seed))
                    if broken := verdict(rows[-1]):
                        print(rows[-1], "BROKEN:", broken, flush=True)
            print(f"{n} x {m}: {len(rows)} problems so far", flush=True)
        versions = {name: version(name) for name in ("mixsqpx", "clarabel", "jax", "numpy")}
        lines = ",\n".join(json.dumps(row) for row in rows)
        head = json.dumps({"seed": SEED, "versions": versions})[:-1]
        RESULTS.write_text(f'{head}, "rows": [\n{lines}\n]}}\n', encoding="utf-8")
        print(table(rows))
        if args.only is not None:
            return
    render()


if __name__ == "__main__":
    main()
