"""Whether the grid is fine enough for the fit, and reaches far enough."""

import numpy as np

from .._fields import Fit, problem_of, total_weight
from .._model import coordinates
from .._search import RESULTS
from ._grid_points import ProductGrid, between, beyond, ends, product_of
from ._off_grid import OffGrid

# By the simulations of benchmarks/coverage, with normal latent variables: the median is 0.01 for
# proper maxima on points 0.4 standard deviations of the noise apart, 0.3 for vanishing variances.
COARSE = 0.1
# Nats of the whole log-likelihood: what a likelihood-ratio test at 5% would notice. Between points
# half of it: a random-coefficient logit gained 1.9 on its parameters, and 3 as they moved along.
_SHORT, _BETWEEN = 2.0, 1.0
# Mass at an end of the grid that is worth a note.
_MASS_AT_END = 1e-3


def grid_gap(result: Fit) -> float:
    """What the mean log-likelihood could gain, at most, by masses halfway between grid points.

    log maxⱼ Σᵢ ωᵢ aᵢⱼ/uᵢ over the midpoints of neighbouring support points: the certificate `gap`,
    on points that the fit was not offered. With several coordinates, whose grid is the product of
    one in each, over the points halfway from a point with mass to its neighbours, in one coordinate
    or in several; there, a coordinate with two values tells two types, and has nothing between.

    It is small where the grid stands for a continuum. Where it is not, what is estimated depends on
    the grid. The extreme case is a vanishing variance: with few outcomes a unit, a standard
    deviation of the model may shrink to the distance between grid points, and the distribution
    explains an outcome unit by unit, with mass at a large part of the grid. On a finer grid the
    likelihood would be higher, and the variance smaller still. Such a maximum is not the one to
    report: start elsewhere, fit on several grids, or hold the standard deviation away from zero. A
    grid whose points are far apart in comparison with the noise, by design or for lack of points,
    has a large gap too.

    Returns
    -------
    float
        In nats per unit weight; with groups, the mean over their weights.

    Raises
    ------
    ValueError
        If the support is neither a vector of two numbers at least nor a product of such vectors.
    RuntimeError
        If the fit has no data, or did not end at a stationary point.
    """
    problem_of(result)
    grid = product_of(result.supp)
    are_numbers = all(x.dtype.kind == "f" for x in coordinates(result.supp).values())
    if grid is None or not are_numbers:
        raise ValueError(
            "Points between those of the grid are defined here for a vector of floating-point "
            "numbers, and for all combinations of several (`product_grid`), but the support is "
            "neither. Fit on a support that has points between those of this one as well, and "
            "compare `loglik`."
        )
    off = OffGrid(result)
    return off.bound(off.gradients(between(grid, _near(grid, off))))


def grid_notes(result: Fit) -> list[str]:
    """What a table should say about the grid: nothing, unless points off it are missed."""
    if result.problem.data is None or result.result != RESULTS.successful:
        return []
    grid = product_of(result.supp)
    if grid is None:
        return _on_a_line(result)
    try:
        off = OffGrid(result)
        return [*_coarse(grid, off), *_short(grid, off)]
    except (TypeError, ValueError, IndexError):
        # A grid of integers is one of numbers, unless the model counts or looks up by them.
        if all(x.dtype.kind == "f" for x in coordinates(result.supp).values()):
            raise
        return []


def _on_a_line(result: Fit) -> list[str]:
    """Where grids of several coordinates were given, and their product was not formed."""
    columns = coordinates(result.supp)
    num_points = result.probs.shape[0]
    steps = [np.diff(column.astype(float)) for column in columns.values()]
    together = all(np.all(step > 0) or np.all(step < 0) for step in steps)
    if len(columns) == 1 or num_points < 3 or not together:
        return []
    names = " and ".join(f"`{name}`" for name in columns)
    return [
        f"The {num_points} support points are on one line: {names} all change from each to the "
        "next. If all combinations of their values are meant, hand over `product_grid(...)` of "
        "them."
    ]


def _near(grid: ProductGrid, off: OffGrid) -> np.ndarray:
    """Places whose neighbourhoods are looked at.

    A unit that would be better off elsewhere has mass at the points nearest to there. On a line it
    costs nothing to look everywhere.
    """
    return grid.places if len(grid.axes) == 1 else grid.places[off.active]


def _coarse(grid: ProductGrid, off: OffGrid) -> list[str]:
    points = between(grid, _near(grid, off))
    gradients = off.gradients(points)
    bound, total = off.bound(gradients), total_weight(off.result)
    if bound > COARSE:
        most = min(bound, off.most(points))
        return [
            f"The grid is coarse for this fit: masses between its points could add up to "
            f"{total * most:.3g} to the log-likelihood. Either a standard deviation has shrunk to "
            "the distance between the points, which is no estimate, or the points are too few. "
            "Compare with a finer grid; the ways out of the former are other starts "
            "(`fit_multistart`), a floor under the standard deviation in the model, and "
            "`fit_orthogonal`, where none vanishes."
        ]
    # On a line points are cheap, and there are enough of them. With several coordinates there are
    # as few as their product allows, and less than a variance that vanishes is worth a note.
    if len(grid.axes) == 1 or bound * total <= _BETWEEN:
        return []
    gain = off.gain(points, gradients)
    if gain <= _BETWEEN:
        return []
    axes = list(grid.axes.items())
    steps = [f"{np.diff(axes[k][1]).max():.3g} in `{axes[k][0]}`" for k in grid.open_axes]
    return [
        f"The grid is coarse for this fit: masses halfway between its points, which are up to "
        f"{', '.join(steps)} apart, would add {gain:.3g} to the log-likelihood, at these "
        "parameters. Compare the estimates with those on a finer grid."
    ]


def _short(grid: ProductGrid, off: OffGrid) -> list[str]:
    near = _near(grid, off)
    points = beyond(grid, near)
    gradients = off.gradients(points)
    # The bound is loose, but where it is small there is nothing to solve.
    gain = 0.0
    if off.bound(gradients) * total_weight(off.result) > _SHORT:
        gain = off.gain(points, gradients)
    one = len(grid.axes) == 1
    if gain > _SHORT:
        ending = "latent variable ends" if one else "latent variables end"
        return [
            f"The grid is short for this fit: masses beyond its ends would add {gain:.3g} to "
            f"the log-likelihood, at these parameters. Unless the {ending} there, fit on a wider "
            "grid."
        ]
    return _unplaced_on_a_line(grid, off) if one else _unplaced(grid, off)


def _unplaced_on_a_line(grid: ProductGrid, off: OffGrid) -> list[str]:
    """Of each end with mass that could be as far out again as the grid is wide."""
    notes = []
    for _, end, which, far in ends(grid, grid.places[off.active]):
        masses, changes = off.moved(which, far)
        mass, change = float(masses.sum()), float(changes.sum())
        if mass > _MASS_AT_END and change > -_SHORT:
            first = far[0, 0] < end
            notes.append(
                f"Mass {mass:.2g} is at the {'first' if first else 'last'} grid point, {end:.4g}, "
                f"and how far out it belongs the data do not say: at {far[0, 0]:.4g} the "
                f"log-likelihood would be {_change(change)}. Posterior means of the units there, "
                "and means over the distribution, are those of where the grid ends. Compare "
                "grids, or report quantiles."
            )
    return notes


def _unplaced(grid: ProductGrid, off: OffGrid) -> list[str]:
    """The same of several coordinates, in one note: at an end some points may be placed."""
    found = []
    for name, end, which, far in ends(grid, grid.places[off.active]):
        masses, changes = off.moved(which, far)
        mass = float(masses[changes > -_SHORT].sum())
        if mass > _MASS_AT_END:
            found.append(f"{mass:.2g} where `{name}` is {end:.4g}")
    if not found:
        return []
    return [
        f"At the ends of the grid is mass of which the data do not say how far out it belongs: "
        f"{', '.join(found)}. With any of its points as far out again as the grid is wide, the "
        f"log-likelihood would fall by less than {_SHORT:.2g}. Means, variances and "
        "correlations over the distribution, and posterior means of the units there, are those "
        "of where the grid ends. Compare grids, or report what they hardly move: probabilities, "
        "and averages of their changes."
    ]


def _change(nats: float) -> str:
    if abs(nats) < 1e-6:
        return "the same"
    return f"{'higher' if nats > 0 else 'lower'} by {abs(nats):.2g} only"
