"""The profile of the likelihood in one parameter, and intervals from it."""

import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PyTree, Scalar

from mixsqpx import RESULTS as MIX_RESULTS

from .._fields import Fit, problem_of, total_weight
from .._level import critical_value
from .._profile import Profile
from .._search import AbstractExpandable, Expansion, Problem, TrustRegionNewton, optimise
from ._covariance import std_errors
from ._likelihood_ratio import noise

_MAX_STEPS = 100
# The search for an end of an interval: doublings of the distance, cuts after a failure, and
# refinements. Distances grow to a thousand times the normal interval's before a side is unbounded.
_MAX_DOUBLINGS, _MAX_CUTS, _MAX_REFINEMENTS = 10, 10, 60


class ProfileInterval(NamedTuple):
    """A confidence interval from the profile likelihood of one parameter.

    An end is infinite where the likelihood does not fall enough on that side, and NaN where it
    could not be evaluated so far out; then the reason is not empty.

    Examples
    --------
    With `result` from the example of `fit`:

    >>> interval = result.profile_interval("slope", level=0.9)
    >>> interval.name, interval.level, interval.lower_reason
    ('slope', 0.9, '')
    """

    name: str
    level: float
    lower: float
    upper: float
    lower_reason: str
    upper_reason: str


def profile_interval(result: Fit, name: str, level: float = 0.95) -> ProfileInterval:
    """Values of one parameter that a likelihood-ratio test does not reject.

    The other parameters and the distribution are estimated anew at each value, from those at the
    nearest value so far. Each end is bracketed at growing distances from the estimate, the first
    that of the normal interval, and found to a millionth in the square root of the statistic, or to
    rounding. Where the profile falls and rises again on one side, an end is one of the places at
    which it crosses the cut-off, and there are values beyond it that are not rejected, or inside
    that are: `plot_profile` shows that.

    Parameters
    ----------
    name : str
        One of `param_names`.
    level : float
        Probability that the interval covers, strictly between 0 and 1.

    Returns
    -------
    ProfileInterval
        `lower` and `upper`, with a reason for each that is not finite.

    Raises
    ------
    ValueError
        For an unknown name, and a level that is no probability.
    RuntimeError
        If the fit has no data, did not end at a stationary point, or a higher likelihood is found.
    """
    curve = _Curve(result, name)
    critical = critical_value(level)
    centre = float(result.estimates[curve.index])
    try:
        first = critical * float(std_errors(result)[curve.index])
    except RuntimeError:
        first = max(abs(centre), 1.0) * 0.1
    ends = [_find_end(curve, centre, sign * first, critical) for sign in (-1.0, 1.0)]
    (lower, lower_reason), (upper, upper_reason) = ends
    return ProfileInterval(name, level, lower, upper, lower_reason, upper_reason)


def profile_curve(
    result: Fit, name: str, values: Float[ArrayLike, " k"]
) -> Float[np.ndarray, " k"]:
    """Total log-likelihood at given values of one parameter, maximised over everything else.

    Parameters
    ----------
    name : str
        One of `param_names`.
    values : Float[ArrayLike, "k"]
        Values of the parameter, in any order.

    Returns
    -------
    Float[np.ndarray, "k"]
        In nats; NaN where the search fails.

    Raises
    ------
    ValueError
        For an unknown name, and values that are no vector of finite numbers.
    RuntimeError
        If the fit has no data, did not end at a stationary point, or a higher likelihood is found.
    """
    points = np.asarray(values, np.float64)
    if points.ndim != 1 or not np.isfinite(points).all():
        raise ValueError("`values` must be a vector of finite numbers.")
    curve = _Curve(result, name)
    centre = float(result.estimates[curve.index])
    logliks = np.full(points.shape, np.nan)
    # Outwards, so that each search starts at its neighbour.
    for k in np.argsort(np.abs(points - centre), kind="stable"):
        logliks[k] = result.loglik - 0.5 * curve(float(points[k]))
    return logliks


class _Curve:
    """Twice the fall of the log-likelihood at a value of one parameter; keeps where it has been."""

    def __init__(self, result: Fit, name: str) -> None:
        names = result.param_names
        if name not in names:
            raise ValueError(
                f"`name` must be a parameter, one of {', '.join(names)}; not {name!r}."
            )
        self.problem, self.params = problem_of(result), result.params
        self.result, self.name, self.index = result, name, names.index(name)
        self.noise, self.total = noise(result), total_weight(result)
        flat = ravel_pytree(result.params)[0]
        start = (jnp.delete(flat, self.index), self.problem.init)
        self.visited = {float(result.estimates[self.index]): start}

    def __call__(self, value: float) -> float:
        near = min(self.visited, key=lambda other: abs(other - value))
        rest, init = self.visited[near]
        index = jnp.asarray(self.index)
        at = jnp.asarray(value, rest.dtype)
        found = _maximise(_OneHeld(self.problem, self.params, index, at, init), rest)
        rest, profile, successful = found
        if not successful:
            return math.nan
        fall = 2.0 * (self.total * float(profile.value) + self.result.loglik)
        if fall < -self.noise:
            raise RuntimeError(
                f"At {self.name} = {value:.6g} the log-likelihood is "
                f"{self.result.loglik - 0.5 * fall:.6f}, above the {self.result.loglik:.6f} of the "
                "fit, which is a local maximum only. Fit again, starting from that value."
            )
        init = None if init is None else profile.probs
        self.visited[value] = (rest, init)
        return max(fall, 0.0)


def _find_end(
    curve: Callable[[float], float], centre: float, first: float, critical: float
) -> tuple[float, str]:
    """Where the signed root of the fall reaches the critical value, on one side."""

    def excess(value: float) -> float:
        """Nearly linear in the value; below zero inside the interval."""
        return math.sqrt(curve(value)) - critical

    inside, below = centre, -critical
    distance, cuts = first, 0
    for _ in range(_MAX_DOUBLINGS + _MAX_CUTS):
        outside = centre + distance
        above = excess(outside)
        if above >= 0:
            end = _root(excess, inside, below, outside, above)
            failed = "the search for the other parameters fails inside of the bracket of this end"
            return end, failed if math.isnan(end) else ""
        if math.isnan(above):
            cuts += 1
            distance = (inside - centre) + 0.5 * (outside - inside)
            continue
        inside, below = outside, above
        if abs(distance) >= abs(first) * 2**_MAX_DOUBLINGS:
            break
        distance *= 2.0
    if cuts:
        return math.nan, f"the search for the other parameters fails beyond {inside:.6g}"
    fall = (below + critical) ** 2
    reason = (
        f"at {inside:.6g} twice the fall of the log-likelihood is {fall:.3g}, and the interval "
        f"ends at {critical**2:.3g}"
    )
    return math.copysign(math.inf, first), reason


def _root(excess: Callable[[float], float], a: float, at_a: float, b: float, at_b: float) -> float:
    """Root in a bracket, by the Illinois variant of the secant method, with bisection if stuck."""
    width = abs(b - a)
    for k in range(_MAX_REFINEMENTS):
        middle = b - at_b * (b - a) / (at_b - at_a) if k % 4 < 3 else 0.5 * (a + b)
        at = excess(middle)
        if math.isnan(at):
            # Failed inside of the bracket: look a little to the side that is known to work.
            middle = 0.5 * (middle + b)
            at = excess(middle)
            if math.isnan(at):
                return math.nan
        if abs(at) <= 1e-6:
            return middle
        if (at > 0) == (at_b > 0):
            b, at_b, at_a = middle, at, 0.5 * at_a
        else:
            a, at_a, b, at_b = b, at_b, middle, at
        if abs(b - a) <= 1e-9 * width:
            break
    return b


class _OneHeld(AbstractExpandable):
    """A problem in all parameters but one."""

    problem: Problem
    template: PyTree
    index: Int[Array, ""]
    value: Float[Array, ""]
    init: Float[Array, "m *g"] | None

    def __call__(self, rest: Float[Array, " q"], args: None = None) -> tuple[Scalar, Profile]:
        problem, params, _ = self._whole(rest)
        return problem(params, args)

    def expand(self, rest: Float[Array, " q"]) -> Expansion:
        """Derivatives in the others."""
        problem, params, places = self._whole(rest)
        whole = problem.expand(params)
        return Expansion(
            whole.f, whole.grad[places], whole.hess[jnp.ix_(places, places)], whole.aux
        )

    def _whole(self, rest: Float[Array, " q"]) -> tuple[Problem, PyTree, Int[Array, " q"]]:
        """The problem, all its parameters, and where the others are among them."""
        flat, unravel = ravel_pytree(self.template)
        places = jnp.arange(rest.size)
        places = jnp.where(places >= self.index, places + 1, places)
        flat = flat.at[places].set(rest).at[self.index].set(self.value)
        problem = self.problem
        if self.init is not None:
            problem = eqx.tree_at(lambda p: p.init, problem, self.init)
        return problem, unravel(flat), places


@eqx.filter_jit
def _maximise(held: _OneHeld, rest: Float[Array, " q"]) -> tuple[Array, Profile, Array]:
    if rest.size == 0:
        profile = held(rest)[1]
        return rest, profile, profile.result == MIX_RESULTS.successful
    double = jnp.finfo(rest.dtype).bits >= 64
    # The value is off by the square of the gradient.
    minimiser = TrustRegionNewton(rtol=1e-9, atol=1e-8) if double else TrustRegionNewton(1e-5, 1e-4)
    found = optimise(held, rest, minimiser, _MAX_STEPS)
    return found.params, found.profile, found.successful
