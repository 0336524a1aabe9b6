"""The grid of an effect, where none is given."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._model import product_grid
from ._families import AbstractDuration, Normal
from ._model import PanelModel, Supp

# Nats by which a unit's likelihood may fall short of its supremum where the grid ends for it: a
# unit of zeros wants its effect at minus infinity, and is as good as there.
_SHORT = 0.01
# Distance between points, in standard deviations of what a unit's rows say of its effect, where
# that is precise. By the simulations of benchmarks/coverage.py 0.4 is fine enough.
_SPACING = 0.2
_PRECISE = 0.1
"""Quantile over the units."""

# Points of an axis: at least, and at most with one, two, … effects.
_FEWEST = 61
_MOST = (201, 25, 11, 7)
# Values tried, and how far from the pooled estimate: e^30 and e^-30 are beyond any data.
_NUM_TRIED = 401
_FARTHEST = 30.0
# Units looked at together.
_BLOCK = 4096


def choose_grid(model: PanelModel, data: dict[str, Any], centre: Float[np.ndarray, " q"]) -> Supp:
    """Points for each effect, and with several effects all combinations of them.

    By what the rows of each unit say of its effect, the other coefficients being the pooled ones: a
    distribution that maximises the likelihood has no mass outside of the values that are best for
    some unit. The ends are the lowest and the highest of these, where a unit's likelihood rises for
    ever the value at which it is within 0.01 of its supremum, and two steps further, as the
    coefficients move. The step is 0.4 standard deviations of what a unit's rows say, where these
    are precise (a tenth of the units is more so), as far as 31 to 201 points allow; with two
    effects at most 31 points for each, with three 11, with four 7.

    Parameters
    ----------
    model : PanelModel
        At pooled estimates, with half of the noise left to the effect.
    data : dict of arrays
        Of the model.
    centre : Float[np.ndarray, "q"]
        Pooled coefficients of what is heterogeneous.

    Raises
    ------
    ValueError
        With more than four effects.
    """
    if len(model.effects) > len(_MOST):
        raise ValueError(
            f"A grid is chosen for {len(_MOST)} heterogeneous coefficients at most, and there are "
            f"{len(model.effects)}. Give `grid`, a dict of names to vectors, or fit by hand on "
            "scattered points."
        )
    axes = {
        name: _axis(model, data, centre, k, _MOST[len(model.effects) - 1])
        for k, name in enumerate(model.effects)
    }
    return as_supp(axes)


def as_supp(axes: dict[str, np.ndarray]) -> Supp:
    """The points of one axis, or all combinations of those of several, by name."""
    if len(axes) == 1:
        return jnp.asarray(next(iter(axes.values())))
    return product_grid(axes)


def _axis(
    model: PanelModel, data: dict[str, Any], centre: np.ndarray, effect: int, most: int
) -> Float[np.ndarray, " m"]:
    far = _reach(model, data, effect)
    values = centre[effect] + np.linspace(-far, far, _NUM_TRIED)
    low, high, _ = _wanted(values, _profile(model, data, centre, effect, values), centre[effect])
    step = values[1] - values[0]
    values = np.linspace(low - step, high + step, _NUM_TRIED)
    log_lik = _profile(model, data, centre, effect, values)
    low, high, width = _wanted(values, log_lik, centre[effect])
    step = _SPACING * width
    num = int(np.clip(np.ceil((high - low) / step) + 5, min(_FEWEST, most), most))
    margin = 2 * step if num < most else 2 * (high - low) / num
    return np.linspace(low - margin, high + margin, num)


def _reach(model: PanelModel, data: dict[str, Any], effect: int) -> float:
    """How far from the pooled value an effect may be, at most."""
    mask = np.asarray(data["mask"])
    column = np.abs(np.asarray(data["z"])[mask][..., effect])
    size = float(np.sqrt(np.mean(column**2)))
    if isinstance(model.family, Normal):
        index = model.common_index(data["x"], data["offset"])
        return float(np.ptp(np.asarray(data["rows"]["y"] - index)[mask])) / size
    if isinstance(model.family, AbstractDuration):
        return 2 * _FARTHEST / size
    return _FARTHEST / size


def _profile(
    model: PanelModel, data: dict[str, Any], centre: np.ndarray, effect: int, values: np.ndarray
) -> Float[np.ndarray, "n v"]:
    """Log-likelihoods of the units at values of one effect, the others at the pooled ones."""
    points = np.repeat(centre[None, :], values.size, axis=0)
    points[:, effect] = values
    columns = dict(zip(model.effects, jnp.asarray(points).T, strict=True))
    supp = columns if len(columns) > 1 else next(iter(columns.values()))
    num_units = data["mask"].shape[0]
    block = min(_BLOCK, num_units)
    parts = []
    for start in range(0, num_units, block):
        first = min(start, num_units - block)  # the last block has the shape of the others
        part = jax.tree.map(lambda x, first=first: x[first : first + block], data)
        parts.append(np.asarray(_log_lik(model, part, supp), float)[start - first :])
    return np.concatenate(parts)


@eqx.filter_jit
def _log_lik(model: PanelModel, data: dict[str, Any], supp: Supp) -> Float[Array, "n v"]:
    return model.lclk(data, supp)


def _wanted(
    values: Float[np.ndarray, " v"], log_lik: Float[np.ndarray, "n v"], centre: float
) -> tuple[float, float, float]:
    """Lowest and highest value that a unit wants, and how precise the more precise units are."""
    log_lik = np.where(np.isfinite(log_lik), log_lik, -np.inf)
    good = log_lik >= log_lik.max(axis=1, keepdims=True) - _SHORT
    distance = np.where(good, np.abs(values - centre)[None, :], np.inf)
    wanted = values[np.argmin(distance, axis=1)]
    peak = np.argmax(log_lik, axis=1)
    inside = np.flatnonzero((peak > 0) & (peak < values.size - 1))
    at, step = peak[inside], values[1] - values[0]
    with np.errstate(invalid="ignore"):
        bend = 2 * log_lik[inside, at] - log_lik[inside, at - 1] - log_lik[inside, at + 1]
    bend = bend[np.isfinite(bend) & (bend > 0)]
    width = step / np.sqrt(np.quantile(bend, 1 - _PRECISE)) if bend.size else np.inf
    return float(wanted.min()), float(wanted.max()), float(min(width, np.ptp(values) / 4))
