"""The page of the benchmark of `fit`, from `fit.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..shared.markdown import commands, gap_text, run_text, seconds, size_text, table
from ..shared.results import read

LABELS = {
    "ours": "`spmlex.fit`",
    "cpp": "jaxopt.BFGS over mixsqpx 0.1.4 (C++)",
    "rust": "jaxopt.BFGS over mixsqpx 0.2.3a1 (Rust)",
}


def compare_section(found: list[dict[str, Any]]) -> list[str]:
    """The factor model beside the peers."""
    rows = []
    for problem in found:
        ours = problem["runs"]["ours"]
        for name, run in problem["runs"].items():
            warm, mine = run["warm"], ours["warm"]
            ratios = ["", ""]
            if name != "ours":
                ratios = [f"{run['cold'] / ours['cold']:.1f}", f"{warm / mine:.1f}"]
            rows.append(
                [
                    f"{size_text(problem)}, {LABELS[name]}",
                    seconds(run["cold"]),
                    seconds(warm),
                    *ratios,
                    str(run["iterations"]),
                    f"{run['value']:.10f}",
                    f"{run['grad_norm']:.0e}",
                ]
            )
    head = ["factor model", "cold", "warm", "cold ratio", "warm ratio"]
    head += ["iterations", "value", "gradient"]
    tol = found[0]["peer_tol"]
    return [
        "## Beside quasi-Newton over other solvers",
        "",
        "The factor model with three outcomes and five parameters. Cold: the first call of a "
        "process, compilation included and imports not. Warm: median of the further ones. The "
        "others take the envelope gradient, the proportions held where their solver put them, and "
        f"stop at a gradient norm of {tol:.0e}, as their solvers' errors allow no much smaller "
        "one; `spmlex.fit` stops at 1e-10 + 1e-12 |value|. Their gradient is the l2 norm, ours the "
        "largest entry.",
        "",
        *table(head, rows),
        "",
    ]


def hessian_section(found: list[dict[str, Any]]) -> list[str]:
    """Cost of second derivatives."""
    rows = [
        [
            r["what"],
            str(r["num_params"]),
            seconds(r["gradient"]),
            seconds(r["hessian"]),
            f"{r['hessian'] / r['gradient']:.1f}",
        ]
        for r in found
    ]
    return [
        "## The cost of a Hessian",
        "",
        "Value, gradient and exact Hessian of the profile likelihood together, as `fit` evaluates "
        "them, and value and gradient alone, both compiled, in turns, at the optimum.",
        "",
        *table(["model", "parameters", "gradient", "Hessian", "Hessian / gradient"], rows),
        "",
    ]


def starts_section(found: dict[str, Any]) -> list[str]:
    """Random starts."""
    rows = []
    for name, run in found["runs"].items():
        rows.append(
            [
                name,
                str(run["at_the_best"]),
                str(run["successful"] - run["at_the_best"]),
                str(run["failures"]),
                f"{run['worst_grad_norm']:.0e}",
                f"{run['median_steps']:.0f}",
                str(run["most_steps"]),
                seconds(run["seconds"]),
            ]
        )
    head = ["minimiser", "at the best", "at another maximum", "reported as failed"]
    head += ["worst gradient of a success", "steps, median", "most", "time, all"]
    return [
        f"## {found['starts']} starts far from the truth",
        "",
        f"The factor model, {size_text(found)}. Both loadings are drawn from N(0, 3²), the "
        "logarithms of the three standard deviations from N(0, 1); the truth is (1.5, 0.3) and "
        "(0, 0.2, −0.3). A maximum is counted as the best within 1e-5 of the highest "
        f"log-likelihood that any start found, {found['loglik']:.4f}. The gradient of every "
        "success is evaluated anew, at the model that was returned.",
        "",
        *table(head, rows),
        "",
        "The other maxima, by log-likelihood, with the number of starts of each minimiser:",
        "",
        *other_maxima(found),
        "",
    ]


def other_maxima(found: dict[str, Any]) -> list[str]:
    """Local maxima, gathered to a tenth."""
    counts: dict[float, dict[str, int]] = {}
    for name, run in found["runs"].items():
        for loglik in run["other_optima"]:
            of = counts.setdefault(round(loglik, 1), {})
            of[name] = of.get(name, 0) + 1
    names = list(found["runs"])
    rows = [
        [f"{loglik:.1f}", *(str(of.get(name, 0)) for name in names)]
        for loglik, of in sorted(counts.items(), reverse=True)
    ]
    return table(["log-likelihood", *names], rows)


def models_section(found: list[dict[str, Any]]) -> list[str]:
    """Larger models."""
    rows = [
        [
            r["what"],
            str(r["num_params"]),
            seconds(r["cold"]),
            seconds(r["warm"]),
            str(r["iterations"]),
            str(r["active"]),
            f"{r['grad_norm']:.0e}",
            gap_text(r["gap"]),
        ]
        for r in found
    ]
    head = ["model", "parameters", "cold", "warm", "iterations", "active points", "gradient", "gap"]
    return ["## Larger models", "", *table(head, rows), ""]


def crossover_section(found: list[dict[str, Any]]) -> list[str]:
    """Newton and BFGS by number of parameters."""
    rows = []
    for r in found:
        cells = [str(r["num_params"])]
        for name in ("newton", "bfgs"):
            run = r[name]
            cells += [seconds(run["cold"]), seconds(run["warm"])]
            cells += [str(run["iterations"]), f"{run['grad_norm']:.0e}"]
        rows.append(cells)
    head = ["parameters"]
    for name in ("Newton", "BFGS"):
        head += [f"{name}, cold", "warm", "steps", "gradient"]
    return [
        "## Newton's method and BFGS",
        "",
        "Panel regressions with a unit effect, 2 000 units over five years and 61 support points, "
        "from a start at zero: `TrustRegionNewton()` and `optimistix.BFGS(rtol=1e-9, atol=1e-9)`. "
        "`fit` takes the first by default up to 100 parameters, the second beyond.",
        "",
        *table(head, rows),
        "",
    ]


def bootstrap_section(found: dict[str, Any]) -> list[str]:
    """The bootstrap."""
    ratio = found["warm"] / found["fit"]
    rows = [
        [f"`coef[{k}]`" if k < 2 else f"`log_std[{k - 2}]`", f"{one:.4f}", f"{other:.4f}"]
        for k, (one, other) in enumerate(zip(found["std_errors"], found["hessian"], strict=True))
    ]
    return [
        "## The bootstrap",
        "",
        f"The factor model, {size_text(found)}: {found['replications']} replications with "
        f"exponential weights take {seconds(found['warm'])}, {ratio:.0f} times as long as one warm "
        f"fit from a start some way off ({seconds(found['fit'])}); the first time, with what is "
        f"compiled then, {seconds(found['cold'])}. {found['failed']} failed. Standard errors:",
        "",
        *table(["parameter", "bootstrap", "hessian"], rows),
        "",
    ]


def wage_section(found: list[dict[str, Any]]) -> list[str]:
    """The wage panel."""
    rows = [
        [
            str(r["points"]),
            f"{r['successful']} of {r['starts']}",
            str(r["reached"]),
            f"{r['loglik']:.4f}",
            f"{r['lowest']:.4f}",
            f"{r['union']:.4f}",
            f"{r['married']:.4f}",
            f"{min(r['steps'])} to {max(r['steps'])}",
            f"{r['grad_norm']:.0e}",
            gap_text(r["gap"]),
            seconds(r["seconds"]),
        ]
        for r in found
    ]
    head = ["points", "converged", "reached the best", "log-likelihood", "lowest", "union"]
    head += ["married", "steps", "worst gradient", "worst gap", "time, cold"]
    return [
        "## The wage panel on nested grids",
        "",
        "The [wage panel](../auto_gallery/index), 545 men over eight years, fifteen parameters, "
        "from ten starts on each grid. Every grid holds the points of the one before it.",
        "",
        *table(head, rows),
        "",
    ]


def page(results: Path, before: str) -> str:
    """The whole page."""
    del before
    found = read(results / "fit.json")
    lines = [
        "# Benchmark of `fit`",
        "",
        f"{run_text(found)} In float64.",
        "",
        *commands("peers ENVS", "fit --envs ENVS", "render fit"),
        *compare_section(found["compare"]),
        "![Gradient norm against iterations](fit.svg)",
        "",
        *hessian_section(found["hessian"]),
        *starts_section(found["starts"]),
        *models_section(found["models"]),
        *crossover_section(found["crossover"]),
        *bootstrap_section(found["bootstrap"]),
        *wage_section(found["wage"]),
    ]
    return "\n".join(lines).rstrip() + "\n"
