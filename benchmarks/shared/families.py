"""Test problems: families of log-likelihood matrices, in plain numpy.

Every family is a function `(n, m, seed) -> log_lik` that returns a float64 array of shape (n, m),
C-ordered, whose entry ℓᵢⱼ is the log density of observation i under component j. `FAMILIES` maps
their names to them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Family = Callable[[int, int, int], NDArray[np.float64]]

_LOG_2PI = float(np.log(2.0 * np.pi))

NARROW_WIDTH = 1.5
"""Standard deviation of the narrow kernels, in units of the grid spacing.

At 5 000 x 300 it leaves 145 to 155 components positive (seeds 0 to 2), about half.
"""

GAMMA_SHAPE = 0.7
"""Shape of the Gamma draws of `gamma`; at 1 000 x 200 it leaves 52 components positive (seed 0)."""

BINOMIAL_SIZE = 20
"""Number of trials of `binomial`."""

FACTOR_LOADINGS = (1.0, 1.5, 0.3)
FACTOR_LOG_STD = (0.0, 0.2, -0.3)
FACTOR_POINTS = (-3.0, 0.0, 5.0)
FACTOR_PROBS = (0.3, 0.5, 0.2)


def _fill_normal(
    z: NDArray[np.float64], mean: NDArray[np.float64], std: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log N(zᵢ; meanⱼ, stdⱼ²), without a second (n, m) array.

    Parameters
    ----------
    z
        Observations, shape (n,).
    mean, std
        Means and standard deviations of the components, shape (m,).

    Returns
    -------
    log_lik
        Shape (n, m).
    """
    out = np.subtract(z[:, None], mean[None, :])
    out /= std
    np.square(out, out=out)
    out *= -0.5
    out -= np.log(std) + 0.5 * _LOG_2PI
    return out


def normal_scale(n: int, m: int, seed: int) -> NDArray[np.float64]:
    """Scale mixture of normals, as in adaptive shrinkage (ash).

    Half of the observations are N(0, 1), a quarter N(0, 9), a quarter N(0, 36). The grid of m
    standard deviations is 0 and m - 1 geometric points from 0.1 to 2 √(max z² - 1); component k is
    N(0, 1 + sₖ²). This is the simulation of R's `mixsqp::simulatemixdata`.

    Parameters
    ----------
    n, m
        Numbers of observations and of components.
    seed
        Seed of the generator.

    Returns
    -------
    log_lik
        Shape (n, m).
    """
    rng = np.random.default_rng(seed)
    quarter = n // 4
    scale = np.repeat([1.0, 3.0, 6.0], [n - 2 * quarter, quarter, quarter])
    z = scale * rng.standard_normal(n)
    largest = 2.0 * np.sqrt(max(float(np.max(z**2)) - 1.0, 0.25))
    s = np.concatenate([[0.0], np.geomspace(0.1, largest, m - 1)])
    return _fill_normal(z, np.zeros(m), np.sqrt(1.0 + s**2))


def normal_location(n: int, m: int, seed: int) -> NDArray[np.float64]:
    """Location mixture of normals of unit variance.

    The mixing distribution has a part of each kind: an atom of mass 0.4 at 0, N(4, 1) with mass 0.4
    and the uniform distribution on [-6, -2] with mass 0.2. The m means are equispaced on the range
    of the data. Neighbouring columns are nearly equal, so the Hessian on the positive components is
    close to singular.

    Parameters
    ----------
    n, m
        Numbers of observations and of components.
    seed
        Seed of the generator.

    Returns
    -------
    log_lik
        Shape (n, m).
    """
    rng = np.random.default_rng(seed)
    part = rng.choice(3, size=n, p=[0.4, 0.4, 0.2])
    x = np.where(part == 0, 0.0, 4.0 + rng.standard_normal(n))
    x = np.where(part == 2, rng.uniform(-6.0, -2.0, n), x)
    z = x + rng.standard_normal(n)
    return _fill_normal(z, np.linspace(z.min(), z.max(), m), np.ones(m))


def binomial(n: int, m: int, seed: int) -> NDArray[np.float64]:
    """Counts out of 20, on a grid of m success probabilities.

    Success probabilities are Beta(2, 8) for 0.7 of the observations and 0.65 for the others. The
    grid is (j + 1/2)/m, so that no entry is -inf. The log probability is normalised: the binomial
    coefficient is in it. The matrix has at most 21 distinct rows.

    Parameters
    ----------
    n, m
        Numbers of observations and of components.
    seed
        Seed of the generator.

    Returns
    -------
    log_lik
        Shape (n, m).
    """
    rng = np.random.default_rng(seed)
    chance = np.where(rng.random(n) < 0.7, rng.beta(2.0, 8.0, n), 0.65)
    count = rng.binomial(BINOMIAL_SIZE, chance)
    grid = (np.arange(m) + 0.5) / m
    k = np.arange(BINOMIAL_SIZE + 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(k[1:]))])
    log_coef = log_factorial[-1] - log_factorial - log_factorial[::-1]
    table = k[:, None] * np.log(grid) + (BINOMIAL_SIZE - k)[:, None] * np.log1p(-grid)
    table += log_coef[:, None]
    return np.take(table, count, axis=0)


def gamma(n: int, m: int, seed: int) -> NDArray[np.float64]:
    """Independent columns: the logarithm of iid Gamma draws of shape `GAMMA_SHAPE`.

    No two columns are alike, so no low-rank approximation of the matrix exists.

    Parameters
    ----------
    n, m
        Numbers of observations and of components.
    seed
        Seed of the generator.

    Returns
    -------
    log_lik
        Shape (n, m).
    """
    rng = np.random.default_rng(seed)
    draws = rng.standard_gamma(GAMMA_SHAPE, size=(n, m))
    np.maximum(draws, np.finfo(np.float64).tiny, out=draws)
    return np.log(draws, out=draws)


def narrow_kernels(n: int, m: int, seed: int) -> NDArray[np.float64]:
    """Normal location kernels so narrow that about half of the components are positive.

    Observations are uniform latent values on [0, m - 1] plus noise of standard deviation
    `NARROW_WIDTH`; the m means are equispaced on the range of the data, hence about one unit apart.

    Parameters
    ----------
    n, m
        Numbers of observations and of components.
    seed
        Seed of the generator.

    Returns
    -------
    log_lik
        Shape (n, m).
    """
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.0, m - 1.0, n) + NARROW_WIDTH * rng.standard_normal(n)
    grid = np.linspace(z.min(), z.max(), m)
    return _fill_normal(z, grid, np.full(m, NARROW_WIDTH * (grid[1] - grid[0])))


def factor(n: int, m: int, seed: int) -> NDArray[np.float64]:
    """Three outcomes that load on one latent factor, at the true parameters.

    Yₜ = λₜ X + eₜ with independent normal eₜ; the three-point distribution of X, the loadings λ and
    the standard deviations are the module's constants. The grid is m equispaced points on [-6, 6].

    Parameters
    ----------
    n, m
        Numbers of observations and of components.
    seed
        Seed of the generator.

    Returns
    -------
    log_lik
        Shape (n, m).
    """
    rng = np.random.default_rng(seed)
    loading, std = np.array(FACTOR_LOADINGS), np.exp(FACTOR_LOG_STD)
    x = rng.choice(FACTOR_POINTS, size=n, p=FACTOR_PROBS)
    y = x[:, None] * loading + std * rng.standard_normal((n, 3))
    grid = np.linspace(-6.0, 6.0, m)
    out = np.zeros((n, m))
    for t in range(3):
        out += _fill_normal(y[:, t], loading[t] * grid, np.full(m, std[t]))
    return out


FAMILIES: dict[str, Family] = {
    "normal_scale": normal_scale,
    "normal_location": normal_location,
    "binomial": binomial,
    "gamma": gamma,
    "narrow_kernels": narrow_kernels,
    "factor": factor,
}
