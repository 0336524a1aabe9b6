"""What is said of the units: their weights, their labels, and groups of them."""

from typing import Any

import equinox as eqx
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


def is_concrete(*arrays: Any) -> bool:
    """Whether the numbers are known now, rather than being traced."""
    return not any(isinstance(array, jax.core.Tracer) for array in arrays)


class Groups(eqx.Module):
    """Units of each group, padded to the largest group so that all have one shape.

    Attributes
    ----------
    units : Int[Array, "g k"]
        Numbers of the units of each group; padding points at a unit too.
    mask : Bool[Array, "g k"]
        False for padding.
    """

    units: Int[Array, "g k"]
    mask: Bool[Array, "g k"]

    @property
    def num(self) -> int:
        """Number of groups."""
        return self.units.shape[0]

    def labels(self, num_units: int) -> Int[Array, " n"]:
        """Group of each unit."""
        number = jnp.broadcast_to(jnp.arange(self.num)[:, None], self.units.shape)
        none = jnp.zeros(num_units, int)
        return none.at[self.units].max(jnp.where(self.mask, number, 0))

    def split(
        self, log_lik: Float[Array, "n m"], weights: Float[Array, " n"]
    ) -> tuple[Float[Array, "g k m"], Float[Array, "g k"]]:
        """Log-likelihoods and weights of each group; padding has no weight."""
        part = jnp.where(self.mask, weights.astype(log_lik.dtype)[self.units], 0.0)
        return log_lik[self.units], part

    def share(self, weights: Float[Array, " n"]) -> Float[Array, " g"]:
        """Part of the weight in each group."""
        total = jnp.sum(jnp.where(self.mask, weights[self.units], 0.0), axis=1)
        return total / jnp.sum(total)


def as_labels(labels: Any, num_units: int, name: str) -> Int[np.ndarray, " n"]:
    """One integer for each unit.

    Raises
    ------
    ValueError
        For a wrong shape or dtype.
    """
    labels = np.asarray(labels)
    if labels.shape != (num_units,):
        raise ValueError(
            f"`{name}` must have one label for each unit, shape ({num_units},), but its shape is "
            f"{labels.shape}."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"`{name}` must hold integers, but its dtype is {labels.dtype}. For others, write "
            "`np.unique(labels, return_inverse=True)[1]`."
        )
    return labels


def as_groups(labels: Any, num_units: int) -> Groups | None:
    """Groups from integer labels 0, …, G-1; None for None.

    Raises
    ------
    ValueError
        If the labels are traced, of the wrong shape, not integers, or leave a group empty.
    """
    if labels is None or isinstance(labels, Groups):
        return labels
    if not is_concrete(labels):
        raise ValueError(
            "`groups` must be known when the function is compiled: close over it rather than "
            "passing it as a traced argument."
        )
    labels = as_labels(labels, num_units, "groups")
    if labels.min() < 0:
        raise ValueError(f"`groups` must be labelled from zero, but holds {labels.min()}.")
    counts = np.bincount(labels)
    if (counts == 0).any():
        raise ValueError(
            f"`groups` must use every label from 0 to {counts.size - 1}, but no unit has "
            f"{int(np.argmin(counts))}."
        )
    order = np.argsort(labels, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    column = np.arange(counts.max())
    mask = column[None, :] < counts[:, None]
    position = np.where(mask, starts[:, None] + column[None, :], 0)
    units = np.where(mask, order[position], 0)
    return Groups(jnp.asarray(units), jnp.asarray(mask))


def as_weights(weights: Any, num_units: int, groups: Groups | None = None) -> Float[Array, " n"]:
    """Weights as a floating-point vector, ones for None.

    Raises
    ------
    TypeError
        For what is not numeric.
    ValueError
        For a wrong shape, and for a group without weight, where that can be seen before the
        numbers are computed.
    """
    if weights is None:
        return jnp.ones(num_units)
    try:
        weights = jnp.asarray(weights)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`weights` cannot be made into a JAX array: {error}") from error
    if weights.shape != (num_units,):
        raise ValueError(
            f"`weights` must have one entry for each unit, shape ({num_units},), but its shape is "
            f"{weights.shape}."
        )
    if groups is not None and is_concrete(weights, groups.units):
        empty = ~np.any((np.asarray(weights)[groups.units] != 0) & np.asarray(groups.mask), axis=1)
        if empty.any():
            raise ValueError(
                f"`weights` of all units in group {int(np.argmax(empty))} are zero, so it has no "
                "distribution. Leave the group out."
            )
    inexact = jnp.issubdtype(weights.dtype, jnp.inexact)
    return weights if inexact else weights.astype(jnp.result_type(float))


def check_weights(weights: Float[Array, " n"]) -> Float[Array, " n"]:
    """Weights, after a look at every one of them.

    Raises
    ------
    ValueError
        For a negative or non-finite weight, or if all are zero.
    """
    values = np.asarray(weights)
    bad = ~(values >= 0) | np.isinf(values)
    if bad.any():
        unit = int(np.argmax(bad))
        raise ValueError(
            f"`weights` must be finite and not negative, but that of unit {unit} (counting from "
            f"zero) is {values[unit]}."
        )
    if not values.any():
        raise ValueError("`weights` are all zero; at least one must be positive.")
    return weights
