"""The page of the benchmark of `mixsolve`: `mixsolve.json`, `batch.json` and `float32.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..shared.gap import WRONG
from ..shared.markdown import (
    commands,
    commit_text,
    gap_text,
    run_text,
    seconds,
    size_text,
    table,
)
from ..shared.results import read

FAMILY_NOTES = {
    "normal_scale": "Normal scale mixture, as in adaptive shrinkage",
    "normal_location": "Normal location mixture of unit variance",
    "binomial": "Binomial counts out of 20",
    "gamma": "Independent Gamma columns",
    "narrow_kernels": "Narrow normal kernels, about half of the components positive",
    "factor": "Factor model with three outcomes, at the true parameters",
}


def time_of(run: dict[str, Any]) -> float:
    """Warm median, or the first call where there was no time for a warm one."""
    return float(run.get("warm_median", run["first"]))


def cell(run: dict[str, Any], budget: float) -> str:
    """What the table says about one run: a time only for a solution."""
    if run.get("first") is None:
        if run["status"] == "timeout":
            return f"> {budget:.0f} s"
        if run["status"].startswith("timeout"):
            return "– (too slow before)"
        reason = run["status"].split(":")[0]
        return "–" if reason in ("absent", "not tried") else reason
    gap = gap_text(float(run["gap"]))
    if run["verdict"] == "ok":
        return f"{seconds(time_of(run))}, {gap}"
    if run["verdict"] == "failed":
        return f"not solved, {gap}"
    calls = "" if run["wrong"] == run["calls"] else f" in {run['wrong']} of {run['calls']} calls"
    return f"**wrong**{calls}, {gap}"


def memory_cell(run: dict[str, Any]) -> str:
    """Peak memory above what the process had before the first solve."""
    return f"{run['memory_mb']:.0f}" if "memory_mb" in run else "–"


PEERS = ("r", "cpp", "rust", "clarabel")
"""Whom the ratio is against: not our own EM, and not the variants of a peer."""


def family_section(family: str, results: dict[str, Any]) -> list[str]:
    """Times, first calls and memory of one family.

    Parameters
    ----------
    family
        Its name.
    results
        Contents of the results file.
    """
    labels = results["labels"]
    problems = sorted(
        (p for p in results["problems"] if p["family"] == family), key=lambda p: p["n"] * p["m"]
    )
    times, costs, first, memory = [], [], [], []
    for problem in problems:
        runs = {r["solver"]: r for r in problem["runs"]}
        size = size_text(problem)
        chosen = [runs.get(name, {"status": "absent"}) for name in labels]
        times.append([size] + [cell(r, problem["budget"]) for r in chosen])
        first.append([size] + [seconds(r["first"]) if r.get("first") else "–" for r in chosen])
        memory.append([size] + [memory_cell(r) for r in chosen])
        costs.append([size, *unit_cells(problem, runs.get("ours"))])
    head = ["n × m", *labels.values()]
    unit_head = ["n × m", "exp pass", "gradient", "gradient, by component", "solve / exp pass"]
    return [
        f"## {FAMILY_NOTES.get(family, family)} (`{family}`)",
        "",
        "Warm call (median) and gap:",
        "",
        *table(head, times),
        "",
        "Unit costs in JAX, and our warm call as a multiple of the first of them:",
        "",
        *table(unit_head, costs),
        "",
        "First call, compilation included:",
        "",
        *table(head, first),
        "",
        "Peak memory of the process above what it held before the first call, MiB; for those in "
        "JAX it includes the compiler's:",
        "",
        *table(head, memory),
        "",
    ]


def fastest_peer(problem: dict[str, Any]) -> tuple[str | None, float]:
    """Name and seconds of the fastest peer that is right; None and a bound if there is none.

    The bound is the time that those had who were ended, or infinity where none of them was.
    """
    peers = [r for r in problem["runs"] if r["solver"] in PEERS]
    right = [(r["solver"], time_of(r)) for r in peers if r["verdict"] == "ok"]
    if right:
        return min(right, key=lambda pair: pair[1])
    ended = any(r["status"].startswith("timeout") for r in peers)
    return None, float(problem["budget"]) if ended else float("inf")


def ratio_cell(problem: dict[str, Any]) -> str:
    """How many times as long as we the fastest right peer takes."""
    (ours,) = (r for r in problem["runs"] if r["solver"] == "ours")
    if ours["verdict"] != "ok":
        return f"ours: {ours['status']}" if ours.get("gap") is None else "ours is wrong"
    name, time = fastest_peer(problem)
    if name is None and time == float("inf"):
        return "none is right"
    ratio = time / time_of(ours)
    text = f"{ratio:.1f}" if ratio < 20.0 else f"{ratio:.0f}"
    return f"> {text}" if name is None else f"{text} ({name})"


def summary(problems: list[dict[str, Any]]) -> list[str]:
    """Ratios of all families and sizes in one table."""
    families = list(dict.fromkeys(p["family"] for p in problems))
    sizes = sorted({(p["n"], p["m"]) for p in problems}, key=lambda s: s[0] * s[1])
    found = {(p["family"], p["n"], p["m"]): p for p in problems}
    rows = []
    for n, m in sizes:
        cells = [found.get((family, n, m)) for family in families]
        size = size_text({"n": n, "m": m})
        rows.append([size, *("" if p is None else ratio_cell(p) for p in cells)])
    return table(["n × m", *families], rows)


def batch_section(batch: dict[str, Any]) -> list[str]:
    """`vmap` beside a loop."""
    rows = []
    for found in batch["batch"]:
        what = f"{found['members']} {found['what']}, {size_text(found)}"
        times = [seconds(found["loop"]), seconds(found["vmap"])]
        ratio = f"{found['loop'] / found['vmap']:.2f}"
        rows.append([what, f"`{found['family']}`", *times, ratio, gap_text(found["gap"])])
    head = ["what", "family", "loop", "vmap", "loop / vmap", "worst gap"]
    return [
        "## Many problems at once",
        "",
        "`jax.vmap` over `mixsolve`, and a Python loop over the compiled call, in turns, medians "
        f"of five (`python -m benchmarks batch`, {commit_text(batch)}). "
        "Members of a `vmap` are solved one after another "
        "inside the compiled program, each in its own number of steps: nobody waits for the "
        "slowest, and nothing is gained but the dispatch of a call. Weightings of one matrix share "
        "its exponentials and start from the solution for their mean. What remains are quadratic "
        "programs whose active set differs from that of the mean.",
        "",
        *table(head, rows),
        "",
    ]


def float32_section(found: dict[str, Any]) -> list[str]:
    """What single precision can attain."""
    rows = [
        [
            f"{size_text(r)}, `{r['family']}`",
            "yes" if r["solved"] else "no",
            gap_text(r["default"]),
            gap_text(r["attained"]),
        ]
        for r in found["float32"]
    ]
    head = ["problem", "solved to 1e-5", "gap at 1e-5", "gap where rounding ends it"]
    return [
        "## Single precision",
        "",
        "The same matrices rounded to float32 (`python -m benchmarks float32`, "
        f"{commit_text(found)}): solved to the default tolerance of float32, 1e-5, and "
        "without a tolerance, until rounding lets no step make progress; the last iterate need not "
        "be the best. The gaps are computed in float64, on the rounded matrix. A solve in single "
        "precision computes its certificate so too, with the rounding of sums over n units: at "
        "100 000 units a true gap of up to three times the tolerance passes for 1e-5.",
        "",
        *table(head, rows),
        "",
    ]


def unit_cells(problem: dict[str, Any], ours: dict[str, Any] | None) -> list[str]:
    """Unit costs of a problem, and the ratio of our time to one pass of exp."""
    unit = problem["unit_costs"]
    keys = ("exp_pass", "gradient", "gradient_by_component")
    out = [seconds(unit[key]) if key in unit else "–" for key in keys]
    if ours is None or ours["verdict"] != "ok" or "exp_pass" not in unit:
        return [*out, "–"]
    return [*out, f"{time_of(ours) / unit['exp_pass']:.1f}"]


def versions(results: dict[str, Any]) -> list[str]:
    """One line per solver: what ran."""
    found: dict[str, dict[str, None]] = {name: {} for name in results["labels"]}
    for problem in results["problems"]:
        for run in problem["runs"]:
            if "version" in run:
                found[run["solver"]][run["version"]] = None
    return [f"- {results['labels'][name]}: {'; '.join(v)}" for name, v in found.items() if v]


def page(results: Path, before: str) -> str:
    """The whole page."""
    del before
    found = read(results / "mixsolve.json")
    problems = found["problems"]
    repeats = min(p["repeats"] for p in problems)
    budgets = sorted({p["budget"] for p in problems})
    budget = " to ".join(f"{b:.0f}" for b in dict.fromkeys((budgets[0], budgets[-1])))
    families = dict.fromkeys(p["family"] for p in problems)
    lines = [
        "# Benchmark of `mixsolve`",
        "",
        run_text(found),
        "",
        *versions(found),
        "",
        "Each solver runs in a process of its own, one after the other, in float64, with its own "
        f"defaults and all cores. Times are medians of at least {repeats} warm calls, fewer where "
        f"they would take more than a limit together, {budget} s, and up to fifty of the short "
        "ones; a call that takes longer than the limit is ended. The number after a time is the "
        "optimality gap log maxⱼ Σᵢ ωᵢ aᵢⱼ/uᵢ of the solution, which bounds the loss in the mean "
        "log-likelihood; it is computed by one function, in float64, on the original matrix, and "
        f"the worst of all calls counts. A solution with a gap above {WRONG:.0e} is wrong, and has "
        "no time; it is `not solved` where the solver said so itself. EM stops after "
        f"{problems[0]['em_steps']} steps. `–`: not tried.",
        "",
        *commands("peers ENVS", "mixsolve --envs ENVS", "batch", "float32", "render mixsolve"),
        "## How many times faster",
        "",
        "Warm time of the fastest peer that is right (r: R, cpp: mixsqpx 0.1.4, rust: mixsqpx "
        "0.2.3a1, clarabel) over ours. `>`: no peer ended within the limit.",
        "",
        *summary(problems),
        "",
        "Where peers ended, it is ten and more from 5 000 units on. At 2 000 × 75 a solve takes a "
        "few milliseconds and depends most on what else the machine does: single calls vary by a "
        "factor of two. Narrow kernels, about half of whose components are "
        "positive, gain least from 400 components: what remains is the Hessian, n·K² "
        "multiplications that every second-order method pays, though not at every step, and "
        "quadratic programs of hundreds of variables, which need tens of pivots.",
        "",
        *(f"![Time of a warm call](mixsolve-{axis}.svg)\n" for axis in "nm"),
    ]
    for family in families:
        lines += family_section(family, found)
    lines += batch_section(read(results / "batch.json"))
    lines += float32_section(read(results / "float32.json"))
    return "\n".join(lines).rstrip() + "\n"
