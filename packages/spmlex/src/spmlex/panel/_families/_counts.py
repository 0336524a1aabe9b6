"""Counts."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc, gammaincc, gammaln, xlogy
from jaxtyping import Array

from ._base import AbstractDistribution, Outcome, Rows, Shape

# From here on the series of Stirling's correction is exact to 1e-14.
_LARGE = 16.0
_HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))


def stirling_correction(z: Array) -> Array:
    """What Stirling's formula leaves out: lgamma(z) - ((z - 1/2) log z - z + log(2π)/2), z > 0."""
    large = z >= _LARGE
    big, small = jnp.where(large, z, _LARGE), jnp.where(large, 1.0, z)
    inverse = 1 / big**2
    series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / big
    exact = gammaln(small) - (small - 0.5) * jnp.log(small) + small - _HALF_LOG_2PI
    return jnp.where(large, series, exact)


def mode_constant(y: Array) -> Array:
    """Log of the Poisson probability of y where y is the mean: y log y - y - lgamma(y + 1)."""
    positive = jnp.where(y > 0, y, 1.0)
    large = y >= _LARGE
    series = -_HALF_LOG_2PI - 0.5 * jnp.log(positive) - stirling_correction(positive)
    small = jnp.where(large, 1.0, y)
    return jnp.where(large, series, xlogy(small, small) - small - gammaln(small + 1))


def _count_rows(y: Array) -> dict[str, Array]:
    positive = jnp.where(y > 0, y, 1.0)
    return {"y": y, "log_y": jnp.log(positive), "const": mode_constant(y)}


def _encode(outcome: Outcome, family: str) -> dict[str, np.ndarray]:
    y = outcome.numbers()
    outcome.refuse((y < 0) | (y % 1 != 0), f'must be a count, 0, 1, 2, …, with `family="{family}"`')
    return {name: np.asarray(x) for name, x in _count_rows(jnp.asarray(y)).items()}


def _deviations(rows: Rows, index: Array) -> tuple[Array, Array]:
    """Y log(μ/y) and μ - y, each exact where μ is close to y.

    Loader (2000), Fast and accurate computation of binomial probabilities: the difference of the
    two has the digits that y log μ - μ - lgamma(y + 1) loses where y is large.
    """
    y = rows["y"]
    log_ratio = index - rows["log_y"]
    return y * log_ratio, jnp.where(y > 0, y * jnp.expm1(log_ratio), jnp.exp(index))


@dataclass(frozen=True)
class Poisson(AbstractDistribution):
    """Counts of mean μ = exp(index)."""

    name = "poisson"
    link = "the log of the mean"
    log_link = True
    discrete = True

    @classmethod
    def encode(
        cls, outcome: Outcome, levels: tuple[Any, ...] = ()
    ) -> tuple["Poisson", dict[str, np.ndarray]]:
        """Counts."""
        del levels
        return cls(), _encode(outcome, cls.name)

    def log_density(self, rows: Rows, index: Array, shape: Shape) -> Array:
        """Of the Poisson distribution."""
        del shape
        log_part, excess = _deviations(rows, index)
        return log_part - excess + rows["const"]

    def log_prob(self, value: Array, index: Array, shape: Shape) -> Array:
        """Of the Poisson distribution."""
        return self.log_density(_count_rows(value), index, shape)

    def draw(self, key: Array, rows: Rows, index: Array, shape: Shape) -> Rows:
        """Counts."""
        del shape
        return {**rows, **_count_rows(jax.random.poisson(key, jnp.exp(index)).astype(index.dtype))}

    def mean(self, index: Array, shape: Shape) -> Array:
        """The exponential of the index."""
        del shape
        return jnp.exp(index)

    def cdf(self, value: Array, index: Array, shape: Shape) -> Array:
        """Of the Poisson distribution."""
        del shape
        below = gammaincc(jnp.maximum(jnp.floor(value), 0.0) + 1, jnp.exp(index))
        return jnp.where(value < 0, 0.0, below)

    def start(self, rows: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
        """Log of the mean."""
        return float(np.log(rows["y"].mean())), np.zeros(0)


@dataclass(frozen=True)
class NegativeBinomial(AbstractDistribution):
    """Counts of mean μ = exp(index) and variance μ + αμ²; `log_alpha` is the logarithm of α."""

    name = "negative binomial"
    link = "the log of the mean"
    log_link = True
    discrete = True

    @classmethod
    def encode(
        cls, outcome: Outcome, levels: tuple[Any, ...] = ()
    ) -> tuple["NegativeBinomial", dict[str, np.ndarray]]:
        """Counts."""
        del levels
        return cls(), _encode(outcome, cls.name)

    @property
    def shape_names(self) -> tuple[str, ...]:
        """The overdispersion."""
        return ("log_alpha",)

    def log_density(self, rows: Rows, index: Array, shape: Shape) -> Array:
        """Of the negative binomial distribution, by Stirling's formula with its correction.

        With r = 1/α: y log(μ/y) - (r + y) log((r + μ)/(r + y)) - log(1 + y/r)/2, the corrections of
        r + y and r, and the constant of the Poisson distribution, to which it goes with α.
        """
        assert shape is not None
        size, y = jnp.exp(-shape[0]), rows["y"]
        log_part, excess = _deviations(rows, index)
        value = log_part - (size + y) * jnp.log1p(excess / (size + y))
        correction = stirling_correction(size + y) - stirling_correction(size)
        return value - 0.5 * jnp.log1p(y / size) + correction + rows["const"]

    def log_prob(self, value: Array, index: Array, shape: Shape) -> Array:
        """Of the negative binomial distribution."""
        return self.log_density(_count_rows(value), index, shape)

    def draw(self, key: Array, rows: Rows, index: Array, shape: Shape) -> Rows:
        """A Poisson variable whose mean has a gamma distribution."""
        assert shape is not None
        of_rate, of_count = jax.random.split(key)
        size = jnp.exp(-shape[0])
        rate = jnp.exp(index) * jax.random.gamma(of_rate, size, index.shape, index.dtype) / size
        return {**rows, **_count_rows(jax.random.poisson(of_count, rate).astype(index.dtype))}

    def mean(self, index: Array, shape: Shape) -> Array:
        """The exponential of the index."""
        del shape
        return jnp.exp(index)

    def cdf(self, value: Array, index: Array, shape: Shape) -> Array:
        """Of the negative binomial distribution."""
        assert shape is not None
        size = jnp.exp(-shape[0])
        success = 1 / (1 + jnp.exp(index + shape[0]))
        below = betainc(
            jnp.broadcast_to(size, index.shape),
            jnp.broadcast_to(jnp.maximum(jnp.floor(value), 0.0) + 1, index.shape),
            success,
        )
        return jnp.where(value < 0, 0.0, below)

    def start(self, rows: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
        """Log of the mean, and overdispersion by moments."""
        mean, variance = rows["y"].mean(), rows["y"].var()
        return float(np.log(mean)), np.log([max((variance - mean) / mean**2, 0.1)])

    def spread(
        self, coef: np.ndarray, shape: np.ndarray, share: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """An effect left out is overdispersion."""
        return coef, shape + np.log1p(-share)
