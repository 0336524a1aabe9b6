"""What is done with a sample: estimates and standard errors by every method."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jax.flatten_util import ravel_pytree
from jax.scipy.special import logsumexp
from jaxtyping import Array

import spmlex
from spmlex._orthogonal._outcomes import Outcomes
from spmlex._orthogonal._sample import Sample

from .designs import Cell

METHODS = (
    "orthogonal",
    "profile, hessian",
    "profile, robust",
    "normal",
    "known distribution",
)
RESAMPLED = ("profile, likelihood ratio", "profile, bootstrap")
CRITICAL = 1.959963984540054
# The standard deviation of the normal latent variable that the search starts from, and that of its
# grid against the one of the others.
NORMAL_START, FINER = 1.0, 4
# Of the efficiency bound: the mass that is put everywhere, and the ridge.
ELSEWHERE, BOUND_RIDGE = 1e-2, 1e-6


class Found(NamedTuple):
    """Estimates, and lower and upper ends of intervals; NaN where there are none."""

    estimates: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def nothing(size: int) -> Found:
    """A failure."""
    missing = np.full(size, np.nan)
    return Found(missing, missing, missing)


def symmetric(estimates: np.ndarray, std_errors: np.ndarray) -> Found:
    """Estimates and normal intervals."""
    half = CRITICAL * std_errors
    return Found(estimates, estimates - half, estimates + half)


def orthogonal(cell: Cell, data: Any, seed: int) -> Found:
    """The orthogonal estimator."""
    size = ravel_pytree(cell.start)[0].size
    found = spmlex.fit_orthogonal(
        cell.start, data, jnp.asarray(cell.supp), jax.random.key(seed), throw=False
    )
    if found.result != spmlex.RESULTS.successful:
        return nothing(size)
    return symmetric(found.estimates, found.std_errors(cell.clusters()))


def profile(cell: Cell, data: Any) -> tuple[dict[str, Found], spmlex.FitResult | None]:
    """The profile likelihood, with its two usual standard errors."""
    size = ravel_pytree(cell.start)[0].size
    names = METHODS[1:3]
    try:
        result = spmlex.fit(cell.start, data, jnp.asarray(cell.supp), throw=False)
    except ValueError:
        return dict.fromkeys(names, nothing(size)), None
    if result.result != spmlex.RESULTS.successful:
        return dict.fromkeys(names, nothing(size)), None
    found = {}
    clusters = cell.clusters()
    robust = ("robust", None) if clusters is None else ("cluster", clusters)
    for name, (kind, labels) in zip(names, (("hessian", None), robust), strict=True):
        try:
            found[name] = symmetric(result.estimates, result.std_errors(kind, labels))
        except spmlex.SingularInformationError:
            found[name] = nothing(size)
    return found, result


def resampled(cell: Cell, result: spmlex.FitResult | None, seed: int) -> dict[str, Found]:
    """Likelihood-ratio and bootstrap intervals of the profile likelihood; both are slow."""
    truth = np.asarray(ravel_pytree(cell.truth)[0])
    found = dict.fromkeys(RESAMPLED, nothing(truth.size))
    if result is None:
        return found
    ratio = np.full((2, truth.size), np.nan)
    for k, name in enumerate(result.param_names):
        try:
            interval = result.profile_interval(name)
            ratio[:, k] = interval.lower, interval.upper
        except RuntimeError:
            continue
    found[RESAMPLED[0]] = Found(result.estimates, *ratio)
    try:
        draws = result.bootstrap(jax.random.key(seed), num=200, clusters=cell.clusters())
        found[RESAMPLED[1]] = Found(result.estimates, *draws.conf_int().T)
    except RuntimeError:
        pass
    return found


class Parametric:
    """Maximum likelihood with a normal distribution, and with the true one."""

    def __init__(self, cell: Cell):
        self._cell = cell
        points, mass = cell.latent.on_grid(FINER * cell.num_points)
        grid = jnp.linspace(*cell.latent.limits, FINER * cell.num_points)
        truth, unravel = ravel_pytree(cell.truth)
        start = ravel_pytree(cell.start)[0]
        centre = float(np.mean(cell.latent.limits))

        def known(flat: Array, data: Any) -> Array:
            log_lik = unravel(flat).lclk(data, jnp.asarray(points))
            return -jnp.mean(logsumexp(log_lik, b=jnp.asarray(mass)[None, :], axis=1))

        def normal(flat: Array, data: Any) -> Array:
            log_mass = -0.5 * ((grid - flat[-2]) / jnp.exp(flat[-1])) ** 2
            log_mass = log_mass - logsumexp(log_mass)
            log_lik = unravel(flat[:-2]).lclk(data, grid)
            return -jnp.mean(logsumexp(log_lik + log_mass[None, :], axis=1))

        def minimise(objective: Any, flat: Array, data: Any) -> tuple[Array, Array]:
            solved = optx.minimise(
                objective, optx.BFGS(1e-9, 1e-9), flat, data, max_steps=500, throw=False
            ).value
            hess = jax.hessian(objective)(solved, data)
            return solved, jnp.diagonal(jnp.linalg.inv(hess))

        self._known = jax.jit(lambda data: minimise(known, truth, data))
        first = jnp.concatenate([start, jnp.array([centre, np.log(NORMAL_START)])])
        self._normal = jax.jit(lambda data: minimise(normal, first, data))

    def __call__(self, data: Any) -> dict[str, Found]:
        """Both on one sample."""
        size = len(self._cell.names)
        found = {}
        for name, solve in ((METHODS[3], self._normal), (METHODS[4], self._known)):
            estimates, variances = map(np.asarray, solve(data))
            errors = np.sqrt(np.where(variances > 0, variances, np.nan) / self._cell.num_units)
            found[name] = symmetric(estimates[:size], errors[:size])
        return found


def efficient_spread(cell: Cell, num_draws: int) -> np.ndarray:
    """Standard deviation at the semiparametric efficiency bound: J at the truth, F̃ = F.

    A little mass is put everywhere, as the bound is that of a distribution which may move towards
    any point.

    Parameters
    ----------
    num_draws : int
        Of all units together.
    """
    points, mass = cell.latent.on_grid(cell.num_points)
    held = jax.tree.map(lambda _: None, cell.truth)
    num_units = cell.num_units
    sample = Sample(
        held,
        cell.draw(0),
        jnp.asarray(cell.supp),
        np.full(num_units, 1 / num_units),
        jnp.zeros(num_units, int),
        1,
    )
    working = np.full(cell.num_points, ELSEWHERE / cell.num_points)
    np.add.at(working, np.argmin(np.abs(cell.supp[None, :] - points[:, None]), axis=1), mass)
    working = (working / working.sum())[:, None]
    outcomes = Outcomes(sample, cell.truth, working, jax.random.key(0), cell.names)
    outcomes.extend(max(4, num_draws // num_units))
    jacobian = outcomes.moments(cell.truth, BOUND_RIDGE).jacobian
    return np.sqrt(np.diagonal(np.linalg.inv(jacobian)) / num_units)
