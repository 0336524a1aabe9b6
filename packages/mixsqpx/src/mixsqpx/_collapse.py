"""Duplicate rows, as counts have them, solved for once."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ._inputs import is_concrete
from ._product import product

# Below a million entries a solve takes less time than looking for duplicates.
_MIN_ENTRIES = 1_000_000
# A sample tells whether it is worth reading the whole matrix.
_SAMPLE = 1000
# Distinct rows, as a share of all, at which collapsing pays for itself.
_SHARE = 0.25
# -inf and what lies below this count as equal when rows are looked up; a lookup is not trusted.
_FLOOR = -1e6


def collapse(
    log_lik: Float[Array, "n m"], weights: Float[Array, " n"] | None
) -> tuple[Float[Array, "k m"], Float[Array, " k"]] | None:
    """The distinct rows of a matrix and the weight of each, or None where that does not pay.

    Rows are told apart by one random projection each, and then compared entry by entry, so the
    smaller problem is the same problem. Its number of rows is padded to a power of two, by rows
    without weight, lest every data set be compiled for.

    None, too, for data that are traced, lie on several devices, or that no solver can use: what is
    said of them has to name units of the whole matrix.
    """
    n, m = log_lik.shape
    if n * m < _MIN_ENTRIES or not is_concrete(log_lik, weights) or len(log_lik.devices()) > 1:
        return None
    direction = jnp.asarray(np.random.default_rng(0).uniform(0.5, 1.5, m), log_lik.dtype)
    sample = _project(log_lik[:: -(-n // _SAMPLE)], direction)
    # Inside of a function that is being traced even known numbers give traced ones.
    if not is_concrete(sample) or np.unique(np.asarray(sample)).size > _SAMPLE // 2:
        return None
    key, first, member = np.unique(
        np.asarray(_project(log_lik, direction)), return_index=True, return_inverse=True
    )
    # The projection of a row is not finite if the row has NaN or +inf.
    if key.size > _SHARE * n or not np.all(np.isfinite(key)):
        return None
    omega = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    if not (np.all(omega >= 0) and np.all(np.isfinite(omega)) and omega.any()):
        return None
    size = 1 << (key.size - 1).bit_length()
    # In double precision, since a sum of n numbers one by one would lose much of a single one. Only
    # their ratios matter, and their sum may be too large for a number.
    total = np.bincount(member, omega / omega.max(), minlength=size)
    distinct, usable = _gather(log_lik, jnp.asarray(np.resize(first, size)), jnp.asarray(member))
    return (distinct, jnp.asarray(total, log_lik.dtype)) if usable else None


@jax.jit
def _project(log_lik: Float[Array, "n m"], direction: Float[Array, " m"]) -> Float[Array, " n"]:
    return product(jnp.maximum(log_lik, _FLOOR), direction)


@jax.jit
def _gather(
    log_lik: Float[Array, "n m"], first: Int[Array, " k"], member: Int[Array, " n"]
) -> tuple[Float[Array, "k m"], Bool[Array, ""]]:
    """Distinct rows; whether they have likelihood, and every row is equal to its representative."""
    distinct = log_lik[first]
    possible = jnp.all(jnp.any(distinct > -jnp.inf, axis=1))
    return distinct, possible & jnp.all(log_lik == distinct[member])
