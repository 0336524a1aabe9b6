"""How plots look: axes to draw into, and colours, markers and lines that tell groups apart."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import matplotlib.axes

# Colours of Paul Tol's high-contrast scheme: told apart by the colour-blind, and by their lightness
# in grey. Markers and lines differ too, as things of two groups lie on top of each other.
COLOURS = ("#004488", "#ddaa33", "#bb5566", "#000000")
MARKERS = ("o", "s", "^", "D", "v")
LINES = ("-", "--", ":", "-.")


def axes_of(ax: "matplotlib.axes.Axes | None") -> "matplotlib.axes.Axes":
    """The axes given, or those of a new figure."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError(
            "Plots need matplotlib, which is not installed: `pip install matplotlib`."
        ) from None
    return plt.subplots(layout="constrained")[1] if ax is None else ax


def colour(k: int) -> str:
    """Colour of the k-th thing of a kind."""
    return COLOURS[k % len(COLOURS)]


def marker(k: int) -> str:
    """Marker of the k-th thing of a kind."""
    return MARKERS[k % len(MARKERS)]


def line(k: int) -> str:
    """Line of the k-th thing of a kind."""
    return LINES[k % len(LINES)]
