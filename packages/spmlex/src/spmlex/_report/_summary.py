"""Tables of one fit, and of several side by side."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Int

from .._fields import Fit
from .._inference import aic, bic, check_kind, grid_notes, num_free, worth_note
from .._level import critical_value
from .._search import RESULTS
from .._table import ESTIMATE, STD_ERR, Row, Table, coefficient_table, number
from ._estimated import Estimated, check_results, std_errors_of
from ._notes import constant_notes, density_notes, weight_notes


def summary(
    result: Fit,
    *,
    kind: str | None = None,
    clusters: Int[ArrayLike, " n"] | None = None,
    level: float = 0.95,
) -> Table:
    """Table of a fit: estimates and standard errors; with a `kind` z, p, and intervals, too.

    z is the estimate over its standard error, p the probability that a standard normal variable is
    further from zero, and the intervals are symmetric: what they are worth depends on the
    distribution, so that they are shown when asked for. Where the covariance cannot be had, the
    table has the estimates alone and says why.

    Parameters
    ----------
    kind : {"hessian", "opg", "robust", "cluster"}, optional
        Of the covariance; see `cov`. By default `"hessian"`, and no intervals.
    clusters
        See `cov`.
    level : float
        Of the confidence intervals.

    Returns
    -------
    Table
        `print` it, show it in a notebook, or call `to_frame` or `to_latex`.

    Raises
    ------
    ValueError
        For a `level` outside (0, 1), and an unknown `kind`.
    """
    critical_value(level)
    with_intervals, kind = kind is not None, kind or "hessian"
    std_errs, reason = _std_errors(result, kind, clusters)
    notes = density_notes(result) + grid_notes(result)
    notes += weight_notes(result, kind) + constant_notes(result)
    if std_errs is None:
        notes.append(f"No standard errors: {reason}")
    else:
        notes.append(worth_note(result))
    return coefficient_table(
        "Profile likelihood estimates",
        [*_header(result), ("Standard errors", "none" if std_errs is None else kind)],
        result.param_names,
        result.estimates.astype(np.float64),
        std_errs,
        level if with_intervals else None,
        notes,
    )


def compare(
    results: Mapping[Any, Any],
    *,
    kind: str = "hessian",
    clusters: Int[ArrayLike, " n"] | None = None,
) -> Table:
    """Fits side by side: estimates, standard errors in parentheses below, and what sums up a fit.

    Parameters
    ----------
    results : mapping of names to FitResult or OrthogonalResult
        The columns, in their order. The fits may have different parameters; those of the same name
        share a row. Whether their log-likelihoods can be compared is for you to know: it takes the
        same units and the same outcomes.
    kind, clusters
        Of the covariances; see `cov`. An `OrthogonalResult` has one kind.

    Returns
    -------
    Table
        `to_frame` has two columns for each fit, its estimates and their standard errors.

    Raises
    ------
    TypeError
        If `results` is no mapping of results.
    ValueError
        If it is empty or two names are one as text, and for an unknown `kind`.

    Examples
    --------
    With `result` from the example of `fit`:

    >>> table = spmlex.compare({"logit": result, "again": result})
    >>> table.columns
    ('logit', 'again')
    """
    check_results(results)
    fits = {str(name): fit for name, fit in results.items()}
    if len(fits) < len(results):
        raise ValueError(f"Two names in `results` are one as text: {list(results)}.")
    index = tuple(dict.fromkeys(name for fit in fits.values() for name in fit.param_names))
    numbers: dict[str | tuple[str, str], np.ndarray] = {}
    notes = []
    for label, fit in fits.items():
        std_errs, reason = _std_errors(fit, kind, clusters)
        if isinstance(fit, Fit):
            notes += [f"{label}: {note}" for note in weight_notes(fit, kind)]
        else:
            notes.append(f"{label}: those of orthogonal estimates.")
        if std_errs is None:
            notes.append(f"No standard errors of {label}: {reason}")
            std_errs = np.full(fit.estimates.size, np.nan)
        places = [index.index(name) for name in fit.param_names]
        for heading, values in ((ESTIMATE, fit.estimates), (STD_ERR, std_errs)):
            column = np.full(len(index), np.nan)
            column[places] = values
            numbers[label, heading] = column
    rows = []
    for k, name in enumerate(index):
        has = [name in fit.param_names for fit in fits.values()]
        cells = [
            (number(numbers[label, ESTIMATE][k]), numbers[label, STD_ERR][k]) for label in fits
        ]
        above = tuple(value if here else "" for (value, _), here in zip(cells, has, strict=True))
        below = tuple("" if math.isnan(err) else f"({number(err)})" for _, err in cells)
        rows += [Row(name, above), Row("", below)]
    return Table(
        title="Comparison of fits",
        header=(),
        columns=tuple(fits),
        sections=(tuple(rows), _statistics(fits)),
        notes=(f"Standard errors in parentheses: {kind}.", *notes),
        numbers=numbers,
        index=index,
    )


def _std_errors(
    result: Fit | Estimated, kind: str, clusters: Any
) -> tuple[Float[np.ndarray, " p"] | None, str]:
    """Standard errors, or why there are none."""
    if isinstance(result, Fit):
        check_kind(kind, clusters, result)
    if result.result != RESULTS.successful:
        return None, "the search did not end at a stationary point, so these are no estimates."
    try:
        return std_errors_of(result, kind, clusters), ""
    except RuntimeError as error:
        return None, str(error)


def _header(result: Fit) -> list[tuple[str, str]]:
    converged = bool(result.result == RESULTS.successful)
    header = [
        ("Units", f"{result.n_obs}"),
        ("Log-likelihood", f"{result.loglik:.{'6f' if abs(result.loglik) < 1e12 else '6e'}}"),
        ("Support points", f"{result.probs.shape[0]}"),
        ("of them active", f"{result.stats['num_active']}"),
        ("Optimality gap", f"{result.gap:.1e}"),
        ("Gradient norm", f"{result.grad_norm:.1e}"),
        ("Iterations", f"{result.stats['num_steps']}"),
        ("Converged", "yes" if converged else "NO"),
    ]
    if result.probs.dtype != np.float64:
        header.append(("Precision", f"{result.probs.dtype}"))
    if result.probs.ndim == 2:
        header.append(("Groups", f"{result.probs.shape[1]}"))
    return header


def _statistics(fits: Mapping[str, Fit | Estimated]) -> tuple[Row, ...]:
    """What sums up a fit, one row each; orthogonal estimates maximise no likelihood."""
    of_any = {
        "Units": lambda fit: f"{fit.n_obs}",
        "Parameters": lambda fit: f"{fit.estimates.size}",
        "Converged": lambda fit: "yes" if bool(fit.result == RESULTS.successful) else "NO",
    }
    measures = {
        "Log-likelihood": lambda fit: f"{fit.loglik:.3f}",
        "Units": of_any["Units"],
        "Parameters": of_any["Parameters"],
        "Active points": lambda fit: f"{fit.stats['num_active']}",
        "Degrees of freedom": lambda fit: f"{num_free(fit)}",
        "AIC": lambda fit: f"{aic(fit):.3f}",
        "BIC": lambda fit: f"{bic(fit):.3f}",
        "Converged": of_any["Converged"],
    }
    return tuple(
        Row(
            label,
            tuple(
                measure(fit) if isinstance(fit, Fit) or label in of_any else ""
                for fit in fits.values()
            ),
        )
        for label, measure in measures.items()
    )
