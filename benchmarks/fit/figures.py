"""Figure of the page of `fit`."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from ..shared.markdown import size_text


def convergence(results: dict[str, Any]) -> Figure:
    """Gradient norm against iterations: the end is quadratic."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for problem, marker in zip(results["compare"], "os", strict=False):
        norms = problem["runs"]["ours"]["grad_norms"]
        axes.semilogy(range(1, len(norms) + 1), norms, marker + "-", label=size_text(problem))
    axes.set(xlabel="Iteration", ylabel="Gradient norm")
    axes.set_title("The factor model: the last steps are quadratic")
    axes.grid(True, alpha=0.3)
    axes.legend()
    return figure
