"""Models that the tests share, each with a function that makes data for it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

LOG_2PI = float(np.log(2 * np.pi))

NUM_UNITS, NUM_POINTS = 300, 25
"""Size of the factor problem that the tests of inference share."""


class Problem(NamedTuple):
    """The arguments of `profile_ll` and `fit`."""

    model: Any
    data: Any
    supp: Any


class FactorModel(eqx.Module):
    """Section 7 of the specification: three outcomes, Y_it = λ_t X_i + e_it, with λ_1 = 1.

    The constant of the density is written once per unit, as there.
    """

    coef: jax.Array
    log_std_e: jax.Array

    def lclk(self, data, supp):
        loading = jnp.concatenate([jnp.ones(1, self.coef.dtype), self.coef])
        mean = supp[None, :, None] * loading[None, None, :]
        z = (data[:, None, :] - mean) / jnp.exp(self.log_std_e)[None, None, :]
        return -0.5 * jnp.sum(z**2, axis=-1) - jnp.sum(self.log_std_e) - 0.5 * LOG_2PI


def factor_problem(num_units: int, num_points: int) -> Problem:
    """Section 7, draw by draw. `num_units` = 2000 and `num_points` = 75 is the worked case."""
    key, draw = jax.random.split(jax.random.PRNGKey(0))
    mass = jnp.array([0.3, 0.5, 0.2])
    latent = jnp.array([-3.0, 0.0, 5.0])[jax.random.choice(draw, 3, (num_units,), p=mass)]
    key, draw = jax.random.split(key)
    error = jax.random.normal(draw, (num_units, 3))
    loading, std = jnp.array([[1.0, 1.5, 0.3]]), jnp.exp(jnp.array([[0.0, 0.2, -0.3]]))
    data = latent[:, None] * loading + error * std
    key, draw = jax.random.split(jax.random.PRNGKey(101))
    coef = jax.random.normal(draw, (2,)) + 1
    key, draw = jax.random.split(key)
    start = FactorModel(coef, 0.2 * jax.random.normal(draw, (3,)))
    return Problem(start, data, jnp.linspace(-6.0, 6.0, num_points))


class UnitEffect(eqx.Module):
    """Panel regression y_it = x_it'β + v_i + e_it, the effect v_i of any distribution."""

    beta: jax.Array
    log_sd: jax.Array

    def lclk(self, data, supp):
        error = data["y"] - data["x"] @ self.beta
        z = (error[:, None, :] - supp[None, :, None]) / jnp.exp(self.log_sd)
        num_periods = data["y"].shape[1]
        return -0.5 * jnp.sum(z**2, axis=-1) - num_periods * (self.log_sd + 0.5 * LOG_2PI)


def panel_problem(
    seed: int, num_units: int = 60, num_points: int = 15, sd: float = 0.6, two_types: bool = True
) -> Problem:
    """Three periods, two regressors, an effect on two points or uniform; a model near the truth.

    Everything is a NumPy draw from `seed`, so that Hypothesis can draw problems of one shape.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num_units, 3, 2))
    if two_types:
        effect = rng.choice([-1.0, 1.3], size=(num_units, 1))
    else:
        effect = rng.uniform(-3.0, 3.0, size=(num_units, 1))
    y = x @ np.array([0.8, -0.4]) + effect + sd * rng.normal(size=(num_units, 3))
    model = UnitEffect(
        jnp.asarray([0.8, -0.4] + 0.2 * rng.normal(size=2)),
        jnp.asarray(np.log(sd) + 0.1 * rng.normal()),
    )
    data = {"x": jnp.asarray(x), "y": jnp.asarray(y)}
    return Problem(model, data, jnp.linspace(-3.0, 3.0, num_points))


class LevelAndSlope(eqx.Module):
    """Two-dimensional heterogeneity, y_it = (1 + γ) z_it (v₁ᵢ + v₂ᵢ x_it) + e_it with e of sd 1/2.

    Support points are the rows of an (m, 2) array, or a dict of two vectors.
    """

    gamma: jax.Array

    def lclk(self, data, supp):
        if isinstance(supp, dict):
            level, slope = supp["level"], supp["slope"]
        else:
            level, slope = supp[:, 0], supp[:, 1]
        x, y, z = data
        mean = level[None, :, None] + slope[None, :, None] * x[:, None, :]
        error = y[:, None, :] - (1 + self.gamma) * z[:, None, :] * mean
        return jnp.sum(-2.0 * error**2, axis=-1)


def level_and_slope_problem(num_units: int = 60) -> Problem:
    """Three types on the 5 × 4 grid of the support."""
    rng = np.random.default_rng(20)
    x, z = rng.normal(size=(2, num_units, 4))
    z = 1 + 0.3 * z
    types = np.array([[-1.0, 0.0], [0.5, 1.0], [1.0, -1.0]])[rng.integers(0, 3, num_units)]
    y = 1.2 * z * (types[:, :1] + types[:, 1:] * x) + 0.5 * rng.normal(size=x.shape)
    grid = np.meshgrid(np.linspace(-1.5, 1.5, 5), np.linspace(-1.5, 1.5, 4), indexing="ij")
    supp = np.stack([axis.ravel() for axis in grid], axis=1)
    data = tuple(jnp.asarray(part) for part in (x, y, z))
    return Problem(LevelAndSlope(jnp.asarray(0.1)), data, jnp.asarray(supp))


class Durations(eqx.Module):
    """Exponential durations with a unit effect; has every kind of leaf that is not a parameter.

    `columns` is an array of integers, `link` a function, `label` a string, `scale` is static.
    """

    beta: jax.Array
    columns: jax.Array
    link: Callable
    label: str
    scale: float = eqx.field(static=True)

    def lclk(self, data, supp):
        index = data["x"][:, self.columns] @ self.beta
        log_rate = self.scale * index[:, None] + supp[None, :]
        spells = data["num_spells"].astype(log_rate.dtype)
        return spells[:, None] * log_rate - data["time"][:, None] * self.link(log_rate)


def duration_problem(num_units: int = 60, num_points: int = 15) -> Problem:
    """Up to four spells a unit: the data hold integers, and a leaf that is not an array."""
    rng = np.random.default_rng(30)
    x = rng.normal(size=(num_units, 3))
    effect = rng.choice([-1.0, 1.0], size=num_units)
    rate = np.exp(0.5 * x[:, 2] + 0.7 * x[:, 0] + effect)
    spells = rng.integers(1, 5, num_units)
    data = {
        "x": jnp.asarray(x),
        "num_spells": jnp.asarray(spells),
        "time": jnp.asarray(rng.gamma(spells) / rate),
        "unit": "days",
    }
    model = Durations(jnp.array([0.4, 0.5]), jnp.array([2, 0]), jnp.exp, "durations", 1.0)
    return Problem(model, data, jnp.linspace(-3.0, 3.0, num_points))


class Truncated(eqx.Module):
    """One normal outcome, y_i ~ N(v_i + θ x_i, 1), that cannot be below v_i: ℓ = -inf there."""

    theta: jax.Array

    def lclk(self, data, supp):
        mean = supp[None, :] + self.theta * data["x"][:, None]
        possible = data["y"][:, None] >= supp[None, :]
        # log of the density over the probability of y > v, Φ(θ x).
        log_density = -0.5 * (data["y"][:, None] - mean) ** 2
        log_density = log_density - jax.scipy.special.log_ndtr(self.theta * data["x"])[:, None]
        return jnp.where(possible, log_density, -jnp.inf)


def truncated_problem(num_units: int = 60, num_points: int = 15) -> Problem:
    """Two types, -1 and 1; points above the smallest outcomes are impossible for some units."""
    rng = np.random.default_rng(40)
    x = rng.normal(size=num_units)
    latent = rng.choice([-1.0, 1.0], size=num_units)
    mean = 0.7 * x
    error = rng.normal(size=(50, num_units))
    error = error[np.argmax(mean + error > 0, axis=0), np.arange(num_units)]
    data = {"x": jnp.asarray(x), "y": jnp.asarray(latent + mean + error)}
    return Problem(Truncated(jnp.array(0.6)), data, jnp.linspace(-2.0, 2.0, num_points))


class Given(eqx.Module):
    """Log-likelihoods that are columns of `data`, plus θ: for faults planted in one entry."""

    theta: jax.Array

    def lclk(self, data, supp):
        return data[:, supp.astype(int)] + self.theta
