"""Time and success of `spmlex.fit`: `python -m benchmarks fit`.

The parts: `compare`, the factor model beside jaxopt's BFGS over other solvers, each in a process of
its own; `hessian`, the cost of a Hessian in gradients; `starts`, 100 starts far from the truth;
`models`, one of sixty parameters and one with a latent variable of two dimensions; `crossover`,
Newton's method and BFGS with more and more parameters; `bootstrap`, its cost in fits; `wage`, the
wage panel on grids that nest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jax.flatten_util import ravel_pytree

import spmlex

from ..peers.environments import WORKERS, clean_variables, python_of
from ..shared.results import ROOT, Results, add_arguments
from . import models

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_threefry_partitionable", True)

SIZES = ((2_000, 75), (20_000, 100))
PEER_TOL = 1e-5
"""Norm of the gradient at which the peers' estimation stops: their solvers allow little less."""

TURNS = 7
WAGE_GRIDS = (51, 101, 201, 401)
NUM_STARTS = 100
NUM_REPLICATIONS = 500
REGRESSORS = (5, 20, 60, 200, 500)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came out."""
    before = time.perf_counter()
    value = jax.block_until_ready(call())
    return time.perf_counter() - before, value


def fit_record(problem: models.Problem, repeats: int, **options: Any) -> dict[str, Any]:
    """Times of the first `fit` and, in the median, of further ones, and where it ends."""
    jax.clear_caches()  # other parts may have run the same fit
    runs = [timed(lambda: spmlex.fit(*problem, **options)) for _ in range(1 + repeats)]
    result = runs[-1][1]
    return {
        "cold": runs[0][0],
        "warm": statistics.median(seconds for seconds, _ in runs[1:]),
        "value": -result.loglik / result.n_obs,
        "grad_norm": result.grad_norm,
        "gap": result.gap,
        "iterations": result.stats["num_steps"],
        "active": result.stats["num_active"],
        "grad_norms": result.history["grad_norm"].tolist(),
        "num_params": len(result.param_names),
    }


def ours(num_units: int, num_points: int, repeats: int) -> None:
    """Worker of `compare`: one fit after the other, in a process that has compiled nothing yet."""
    print(json.dumps(fit_record(models.factor(num_units, num_points), repeats)))


def compare(envs: Path | None) -> list[dict[str, Any]]:
    """The factor model, ours and over the peers' solvers, in turns of one process each."""
    out = []
    for n, m in SIZES:
        repeats = TURNS if n * m < 1_000_000 else 3
        found: dict[str, Any] = {"n": n, "m": m, "peer_tol": PEER_TOL, "runs": {}}
        with tempfile.TemporaryDirectory() as scratch:
            code = f"from {__name__} import ours; ours({n}, {m}, {repeats})"
            shown = subprocess.run(
                [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
            )
            found["runs"]["ours"] = json.loads(shown.stdout)
            for peer in ("cpp", "rust"):
                record = _peer(peer, n, m, repeats if n < 10_000 else 1, envs, Path(scratch))
                if record is not None:
                    found["runs"][peer] = record
        for name, run in found["runs"].items():
            times = f"cold {run['cold']:.2f} s, warm {run['warm']:.3f} s"
            print(f"{n} x {m} {name}: {times}", flush=True)
        out.append(found)
    return out


def _peer(
    peer: str, n: int, m: int, repeats: int, envs: Path | None, scratch: Path
) -> dict[str, Any] | None:
    """Run a peer's worker; None without its environment."""
    if envs is None or not python_of(envs / peer).exists():
        return None
    problem = models.factor(n, m)
    arrays = {"data": problem.data, "supp": problem.supp}
    arrays |= {"coef": problem.model.coef, "log_std": problem.model.log_std}
    np.savez(scratch / "problem.npz", **{k: np.asarray(v) for k, v in arrays.items()})
    record = scratch / f"{peer}.json"
    command = [str(python_of(envs / peer)), str(WORKERS / "run_factor.py")]
    command += [str(scratch / "problem.npz"), str(record), "--peer", peer]
    command += ["--tol", str(PEER_TOL), "--repeats", str(repeats)]
    subprocess.run(command, env=clean_variables(), check=True)
    found = json.loads(record.read_text())
    return found | {"warm": statistics.median(found["warm"])}


def hessian() -> list[dict[str, Any]]:
    """Value, gradient and Hessian together, as `fit` asks for them, in units of one gradient."""
    out = []
    for name, problem in (
        ("factor, 2 000 × 75", models.factor(2_000, 75)),
        ("factor, 20 000 × 100", models.factor(20_000, 100)),
        ("panel, 1 000 × 61", models.panel(1_000, 61)),
    ):
        # At the optimum, where the number of active points is that of most evaluations; both start
        # the inner solve from the distribution there.
        found = spmlex.fit(*problem)
        inner, params = found.problem, found.params
        gradient = eqx.filter_jit(lambda p, inner=inner: jax.value_and_grad(inner, has_aux=True)(p))
        everything = eqx.filter_jit(inner.expand)
        jax.block_until_ready((gradient(params), everything(params)))
        pairs = [
            (timed(lambda: gradient(params))[0], timed(lambda: everything(params))[0])  # noqa: B023
            for _ in range(TURNS)
        ]
        grad, hess = (statistics.median(column) for column in zip(*pairs, strict=True))
        out.append(
            {"what": name, "num_params": found.estimates.size, "gradient": grad, "hessian": hess}
        )
        print(f"{name}: a Hessian costs {hess / grad:.1f} gradients", flush=True)
    return out


def starts() -> dict[str, Any]:
    """Newton and BFGS from the same starts: where they end, and whether they say so."""
    problem = models.factor(2_000, 75)
    begin = models.random_factors(NUM_STARTS)
    gradient = jax.jit(
        jax.value_and_grad(lambda x: spmlex.profile_ll(x, problem.data, problem.supp)[0])
    )
    minimisers = {
        "TrustRegionNewton": None,
        "optimistix.BFGS": optx.BFGS(rtol=1e-9, atol=1e-9),
    }
    found, best = {}, -np.inf
    for name, minimiser in minimisers.items():
        seconds, result = timed(
            lambda: spmlex.fit_multistart(
                begin,
                problem.data,
                problem.supp,
                minimiser=minimiser,  # noqa: B023
                throw=False,
            )
        )
        found[name] = (seconds, result)
        best = max(best, result.best.loglik)
    out: dict[str, Any] = {"n": 2_000, "m": 75, "starts": NUM_STARTS, "loglik": best, "runs": {}}
    for name, (seconds, result) in found.items():
        success = [fit for fit in result.fits if fit.result == spmlex.RESULTS.successful]
        norms = [float(np.max(np.abs(ravel_pytree(gradient(fit.model)[1])[0]))) for fit in success]
        logliks = np.array([fit.loglik for fit in success])
        steps = [fit.stats["num_steps"] for fit in success]
        out["runs"][name] = {
            "seconds": seconds,
            "successful": len(success),
            "at_the_best": int(np.sum(logliks >= best - 1e-5)),
            "worst_grad_norm": max(norms),
            "median_steps": statistics.median(steps),
            "most_steps": max(steps),
            "failures": len(result.fits) - len(success),
            "other_optima": sorted(np.round(logliks[logliks < best - 1e-5], 4).tolist()),
        }
        print(name, out["runs"][name], flush=True)
    return out


def large_models() -> list[dict[str, Any]]:
    """Many parameters, and a latent variable of two dimensions."""
    out = []
    for name, problem in (
        (
            "sixty parameters, 1 000 units of three outcomes over seven years, 61 points",
            models.panel(1_000, 61),
        ),
        ("level and slope, 1 000 units over six years, a 30 × 30 grid", models.slopes(1_000, 30)),
    ):
        record = fit_record(problem, 3)
        out.append({"what": name} | record)
        print(
            f"{name}: cold {record['cold']:.1f} s, warm {record['warm']:.2f} s, "
            f"{record['iterations']} iterations, gradient {record['grad_norm']:.0e}, "
            f"gap {record['gap']:.0e}",
            flush=True,
        )
    return out


def crossover() -> list[dict[str, Any]]:
    """Newton's method and BFGS on panel regressions with more and more parameters."""
    out = []
    minimisers = (("newton", spmlex.TrustRegionNewton()), ("bfgs", optx.BFGS(rtol=1e-9, atol=1e-9)))
    for num_regressors in REGRESSORS:
        problem = models.regression(2_000, num_regressors, 61)
        found: dict[str, Any] = {"num_params": num_regressors + 1}
        for name, minimiser in minimisers:
            record = fit_record(problem, 2, minimiser=minimiser, throw=False)
            found[name] = {k: record[k] for k in ("cold", "warm", "iterations", "grad_norm")}
        print(found, flush=True)
        out.append(found)
    return out


def bootstrap() -> dict[str, Any]:
    """500 replications of the factor model in units of one warm fit."""
    problem = models.factor(2_000, 75)
    result = spmlex.fit(*problem)
    fits = [timed(lambda: spmlex.fit(*problem))[0] for _ in range(TURNS)]
    key = jax.random.PRNGKey(0)
    runs = [timed(lambda: result.bootstrap(key, num=NUM_REPLICATIONS)) for _ in range(3)]
    fit, (cold, *warm) = statistics.median(fits), [seconds for seconds, _ in runs]
    out = {
        "n": 2_000,
        "m": 75,
        "replications": NUM_REPLICATIONS,
        "failed": runs[-1][1].num_failed,
        "fit": fit,
        "cold": cold,
        "warm": min(warm),
        "std_errors": runs[-1][1].std_errors.tolist(),
        "hessian": result.std_errors().tolist(),
    }
    print(f"bootstrap: {out['warm'] / fit:.0f} fits, the first time {cold / fit:.0f}", flush=True)
    return out


def wage() -> list[dict[str, Any]]:
    """The wage panel of the examples on nested grids, from ten starts each."""
    path = ROOT / "docs" / "examples" / "wage_panel.py"
    # The example up to its work: the data, the model and the starts.
    source = path.read_text(encoding="utf-8").partition("# %%\n# Estimates\n")[0]
    example: dict[str, Any] = {"__name__": path.name}
    exec(compile(source, path.name, "exec"), example)
    starts, names = example["starts"], example["REGRESSORS"]
    data = example["load"]()
    out = []
    for num_points in WAGE_GRIDS:
        supp = jnp.linspace(-1.5, 3.5, num_points)
        seconds, found = timed(
            lambda: spmlex.fit_multistart(starts(data), data, supp)  # noqa: B023
        )
        out.append(
            {
                "points": num_points,
                "seconds": seconds,
                "starts": len(found.fits),
                "successful": found.num_successful,
                "reached": found.num_reached,
                "loglik": found.best.loglik,
                "lowest": float(np.min(found.logliks)),
                "grad_norm": max(fit.grad_norm for fit in found.fits),
                "gap": max(fit.gap for fit in found.fits),
                "steps": [fit.stats["num_steps"] for fit in found.fits],
                "union": float(found.best.model.beta[names.index("union")]),
                "married": float(found.best.model.beta[names.index("married")]),
            }
        )
        print(out[-1], flush=True)
    return out


def main(arguments: list[str]) -> None:
    """Run the parts, and write what they found after each."""
    parser = argparse.ArgumentParser("python -m benchmarks fit", description=__doc__)
    parser.add_argument("--envs", type=Path, help="directory made by `python -m benchmarks peers`")
    parts: dict[str, Callable[[], Any]] = {
        "compare": lambda: compare(args.envs),
        "hessian": hessian,
        "starts": starts,
        "models": large_models,
        "crossover": crossover,
        "bootstrap": bootstrap,
        "wage": wage,
    }
    parser.add_argument("--part", action="append", choices=list(parts), help="all by default")
    add_arguments(parser, "fit")
    args = parser.parse_args(arguments)
    results = Results.begin(parser, args, "fit", part=bool(args.part) or args.envs is None)
    for name in args.part or parts:
        if name not in results.content:
            results.content[name] = parts[name]()
            results.save()
