"""What is simulated: models, their parameters, distributions of the latent variable, sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

CLUSTER_SIZE = 5


class Latent(NamedTuple):
    """A distribution of the latent variable.

    Attributes
    ----------
    draw : Callable
        `draw(rng, n)` returns n draws.
    log_density : Callable or None
        At points, up to a constant; None for masses.
    points, mass
        Of a discrete distribution.
    limits : tuple of two floats
        Ends of the grid on which it is estimated.
    """

    draw: Callable[[np.random.Generator, int], np.ndarray]
    limits: tuple[float, float]
    log_density: Callable[[np.ndarray], np.ndarray] | None = None
    points: tuple[float, ...] = ()
    mass: tuple[float, ...] = ()

    def on_grid(self, num_points: int) -> tuple[np.ndarray, np.ndarray]:
        """Points and masses that stand for it."""
        if self.log_density is None:
            return np.array(self.points), np.array(self.mass)
        points = np.linspace(*self.limits, num_points)
        log_density = self.log_density(points)
        mass = np.exp(log_density - log_density.max())
        return points, mass / mass.sum()


def masses(points: tuple[float, ...], mass: tuple[float, ...], limits: tuple[float, float]):
    """A discrete distribution."""
    return Latent(
        lambda rng, n: rng.choice(np.array(points), n, p=np.array(mass)),
        limits,
        points=points,
        mass=mass,
    )


def normal(mean: float, std: float, limits: tuple[float, float]) -> Latent:
    """A normal distribution."""
    return Latent(
        lambda rng, n: mean + std * rng.normal(size=n),
        limits,
        lambda v: -0.5 * ((v - mean) / std) ** 2,
    )


def gamma(shape: float, std: float, limits: tuple[float, float]) -> Latent:
    """A gamma distribution, moved to a mean of zero."""
    scale = std / np.sqrt(shape)

    def log_density(v: np.ndarray) -> np.ndarray:
        x = np.maximum(v / scale + shape, 1e-300)
        return np.where(v > -shape * scale, (shape - 1) * np.log(x) - x, -np.inf)

    return Latent(lambda rng, n: scale * (rng.gamma(shape, size=n) - shape), limits, log_density)


def bimodal(centre: float, std: float, limits: tuple[float, float]) -> Latent:
    """Two normal distributions of equal weight."""
    return Latent(
        lambda rng, n: rng.choice([-centre, centre], n) + std * rng.normal(size=n),
        limits,
        lambda v: np.logaddexp(-0.5 * ((v - centre) / std) ** 2, -0.5 * ((v + centre) / std) ** 2),
    )


class Factor(eqx.Module):
    """T outcomes λ_t v + e_t, with λ_1 = 1 and normal errors."""

    coef: Float[Array, " k"]
    log_std: Float[Array, " t"]

    @property
    def loadings(self) -> Float[Array, " t"]:
        """All loadings."""
        return jnp.concatenate([jnp.ones(1), self.coef])

    def lclk(self, data: Float[Array, "n t"], supp: Float[Array, " m"]) -> Float[Array, "n m"]:
        """A sum over outcomes, one at a time: larger arrays would take ten times as long."""
        squares = jnp.zeros(())
        for t in range(self.log_std.size):
            mean = self.loadings[t] * supp[None, :]
            squares = squares + ((data[:, t][:, None] - mean) * jnp.exp(-self.log_std[t])) ** 2
        return -0.5 * squares - jnp.sum(self.log_std)

    def sample(self, key: Array, data: Array, latent: Float[Array, " n"]) -> Float[Array, "n t"]:
        """Outcomes."""
        noise = jnp.exp(self.log_std)[None, :] * jax.random.normal(key, data.shape)
        return latent[:, None] * self.loadings[None, :] + noise


class Poisson(eqx.Module):
    """Counts of mean exp(v + x'β) at several visits."""

    beta: Float[Array, " k"]

    def _index(self, data: dict[str, Array]) -> Float[Array, "n t"]:
        return data["x"] @ self.beta

    def lclk(self, data: dict[str, Array], supp: Float[Array, " m"]) -> Float[Array, "n m"]:
        """The sums over visits enter by three numbers a unit."""
        index, y = self._index(data), data["y"]
        total, rate = jnp.sum(y, axis=1), jnp.sum(jnp.exp(index), axis=1)
        constant = jnp.sum(y * index - gammaln(y + 1), axis=1)
        fitted = total[:, None] * supp[None, :] - rate[:, None] * jnp.exp(supp)[None, :]
        return constant[:, None] + fitted

    def sample(self, key: Array, data: dict[str, Array], latent: Float[Array, " n"]) -> Any:
        """Counts."""
        rate = jnp.exp(self._index(data) + latent[:, None])
        return data | {"y": jax.random.poisson(key, rate).astype(data["y"].dtype)}


class Logit(eqx.Module):
    """Binary outcomes over four periods."""

    beta: Float[Array, " k"]

    def lclk(self, data: dict[str, Array], supp: Float[Array, " m"]) -> Float[Array, "n m"]:
        """One period at a time."""
        index = data["x"] @ self.beta
        total = jnp.zeros(())
        for t in range(index.shape[1]):
            sign = 2 * data["y"][:, t] - 1
            total = total + jax.nn.log_sigmoid(
                sign[:, None] * (index[:, t][:, None] + supp[None, :])
            )
        return total

    def all_outcomes(self, data: dict[str, Array]) -> dict[str, Array]:
        """All sixteen patterns."""
        num_units, num_periods = data["y"].shape
        bits = np.arange(2**num_periods)[:, None] >> np.arange(num_periods)[None, :] & 1
        y = jnp.broadcast_to(
            jnp.asarray(bits, data["y"].dtype)[:, None, :], (bits.shape[0], num_units, num_periods)
        )
        return {"y": y, "x": jnp.broadcast_to(data["x"][None], (bits.shape[0], *data["x"].shape))}


class Cell(NamedTuple):
    """A design: what is simulated, and what a user would start from.

    Attributes
    ----------
    name : str
        It stands in the tables.
    truth, start : model
    names : tuple of str
        Of the parameters, in the tables.
    latent : Latent
    covariates : Callable
        `covariates(n)`: data without outcomes, the same in all samples.
    num_units, num_points : int
    clustered : bool
        Whether units come in clusters that share half of the variance of the latent variable.
    """

    name: str
    truth: Any
    start: Any
    names: tuple[str, ...]
    latent: Latent
    covariates: Callable[[int], Any]
    num_units: int
    num_points: int
    clustered: bool = False

    @property
    def supp(self) -> Float[np.ndarray, " m"]:
        """The grid."""
        return np.linspace(*self.latent.limits, self.num_points)

    def clusters(self) -> np.ndarray | None:
        """Labels of the clusters."""
        return np.arange(self.num_units) // CLUSTER_SIZE if self.clustered else None

    def draw(self, seed: int) -> Any:
        """A sample."""
        rng = np.random.default_rng([self.num_units, seed])
        latent = self.latent.draw(rng, self.num_units)
        if self.clustered:
            shared = self.latent.draw(rng, -(-self.num_units // CLUSTER_SIZE))
            latent = (latent + np.repeat(shared, CLUSTER_SIZE)[: self.num_units]) / np.sqrt(2.0)
        data = self.covariates(self.num_units)
        key = jax.random.key(rng.integers(2**31))
        if isinstance(self.truth, Logit):
            uniform = np.asarray(jax.random.uniform(key, data["y"].shape))
            index = np.asarray(data["x"]) @ np.asarray(self.truth.beta) + latent[:, None]
            return data | {"y": jnp.asarray((uniform < 1 / (1 + np.exp(-index))).astype(float))}
        return self.truth.sample(key, data, jnp.asarray(latent))


FACTOR_NAMES = ("λ₂", "λ₃", "log σ₁", "log σ₂", "log σ₃")
FIVE_NAMES = ("λ₂", "λ₃", "λ₄", "λ₅", *(f"log σ{d}" for d in "₁₂₃₄₅"))


def factor_cell(label: str, latent: Latent, num_units: int, num_points: int, **more: Any) -> Cell:
    """The factor model of three outcomes."""
    return Cell(
        f"factor, {label}",
        Factor(jnp.array([1.5, 0.3]), jnp.array([0.0, 0.2, -0.3])),
        Factor(jnp.ones(2), jnp.zeros(3)),
        FACTOR_NAMES,
        latent,
        lambda n: jnp.zeros((n, 3)),
        num_units,
        num_points,
        **more,
    )


def five_cell(num_units: int) -> Cell:
    """The factor model of five outcomes."""
    return Cell(
        "factor of five outcomes, normal",
        Factor(jnp.array([1.5, 0.3, 0.8, 1.2]), jnp.array([0.0, 0.2, -0.3, 0.1, -0.1])),
        Factor(jnp.ones(4), jnp.zeros(5)),
        FIVE_NAMES,
        normal(0.0, 2.5, (-10.0, 10.0)),
        lambda n: jnp.zeros((n, 5)),
        num_units,
        51,
    )


def visits(num_units: int) -> dict[str, Array]:
    """Covariates as in a trial with four visits: only the last column varies within people."""
    rng = np.random.default_rng(1)
    log_base = rng.normal(1.8, 0.7, num_units)
    treated = rng.permutation(np.arange(num_units) % 2).astype(float)
    log_age = rng.normal(0.0, 0.22, num_units)
    constant = np.stack([log_base - log_base.mean(), treated, log_age], axis=1)
    x = np.zeros((num_units, 4, 4))
    x[:, :, :3] = constant[:, None, :]
    x[:, 3, 3] = 1.0
    return {"x": jnp.asarray(x), "y": jnp.zeros((num_units, 4))}


def poisson_cell(label: str, latent: Latent, num_units: int) -> Cell:
    """The Poisson panel."""
    return Cell(
        f"Poisson, {label}",
        Poisson(jnp.array([0.88, -0.33, 0.48, -0.16])),
        Poisson(jnp.zeros(4)),
        ("log base", "treatment", "log age", "fourth visit"),
        latent,
        visits,
        num_units,
        51,
    )


def choices(num_units: int) -> dict[str, Array]:
    """One regressor that varies over time and one that does not."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(num_units, 4, 2))
    x[:, :, 1] = (np.arange(num_units) % 2)[:, None]
    return {"x": jnp.asarray(x), "y": jnp.zeros((num_units, 4))}


def logit_cell(label: str, latent: Latent, num_units: int) -> Cell:
    """The panel logit."""
    return Cell(
        f"logit, {label}",
        Logit(jnp.array([1.0, 0.5])),
        Logit(jnp.zeros(2)),
        ("varying", "constant"),
        latent,
        choices,
        num_units,
        41,
    )


ON_GRID = masses((-3.0, 0.0, 5.0), (0.3, 0.5, 0.2), (-6.0, 6.0))
OFF_GRID = masses((-3.1, 0.07, 4.9), (0.3, 0.5, 0.2), (-6.0, 6.0))
NORMAL = normal(0.0, 2.5, (-10.0, 10.0))
WIDE = normal(0.0, 2.5, (-25.0, 25.0))
SKEWED = gamma(2.0, 2.5, (-6.0, 18.0))
BIMODAL = bimodal(2.5, 0.8, (-8.0, 8.0))
PEOPLE = normal(1.83, 0.5, (-1.0, 5.0))
FIVE_POINTS = masses((1.0, 1.5, 2.0, 2.5, 3.0), (0.2, 0.3, 0.25, 0.15, 0.1), (-1.0, 5.0))
TASTES = normal(0.0, 1.0, (-5.0, 5.0))
TWO_TYPES = masses((-1.0, 1.0), (0.6, 0.4), (-5.0, 5.0))


def cells() -> list[Cell]:
    """All designs, the small ones first."""
    found = []
    for n in (250, 1_000, 4_000):
        found += [
            factor_cell("three points on the grid", ON_GRID, n, 49),
            factor_cell("three points off the grid", OFF_GRID, n, 49),
            factor_cell("normal", NORMAL, n, 51),
            factor_cell("skewed", SKEWED, n, 61),
            factor_cell("bimodal", BIMODAL, n, 41),
        ]
    found += [
        factor_cell("normal, wide grid", WIDE, 1_000, 126),
        factor_cell("normal, clusters of five", NORMAL, 1_000, 51, clustered=True),
        *(five_cell(n) for n in (250, 1_000)),
        *(poisson_cell("normal", PEOPLE, n) for n in (59, 236, 1_003)),
        *(poisson_cell("five points", FIVE_POINTS, n) for n in (236, 1_003)),
        *(logit_cell("normal", TASTES, n) for n in (250, 1_000)),
        *(logit_cell("two points", TWO_TYPES, n) for n in (250, 1_000)),
    ]
    return sorted(found, key=lambda cell: cell.num_units)
