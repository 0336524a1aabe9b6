"""Durations, some of which are known to be longer than what was seen of them."""

import abc
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array

from ._base import AbstractDistribution, Outcome, Rows, Shape


def _encode(outcome: Outcome) -> tuple[bool, dict[str, np.ndarray]]:
    time = outcome.numbers()
    outcome.refuse(time <= 0, "is a duration and must be positive")
    event = outcome.beside.get("event", np.ones_like(time))
    outcome.refuse(
        (event != 0) & (event != 1),
        "must be 1 for a spell that ended and 0 for one that was cut off",
        "event",
    )
    if not event.any():
        raise ValueError("`event` is 0 in all rows: no spell ended, and the data say nothing.")
    rows = {"y": time, "log_y": np.log(time), "event": event}
    return bool((event == 0).any()), rows


@dataclass(frozen=True)
class AbstractDuration(AbstractDistribution):
    """Spells that end at a rate proportional to exp(index)."""

    censored: bool = False

    link = "the log hazard"
    log_link = True

    @property
    def can_draw(self) -> bool:
        """When spells that ended would have been cut off is not known."""
        return not self.censored

    @abc.abstractmethod
    def log_shape(self, shape: Shape) -> Array | float:
        """Log of the power at which the cumulated hazard grows."""

    @classmethod
    def encode(
        cls, outcome: Outcome, levels: tuple[Any, ...] = ()
    ) -> tuple["AbstractDuration", dict[str, np.ndarray]]:
        """Positive numbers, with `event` for those that are cut off."""
        del levels
        censored, rows = _encode(outcome)
        return cls(censored), rows

    def log_density(self, rows: Rows, index: Array, shape: Shape) -> Array:
        """Log density of an ended spell, log survival of one that was cut off."""
        log_k = self.log_shape(shape)
        power = jnp.exp(log_k) * rows["log_y"]
        log_hazard = index + log_k + power - rows["log_y"]
        return rows["event"] * log_hazard - jnp.exp(index + power)

    def log_prob(self, value: Array, index: Array, shape: Shape) -> Array:
        """Log density."""
        rows = {"log_y": jnp.log(value), "event": jnp.ones_like(value)}
        return self.log_density(rows, index, shape)

    def draw(self, key: Array, rows: Rows, index: Array, shape: Shape) -> Rows:
        """Durations of spells, none of them cut off.

        Raises
        ------
        TypeError
            Where some are: when the others would have been is not known.
        """
        if self.censored:
            raise TypeError(
                "Durations cannot be drawn where some are cut off: the data do not say when the "
                "others would have been."
            )
        exponential = jax.random.exponential(key, index.shape, index.dtype)
        log_y = (jnp.log(exponential) - index) * jnp.exp(-self.log_shape(shape))
        return {**rows, "y": jnp.exp(log_y), "log_y": log_y}

    def mean(self, index: Array, shape: Shape) -> Array:
        """Expected duration."""
        inverse = jnp.exp(-self.log_shape(shape))
        return jnp.exp(gammaln(1 + inverse) - index * inverse)

    def cdf(self, value: Array, index: Array, shape: Shape) -> Array:
        """Probability that a spell has ended."""
        positive = jnp.where(value > 0, value, 1.0)
        power = jnp.exp(self.log_shape(shape)) * jnp.log(positive)
        return jnp.where(value > 0, -jnp.expm1(-jnp.exp(index + power)), 0.0)


@dataclass(frozen=True)
class Exponential(AbstractDuration):
    """The hazard is exp(index)."""

    name = "exponential"

    def log_shape(self, shape: Shape) -> Array | float:
        """The hazard is constant."""
        del shape
        return 0.0

    def start(self, rows: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
        """Ends over time."""
        return float(np.log(rows["event"].sum() / rows["y"].sum())), np.zeros(0)


@dataclass(frozen=True)
class Weibull(AbstractDuration):
    """The hazard at t is k tᵏ⁻¹ exp(index); `log_shape` is the logarithm of k."""

    name = "weibull"

    @property
    def shape_names(self) -> tuple[str, ...]:
        """The power."""
        return ("log_shape",)

    def log_shape(self, shape: Shape) -> Array | float:
        """It is the parameter."""
        assert shape is not None
        return shape[0]

    def start(self, rows: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
        """Ends over time, and a constant hazard."""
        return float(np.log(rows["event"].sum() / rows["y"].sum())), np.zeros(1)

    def spread(
        self, coef: np.ndarray, shape: np.ndarray, share: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """An effect left out looks like a hazard that falls."""
        return coef / np.sqrt(1 - share), shape - 0.5 * np.log1p(-share)
