"""A support that is a product of grids, and the points between and beyond them."""

from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, PyTree

from .._model import coordinates

# Points looked at beyond an end, from the spacing there to the width of the grid: with one
# coordinate, and with several.
_NUM_BEYOND = (10, 4)


class ProductGrid(NamedTuple):
    """Coordinates of a product, whatever the order of its points.

    Attributes
    ----------
    axes : dict of str to Float[np.ndarray, "k"]
        Values of each coordinate, rising.
    places : Int[np.ndarray, "m d"]
        Where each support point is on each axis.
    """

    axes: dict[str, Float[np.ndarray, " _"]]
    places: Int[np.ndarray, "m d"]

    @property
    def open_axes(self) -> list[int]:
        """Axes that stand for a continuum: two values of several coordinates tell two types."""
        fewest = 2 if len(self.axes) == 1 else 3
        return [k for k, axis in enumerate(self.axes.values()) if axis.size >= fewest]

    def at(self, places: Int[np.ndarray, "k d"]) -> Float[np.ndarray, "k d"]:
        """Coordinates of points of the grid."""
        columns = zip(self.axes.values(), places.T, strict=True)
        return np.stack([axis[place] for axis, place in columns], axis=1)


def product_of(supp: PyTree) -> ProductGrid | None:
    """The grid, if the support is one: recognised by its values."""
    columns = coordinates(supp)
    if not columns or not all(np.isfinite(column).all() for column in columns.values()):
        return None
    pairs = [np.unique(column, return_inverse=True) for column in columns.values()]
    axes = {name: values.astype(float) for name, (values, _) in zip(columns, pairs, strict=True)}
    places = np.stack([place.ravel() for _, place in pairs], axis=1)
    num_points = np.prod([axis.size for axis in axes.values()], dtype=float)
    if num_points > len(places) or num_points > len(np.unique(places, axis=0)):
        return None
    grid = ProductGrid(axes, places)
    return grid if grid.open_axes else None


def between(grid: ProductGrid, near: Int[np.ndarray, "k d"]) -> Float[np.ndarray, "l d"]:
    """Points halfway to the neighbours of points of the grid, in one coordinate or in several."""
    steps = [(-1, 0, 1) if k in grid.open_axes else (0,) for k in range(len(grid.axes))]
    moves = np.array([move for move in product(*steps) if any(move)])
    # Places on a grid of half the spacing.
    halves = (2 * near[:, None, :] + moves[None, :, :]).reshape(-1, len(grid.axes))
    most = 2 * np.array([axis.size - 1 for axis in grid.axes.values()])
    halves = np.unique(halves[np.all((halves >= 0) & (halves <= most), axis=1)], axis=0)
    return 0.5 * (grid.at(halves // 2) + grid.at((halves + 1) // 2))


def beyond(grid: ProductGrid, near: Int[np.ndarray, "k d"]) -> Float[np.ndarray, "l d"]:
    """Points farther out than points at an end of the grid, up to as far as the grid is wide.

    From a corner they lead along each coordinate and along the diagonals.
    """
    points = grid.at(near)
    outward, shifts = _outward(grid, near)
    found = []
    for point, ways, shift in zip(points, outward, shifts, strict=True):
        choices = [(0, way) if way else (0,) for way in ways]
        for chosen in product(*choices):
            if any(chosen):
                found.append(point[None, :] + np.array(chosen)[None, :] * shift)
    if not found:
        return np.empty((0, len(grid.axes)))
    return np.unique(np.concatenate(found), axis=0)


def _outward(
    grid: ProductGrid, near: Int[np.ndarray, "k d"]
) -> tuple[Int[np.ndarray, "k d"], Float[np.ndarray, "k s d"]]:
    """Which way leads out of the grid, -1, 1 or 0 for none, and how far the points there are."""
    num = _NUM_BEYOND[len(grid.axes) > 1]
    outward = np.zeros(near.shape, int)
    shifts = np.zeros((near.shape[0], num, near.shape[1]))
    for k, axis in enumerate(grid.axes.values()):
        if k not in grid.open_axes:
            continue
        width = axis[-1] - axis[0]
        for way, place, spacing in (
            (-1, 0, axis[1] - axis[0]),
            (1, axis.size - 1, axis[-1] - axis[-2]),
        ):
            here = near[:, k] == place
            outward[here, k] = way
            # Of two points that are almost one, the grid goes on by what can be told apart.
            spacing = max(spacing, 1e-3 * width)
            shifts[here, :, k] = spacing * (width / spacing) ** np.linspace(0.0, 1.0, num)
    return outward, shifts


def ends(
    grid: ProductGrid, near: Int[np.ndarray, "k d"]
) -> list[tuple[str, float, Int[np.ndarray, " e"], Float[np.ndarray, "e d"]]]:
    """The ends of each axis at which there are some of the points.

    Returns
    -------
    list of (name, value, which, far)
        Coordinate, where it ends, which of the points are there, and where they would be as far out
        again as the grid is wide.
    """
    found = []
    for k in grid.open_axes:
        name, axis = list(grid.axes.items())[k]
        for way, place in ((-1, 0), (1, axis.size - 1)):
            which = np.flatnonzero(near[:, k] == place)
            if which.size:
                far = grid.at(near[which])
                far[:, k] += way * (axis[-1] - axis[0])
                found.append((name, float(axis[place]), which, far))
    return found
