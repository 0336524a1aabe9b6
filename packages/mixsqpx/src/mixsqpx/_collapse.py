"""Duplicate rows, as counts have them, solved for once."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ._inputs import is_concrete

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

    Rows are told apart by one random projection each, and then compared bit by bit, so the smaller
    problem is the same problem. Its number of rows is padded to a power of two, by rows without
    weight, lest every data set be compiled for.

    Parameters
    ----------
    log_lik : Float[Array, "n m"]
        Concrete log-likelihoods.
    weights : Float[Array, "n"] or None
        Concrete weights. Where one is invalid the answer is None: a sum could hide it.
    """
    n, m = log_lik.shape
    if n * m < _MIN_ENTRIES or len(log_lik.devices()) > 1:
        return None
    direction = jnp.asarray(np.random.default_rng(0).uniform(0.5, 1.5, m), log_lik.dtype)
    sample = _project(log_lik[:: -(-n // _SAMPLE)], direction)
    # Inside of a function that is being traced even known numbers give traced ones.
    if not is_concrete(sample) or np.unique(np.asarray(sample)).size > _SAMPLE // 2:
        return None
    if weights is not None:
        values = np.asarray(weights)
        if not (np.all(values >= 0) and np.all(np.isfinite(values)) and values.any()):
            return None
    _, first, member = np.unique(
        np.asarray(_project(log_lik, direction)), return_index=True, return_inverse=True
    )
    if first.size > _SHARE * n:
        return None
    size = 1 << (first.size - 1).bit_length()
    first = jnp.asarray(np.resize(first, size))
    member = jnp.asarray(member)
    if weights is None:
        weights = jnp.ones(n, log_lik.dtype)
    distinct, total, same = _gather(log_lik, weights, first, member)
    return (distinct, total) if same else None


@jax.jit
def _project(log_lik: Float[Array, "n m"], direction: Float[Array, " m"]) -> Float[Array, " n"]:
    return jnp.maximum(log_lik, _FLOOR) @ direction


@jax.jit
def _gather(
    log_lik: Float[Array, "n m"],
    weights: Float[Array, " n"],
    first: Int[Array, " k"],
    member: Int[Array, " n"],
) -> tuple[Float[Array, "k m"], Float[Array, " k"], Bool[Array, ""]]:
    """Distinct rows, their weights, and whether every row is equal to its representative."""
    distinct = log_lik[first]
    total = jnp.zeros(first.shape, weights.dtype).at[member].add(weights)
    return distinct, total, jnp.all(log_lik == distinct[member])
