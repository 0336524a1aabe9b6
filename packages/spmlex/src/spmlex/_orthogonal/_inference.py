"""Covariance of a root of the mean orthogonal score, and tests."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .._inference import SingularInformationError, describe_direction
from .._table import one_row
from ._moments import Moments
from ._root import Root, find_root

# Where less than this part of the information in some direction is left by not knowing the
# distribution, what is left cannot be told from the ridge and the draws.
LEAST_INFORMATION = 1e-3
# An end of an interval is found to this part of a standard error.
_END_TOL = 1e-3
# Ends are looked for up to so many times as far as those of the Wald interval.
_FURTHEST = 8.0
_MAX_TRIALS = 40


class ScoreTest(NamedTuple):
    """A C(α) test of one parameter.

    Attributes
    ----------
    statistic : float
        Standard normal, if the hypothesis is true; positive where the estimate is above the value.
    p_value : float
        Two-sided.

    Examples
    --------
    With `orthogonal` from the example of `fit_orthogonal`:

    >>> test = orthogonal.score_test("slope", 0.0)
    >>> bool(test.p_value < 0.01)
    True
    """

    statistic: float
    p_value: float

    def __repr__(self) -> str:
        """As a table."""
        entries = {"statistic": self.statistic, "p": self.p_value}
        return str(one_row("C(α) test", "standard normal", entries))


class WaldTest(NamedTuple):
    """A Wald test of smooth restrictions.

    Attributes
    ----------
    statistic : float
    df : int
        Degrees of freedom of its chi-squared distribution, if the hypothesis is true.
    p_value : float

    Examples
    --------
    With `orthogonal` from the example of `fit_orthogonal`:

    >>> test = orthogonal.wald_test(lambda model: model.slope - 1.0)
    >>> bool(test.p_value > 0.05)
    True
    """

    statistic: float
    df: int
    p_value: float

    def __repr__(self) -> str:
        """As a table."""
        entries = {"statistic": self.statistic, "df": self.df, "p": self.p_value}
        return str(one_row("Wald test", "chi-squared", entries))


def information_shares(moments: Moments) -> tuple[Float[np.ndarray, " p"], np.ndarray]:
    """What is left of the information by not knowing the distribution, and along what.

    Eigenvalues of J relative to E[ssᵀ], ascending, between zero and one, and the direction of the
    first. NaN where E[ssᵀ] itself is singular.
    """
    diagonal = np.diagonal(moments.info)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    both = np.outer(scale, scale)
    eigval, eigvec = np.linalg.eigh(moments.info / both)
    if not eigval[0] > eigval.size * np.finfo(float).eps ** (2 / 3):
        return np.full(eigval.size, np.nan), eigvec[:, 0] / scale
    root = eigvec / np.sqrt(eigval)
    shares, vectors = np.linalg.eigh(root.T @ (moments.jacobian / both) @ root)
    return shares, (root @ vectors[:, 0]) / scale


def check_information(moments: Moments, names: tuple[str, ...]) -> None:
    """Refuse to invert what is nearly singular.

    Raises
    ------
    SingularInformationError
        If not knowing the distribution leaves too little information in some direction.
    """
    shares, direction = information_shares(moments)
    if shares[0] >= LEAST_INFORMATION:
        return
    what = (
        f"leaves {max(shares[0], 0.0):.1e} of the information"
        if np.isfinite(shares[0])
        else "is not all: even with a known distribution there is no information"
    )
    raise SingularInformationError(
        f"Not knowing the distribution {what} along {describe_direction(direction, names)}. A move "
        "of the distribution makes up for a move of the parameters in that direction, as it does "
        "for a constant among regressors. Hold one of them fixed (`free`, which holds whole "
        "leaves), or leave it out of the model."
    )


def influence(
    moments: Moments, slope: Float[np.ndarray, "p p"], clusters: Int[np.ndarray, " n"] | None
) -> tuple[Float[np.ndarray, "c p"], Float[np.ndarray, " c"]]:
    """What each unit or cluster adds to the estimates, and its leverage.

    The leverages sum to the number of parameters. Without a unit of leverage h the estimates are
    off by its influence over 1 - h.

    Parameters
    ----------
    moments : Moments
        At the estimates.
    slope : Float[np.ndarray, "p p"]
        Minus the derivative of their mean; see `Outcomes.slope`.
    clusters : Int[np.ndarray, "n"] or None
        Over which to sum.
    """
    inverse = np.linalg.inv(slope)
    total = moments.weighted
    if clusters is not None:
        summed = np.zeros((clusters.max() + 1, total.shape[1]))
        np.add.at(summed, clusters, total)
        total = summed
    if clusters is not None and len(total) <= total.shape[1]:
        raise RuntimeError(
            f"There are {len(total)} clusters for {total.shape[1]} parameters, and their spread "
            "takes more clusters than parameters, many more for a good estimate."
        )
    leverage = np.einsum("cp,pq,cq->c", total, np.linalg.inv(total.T @ total), total)
    return total @ inverse.T, leverage


def jackknifed(
    influences: Float[np.ndarray, "c q"], leverage: Float[np.ndarray, " c"]
) -> Float[np.ndarray, "q q"]:
    """Sandwich of what leaving out each unit or cluster does.

    Units with leverage pull the estimate towards themselves, so that squares of their scores are
    too small: the correction of MacKinnon & White (1985), HC3, in terms of scores.
    """
    out = influences / np.maximum(1.0 - leverage, 1e-3)[:, None]
    return out.T @ out


def covariance(
    moments: Moments,
    slope: Float[np.ndarray, "p p"],
    drawn: Float[np.ndarray, "p p"],
    clusters: Int[np.ndarray, " n"] | None,
) -> Float[np.ndarray, "p p"]:
    """Of the estimates: that of sampling, and that of the draws."""
    inverse = np.linalg.inv(slope)
    sampled = jackknifed(*influence(moments, slope, clusters))
    return sampled + inverse @ drawn @ inverse.T


def score_statistic(
    evaluate: Callable[[np.ndarray], Moments],
    estimate: Root,
    slope: Float[np.ndarray, "p p"],
    drawn: Float[np.ndarray, "p p"],
    index: int,
    value: float,
    clusters: Int[np.ndarray, " n"] | None,
    tol: float,
    max_steps: int,
) -> tuple[float, bool]:
    """The C(α) statistic of one parameter, the others where their scores are zero.

    The efficient score of the parameter is its entry of A⁻¹ψ, A the slope.

    Parameters
    ----------
    evaluate : Callable
        Moments at a parameter.
    estimate : Root
        The unrestricted one.
    slope
        Minus the derivative of the mean at the estimate.
    drawn
        Variance of the mean from the draws.
    index, value
        Which parameter, and its hypothetical value.
    clusters
        See `cov`.
    tol, max_steps
        See `find_root`.

    Returns
    -------
    float
        The statistic.
    bool
        Whether a root of the other scores was found.
    """
    flat, jacobian = estimate.flat, estimate.moments.jacobian
    others = np.arange(flat.size) != index
    last: list[Moments] = []

    def restricted(part: np.ndarray) -> Moments:
        full = np.insert(part, index, value)
        last[:] = [evaluate(full)]
        return last[0].keep(others)

    start = flat[others]
    if start.size:
        # The others move along with the one that is held, as far as J is right.
        start = start - np.linalg.solve(
            jacobian[np.ix_(others, others)], jacobian[others, index] * (value - flat[index])
        )
        root = find_root(restricted, start, tol, max_steps)
        found = root.found
        moments = evaluate(np.insert(root.flat, index, value))
    else:
        moments, found = evaluate(np.array([value])), True
    influences, leverage = influence(moments, slope, clusters)
    inverse = np.linalg.inv(slope)
    variance = jackknifed(influences[:, index : index + 1], leverage)[0, 0]
    variance += (inverse @ drawn @ inverse.T)[index, index]
    return float(influences[:, index].sum() / np.sqrt(variance)), found


def find_end(
    statistic: Callable[[float], tuple[float, bool]],
    estimate: float,
    std_error: float,
    side: float,
    critical: float,
) -> float:
    """Where the statistic crosses the critical value, by bisection; NaN where it does not.

    Parameters
    ----------
    statistic : Callable
        At a value of the parameter: the statistic, and whether it could be had.
    estimate, std_error : float
        Where it is zero, and its scale there.
    side : float
        -1 for the lower end, 1 for the upper.
    critical : float
    """

    def beyond(distance: float) -> bool | None:
        value, found = statistic(estimate + side * distance)
        return abs(value) >= critical if found else None

    inside, outside = 0.0, critical * std_error
    for _ in range(_MAX_TRIALS):
        outcome = beyond(outside)
        if outcome is None:
            return math.nan
        if outcome:
            break
        inside, outside = outside, 1.5 * outside
        if outside > _FURTHEST * critical * std_error:
            return math.nan
    for _ in range(_MAX_TRIALS):
        if outside - inside <= _END_TOL * std_error:
            break
        middle = 0.5 * (inside + outside)
        outcome = beyond(middle)
        if outcome is None:
            return math.nan
        inside, outside = (inside, middle) if outcome else (middle, outside)
    return estimate + side * 0.5 * (inside + outside)
