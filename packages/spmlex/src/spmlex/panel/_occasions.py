"""Occasions: the rows among which one choice was made."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from ._frame import Order


def numbers_of_occasions(order: Order) -> Int[np.ndarray, " rows"]:
    """Number of what a row's choice was made at: its unit and time."""
    units, clock = order.units, order.clock
    assert clock is not None
    return np.cumsum(np.r_[False, (np.diff(units) != 0) | (np.diff(clock) != 0)])


def whole_occasions(order: Order, used: Bool[np.ndarray, " rows"]) -> Bool[np.ndarray, " rows"]:
    """Rows of occasions all of whose rows can be used."""
    if order.within is None:
        return used
    occasions = numbers_of_occasions(order)
    return np.bincount(occasions, ~used)[occasions] == 0


def as_known_alternatives(order: Order, known: tuple[Any, ...]) -> Order:
    """The alternatives numbered as in the first frame."""
    assert order.within_labels is not None
    assert order.within is not None
    new = [label for label in order.within_labels if label not in known]
    if new:
        raise ValueError(
            f"The alternative {new[0]!r} is not among those of the fit, {list(known)}."
        )
    place = np.array([known.index(label) for label in order.within_labels])
    return order._replace(within=place[order.within], within_labels=np.asarray(known))
