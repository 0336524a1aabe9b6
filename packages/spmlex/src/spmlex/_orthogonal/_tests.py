"""Tests, and intervals by their inversion."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jax.flatten_util import ravel_pytree
from jax.scipy.special import gammaincc
from jax.typing import ArrayLike
from jaxtyping import Float, Int

from .._level import critical_value
from ._average import delta
from ._covariance import std_errors
from ._fields import Estimated, check_root, clusters_of, moments_at
from ._inference import ScoreTest, WaldTest, find_end, score_statistic
from ._root import Root
from ._search import root_tol

_MAX_STEPS = 60


def wald_test(
    result: Estimated,
    function: Callable[[Any], ArrayLike],
    *,
    clusters: Int[ArrayLike, " n"] | None = None,
) -> WaldTest:
    """Test that a function of the model is zero.

    Parameters
    ----------
    function : Callable
        `function(model)` returns the restrictions, an array that is zero under the hypothesis;
        differentiable by JAX.
    clusters
        See `cov`, also for what is raised.
    """
    found = delta(result, function, clusters=clusters)
    value = np.ravel(found.value)
    statistic = float(value @ np.linalg.solve(found.cov, value))
    p_value = float(gammaincc(value.size / 2, statistic / 2))
    return WaldTest(statistic, value.size, p_value)


def score_test(
    result: Estimated, name: str, value: float, *, clusters: Int[ArrayLike, " n"] | None = None
) -> ScoreTest:
    """C(α) test that one parameter has a value: its score, the others re-estimated.

    Parameters
    ----------
    name : str
        One of `param_names`.
    value : float
        Its value under the hypothesis.
    clusters
        See `cov`, also for what is raised.

    Raises
    ------
    ValueError
        For an unknown name.
    RuntimeError
        If the other parameters have no root there.
    """
    check_root(result)
    statistic, found = _statistic(result, name, clusters)(float(value))
    if not found:
        raise RuntimeError(
            f"With `{name}` held at {value!r}, no root of the scores of the other parameters "
            "was found, so that the hypothesis cannot be tested."
        )
    return ScoreTest(statistic, math.erfc(abs(statistic) / math.sqrt(2)))


def score_interval(
    result: Estimated,
    name: str,
    level: float = 0.95,
    *,
    clusters: Int[ArrayLike, " n"] | None = None,
) -> Float[np.ndarray, " 2"]:
    """The values of one parameter that `score_test` does not reject.

    Each end is found by bisection, with the root of the other scores at a dozen values. The
    interval of `conf_int` takes no search, and is much the same where the estimate is precise.

    Parameters
    ----------
    name : str
        One of `param_names`.
    level : float
        Of confidence.
    clusters
        See `cov`, also for what is raised.

    Returns
    -------
    Float[np.ndarray, "2"]
        Lower and upper end; NaN for an end that is not found within eight times the Wald
        interval, or where the other parameters have no root on the way.
    """
    check_root(result)
    critical, statistic = critical_value(level), _statistic(result, name, clusters)
    index = result.param_names.index(name)
    estimate = float(result.estimates[index])
    std_error = float(std_errors(result, clusters)[index])
    ends = [find_end(statistic, estimate, std_error, side, critical) for side in (-1.0, 1.0)]
    return np.array(ends)


def _statistic(
    result: Estimated, name: str, clusters: Any
) -> Callable[[float], tuple[float, bool]]:
    """The C(α) statistic of a parameter, as a function of its value."""
    if name not in result.param_names:
        raise ValueError(
            f"`name` must be one of {', '.join(map(repr, result.param_names))}, not {name!r}."
        )
    root = Root(result.estimates.astype(np.float64), result.moments, True, 0)
    index, labels = result.param_names.index(name), clusters_of(result, clusters)
    # Far less than what rounds the ends of an interval.
    tol = max(1e-4, root_tol(ravel_pytree(result.params)[0].dtype))
    return lambda value: score_statistic(
        lambda flat: moments_at(result, flat),
        root,
        result.slope,
        result.simulation,
        index,
        value,
        labels,
        tol,
        _MAX_STEPS,
    )
