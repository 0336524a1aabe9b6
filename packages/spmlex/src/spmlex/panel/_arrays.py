"""Rows of a frame as arrays with units on the leading axis."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from ._families import AbstractFamily, Normal


class Layout(NamedTuple):
    """Where each row stands.

    Attributes
    ----------
    rows : Int[np.ndarray, "n T"], or Int[np.ndarray, "n T A"] with alternatives
        Number of the row; at padding that of another row of the unit.
    mask : Bool[np.ndarray, "n T"]
        False for padding.
    available : Bool[np.ndarray, "n T A"] or None
        Which alternatives an occasion has.
    """

    rows: np.ndarray
    mask: Bool[np.ndarray, "n T"]
    available: Bool[np.ndarray, "n T A"] | None

    def place(self, values: np.ndarray) -> np.ndarray:
        """A column, or a matrix, with a row for each row of the frame."""
        return values[self.rows]

    @property
    def position(self) -> Int[np.ndarray, " rows"]:
        """Place of each row in its unit."""
        index = self.rows if self.available is None else self.rows[:, :, 0]
        rows = np.zeros(self.rows.max() + 1, int)
        rows[index[self.mask]] = np.nonzero(self.mask)[1]
        return rows


def lay_out(
    units: Int[np.ndarray, " rows"],
    occasions: Int[np.ndarray, " rows"] | None = None,
    alternatives: Int[np.ndarray, " rows"] | None = None,
    num_alternatives: int = 0,
) -> Layout:
    """Pad rows that are sorted by unit, or occasions with a row for each alternative."""
    if occasions is None or alternatives is None:
        index, mask = _padded(units)
        return Layout(index, mask, None)
    first = np.flatnonzero(np.r_[True, np.diff(occasions) > 0])
    table = np.full((first.size, num_alternatives), -1)
    table[occasions, alternatives] = np.arange(units.size)
    index, mask = _padded(units[first])
    filled = np.where(table < 0, first[:, None], table)
    return Layout(filled[index], mask, (table >= 0)[index])


def _padded(units: Int[np.ndarray, " k"]) -> tuple[np.ndarray, Bool[np.ndarray, "n T"]]:
    """Numbers of the entries of each unit, and which are not padding."""
    counts = np.bincount(units)
    starts = np.cumsum(counts) - counts
    column = np.arange(counts.max())[None, :]
    mask = column < counts[:, None]
    return starts[:, None] + np.where(mask, column, 0), mask


def as_data(
    family: AbstractFamily,
    layout: Layout,
    x: Float[np.ndarray, "rows k"],
    z: Float[np.ndarray, "rows q"],
    offset: Float[np.ndarray, " rows"],
    rows: dict[str, np.ndarray],
    source: Int[np.ndarray, "rows l"],
) -> dict[str, Any]:
    """The `data` of a `PanelModel`."""
    arrays = {name: layout.place(values) for name, values in rows.items()}
    if layout.available is not None:
        arrays["available"] = layout.available.astype(float)
        arrays["y"] = np.where(layout.available, arrays["y"], 0.0)
    data: dict[str, Any] = {
        "x": layout.place(x),
        "z": layout.place(z),
        "offset": layout.place(offset),
        "mask": layout.mask,
        "rows": arrays,
    }
    if source.shape[1]:
        earlier = np.where(source >= 0, layout.position[np.maximum(source, 0)], -1)
        data["source"] = layout.place(earlier)
    if isinstance(family, Normal):
        masked = np.where(layout.mask[:, :, None], data["z"], 0.0)
        # Units with fewer rows than effects have a factor with fewer rows, too.
        data["basis"], data["root"] = np.linalg.qr(masked)
    return {
        name: {key: jnp.asarray(y) for key, y in value.items()}
        if isinstance(value, dict)
        else jnp.asarray(value)
        for name, value in data.items()
    }


def as_occasions(layout: Layout) -> Layout:
    """The same rows, or occasions, one after the other: each a unit of its own."""
    index, available = layout.rows[layout.mask], layout.available
    alone = None if available is None else available[layout.mask][:, None]
    return Layout(index[:, None], np.ones((len(index), 1), bool), alone)
