"""Tables of the orthogonal estimator."""

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Int

from .._level import critical_value
from .._search import RESULTS
from .._table import Row, Table, coefficient_table, number
from ._covariance import cov
from ._fields import Estimated, check_root, clusters_of, kind_of, outcomes_of
from ._inference import covariance
from ._outcomes import Outcomes
from ._root import Root
from ._search import solve_again
from ._working import sharp_distribution, working_distribution

# Beside the result's own: what a table of sensitivity shows.
_RIDGES = (1e-2, 1e-3, 1e-5, 1e-6)
_EM_STEPS = (1, 2, 5, 10)
_MAX_STEPS = 60
# A ridge that moves an estimate by more than this part of a standard error is worth a word, as it
# takes coverage of 95% to 94%.
_RIDGE_NOTE = 0.25


def summary(
    result: Estimated, *, clusters: Int[ArrayLike, " n"] | None = None, level: float = 0.95
) -> Table:
    """Table of estimates, standard errors, z, p, and confidence intervals.

    Parameters
    ----------
    clusters
        See `cov`.
    level : float
        Of the intervals.

    Returns
    -------
    Table
        `print` it, show it in a notebook, or call `to_frame` or `to_latex`. Where there are no
        standard errors it has the estimates alone and says why.
    """
    critical_value(level)
    std_errors, reason = None, ""
    labels = clusters_of(result, clusters)
    try:
        std_errors = np.sqrt(np.diagonal(cov(result, labels)))
    except RuntimeError as error:
        reason = str(error)
    return _estimates(result, std_errors, reason, kind_of(labels), level)


def sensitivity(result: Estimated) -> Table:
    """How the estimates move with the ridge and with the working distribution.

    Each row is a root of its own, with its standard errors in parentheses below. All are valid
    estimates, so that they should differ by parts of a standard error.
    """
    check_root(result)
    options, outcomes = result.options, outcomes_of(result)
    flat = result.estimates.astype(np.float64)
    columns: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def add(label: str, outcomes: Outcomes, ridge: float) -> None:
        root = solve_again(result.sample, result.params, flat, outcomes, ridge, _MAX_STEPS)
        missing = np.full(flat.size, np.nan)
        columns[label] = (
            (root.flat, _errors(result, root, outcomes)) if root.found else (missing, missing)
        )

    add("as reported", outcomes, options.ridge)
    for ridge in _RIDGES:
        if ridge != options.ridge:
            add(f"ridge {ridge:.0e}", outcomes, ridge)
    for num_steps in _EM_STEPS:
        if num_steps != options.em_steps:
            working = working_distribution(result.sample, result.params, num_steps)
            add(f"{num_steps} EM steps", outcomes.again(result.params, working), options.ridge)
    names = result.param_names
    numbers: dict[str | tuple[str, str], np.ndarray] = {}
    for k, name in enumerate(names):
        numbers[name, "estimate"] = np.array([column[0][k] for column in columns.values()])
        numbers[name, "std. err."] = np.array([column[1][k] for column in columns.values()])
    rows = []
    for label, (estimates, errors) in columns.items():
        rows.append(Row(label, tuple(map(number, estimates))))
        rows.append(Row("", tuple("" if np.isnan(x) else f"({number(x)})" for x in errors)))
    return Table(
        title="Sensitivity of the orthogonal estimates",
        header=(),
        columns=names,
        sections=(tuple(rows),),
        notes=("Standard errors in parentheses. NaN: no root was found.",),
        numbers=numbers,
        index=tuple(columns),
    )


def _errors(result: Estimated, root: Root, outcomes: Outcomes) -> Float[np.ndarray, " p"]:
    sample, moments = result.sample, root.moments
    params = sample.unravel(result.params, root.flat)
    slope = outcomes.slope(params, moments, sharp_distribution(sample, params))
    drawn = outcomes.simulation(params, moments)
    return np.sqrt(np.diagonal(covariance(moments, slope, drawn, clusters_of(result, None))))


def _estimates(
    result: Estimated,
    std_errors: Float[np.ndarray, " p"] | None,
    reason: str,
    kind: str,
    level: float,
) -> Table:
    """Estimates, standard errors, z, p, and intervals, with what is known about the root."""
    stats = result.stats
    converged = bool(result.result == RESULTS.successful)
    outcomes = f"{stats['num_draws']} {'listed' if stats['exact'] else 'draws'}"
    header = [
        ("Units", f"{result.n_obs}"),
        ("Support points", f"{result.working.shape[0]}"),
        ("Moment norm", f"{result.moment_norm:.1e}"),
        ("Converged", "yes" if converged else "NO"),
        ("Outcomes per unit", outcomes),
        ("Simulation error", f"{stats['simulation_share']:.2f} s.e."),
        ("Information left", f"{stats['information']:.2g}"),
        ("Standard errors", "none" if std_errors is None else kind),
    ]
    if result.working.shape[1] > 1:
        header.append(("Groups", f"{result.working.shape[1]}"))
    notes = []
    if std_errors is None:
        notes.append(f"No standard errors: {reason}")
    elif stats["simulation_share"] > 2 * result.options.simulation_tol:
        notes.append(
            f"The draws add {stats['simulation_share']:.2f} standard errors to the error of some "
            "estimate, more than was asked for: there is a limit on their number. The standard "
            "errors allow for it. A listing of all outcomes (`all_outcomes`) would not need draws."
        )
    if std_errors is not None and stats["ridge_bias"] > _RIDGE_NOTE:
        notes.append(
            f"The ridge moves an estimate by some {stats['ridge_bias']:.2f} standard errors: "
            "compare with a smaller one, `Orthogonal(ridge=...)`."
        )
    return coefficient_table(
        "Orthogonal estimates",
        header,
        result.param_names,
        result.estimates.astype(np.float64),
        std_errors,
        level,
        notes,
    )
