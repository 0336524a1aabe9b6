"""A plot of the coefficients of several fits."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._level import critical_value
from ._estimated import check_results, std_errors_of
from ._style import axes_of, colour, marker

if TYPE_CHECKING:
    import matplotlib.axes


def plot_coefficients(
    results: Mapping[Any, Any],
    *,
    params: Sequence[str] | Mapping[str, str] | None = None,
    kind: str = "hessian",
    level: float = 0.95,
    ax: "matplotlib.axes.Axes | None" = None,
) -> "matplotlib.axes.Axes":
    """Estimates of several fits beside each other, with their confidence intervals.

    Parameters
    ----------
    results : mapping of names to FitResult or OrthogonalResult
        What to draw, in the order of the legend. The fits may have different parameters; those of
        the same name share a row.
    params : sequence of str, or mapping of str to str, optional
        Which parameters, from the top; a mapping gives the label of each. By default all of them,
        by their names.
    kind : str
        Of the covariance of a `FitResult`; see its `cov`. An `OrthogonalResult` has one kind.
    level : float
        Of the intervals, which are symmetric.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        For each fit its estimates as points, and its intervals as lines.

    Raises
    ------
    TypeError
        If `results` is no mapping of results.
    ValueError
        If it is empty, for a parameter that no fit has, an unknown `kind`, and a `level` outside
        (0, 1).
    RuntimeError
        If a fit has no standard errors.
    ImportError
        Without matplotlib.

    Examples
    --------
    With `result` and `orthogonal` from the examples of `fit` and `fit_orthogonal`:

    >>> ax = spmlex.plot_coefficients({"profile": result, "orthogonal": orthogonal})
    >>> len(ax.get_legend().get_texts())
    2
    """
    check_results(results)
    times = critical_value(level)
    known = tuple(dict.fromkeys(name for r in results.values() for name in r.param_names))
    params = known if params is None else params
    if unknown := [name for name in params if name not in known]:
        raise ValueError(
            f"`params` has {', '.join(map(repr, unknown))}, which no fit has. There are "
            f"{', '.join(known)}."
        )
    labels = params if isinstance(params, Mapping) else {name: name for name in params}
    errors = {name: std_errors_of(result, kind, None) for name, result in results.items()}
    ax = axes_of(ax)
    ax.axvline(0.0, color="0.6", lw=0.8)
    # A row is of height one; the fits share the middle of it.
    step = min(0.2, 0.7 / len(results))
    for k, (name, result) in enumerate(results.items()):
        rows = [(row, p) for row, p in enumerate(labels) if p in result.param_names]
        places = [result.param_names.index(p) for _, p in rows]
        ax.errorbar(
            result.estimates[places],
            [row + step * (k - (len(results) - 1) / 2) for row, _ in rows],
            xerr=times * errors[name][places],
            ls="none",
            marker=marker(k),
            ms=4,
            color=colour(k),
            label=str(name),
        )
    ax.set_yticks(range(len(labels)), list(labels.values()))
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.set_xlabel(f"Estimate, {100 * level:.4g}% interval")
    if len(results) > 1:
        # Above: there is no place inside that is free whatever the estimates are.
        above: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0)}
        ax.legend(**above, ncols=min(3, len(results)), frameon=False, fontsize="small")
    return ax
