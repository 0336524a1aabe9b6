"""Our solutions against those of Clarabel: `python -m benchmarks second_opinion`.

Every problem of the plan is solved with both, ours and an interior-point solver. It needs `pip
install clarabel`. Everything is judged by numpy, in float64, on the original matrix.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from typing import Any

import clarabel
import jax
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

import mixsqpx

from ..shared.families import FAMILIES
from ..shared.gap import optimality_gap
from ..shared.results import Results, add_arguments, rounded

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
    theirs, status = clarabel_probs(log_lik, weights)
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


def summarise(family: str, n: int, m: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The worst of the problems of a family and shape, and those of which a claim does not hold."""
    above = [r["above_clarabel"] for r in rows]
    return {
        "family": family,
        "n": n,
        "m": m,
        "problems": len(rows),
        "gap": rounded(max(r["gap"] for r in rows)),
        "gap_clarabel": rounded(max(r["gap_clarabel"] for r in rows)),
        "above_clarabel": rounded(max(above)),
        "below_clarabel": rounded(-min(above)),
        "claims_broken": sum(len(verdict(r)) for r in rows),
        "broken": [r for r in rows if verdict(r)],
    }


def main(arguments: list[str]) -> None:
    """Run the plan."""
    parser = argparse.ArgumentParser("python -m benchmarks second_opinion", description=__doc__)
    parser.add_argument("--only", type=int, help="the problems of this many entries or fewer")
    add_arguments(parser, "second_opinion", resumable=False)
    args = parser.parse_args(arguments)
    results = Results.begin(parser, args, "second_opinion", part=args.only is not None)
    jax.config.update("jax_enable_x64", True)
    results.content["clarabel"] = version("clarabel")
    found = results.content["groups"] = []
    for (n, m), count in SHAPES.items():
        if args.only is not None and n * m > args.only:
            continue
        for family in ALL_FAMILIES:
            rows = [compare(family, n, m, seed) for seed in range(SEED, SEED + count)]
            found.append(summarise(family, n, m, rows))
            for row in found[-1]["broken"]:
                print(row, "BROKEN:", verdict(row), flush=True)
        print(f"{n} x {m}: {sum(f['problems'] for f in found)} problems so far", flush=True)
    results.save()
