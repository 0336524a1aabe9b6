"""Models whose outcomes can be drawn, or listed."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Logit(eqx.Module):
    """Binary outcomes of a few periods, all of which are listed."""

    beta: Any

    def lclk(self, data: dict[str, Array], supp: Float[Array, " m"]) -> Float[Array, "n m"]:
        index = (data["x"] @ self.beta)[:, None, :] + supp[None, :, None]
        return jnp.sum(jax.nn.log_sigmoid((2 * data["y"] - 1)[:, None, :] * index), axis=-1)

    def all_outcomes(self, data: dict[str, Array]) -> dict[str, Array]:
        num_units, num_periods = data["y"].shape
        bits = np.arange(2**num_periods)[:, None] >> np.arange(num_periods)[None, :] & 1
        y = jnp.asarray(bits, data["y"].dtype)[:, None, :]
        shape = (bits.shape[0], num_units)
        return {
            "y": jnp.broadcast_to(y, (*shape, num_periods)),
            "x": jnp.broadcast_to(data["x"][None], (*shape, *data["x"].shape[1:])),
        }


class DrawnLogit(eqx.Module):
    """The same, drawn."""

    beta: Any

    def lclk(self, data: dict[str, Array], supp: Float[Array, " m"]) -> Float[Array, "n m"]:
        return Logit(self.beta).lclk(data, supp)

    def sample(self, key: Array, data: dict[str, Array], latent: Float[Array, " n"]) -> Any:
        probs = jax.nn.sigmoid(data["x"] @ self.beta + latent[:, None])
        drawn = jax.random.bernoulli(key, probs)
        return data | {"y": drawn.astype(data["y"].dtype)}


def logit_data(num_units: int, num_periods: int) -> dict[str, Array]:
    """Outcomes under two types of units."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(num_units, num_periods, 2))
    effect = rng.choice([-0.75, 1.5], size=(num_units, 1))
    index = x @ np.array([0.8, -0.4]) + effect
    y = rng.uniform(size=index.shape) < 1 / (1 + np.exp(-index))
    return {"y": jnp.asarray(y, float), "x": jnp.asarray(x)}


class Effects(eqx.Module):
    """A level and a slope of each unit's own, and a common slope, with normal errors."""

    beta: Float[Array, ""]
    log_std: Float[Array, ""]

    def lclk(self, data: dict[str, Array], supp: Float[Array, "m 2"]) -> Float[Array, "n m"]:
        own = supp[:, 0][None, :, None] + supp[:, 1][None, :, None] * data["z"][:, None, :]
        resid = (data["y"] - self.beta * data["x"])[:, None, :] - own
        scaled = resid * jnp.exp(-self.log_std)
        return -0.5 * jnp.sum(scaled**2, axis=-1) - data["y"].shape[1] * self.log_std

    def sample(self, key: Array, data: dict[str, Array], latent: Float[Array, "n 2"]) -> Any:
        noise = jnp.exp(self.log_std) * jax.random.normal(key, data["y"].shape)
        mean = self.beta * data["x"] + latent[:, :1] + latent[:, 1:] * data["z"]
        return data | {"y": mean + noise}
