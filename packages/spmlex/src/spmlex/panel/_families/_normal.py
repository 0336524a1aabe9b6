"""Normal outcomes."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Array

from ._base import AbstractDistribution, Outcome, Rows, Shape


@dataclass(frozen=True)
class Normal(AbstractDistribution):
    """y is normal around the index, with standard deviation σ; `log_sigma` is its logarithm."""

    name = "normal"
    link = "the mean"
    needs_rows = True

    @classmethod
    def encode(
        cls, outcome: Outcome, levels: tuple[Any, ...] = ()
    ) -> tuple["Normal", dict[str, np.ndarray]]:
        """Any finite numbers."""
        del levels
        return cls(), {"y": outcome.numbers()}

    @property
    def shape_names(self) -> tuple[str, ...]:
        """The standard deviation."""
        return ("log_sigma",)

    def log_density(self, rows: Rows, index: Array, shape: Shape) -> Array:
        """Of the normal distribution."""
        return self.log_prob(rows["y"], index, shape)

    def log_prob(self, value: Array, index: Array, shape: Shape) -> Array:
        """Of the normal distribution."""
        assert shape is not None
        z = (value - index) * jnp.exp(-shape[0])
        return -0.5 * z**2 - shape[0] - 0.5 * jnp.log(2 * jnp.pi).astype(index.dtype)

    def draw(self, key: Array, rows: Rows, index: Array, shape: Shape) -> Rows:
        """Index and noise."""
        assert shape is not None
        noise = jax.random.normal(key, index.shape, index.dtype)
        return {**rows, "y": index + jnp.exp(shape[0]) * noise}

    def mean(self, index: Array, shape: Shape) -> Array:
        """The index."""
        del shape
        return index

    def cdf(self, value: Array, index: Array, shape: Shape) -> Array:
        """Of the normal distribution."""
        assert shape is not None
        return norm.cdf((value - index) * jnp.exp(-shape[0]))

    def start(self, rows: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
        """Mean and standard deviation."""
        return float(rows["y"].mean()), np.log([rows["y"].std()])

    def spread(
        self, coef: np.ndarray, shape: np.ndarray, share: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """The effect's variance is not the noise's."""
        return coef, shape + 0.5 * np.log1p(-share)
