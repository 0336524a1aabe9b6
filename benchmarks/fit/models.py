"""Models of the benchmark of `fit`, each with simulated data, a start and a grid."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float

LOG_2PI = float(np.log(2.0 * np.pi))


class Problem(NamedTuple):
    """The arguments of `spmlex.fit`."""

    model: Any
    data: Any
    supp: Any


class Factor(eqx.Module):
    """Three outcomes Y_t = λ_t X + e_t, with λ_1 = 1 and X on three points: five parameters."""

    coef: Float[Array, "2"]
    log_std: Float[Array, "3"]

    def lclk(self, data: Float[Array, "n 3"], supp: Float[Array, " m"]) -> Float[Array, "n m"]:
        """Log-likelihood of each unit at each support point, the constant once per unit.

        A sum over outcomes, one at a time: arrays of shape (n, m, 3) would take ten times as long.
        """
        squares = jnp.zeros(())
        for t, loading in enumerate((1.0, *self.coef)):
            z = (data[:, t][:, None] - loading * supp[None, :]) * jnp.exp(-self.log_std[t])
            squares = squares + z**2
        return -0.5 * squares - jnp.sum(self.log_std) - 0.5 * LOG_2PI


def factor_data(num_units: int) -> Float[Array, "n 3"]:
    """Outcomes of the factor model."""
    key, draw = jax.random.split(jax.random.PRNGKey(0))
    mass = jnp.array([0.3, 0.5, 0.2])
    latent = jnp.array([-3.0, 0.0, 5.0])[jax.random.choice(draw, 3, (num_units,), p=mass)]
    draw = jax.random.split(key)[1]
    error = jax.random.normal(draw, (num_units, 3))
    std = jnp.exp(jnp.array([[0.0, 0.2, -0.3]]))
    return latent[:, None] * jnp.array([[1.0, 1.5, 0.3]]) + error * std


def factor(num_units: int, num_points: int) -> Problem:
    """The factor model from a start some way off."""
    key, draw = jax.random.split(jax.random.PRNGKey(101))
    coef = jax.random.normal(draw, (2,)) + 1
    log_std = 0.2 * jax.random.normal(jax.random.split(key)[1], (3,))
    supp = jnp.linspace(-6.0, 6.0, num_points)
    return Problem(Factor(coef, log_std), factor_data(num_units), supp)


def random_factors(num: int) -> list[Factor]:
    """Starts far from the truth: loadings N(0, 3²), logarithms of standard deviations N(0, 1)."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(num, 5)) * np.array([3.0, 3.0, 1.0, 1.0, 1.0])
    return [Factor(jnp.asarray(x[:2]), jnp.asarray(x[2:])) for x in draws]


class Panel(eqx.Module):
    """Two continuous outcomes and a binary one over seven years: sixty parameters.

    y_itk = x_it'β_k + δ_tk + α_k + λ_k v_i + e_itk, with α_1 = 0 and λ_1 = 1: slopes of twelve
    regressors in three equations (36), year effects (18), two constants, two loadings, and two
    standard deviations; the third outcome is whether its y is positive, with e standard normal.
    """

    slopes: Float[Array, "3 12"]
    years: Float[Array, "3 6"]
    constants: Float[Array, "2"]
    loadings: Float[Array, "2"]
    log_std: Float[Array, "2"]

    def index(self, x: Float[Array, "n 7 12"]) -> Float[Array, "n 7 3"]:
        """What is explained without the unit effect."""
        years = jnp.concatenate([jnp.zeros((3, 1)), self.years], axis=1)
        constants = jnp.concatenate([jnp.zeros(1), self.constants])
        return x @ self.slopes.T + (years + constants[:, None]).T[None, :, :]

    def lclk(self, data: dict[str, Array], supp: Float[Array, " m"]) -> Float[Array, "n m"]:
        """Log-likelihood of each unit at each support point.

        The squares of the continuous outcomes are split into spread and mean over the years.
        """
        index = self.index(data["x"])
        residual = data["y"] - index[:, :, :2]
        mean = jnp.mean(residual, axis=1)
        spread = jnp.sum((residual - mean[:, None, :]) ** 2, axis=1)
        loadings = jnp.stack([jnp.ones(()), self.loadings[0]])
        off = mean[:, None, :] - supp[None, :, None] * loadings[None, None, :]
        squares = (spread[:, None, :] + 7 * off**2) * jnp.exp(-2 * self.log_std)[None, None, :]
        normal = -0.5 * jnp.sum(squares, axis=-1) - 7 * (jnp.sum(self.log_std) + LOG_2PI)
        latent = index[:, :, 2][:, None, :] + self.loadings[1] * supp[None, :, None]
        return normal + jnp.sum(log_ndtr(data["sign"][:, None, :] * latent), axis=-1)


def panel(num_units: int, num_points: int) -> Problem:
    """Data at random parameters, an effect of two types, and a start at zero."""
    rng = np.random.default_rng(0)
    truth = Panel(
        slopes=jnp.asarray(0.3 * rng.normal(size=(3, 12))),
        years=jnp.asarray(0.2 * rng.normal(size=(3, 6))),
        constants=jnp.array([0.5, -0.3]),
        loadings=jnp.array([0.8, 0.6]),
        log_std=jnp.array([-0.2, 0.1]),
    )
    effect = rng.choice([-1.0, 1.0], size=(num_units, 1, 1)) + 0.3 * rng.normal(
        size=(num_units, 1, 1)
    )
    x = rng.normal(size=(num_units, 7, 12)) + 0.3 * effect
    loadings = np.array([1.0, 0.8, 0.6])
    std = np.append(np.exp(np.asarray(truth.log_std)), 1.0)
    y = np.asarray(truth.index(jnp.asarray(x))) + loadings * effect
    y = y + std * rng.normal(size=(num_units, 7, 3))
    data = {
        "x": jnp.asarray(x),
        "y": jnp.asarray(y[:, :, :2]),
        "sign": jnp.asarray(np.where(y[:, :, 2] > 0, 1.0, -1.0)),
    }
    start = Panel(
        slopes=jnp.zeros((3, 12)),
        years=jnp.zeros((3, 6)),
        constants=jnp.zeros(2),
        loadings=jnp.ones(2),
        log_std=jnp.zeros(2),
    )
    return Problem(start, data, jnp.linspace(-3.0, 3.0, num_points))


class Slopes(eqx.Module):
    """A level and a slope of each unit's own, y_it = v_i1 + v_i2 x_it + w_it'β + e_it."""

    beta: Float[Array, "2"]
    log_std: Float[Array, ""]

    def lclk(self, data: dict[str, Array], supp: Float[Array, "m 2"]) -> Float[Array, "n m"]:
        """Log-likelihood of each unit at each support point.

        The sum of squares is that of the unit's own regression on x, and a quadratic form in the
        distance of the support point from its coefficients.
        """
        residual = data["y"] - data["w"] @ self.beta
        x, num_years = data["x"], data["x"].shape[1]
        centred = x - jnp.mean(x, axis=1, keepdims=True)
        power = jnp.sum(centred**2, axis=1)
        slope = jnp.sum(centred * residual, axis=1) / power
        mean = jnp.mean(residual, axis=1)
        fitted = mean[:, None] + slope[:, None] * centred
        spread = jnp.sum((residual - fitted) ** 2, axis=1)
        level, own = supp[:, 0][None, :], supp[:, 1][None, :]
        off = mean[:, None] - level - own * jnp.mean(x, axis=1)[:, None]
        squares = spread[:, None] + num_years * off**2
        squares = squares + power[:, None] * (slope[:, None] - own) ** 2
        scale = self.log_std + 0.5 * LOG_2PI
        return -0.5 * squares * jnp.exp(-2 * self.log_std) - num_years * scale


def slopes(num_units: int, points_each: int) -> Problem:
    """Three types, on a square grid."""
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, num_units, 6))
    types = np.array([[-1.0, 0.5], [0.0, -0.5], [1.5, 1.0]])[rng.integers(0, 3, num_units)]
    w = rng.normal(size=(num_units, 6, 2))
    y = types[:, :1] + types[:, 1:] * x + w @ np.array([0.8, -0.4]) + 0.7 * noise
    axis = np.linspace(-2.5, 2.5, points_each)
    supp = np.stack([a.ravel() for a in np.meshgrid(axis, axis, indexing="ij")], axis=1)
    data = {"x": jnp.asarray(x), "w": jnp.asarray(w), "y": jnp.asarray(y)}
    return Problem(Slopes(jnp.zeros(2), jnp.zeros(())), data, jnp.asarray(supp))


class Regression(eqx.Module):
    """A panel regression with a unit effect and any number of regressors."""

    beta: Float[Array, " k"]
    log_std: Float[Array, ""]

    def lclk(self, data: dict[str, Array], supp: Float[Array, " m"]) -> Float[Array, "n m"]:
        """Log-likelihood of each unit at each support point."""
        residual = data["y"] - data["x"] @ self.beta
        num_years = residual.shape[1]
        mean = jnp.mean(residual, axis=1, keepdims=True)
        spread = jnp.sum((residual - mean) ** 2, axis=1, keepdims=True)
        squares = spread + num_years * (mean - supp[None, :]) ** 2
        scale = self.log_std + 0.5 * LOG_2PI
        return -0.5 * squares * jnp.exp(-2 * self.log_std) - num_years * scale


def regression(num_units: int, num_regressors: int, num_points: int) -> Problem:
    """Regressors that are correlated with each other, with the effect and across years."""
    rng = np.random.default_rng(0)
    effect = rng.choice([-1.0, 1.0], size=(num_units, 1, 1))
    common = rng.normal(size=(num_units, 5, 1))
    x = rng.normal(size=(num_units, 5, num_regressors)) + 0.5 * common + 0.3 * effect
    beta = rng.normal(size=num_regressors) / np.sqrt(num_regressors)
    y = x @ beta + effect[:, :, 0] + 0.8 * rng.normal(size=(num_units, 5))
    start = Regression(jnp.zeros(num_regressors), jnp.zeros(()))
    data = {"x": jnp.asarray(x), "y": jnp.asarray(y)}
    return Problem(start, data, jnp.linspace(-3.0, 3.0, num_points))
