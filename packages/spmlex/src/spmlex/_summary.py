"""Tables of one fit, and of several side by side."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Int

from ._covariance import check_kind, critical_value, std_errors, unit_weights
from ._grid import grid_notes
from ._information import aic, bic, num_free
from ._model import constant_notes
from ._solution import RESULTS
from ._table import Row, Table

if TYPE_CHECKING:
    from ._result import FitResult

ESTIMATE, STD_ERR = "estimate", "std. err."


def summary(
    result: "FitResult",
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
    result : FitResult
    kind : {"hessian", "opg", "robust", "cluster"}, optional
        Of the covariance; see `covariance`. By default `"hessian"`, and no intervals.
    clusters
        See `covariance`.
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
    notes = grid_notes(result) + _weight_notes(result, kind) + constant_notes(result)
    if std_errs is None:
        notes.append(f"No standard errors: {reason}")
    else:
        notes.append(_worth(result))
    return coefficient_table(
        "Profile likelihood estimates",
        [*_header(result), ("Standard errors", "none" if std_errs is None else kind)],
        result.param_names,
        result.estimates.astype(np.float64),
        std_errs,
        level if with_intervals else None,
        notes,
    )


def _worth(result: "FitResult") -> str:
    """What standard errors of the profile likelihood are worth, and what to do."""
    model = result.model
    drawn = any(callable(getattr(model, name, None)) for name in ("sample", "all_outcomes"))
    way = "take" if drawn else "add `sample(key, data, latent)` to the model and take"
    return (
        "These standard errors are too small where the distribution is continuous or regressors do "
        f"not vary within units. For intervals that hold, {way} `result.orthogonal(key)`."
    )


def coefficient_table(
    title: str,
    header: list[tuple[str, str]],
    names: tuple[str, ...],
    estimates: Float[np.ndarray, " p"],
    std_errs: Float[np.ndarray, " p"] | None,
    level: float | None,
    notes: list[str],
) -> Table:
    """Estimates, standard errors, and with a level z, p and symmetric intervals."""
    numbers: dict[str | tuple[str, str], np.ndarray] = {ESTIMATE: estimates}
    if std_errs is not None:
        numbers[STD_ERR] = std_errs
    if std_errs is not None and level is not None:
        times, tail = critical_value(level), (1 - level) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            z = estimates / std_errs
        half = times * std_errs
        numbers |= {
            "z": z,
            "P>|z|": np.array([math.erfc(abs(value) / math.sqrt(2.0)) for value in z]),
            f"[{tail:.10g}": estimates - half,
            f"{1 - tail:.10g}]": estimates + half,
        }
    formats = {"z": _ratio, "P>|z|": "{:.3f}".format}
    rows = tuple(
        Row(
            name, tuple(formats.get(str(key), number)(column[k]) for key, column in numbers.items())
        )
        for k, name in enumerate(names)
    )
    return Table(
        title=title,
        header=tuple(header),
        columns=tuple(map(str, numbers)),
        sections=(rows,),
        notes=tuple(notes),
        numbers=numbers,
        index=names,
    )


def compare(
    results: "Mapping[str, FitResult]",
    *,
    kind: str = "hessian",
    clusters: Int[ArrayLike, " n"] | None = None,
) -> Table:
    """Fits side by side: estimates, standard errors in parentheses below, and what sums up a fit.

    Parameters
    ----------
    results : mapping of names to FitResult
        The columns, in their order. The fits may have different parameters; those of the same name
        share a row. Whether their log-likelihoods can be compared is for you to know: it takes the
        same units and the same outcomes.
    kind, clusters
        Of the covariances; see `covariance`.

    Returns
    -------
    Table
        `to_frame` has two columns for each fit, its estimates and their standard errors.

    Raises
    ------
    TypeError
        If `results` is no mapping of fits.
    ValueError
        If it is empty or two names are one as text, and for an unknown `kind`.
    """
    from ._result import FitResult

    if not isinstance(results, Mapping) or not all(
        isinstance(fit, FitResult) for fit in results.values()
    ):
        raise TypeError(
            "`results` must be a mapping of names to fits, such as "
            f'`{{"small": result, "large": other}}`, not {type(results).__name__}.'
        )
    if not results:
        raise ValueError("`results` is empty: give at least one fit.")
    fits = {str(name): fit for name, fit in results.items()}
    if len(fits) < len(results):
        raise ValueError(f"Two names in `results` are one as text: {list(results)}.")
    index = tuple(dict.fromkeys(name for fit in fits.values() for name in fit.param_names))
    numbers: dict[str | tuple[str, str], np.ndarray] = {}
    notes = []
    for label, fit in fits.items():
        std_errs, reason = _std_errors(fit, kind, clusters)
        notes += [f"{label}: {note}" for note in _weight_notes(fit, kind)]
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


def number(value: Any) -> str:
    """An estimate, to six decimals where these hold at least three digits, else to six digits."""
    value = float(value)
    if value == 0 or 1e-4 <= abs(value) < 1e6 or not math.isfinite(value):
        return f"{value:.6f}"
    return f"{value:.5e}"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1e5 else f"{value:.2e}"


def _std_errors(
    result: "FitResult", kind: str, clusters: Any
) -> tuple[Float[np.ndarray, " p"] | None, str]:
    """Standard errors, or why there are none."""
    check_kind(kind, clusters, result)
    if result.result != RESULTS.successful:
        return None, "the search did not end at a stationary point, so these are no estimates."
    try:
        return np.asarray(std_errors(result, kind, clusters)), ""
    except RuntimeError as error:
        return None, str(error)


def _weight_notes(result: "FitResult", kind: str) -> list[str]:
    """That weights are taken for frequencies, where their scale says that they are none."""
    weights = unit_weights(result)
    total, num_units = weights.sum(), int(np.sum(weights > 0))
    if 0.5 <= total / num_units <= 2.0 or np.array_equal(weights, weights.round()):
        return []
    affected = "likelihood and criteria"
    if kind in ("hessian", "opg"):
        affected = "likelihood, criteria and standard errors"
    return [
        f"The weights of {num_units} units sum to {total:.6g}. They are taken as frequencies: "
        f"{affected} are those of {total:.6g} units. If only their ratios mean something, rescale "
        "them to a mean of one; kind='robust' has standard errors that do not depend on it."
    ]


def _header(result: "FitResult") -> list[tuple[str, str]]:
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
    if result.probs.ndim == 2:
        header.append(("Groups", f"{result.probs.shape[1]}"))
    return header


def _statistics(fits: "Mapping[str, FitResult]") -> tuple[Row, ...]:
    """What sums up a fit, one row each."""
    measures = {
        "Log-likelihood": lambda fit: f"{fit.loglik:.3f}",
        "Units": lambda fit: f"{fit.n_obs}",
        "Parameters": lambda fit: f"{fit.estimates.size}",
        "Active points": lambda fit: f"{fit.stats['num_active']}",
        "Degrees of freedom": lambda fit: f"{num_free(fit)}",
        "AIC": lambda fit: f"{aic(fit):.3f}",
        "BIC": lambda fit: f"{bic(fit):.3f}",
        "Converged": lambda fit: "yes" if bool(fit.result == RESULTS.successful) else "NO",
    }
    return tuple(
        Row(label, tuple(measure(fit) for fit in fits.values()))
        for label, measure in measures.items()
    )
