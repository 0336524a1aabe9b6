"""The joint distribution of two coordinates, drawn."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ._style import colour, marker

if TYPE_CHECKING:
    import matplotlib.axes

# Area of a mass of one, in square points, and the least that is seen.
_AREA, _LEAST = 2400.0, 6.0
# Masses that the legend shows.
_SHOWN = (0.1, 0.01)


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
        ax.scatter(
            *places[active].T,
            s=_area(mass[active]),
            marker=marker(g),
            color=colour(g),
            alpha=0.6,
            linewidths=0,
            zorder=3,
            label=f"masses, group {g}" if len(masses) > 1 else "masses",
        )
    for mass in _SHOWN if len(masses) == 1 else ():
        ax.scatter([], [], s=_area(mass), color=colour(0), alpha=0.6, lw=0, label=f"mass {mass:g}")
    # Circles at the ends of the grid are seen whole.
    margin = 0.07 * np.where(high > low, high - low, 1.0)
    ax.set(xlabel=labels[0], ylabel=labels[1])
    ax.set(xlim=(low[0] - margin[0], high[0] + margin[0]))
    ax.set(ylim=(low[1] - margin[1], high[1] + margin[1]))
    handles, names = ax.get_legend_handles_labels()
    first = 0 if len(masses) > 1 else 1
    ax.legend(handles[first:], names[first:], loc="best", fontsize="small", labelspacing=0.8)


def _area(mass: Float[np.ndarray, "..."] | float) -> Float[np.ndarray, "..."]:
    return np.maximum(_AREA * np.asarray(mass), _LEAST)
