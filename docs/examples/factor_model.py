"""A factor whose distribution is not assumed
==========================================

A factor model with three outcomes, estimated without assuming a distribution of the factor.

Unit i has a latent X_i and three outcomes Y_it = lambda_t X_i + e_it, with e_it normal of standard
deviation sigma_t. The first loading is one, which sets the scale of X; the other loadings and the
sigma_t are the parameters. The data are simulated, so the estimates can be held against the truth.

Usage: python factor_model.py [PLOT]
"""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.figure import Figure

import spmlex
from mixsqpx import mixsolve

# Likelihoods deserve double precision; the second line gives all versions of JAX the same draws.
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_threefry_partitionable", True)

LOADINGS = np.array([1.0, 1.5, 0.3])
LOG_STD_E = np.array([0.0, 0.2, -0.3])
POINTS = np.array([-3.0, 0.0, 5.0])
MASSES = np.array([0.3, 0.5, 0.2])


class FactorModel(eqx.Module):
    """The floating-point arrays of the model are its parameters."""

    coef: Float[Array, "2"]
    log_std_e: Float[Array, "3"]

    def lclk(self, data: Float[Array, "n 3"], supp: Float[Array, " m"]) -> Float[Array, "n m"]:
        """Log density of the outcomes of each unit, were its X each of the support points."""
        loadings = jnp.concatenate([jnp.ones(1), self.coef])
        mean = supp[:, None] * loadings[None, :]
        z = (data[:, None, :] - mean[None, :, :]) / jnp.exp(self.log_std_e)[None, None, :]
        # Its constant is that of one outcome, not three: constants do not move the estimates.
        return -0.5 * jnp.sum(z**2, axis=-1) - jnp.sum(self.log_std_e) - 0.5 * jnp.log(2 * jnp.pi)


def simulate(num_units: int) -> Float[Array, "n 3"]:
    """Draw the outcomes."""
    key, subkey = jax.random.split(jax.random.PRNGKey(0))
    x = POINTS[jax.random.choice(subkey, 3, (num_units,), p=jnp.array(MASSES))]
    key, subkey = jax.random.split(key)
    e = jax.random.normal(subkey, (num_units, 3)) * np.exp(LOG_STD_E)
    return x[:, None] * LOADINGS + e


def random_start() -> FactorModel:
    """Draw a model to start from, some way off the truth."""
    key, subkey = jax.random.split(jax.random.PRNGKey(101))
    coef = jax.random.normal(subkey, (2,)) + 1
    key, subkey = jax.random.split(key)
    return FactorModel(coef, 0.2 * jax.random.normal(subkey, (3,)))


def print_comparison(result: spmlex.FitResult) -> None:
    """Print estimates and truth side by side."""
    truth = np.concatenate([LOADINGS[1:], LOG_STD_E])
    print(f"\n{'parameter':<18}{'estimate':>12}{'truth':>12}{'error':>12}\n{'-' * 54}")
    for name, estimate, true in zip(result.param_names, result.estimates, truth, strict=True):
        print(f"{name:<18}{estimate:>12.4f}{true:>12.4f}{estimate - true:>12.4f}")

    # Of a point between those of the grid several become active: gather those around each.
    supp, probs = np.asarray(result.supp), np.asarray(result.probs)
    nearest = np.argmin(np.abs(supp[:, None] - POINTS), axis=1)
    print(f"\n{'true point':<18}{'located at':>12}{'mass':>12}{'true mass':>12}\n{'-' * 54}")
    for k, (point, mass) in enumerate(zip(POINTS, MASSES, strict=True)):
        near = np.where(nearest == k, probs, 0.0)
        print(f"{point:<18.1f}{supp @ near / near.sum():>12.4f}{near.sum():>12.4f}{mass:>12.4f}")


def plot(result: spmlex.FitResult, data: Float[Array, "n 3"], path: str) -> None:
    """Draw the estimated distribution, and the gradient function that certifies it."""
    supp, probs = np.asarray(result.supp), np.asarray(result.probs)
    active = probs > 0
    solution = mixsolve(result.model.lclk(data, result.supp), init=result.probs)
    # Lindsay's gradient function plus one. It is at most one only for a maximum-likelihood F.
    certified = 1 - np.asarray(solution.gradient)

    # A Figure made without pyplot needs no display.
    figure = Figure(figsize=(7, 8.5), layout="constrained")
    cdf, masses, certificate = figure.subplots(3, sharex=True)

    edges, levels = [supp[0], *POINTS, supp[-1]], [0.0, *np.cumsum(MASSES), 1.0]
    cdf.step(edges, levels, where="post", color="C1", lw=4, alpha=0.5, label="truth")
    cdf.step(supp, np.cumsum(probs), where="post", color="C0", label="estimate")
    cdf.set(ylabel="Probability of X ≤ x", title="The distribution of the factor is recovered")
    cdf.legend(loc="upper left")

    masses.vlines(POINTS, 0, MASSES, color="C1", lw=4, alpha=0.5, label="truth")
    masses.vlines(supp[active], 0, probs[active], color="C0")
    masses.plot(supp[active], probs[active], "o", color="C0", ms=5, label="estimate")
    masses.set(ylabel="Mass", ylim=(0, None))
    masses.set_title("Almost all mass is at the grid points next to the true ones")
    masses.legend(loc="upper left")

    certificate.axhline(1, color="0.6", lw=1)
    certificate.plot(supp, certified, color="C0")
    certificate.plot(supp[active], certified[active], "o", color="C0", ms=5, label="has mass")
    certificate.set(xlabel="Factor (units of the first outcome)", ylabel="Gradient function 1 − g")
    certificate.set_title("Nowhere above one, and one wherever there is mass: the maximum")
    certificate.legend(loc="lower right")
    figure.savefig(path, dpi=150)
    print(f"\nPlot written to {path}")


def main() -> None:
    """Simulate, estimate, compare."""
    data = simulate(2000)
    supp = jnp.linspace(-6, 6, 75)
    result = spmlex.fit(random_start(), data, supp)
    print(result)
    print_comparison(result)
    plot(result, data, sys.argv[1] if len(sys.argv) > 1 else "factor_model.png")


if __name__ == "__main__":
    main()
