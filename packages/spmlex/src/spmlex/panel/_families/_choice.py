"""One of several alternatives."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._base import AbstractFamily, Outcome, Rows, Shape


@dataclass(frozen=True)
class ConditionalLogit(AbstractFamily):
    """P(alternative a) = exp(index of a) / Σ exp(index), over what is available.

    The rows are occasions, with the alternatives on the next axis.
    """

    alternatives: tuple[Any, ...] = ()

    name = "conditional logit"
    link = "utility"
    needs_rows = True

    @classmethod
    def encode(
        cls, outcome: Outcome, levels: tuple[Any, ...] = ()
    ) -> tuple["ConditionalLogit", dict[str, np.ndarray]]:
        """Ones for what was chosen, once an occasion, and zeros."""
        del levels
        chosen = outcome.numbers()
        outcome.refuse(
            (chosen != 0) & (chosen != 1),
            "must be 1 for the alternative that was chosen and 0 for the others",
        )
        occasion = outcome.beside["occasion"]
        times = np.bincount(occasion, chosen)
        bad = times[occasion] != 1
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(
                f"`{outcome.name}` must be 1 for one alternative of each occasion, but at that of "
                f"row {outcome.values.index[row]!r} it is so for {int(times[occasion[row]])}; "
                f"{int(np.sum(times != 1))} of {times.size} occasions are such."
            )
        return cls(tuple(outcome.beside["alternatives"])), {"y": chosen}

    @property
    def categories(self) -> tuple[Any, ...]:
        """The alternatives."""
        return self.alternatives

    def log_density(self, rows: Rows, index: Array, shape: Shape) -> Array:
        """Log probability of what was chosen; the alternatives are on the axis before the last."""
        del shape
        offered = jnp.where(rows["available"] > 0, index, -jnp.inf)
        total = jax.scipy.special.logsumexp(offered, axis=-2)
        return jnp.sum(rows["y"] * index, axis=-2) - total

    def mean(self, index: Array, shape: Shape) -> Array:
        """Raise a TypeError, as probabilities are those of a whole occasion."""
        raise TypeError("Probabilities of choices are those of an occasion, by `choice_probs`.")

    def choice_probs(self, available: Array, index: Array) -> Array:
        """Probability of each alternative, on the axis before the last."""
        return jax.nn.softmax(jnp.where(available > 0, index, -jnp.inf), axis=-2)

    def draw(self, key: Array, rows: Rows, index: Array, shape: Shape) -> Rows:
        """Choices; here the alternatives are on the last axis."""
        del shape
        offered = jnp.where(rows["available"] > 0, index, -jnp.inf)
        chosen = jax.random.categorical(key, offered, axis=-1)
        return {**rows, "y": jax.nn.one_hot(chosen, index.shape[-1], dtype=index.dtype)}

    def start(self, rows: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
        """No utility."""
        del rows
        return 0.0, np.zeros(0)

    def spread(
        self, coef: np.ndarray, shape: np.ndarray, share: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Utility is in units of its noise, which an effect left out was part of."""
        return coef / np.sqrt(1 - share), shape
