"""What is said of the units: their weights, their labels, and groups of them."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

# Padding makes of the units at most this many times as many. Every further class of sizes has to be
# compiled, so that it is not less.
_MOST_PADDING = 4


def is_concrete(*arrays: PyTree) -> bool:
    """Whether the numbers are known now, rather than being traced."""
    return not any(isinstance(array, jax.core.Tracer) for array in jax.tree.leaves(arrays))


class Groups(eqx.Module):
    """Units of each group, in classes of groups of similar size: padded, those of one have a shape.

    Attributes
    ----------
    numbers : tuple of Int[Array, "g"]
        For each class, which groups are in it.
    units : tuple of Int[Array, "g k"]
        Numbers of the units of each of its groups; padding points at a unit too.
    masks : tuple of Bool[Array, "g k"]
        False for padding.
    """

    numbers: tuple[Int[Array, "_"], ...]
    units: tuple[Int[Array, "_ _"], ...]
    masks: tuple[Bool[Array, "_ _"], ...]

    @property
    def num(self) -> int:
        """Number of groups."""
        return sum(numbers.size for numbers in self.numbers)

    def labels(self, num_units: int) -> Int[Array, " n"]:
        """Group of each unit."""
        labels = jnp.zeros(num_units, int)
        for numbers, units, mask in zip(self.numbers, self.units, self.masks, strict=True):
            labels = labels.at[units].max(jnp.where(mask, numbers[:, None], 0))
        return labels

    def map(
        self,
        function: Callable[..., PyTree],
        log_lik: Float[Array, "n m"],
        weights: Float[Array, " n"],
        *each: PyTree,
    ) -> PyTree:
        """`function(log_lik, weights, units, *each)` of every group, stacked.

        Of the first two it gets the rows of the group's units, whose numbers are the third, and of
        the rest the group's entry. Padding has no weight.
        """
        weights = weights.astype(log_lik.dtype)

        def of_group(units: Array, mask: Array, *own: PyTree) -> PyTree:
            return function(log_lik[units], jnp.where(mask, weights[units], 0.0), units, *own)

        def of_class(numbers: Array, units: Array, mask: Array) -> PyTree:
            return jax.vmap(of_group)(units, mask, *jax.tree.map(lambda x: x[numbers], each))

        if len(self.numbers) == 1:
            return jax.vmap(of_group)(self.units[0], self.masks[0], *each)
        classes = zip(self.numbers, self.units, self.masks, strict=True)
        parts = [of_class(*one) for one in classes]
        place = jnp.argsort(jnp.concatenate(self.numbers))
        return jax.tree.map(lambda *x: jnp.concatenate(x)[place], *parts)

    def share(self, weights: Float[Array, " n"]) -> Float[Array, " g"]:
        """Part of the weight in each group."""
        total = jnp.zeros(self.num, weights.dtype).at[self.labels(weights.size)].add(weights)
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
    numbers, units, masks = [], [], []
    for least, most in _size_classes(counts):
        own = np.flatnonzero((least <= counts) & (counts <= most))
        column = np.arange(most)
        mask = column[None, :] < counts[own, None]
        position = np.where(mask, starts[own, None] + column[None, :], 0)
        numbers.append(jnp.asarray(own))
        units.append(jnp.asarray(np.where(mask, order[position], 0)))
        masks.append(jnp.asarray(mask))
    return Groups(tuple(numbers), tuple(units), tuple(masks))


def _size_classes(counts: Int[np.ndarray, " g"]) -> list[tuple[int, int]]:
    """Ranges of sizes, the fewest that need no more than the padding allowed, and least with them.

    By dynamic programming over the sizes that there are, at most √(2n) of them: `best[j]` is what
    the j smallest sizes need in so many classes, `first[j]` where the last of these begins.
    """
    sizes, times = np.unique(counts, return_counts=True)
    up_to = np.concatenate([[0], np.cumsum(times)])
    best, firsts = np.concatenate([[0.0], np.full(sizes.size, np.inf)]), []
    while best[-1] > _MOST_PADDING * counts.sum():
        # need[j, i]: the sizes i to j-1 are the last class.
        need = best[None, :-1] + sizes[:, None] * (up_to[1:, None] - up_to[None, :-1])
        need = np.where(np.tri(sizes.size, dtype=bool), need, np.inf)
        firsts.append(np.argmin(need, axis=1))
        best = np.concatenate([[np.inf], np.min(need, axis=1)])
    ranges, last = [], sizes.size - 1
    for first in reversed(firsts):
        ranges.append((int(sizes[first[last]]), int(sizes[last])))
        last = first[last] - 1
    return ranges


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
    if groups is not None and is_concrete(weights, groups):
        values, empty = np.asarray(weights), []
        for numbers, units, mask in zip(groups.numbers, groups.units, groups.masks, strict=True):
            some = np.any((values[np.asarray(units)] != 0) & np.asarray(mask), axis=1)
            empty += np.asarray(numbers)[~some].tolist()
        if empty:
            raise ValueError(
                f"`weights` of all units in group {min(empty)} are zero, so it has no "
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
