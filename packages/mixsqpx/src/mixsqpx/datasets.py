"""Data to try the solver on: a simulator of normal scale mixtures, and the thumbtack data."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["scale_mixture", "thumbtacks"]


def scale_mixture(
    key: Array,
    num_units: int,
    num_components: int,
    *,
    kind: Literal["normal", "normal_and_t"] = "normal",
) -> tuple[Float[Array, " n"], Float[Array, " m"], Float[Array, "n m"]]:
    """Observations from a scale mixture centred at zero, and a grid of normals to explain them.

    Half of the units are standard normal; the others have larger scales. The components are
    N(0, 1 + s²) on a grid of s: zero, then equal ratios from 0.1 to twice the largest `|z|`, in the
    manner of adaptive shrinkage (Stephens, 2017, Biostatistics 18, 275-294), whose own grid has
    ratios of √2.

    Parameters
    ----------
    key : Array
        A JAX random key.
    num_units, num_components : int
        n >= 1 and m >= 2.
    kind : {"normal", "normal_and_t"}
        Law of the other units: normal with standard deviation 3; or normal with standard
        deviation 3 and Student t with 4 degrees of freedom, half of them each.

    Returns
    -------
    z : Float[Array, "n"]
        Observations.
    scale : Float[Array, "m"]
        Grid of s.
    log_lik : Float[Array, "n m"]
        log N(zᵢ; 0, 1 + sⱼ²).

    Raises
    ------
    ValueError
        For too few units or components, or an unknown kind.

    Examples
    --------
    >>> import jax, mixsqpx
    >>> z, scale, log_lik = mixsqpx.datasets.scale_mixture(jax.random.key(0), 200, 30)
    >>> log_lik.shape
    (200, 30)
    """
    if num_units < 1 or num_components < 2:
        raise ValueError("`num_units` must be at least 1 and `num_components` at least 2.")
    if kind not in ("normal", "normal_and_t"):
        raise ValueError(f"`kind` must be 'normal' or 'normal_and_t', not {kind!r}.")
    key_which, key_normal, key_t = jax.random.split(key, 3)
    which = jax.random.uniform(key_which, (num_units,))
    normal = jax.random.normal(key_normal, (num_units,))
    z = jnp.where(which < 0.5, normal, 3.0 * normal)
    if kind == "normal_and_t":
        z = jnp.where(which < 0.75, z, jax.random.t(key_t, 4.0, (num_units,)))
    largest = jnp.maximum(2.0 * jnp.max(jnp.abs(z)), 0.2)
    grid = jnp.geomspace(0.1, largest, num_components - 1)
    scale = jnp.concatenate([jnp.zeros(1), grid])
    variance = 1.0 + scale**2
    log_lik = -0.5 * (z[:, None] ** 2 / variance[None, :] + jnp.log(2 * jnp.pi * variance)[None, :])
    return z, scale, log_lik


def thumbtacks(
    num_components: int = 299,
) -> tuple[Float[Array, " m"], Float[Array, "n m"], Float[Array, " n"]]:
    """Flips of thumbtacks: 320 tacks flipped 9 times each (Beckett & Diaconis, 1994).

    Component j says that a tack lands point up with probability pⱼ. Tacks with the same count are
    one row, their number its weight. The default grid is that of the data set in R's mixsqp.

    Parameters
    ----------
    num_components : int
        m >= 1: the midpoints of m equal cells of [0.0001, 0.9999].

    Returns
    -------
    prob : Float[Array, "m"]
        Grid of probabilities.
    log_lik : Float[Array, "n m"]
        Binomial log-probabilities of 1, …, 9 points up (no tack had none).
    weights : Float[Array, "n"]
        Number of tacks for each count; they sum to 320.

    Raises
    ------
    ValueError
        For an empty grid.

    References
    ----------
    Beckett & Diaconis (1994), Spectral analysis for discrete longitudinal data, Advances in
    Mathematics 103, 107-128.

    Examples
    --------
    >>> import mixsqpx
    >>> prob, log_lik, weights = mixsqpx.datasets.thumbtacks()
    >>> f"{mixsqpx.mixsolve(log_lik, weights).objective:.4f}"
    '2.0009'
    """
    if num_components < 1:
        raise ValueError("`num_components` must be at least 1.")
    prob = 1e-4 + jnp.arange(0.5, num_components) * (0.9998 / num_components)
    up = jnp.arange(1.0, 10.0)
    choose = jnp.asarray([9.0, 36.0, 84.0, 126.0, 126.0, 84.0, 36.0, 9.0, 1.0])
    log_lik = jnp.outer(up, jnp.log(prob)) + jnp.outer(9.0 - up, jnp.log1p(-prob))
    weights = jnp.asarray([3.0, 13.0, 18.0, 48.0, 47.0, 67.0, 54.0, 51.0, 19.0])
    return prob, jnp.log(choose)[:, None] + log_lik, weights
