"""Plots of a fit, into new axes or into given ones, which they return. They need matplotlib."""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

import mixsqpx

from .._fields import Fit, problem_of
from .._inference import profile_curve, profile_interval
from .._level import critical_value
from .._model import coordinate_of, coordinates, log_lik_of
from .._search import Problem
from ._joint import draw_joint
from ._style import axes_of, colour, line, marker

if TYPE_CHECKING:
    import matplotlib.axes


def plot_distribution(
    result: Fit,
    *,
    coordinate: str | tuple[str, str] | None = None,
    ax: "matplotlib.axes.Axes | None" = None,
) -> "matplotlib.axes.Axes":
    """Estimated distribution of the latent variable: its distribution function and its masses.

    Parameters
    ----------
    coordinate : str or pair of str, optional
        Which coordinate of the support points, where they have several: its marginal distribution
        is drawn; of a pair, their joint distribution, which is the default where there are two. An
        error lists the names.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        For each group, a step function and the masses above their points; of two coordinates
        circles whose areas are the masses, within the box that the grid covers.

    Raises
    ------
    ValueError
        If there is no such coordinate, or several and none is named.
    ImportError
        Without matplotlib.
    """
    ax = axes_of(ax)
    names = list(coordinates(result.supp))
    if coordinate is None and len(names) == 2:
        coordinate = (names[0], names[1])
    if coordinate is not None and not isinstance(coordinate, str):
        both = [coordinate_of(result.supp, name) for name in coordinate]
        if len(both) != 2:
            raise ValueError(f"`coordinate` must be one name or two, but it is {coordinate!r}.")
        points = np.stack([where for _, where in both], axis=1).astype(float)
        labels = f"Latent variable {coordinate[0]}", f"Latent variable {coordinate[1]}"
        draw_joint(ax, points, labels, _columns(result.probs))
        return ax
    name, where = coordinate_of(result.supp, coordinate)
    points, place = np.unique(where, return_inverse=True)
    margin = 0.04 * (points[-1] - points[0]) or 1.0
    entries: list[tuple[Any, ...]] = []
    for g, probs in enumerate(_columns(result.probs)):
        masses = np.bincount(place, weights=probs)
        active, who = masses > 0, _group(result, g)
        x = np.concatenate([points[:1] - margin, points, points[-1:] + margin])
        cdf = np.cumsum(np.concatenate([[0.0], masses, [0.0]]))
        steps = ax.step(
            x, cdf, where="post", color=colour(g), ls=line(g), label=f"distribution{who}"
        )
        ax.vlines(points[active], 0, masses[active], color=colour(g), alpha=0.6)
        style: dict[str, Any] = {"ls": "none", "marker": marker(g), "ms": 5}
        at = points[active], masses[active]
        dots = ax.plot(*at, color=colour(g), label=f"masses{who}", **style)
        entries.append((*steps, *dots))
    ax.set(xlabel=f"Latent variable {name}", ylabel="Probability", ylim=(0, 1.03))
    ax.set_xlim(points[0] - margin, points[-1] + margin)
    _legend(ax, entries)
    return ax


def plot_gradient(
    result: Fit,
    *,
    coordinate: str | None = None,
    ax: "matplotlib.axes.Axes | None" = None,
) -> "matplotlib.axes.Axes":
    """Gradient function over the grid, zero at the active points: the certificate of the gap.

    gⱼ = 1 - Σᵢ ωᵢ aᵢⱼ/uᵢ is the slope of the mean negative log-likelihood as mass moves to point j.
    At the optimum it is zero where there is mass and not negative elsewhere (Lindsay, 1983), and
    `gap` is log(1 - minⱼ gⱼ). It says nothing about points between those of the grid.

    Parameters
    ----------
    coordinate, ax
        See `plot_distribution`. Where there are several coordinates the function is drawn as
        points, all that share a value above each other.

    Returns
    -------
    matplotlib.axes.Axes
        For each group, the function at all points and circles at the active ones.

    Raises
    ------
    RuntimeError
        If the fit has no data, or did not end at a stationary point.
    ValueError, ImportError
        As for `plot_distribution`.
    """
    problem = problem_of(result)
    ax = axes_of(ax)
    name, where = coordinate_of(result.supp, coordinate)
    order = np.argsort(where, kind="stable")
    several = len(coordinates(result.supp)) > 1
    gradients = _columns(_gradient_function(problem, result.params, result.probs))
    entries: list[tuple[Any, ...]] = []
    ax.axhline(0.0, color="0.6", lw=0.8)
    for g, (gradient, probs) in enumerate(zip(gradients, _columns(result.probs), strict=True)):
        who, active = _group(result, g), probs > 0
        style: dict[str, Any] = {"ls": "none", "marker": "."} if several else {"ls": line(g)}
        at = where[order], gradient[order]
        curve = ax.plot(*at, color=colour(g), label=f"gradient{who}", **style)
        circles: dict[str, Any] = {"ls": "none", "marker": marker(g), "mfc": "none", "ms": 7}
        at = where[active], gradient[active]
        dots = ax.plot(*at, color=colour(g), label=f"active{who}", **circles)
        entries.append((*curve, *dots))
    ax.set(xlabel=f"Latent variable {name}", ylabel="Gradient function")
    _legend(ax, entries)
    return ax


def plot_history(
    result: Fit, *, ax: "matplotlib.axes.Axes | None" = None
) -> "matplotlib.axes.Axes":
    """Convergence of the search, on a logarithmic axis.

    Parameters
    ----------
    ax
        See `plot_distribution`.

    Returns
    -------
    matplotlib.axes.Axes
        The largest entry of the gradient, where the minimiser keeps one, and how far the mean
        log-likelihood was below that of the last iteration; both by iteration, zeros left out.

    Raises
    ------
    ImportError
        Without matplotlib.
    """
    ax = axes_of(ax)
    from matplotlib.ticker import MaxNLocator

    value = result.history["value"]
    curves = {
        "gradient norm": result.history["grad_norm"],
        "shortfall (nats per unit)": value - value[-1],
    }
    for k, (label, curve) in enumerate(curves.items()):
        shown = curve > 0
        if shown.any():
            steps = np.arange(1, curve.size + 1)[shown]
            style: dict[str, Any] = {"ls": line(k), "marker": marker(k), "ms": 4}
            ax.semilogy(steps, curve[shown], color=colour(k), label=label, **style)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="Iteration", ylabel="Distance from the optimum")
    ax.legend(loc="best", fontsize="small")
    return ax


def plot_profile(
    result: Fit,
    name: str,
    *,
    values: Float[ArrayLike, " k"] | None = None,
    level: float = 0.95,
    ax: "matplotlib.axes.Axes | None" = None,
) -> "matplotlib.axes.Axes":
    """Profile of the log-likelihood in one parameter, all others re-estimated at each value.

    Parameters
    ----------
    name : str
        One of `param_names`.
    values : Float[ArrayLike, "k"], optional
        Where to evaluate; by default 21 values, a little further than the interval on either side.
        Each is a fit.
    level : float
        Of the likelihood-ratio interval: where the curve is above the dashed line.
    ax
        See `plot_distribution`.

    Returns
    -------
    matplotlib.axes.Axes
        The log-likelihood less its maximum; the cut-off, half a quantile of chi-square below it;
        the estimate, and the ends of the interval that are finite.

    Raises
    ------
    ImportError
        Without matplotlib.
    ValueError, RuntimeError
        As for `profile_interval`, and without `values` if the interval has no finite end.
    """
    ax = axes_of(ax)
    interval = profile_interval(result, name, level)
    estimate = float(result.estimates[result.param_names.index(name)])
    ends = np.array([interval.lower, interval.upper])
    finite = np.isfinite(ends)
    if values is None:
        if not finite.any():
            raise ValueError(
                f"The interval of {name} has no finite end, so give `values`. Below, "
                f"{interval.lower_reason}; above, {interval.upper_reason}."
            )
        reach = 1.2 * np.abs(ends - estimate)
        reach = np.where(finite, reach, reach[finite].max())
        values = np.linspace(estimate - reach[0], estimate + reach[1], 21)
    points = np.sort(np.asarray(values))
    below = profile_curve(result, name, points) - result.loglik
    cut = -0.5 * critical_value(level) ** 2
    ax.axhline(cut, color=colour(2), ls=line(1), lw=1, label=f"cut-off, {level:.4g}")
    ax.plot(points, below, color=colour(0), label="profile")
    at_ends, style = (ends[finite], np.full(finite.sum(), cut)), {"ls": "none", "ms": 5}
    found = ax.plot(*at_ends, marker="s", color=colour(2), label="ends of the interval", **style)
    best = ax.plot([estimate], [0.0], marker="o", color=colour(0), label="estimate", **style)
    ax.set(xlabel=name, ylabel="Log-likelihood ratio (nats)")
    # The legend has its place below the curve.
    ax.set_ylim(bottom=1.35 * min(cut, below.min()))
    names = ["estimate", f"{100 * level:.4g}% interval"]
    ax.legend([*best, *found], names, loc="lower center", ncols=2, fontsize="small")
    return ax


def _legend(ax: "matplotlib.axes.Axes", entries: list[tuple[Any, ...]]) -> None:
    """A legend where it hides least: what is drawn, or which group is which."""
    if len(entries) == 1:
        ax.legend(loc="best", fontsize="small")
    else:
        names = [f"group {g}" for g in range(len(entries))]
        ax.legend(entries, names, loc="best", fontsize="small")


def _columns(probs: Float[ArrayLike, "m *g"]) -> list[np.ndarray]:
    """A vector for each group."""
    array = np.asarray(probs)
    return list(array.reshape(array.shape[0], -1).T)


def _group(result: Fit, g: int) -> str:
    return f", group {g}" if result.probs.ndim == 2 else ""


@eqx.filter_jit
def _gradient_function(
    problem: Problem, params: PyTree, probs: Float[Array, "m *g"]
) -> Float[Array, "m *g"]:
    log_lik = log_lik_of(eqx.combine(params, problem.held), problem.data, problem.supp)
    slope = jax.grad(mixsqpx.objective, argnums=1)
    if problem.groups is None:
        return 1 + slope(log_lik, probs, problem.weights)
    n = log_lik.shape[0]
    weights = jnp.ones(n, log_lik.dtype) if problem.weights is None else problem.weights
    of_group = lambda ell, omega, _, p: slope(ell, p, omega)  # noqa: E731
    return 1 + problem.groups.map(of_group, log_lik, weights, probs.T).T
