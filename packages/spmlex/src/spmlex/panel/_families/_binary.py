"""Outcomes of zero and one, and numbers of successes."""

import abc
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, ndtr
from jaxtyping import Array

from ._base import AbstractDistribution, Outcome, Rows, Shape
from ._counts import mode_constant

# Terms of the asymptotic series of log Φ below -20: the next one is 1e-15 there.
_SERIES_ORDER = 8


def log_normal_cdf(x: Array) -> Array:
    """Log Φ(x), to rounding in either tail."""
    return log_ndtr(x, series_order=_SERIES_ORDER)


@dataclass(frozen=True)
class AbstractBinary(AbstractDistribution):
    """y successes in `trials`, or y of zero and one; P(success) = G(index)."""

    with_trials: bool = False

    discrete = True
    needs_rows = True

    @classmethod
    def encode(
        cls, outcome: Outcome, levels: tuple[Any, ...] = ()
    ) -> tuple["AbstractBinary", dict[str, np.ndarray]]:
        """Zeros and ones, booleans, or counts up to `trials`."""
        del levels
        y = outcome.numbers()
        if "trials" not in outcome.beside:
            outcome.refuse(
                (y != 0) & (y != 1), f'must be 0 or 1 with `family="{cls.name}"` and no `trials`'
            )
            return cls(), {"y": y}
        trials = outcome.beside["trials"]
        outcome.refuse((trials < 1) | (trials % 1 != 0), "must be a positive integer", "trials")
        outcome.refuse(
            (y < 0) | (y > trials) | (y % 1 != 0), "must be a number of successes, up to `trials`"
        )
        const = np.asarray(_log_choose(y, trials))
        return cls(True), {"y": y, "trials": trials, "const": const}

    @abc.abstractmethod
    def log_success(self, index: Array) -> Array:
        """Log probability of a one; that of a zero is the same of minus the index."""

    @abc.abstractmethod
    def quantile(self, prob: float) -> float:
        """The index of a probability."""

    def log_density(self, rows: Rows, index: Array, shape: Shape) -> Array:
        """Of the Bernoulli or the binomial distribution."""
        if not self.with_trials:
            return self.log_prob(rows["y"], index, shape)
        y, failures = rows["y"], rows["trials"] - rows["y"]
        return rows["const"] + y * self.log_success(index) + failures * self.log_success(-index)

    def log_prob(self, value: Array, index: Array, shape: Shape) -> Array:
        """Of one trial."""
        del shape
        return self.log_success((2 * value - 1) * index)

    def draw(self, key: Array, rows: Rows, index: Array, shape: Shape) -> Rows:
        """Successes."""
        prob = self.mean(index, shape)
        if not self.with_trials:
            drawn = jax.random.bernoulli(key, prob)
            return {**rows, "y": drawn.astype(index.dtype)}
        drawn = jax.random.binomial(key, rows["trials"], prob, dtype=index.dtype)
        return {**rows, "y": drawn, "const": _log_choose(drawn, rows["trials"])}

    def mean(self, index: Array, shape: Shape) -> Array:
        """Probability of a success."""
        del shape
        return jnp.exp(self.log_success(index))

    def cdf(self, value: Array, index: Array, shape: Shape) -> Array:
        """Of one trial."""
        failure = self.mean(-index, shape)
        return jnp.where(value < 0, 0.0, jnp.where(value < 1, failure, 1.0))

    def start(self, rows: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
        """The index of the mean."""
        share = np.sum(rows["y"]) / np.sum(rows.get("trials", np.ones_like(rows["y"])))
        return self.quantile(float(share)), np.zeros(0)

    def spread(
        self, coef: np.ndarray, shape: np.ndarray, share: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """The index is in units of its noise, which an effect left out was part of."""
        return coef / np.sqrt(1 - share), shape


class Logit(AbstractBinary):
    """P(success) is the logistic function of the index."""

    name = "logit"
    link = "the log odds"

    def log_success(self, index: Array) -> Array:
        """Log of the logistic function."""
        return jax.nn.log_sigmoid(index)

    def quantile(self, prob: float) -> float:
        """Log odds."""
        return float(np.log(prob / (1 - prob)))


class Probit(AbstractBinary):
    """P(success) is the normal distribution function of the index."""

    name = "probit"
    link = "the normal quantile of the probability"

    def log_success(self, index: Array) -> Array:
        """Log of the normal distribution function."""
        return log_normal_cdf(index)

    def quantile(self, prob: float) -> float:
        """By bisection, as a start only."""
        low, high = -10.0, 10.0
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if ndtr(middle) < prob else (low, middle)
        return low


def _log_choose(y: Array | np.ndarray, trials: Array | np.ndarray) -> Array:
    """Log binomial coefficient: lgamma(y + 1) is y log y - y less `mode_constant`."""
    y, trials = jnp.asarray(y), jnp.asarray(trials)

    def log_power(x: Array) -> Array:
        return jax.scipy.special.xlogy(x, x) - mode_constant(x)

    return log_power(trials) - log_power(y) - log_power(trials - y)
