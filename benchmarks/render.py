"""Tables and plots from the results of `mixsolve.py`.

    python benchmarks/render.py results.json [--docs DIR]

writes `benchmarks-mixsolve.md` and its figures, `benchmarks-mixsolve-n.svg` and `-m.svg`, to DIR.
The plots need matplotlib.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

NAME = "benchmarks-mixsolve"

WRONG = 1e-3
"""A gap above it is not a solution."""

FAMILY_NOTES = {
    "normal_scale": "Normal scale mixture, as in adaptive shrinkage",
    "normal_location": "Normal location mixture of unit variance",
    "binomial": "Binomial counts out of 20",
    "gamma": "Independent Gamma columns",
    "narrow_kernels": "Narrow normal kernels, about half of the components positive",
    "factor": "Factor model with three outcomes, at the true parameters",
}


def seconds(value: float) -> str:
    """A time with three digits that count."""
    if value >= 100.0:
        return f"{value:.0f} s"
    if value >= 1.0:
        return f"{value:.3g} s"
    return f"{value * 1e3:.3g} ms"


def gap_text(gap: float) -> str:
    """A gap with one digit; rounding below zero counts as zero."""
    return "∞" if gap == float("inf") else f"{max(gap, 0.0):.0e}"


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
    gaps = [float(g) for g in run["gaps"]]
    wrong = sum(g > WRONG for g in gaps)
    calls = "" if wrong == len(gaps) else f" in {wrong} of {len(gaps)} calls"
    return f"**wrong**{calls}, {gap}"


def memory_cell(run: dict[str, Any]) -> str:
    """Peak memory above what the process had before the first solve."""
    if run.get("peak_rss_mb") is None or run.get("baseline_rss_mb") is None:
        return "–"
    return f"{max(run['peak_rss_mb'] - run['baseline_rss_mb'], 0.0):.0f}"


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [row(head), row(["---"] + ["---:"] * (len(head) - 1)), *map(row, rows)]


def family_section(family: str, results: dict[str, Any]) -> list[str]:
    """Times, first calls and memory of one family.

    Parameters
    ----------
    family
        Its name.
    results
        Contents of the results file.
    """
    labels, budget = results["labels"], results["settings"]["budget"]
    problems = sorted(
        (p for p in results["problems"] if p["family"] == family), key=lambda p: p["n"] * p["m"]
    )
    times, costs, first, memory = [], [], [], []
    for problem in problems:
        runs = {r["solver"]: r for r in problem["runs"]}
        size = f"{problem['n']:,} × {problem['m']:,}".replace(",", " ")
        chosen = [runs.get(name, {"status": "absent"}) for name in labels]
        times.append([size] + [cell(r, budget) for r in chosen])
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
    found: dict[str, str] = {}
    for problem in results["problems"]:
        for run in problem["runs"]:
            if "version" in run:
                found[run["solver"]] = run["version"]
    return [f"- {results['labels'][name]}: {text}" for name, text in found.items()]


def page(results: dict[str, Any], figures: list[str]) -> str:
    """The whole page.

    Parameters
    ----------
    results
        Contents of the results file.
    figures
        File names of the plots, relative to the page.
    """
    machine, settings = results["machine"], results["settings"]
    load = machine.get("load_average")
    busy = "" if load is None else f", load average {load:.1f} at the start"
    families = dict.fromkeys(p["family"] for p in results["problems"])
    lines = [
        "# Benchmark of `mixsolve`",
        "",
        f"Run on {results['date']}: {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}{busy}.",
        "",
        *versions(results),
        "",
        "Each solver runs in a process of its own, one after the other, in float64, with its own "
        f"defaults and all cores. Times are medians of at least {settings['repeats']} warm calls "
        f"in each of {settings['rounds']} round(s), fewer where they would take more than "
        f"{settings['budget']:.0f} s together; a call that takes longer than that is ended. The "
        "number after a time is the optimality gap log maxⱼ Σᵢ ωᵢ aᵢⱼ/uᵢ of the solution, which "
        "bounds the loss in the mean log-likelihood; it is computed by one function, in float64, "
        "on the original matrix, and the worst of all calls counts. A solution with a gap above "
        f"{WRONG:.0e} is wrong, and has no time; it is `not solved` where the solver said so "
        f"itself. EM stops after {settings['em_steps']} steps. `–`: not tried.",
        "",
        *[f"![Time of a warm call]({name})\n" for name in figures],
    ]
    for family in families:
        lines += family_section(family, results)
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Tables and plots from the results.")
    parser.add_argument("results", type=Path)
    default = Path(__file__).resolve().parent.parent / "docs"
    parser.add_argument("--docs", type=Path, default=default, help="where the page goes")
    parser.add_argument("--no-plots", action="store_true", help="do without matplotlib")
    args = parser.parse_args()
    results = json.loads(args.results.read_text())
    figures: list[str] = []
    if not args.no_plots:
        from plots import draw

        for axis in ("n", "m"):
            figure = args.docs / f"{NAME}-{axis}.svg"
            if draw(results, axis, figure):
                figures.append(figure.name)
    (args.docs / f"{NAME}.md").write_text(page(results, figures), encoding="utf-8")


if __name__ == "__main__":
    main()
