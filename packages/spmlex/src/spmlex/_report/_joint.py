"""The joint distribution of two coordinates, drawn."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from ._style import colour, marker

if TYPE_CHECKING:
    import matplotlib.axes

# Area of a mass of one, in square points, and the least that is seen.
_AREA, _LEAST = 2400.0, 6.0
# Masses that the legend shows.
_SHOWN = (0.1, 0.01)
# Area of the marker of a group in the legend.
_KEY = 40.0


def draw_joint(
    ax: "matplotlib.axes.Axes",
    points: Float[np.ndarray, "m 2"],
    labels: tuple[str, str],
    masses: list[Float[np.ndarray, " m"]],
) -> None:
    """Circles at the masses of each group, their areas those, and the box that the grid covers."""
    places, where = np.unique(points, axis=0, return_inverse=True)
    low, high = places.min(axis=0), places.max(axis=0)
    (left, right), (bottom, top) = np.stack([low, high], axis=1)
    box = [left, right, right, left, left], [bottom, bottom, top, top, bottom]
    ax.plot(*box, color="0.7", lw=0.8, zorder=1)
    for g, probs in enumerate(masses):
        mass = np.bincount(where.ravel(), weights=probs)
        active = mass > 0
        # Circles at the ends of the grid are seen whole.
        ax.scatter(*places[active].T, s=_area(mass[active]), clip_on=False, zorder=3, **_style(g))
    several = len(masses) > 1
    keys = [(f"group {g}", g, _KEY) for g in range(len(masses))] if several else []
    keys += [] if several else [(f"mass {mass:g}", 0, _area(mass)) for mass in _SHOWN]
    for label, g, area in keys:
        ax.scatter([], [], s=area, label=label, **_style(g))
    margin = 0.07 * np.where(high > low, high - low, 1.0)
    ax.set(xlabel=labels[0], ylabel=labels[1])
    ax.set(xlim=(left - margin[0], right + margin[0]), ylim=(bottom - margin[1], top + margin[1]))
    # There may be masses anywhere, so that the legend stands above.
    above: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.01), "frameon": False}
    ax.legend(ncols=len(keys), fontsize="small", borderaxespad=0.0, **above)


def _style(g: int) -> dict[str, Any]:
    style = {"facecolors": colour(g), "edgecolors": "white", "linewidths": 0.5}
    return style | {"marker": marker(g), "alpha": 0.7}


def _area(mass: Float[ArrayLike, "..."]) -> Float[ArrayLike, "..."]:
    return np.maximum(_AREA * np.asarray(mass), _LEAST)
