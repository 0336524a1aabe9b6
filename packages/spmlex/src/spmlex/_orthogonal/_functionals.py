"""Linear functionals of the distribution, by the same orthogonality."""

from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from .._level import critical_value
from .._table import ESTIMATE, STD_ERR, Table, end_names, entry_names, numeric_table
from ._inference import influence, jackknifed
from ._moments import Moments

# Ridges to choose from: each is valid, with the bias that it is reported with.
RIDGES = tuple(10.0**-k for k in range(2, 9))
# Step of the differences, in standard errors of the parameters.
_DIFFERENCE = 1e-3


class Functional(eqx.Module):
    """An average over the distribution of the latent variable, and what is known of its error.

    Attributes
    ----------
    value : Float[np.ndarray, "..."]
        The estimate.
    std_errors : Float[np.ndarray, "..."]
        Its standard errors.
    bias_bound : Float[np.ndarray, "..."]
        The largest bias under any distribution on the grid: what the outcomes leave open. Close
        to zero for what they determine, such as the mean of an effect that is added to outcomes;
        large for what they do not, such as the mass at a single point.
    names : tuple of str
        Of the entries, if they have some: `print` then shows a table.
    title, header, notes
        Of the table: see `Table`.

    Examples
    --------
    With `orthogonal` from the example of `fit_orthogonal`:

    >>> mean = orthogonal.average(lambda model, data, supp: supp)
    >>> bool(abs(mean.value) < 3 * mean.std_errors)
    True
    """

    value: Float[np.ndarray, "..."]
    std_errors: Float[np.ndarray, "..."]
    bias_bound: Float[np.ndarray, "..."]
    names: tuple[str, ...] = ()
    title: str = "Averages over the distribution"
    header: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Numbers rather than shapes."""
        if self.names:
            return str(self.summary())
        return (
            f"Functional(value={self.value}, std_errors={self.std_errors}, "
            f"bias_bound={self.bias_bound})"
        )

    def _repr_html_(self) -> str | None:
        return self.summary()._repr_html_() if self.names else None

    def summary(self, *, level: float = 0.95) -> Table:
        """Table of the entries, with standard errors, bias bounds and `conf_int`.

        Parameters
        ----------
        level : float
            Of the intervals.

        Returns
        -------
        Table
            `print` it, show it in a notebook, or call `to_frame` or `to_latex`.
        """
        names = self.names or entry_names(self.value.shape)
        ends = self.conf_int(level).reshape(-1, 2)
        columns = {
            ESTIMATE: self.value.ravel(),
            STD_ERR: self.std_errors.ravel(),
            "bias bound": self.bias_bound.ravel(),
            **dict(zip(end_names(level), ends.T, strict=True)),
        }
        return numeric_table(self.title, self.header, names, columns, self.notes)

    def conf_int(self, level: float = 0.95) -> Float[np.ndarray, "... 2"]:
        """Confidence intervals that hold whatever the bias is within its bound.

        Estimate plus and minus a multiple of the standard error: the quantile of the absolute value
        of a normal variable whose mean is the bound over the standard error (Armstrong & Kolesár,
        2018, Optimal inference in a class of regression models, Econometrica 86, 655-683).

        Parameters
        ----------
        level : float
            Strictly between 0 and 1.

        Returns
        -------
        Float[np.ndarray, "... 2"]
            Lower and upper ends on the last axis.
        """
        critical_value(level)
        pairs = zip(np.ravel(self.std_errors), np.ravel(self.bias_bound), strict=True)
        half = np.reshape([half_length(s, b, level) for s, b in pairs], np.shape(self.value))
        return np.stack([self.value - half, self.value + half], axis=-1)


def half_length(std_error: float, bias: float, level: float) -> float:
    """Half the length of an interval that covers with any bias up to a bound."""
    if not std_error > 0 or not np.isfinite(bias):
        return bias if std_error == 0 else np.nan
    mean, normal = bias / std_error, NormalDist()
    low, high = 0.0, mean + critical_value(level)
    for _ in range(60):
        middle = 0.5 * (low + high)
        if normal.cdf(middle - mean) - normal.cdf(-middle - mean) < level:
            low = middle
        else:
            high = middle
    return high * std_error


class _At(NamedTuple):
    """A functional at given parameters and ridge."""

    value: Float[np.ndarray, " q"]
    adds: Float[np.ndarray, "n q"]
    residuals: Float[np.ndarray, "g m q"]


def functional(
    values: Callable[[np.ndarray], Float[np.ndarray, "g m q"]],
    evaluate: Callable[[np.ndarray], tuple[Moments, np.ndarray]],
    flat: Float[np.ndarray, " p"],
    working: Float[np.ndarray, "m g"],
    labels: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"],
    slope: Float[np.ndarray, "p p"],
    clusters: Int[np.ndarray, " n"] | None,
) -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, " q"], Float[np.ndarray, " q"]]:
    """Σ_g share_g ∫ t_g dF_g, its standard errors and its bias bounds.

    With τ̃ = ∫ t dF̃ and γ = (B + κI)⁻¹ √F̃(t - τ̃), φ = τ̃ + γᵀD has the expectation
    Σ_q F(q) (t_q - r_q) under every distribution F, r = κγ/√F̃. The estimate is the mean of φ, its
    bias at most max_q |r_q|; of several ridges, each entry takes the one with the shortest interval
    that allows for both.

    Parameters
    ----------
    values : Callable
        t at the support points for each group, at given parameters.
    evaluate : Callable
        Moments at given parameters, and D of the units.
    flat : Float[np.ndarray, "p"]
        The estimates.
    working, labels, weights
        Of the moments.
    slope, clusters
        See `influence`.
    """
    moments, ratios = evaluate(flat)
    here = [_at(values(flat), moments, ratios, working, labels, weights, ridge) for ridge in RIDGES]
    by_params = np.zeros((len(RIDGES), here[0].value.size, flat.size))
    errors = np.sqrt(np.diagonal(np.linalg.inv(moments.jacobian)) / weights.size)
    for k, error in enumerate(errors):
        ends = []
        for sign in (-1.0, 1.0):
            moved = flat.copy()
            moved[k] += sign * _DIFFERENCE * error
            there, t = evaluate(moved), values(moved)
            ends.append(
                np.stack([_at(t, *there, working, labels, weights, r).value for r in RIDGES])
            )
        by_params[:, :, k] = (ends[1] - ends[0]) / (2 * _DIFFERENCE * error)
    of_params, leverage = influence(moments, slope, clusters)
    std_errors, bounds = [], []
    for at, moves in zip(here, by_params, strict=True):
        adds = at.adds
        if clusters is not None:
            adds = np.zeros((of_params.shape[0], adds.shape[1]))
            np.add.at(adds, clusters, at.adds)
        total = adds + of_params @ moves.T
        std_errors.append(np.sqrt(np.diagonal(jackknifed(total, leverage))))
        bounds.append(np.abs(at.residuals).max(axis=(0, 1)))
    lengths = np.array(
        [
            [half_length(s, b, 0.95) for s, b in zip(*row, strict=True)]
            for row in zip(std_errors, bounds, strict=True)
        ]
    )
    best = np.argmin(lengths, axis=0)
    pick = np.arange(best.size)
    value, std_error, bound = (
        np.array(x)[best, pick] for x in ([at.value for at in here], std_errors, bounds)
    )
    return value, std_error, bound


def _at(
    values: Float[np.ndarray, "g m q"],
    moments: Moments,
    ratios: Float[np.ndarray, "n m"],
    working: Float[np.ndarray, "m g"],
    labels: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"],
    ridge: float,
) -> _At:
    total, adds = np.zeros(values.shape[2]), np.zeros((ratios.shape[0], values.shape[2]))
    residuals = np.zeros(values.shape)
    for g, (t, share) in enumerate(zip(values, moments.shares, strict=True)):
        root, own = np.sqrt(working[:, g]), labels == g
        centre = working[:, g] @ t
        matrix = moments.cross[g] / share + ridge * np.eye(root.size)
        slope = np.linalg.solve(matrix, root[:, None] * (t - centre))
        residuals[g] = share * ridge * slope / root[:, None]
        parts = weights[own, None] * (ratios[own] @ slope)
        total += share * centre + parts.sum(axis=0)
        adds[own] = parts - weights[own, None] * parts.sum(axis=0) / share
    return _At(total, adds, residuals)
