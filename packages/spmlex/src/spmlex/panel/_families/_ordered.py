"""Categories in order."""

import abc
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array

from .._frame import require
from ._base import AbstractFamily, Outcome, Rows, Shape
from ._binary import log_normal_cdf


@dataclass(frozen=True)
class AbstractOrdered(AbstractFamily):
    """P(y ≤ j) = G(cⱼ - index), with cut points c that rise from c₁ = 0.

    The first cut point is zero, as the index has an intercept. The parameters are the logarithms of
    the distances between neighbouring cut points: `log_gap[b]` is that around category b.
    """

    levels: tuple[Any, ...] = ()

    needs_rows = True

    @classmethod
    def encode(
        cls, outcome: Outcome, levels: tuple[Any, ...] = ()
    ) -> tuple["AbstractOrdered", dict[str, np.ndarray]]:
        """Numbers, or categories that have an order; what does not occur is left out."""
        values = outcome.values
        if levels:
            codes = np.array([levels.index(x) if x in levels else -1 for x in values])
            outcome.refuse(codes < 0, f"must be one of {list(levels)}")
            return cls(levels), {"y": codes.astype(np.int32)}
        if isinstance(values.dtype, require("pandas").CategoricalDtype):
            if not values.cat.ordered:
                raise ValueError(
                    f"`{outcome.name}` has the categories {list(values.cat.categories)} without an "
                    "order. Give them one: `pd.Categorical(values, categories, ordered=True)`."
                )
            values = values.cat.remove_unused_categories()
            levels, codes = tuple(values.cat.categories), values.cat.codes.to_numpy()
        else:
            found, codes = np.unique(outcome.numbers(), return_inverse=True)
            levels = tuple(int(x) if x % 1 == 0 else float(x) for x in found)
        if len(levels) < 3:
            raise ValueError(
                f"`{outcome.name}` has the categories {list(levels)}, and an ordered model is for "
                'three or more. For two take `family="logit"` or `"probit"`.'
            )
        return cls(levels), {"y": codes.astype(np.int32)}

    @property
    def categories(self) -> tuple[Any, ...]:
        """The levels."""
        return self.levels

    @property
    def shape_names(self) -> tuple[str, ...]:
        """Distances between cut points."""
        return tuple(f"log_gap[{level}]" for level in self.levels[1:-1])

    def cut_points(self, shape: Shape) -> Array:
        """All of them, from zero."""
        assert shape is not None
        return jnp.concatenate([jnp.zeros(1, shape.dtype), jnp.cumsum(jnp.exp(shape))])

    @abc.abstractmethod
    def log_below(self, x: Array) -> Array:
        """Log G; 1 - G(x) is G(-x)."""

    @abc.abstractmethod
    def log_between(self, low: Array, high: Array, gap: Array) -> Array:
        """log(G(high) - G(low)), gap their distance."""

    @abc.abstractmethod
    def quantile(self, prob: np.ndarray) -> np.ndarray:
        """The inverse of G."""

    def log_density(self, rows: Rows, index: Array, shape: Shape) -> Array:
        """Log probability of the category."""
        assert shape is not None
        y, last = rows["y"], len(self.levels) - 1
        cuts = self.cut_points(shape)
        low = cuts[jnp.maximum(y - 1, 0)] - index
        high = cuts[jnp.minimum(y, last - 1)] - index
        gap = jnp.exp(shape)[jnp.clip(y - 1, 0, last - 2)]
        # At either end there is no second cut point, and any other keeps derivatives finite.
        at_end = (y == 0) | (y == last)
        inner = self.log_between(low, jnp.where(at_end, low + gap, high), gap)
        return jnp.where(
            y == 0, self.log_below(high), jnp.where(y == last, self.log_below(-low), inner)
        )

    def mean(self, index: Array, shape: Shape) -> Array:
        """Probability of each category."""
        categories = [
            self.log_density({"y": jnp.full(index.shape, k)}, index, shape)
            for k in range(len(self.levels))
        ]
        return jnp.exp(jnp.stack(categories))

    def draw(self, key: Array, rows: Rows, index: Array, shape: Shape) -> Rows:
        """Categories."""
        below = jnp.cumsum(self.mean(index, shape)[:-1], axis=0)
        uniform = jax.random.uniform(key, index.shape, index.dtype)
        return {**rows, "y": jnp.sum(uniform[None] > below, axis=0).astype(rows["y"].dtype)}

    def start(self, rows: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
        """From the shares of the categories."""
        shares = np.bincount(rows["y"], minlength=len(self.levels)) / rows["y"].size
        cuts = self.quantile(np.cumsum(shares)[:-1])
        return -float(cuts[0]), np.log(np.diff(cuts))

    def spread(
        self, coef: np.ndarray, shape: np.ndarray, share: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """The index is in units of its noise, which an effect left out was part of."""
        return coef / np.sqrt(1 - share), shape - 0.5 * np.log1p(-share)


class OrderedLogit(AbstractOrdered):
    """G is the logistic function."""

    name = "ordered logit"
    link = "the log odds"

    def log_below(self, x: Array) -> Array:
        """Log of the logistic function."""
        return jax.nn.log_sigmoid(x)

    def log_between(self, low: Array, high: Array, gap: Array) -> Array:
        """G(b) - G(a) is G(b) G(-a) (1 - exp(a - b)): no difference of probabilities."""
        both = jax.nn.log_sigmoid(high) + jax.nn.log_sigmoid(-low)
        return both + jnp.log(-jnp.expm1(-gap))

    def quantile(self, prob: np.ndarray) -> np.ndarray:
        """Log odds."""
        return np.log(prob / (1 - prob))


class OrderedProbit(AbstractOrdered):
    """G is the normal distribution function."""

    name = "ordered probit"
    link = "the normal index"

    def log_below(self, x: Array) -> Array:
        """Log of the normal distribution function."""
        return log_normal_cdf(x)

    def log_between(self, low: Array, high: Array, gap: Array) -> Array:
        """In the lower tail, where the smaller of the two probabilities has its digits."""
        upper_tail = low > 0
        a, b = jnp.where(upper_tail, -high, low), jnp.where(upper_tail, -low, high)
        log_a, log_b = log_normal_cdf(a), log_normal_cdf(b)
        return log_b + jnp.log(-jnp.expm1(log_a - log_b))

    def quantile(self, prob: np.ndarray) -> np.ndarray:
        """Of the normal distribution."""
        return np.asarray(ndtri(jnp.asarray(prob)))
