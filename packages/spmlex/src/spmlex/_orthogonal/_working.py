"""Distributions to work with: smooth ones, and a sharp estimate."""

import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, PyTree

from ._rows import em_steps
from ._sample import Sample

# EM steps after which a distribution has most of the features that the data show.
_SHARP_STEPS = 200


def working_distribution(
    sample: Sample, params: PyTree, num_steps: int
) -> Float[np.ndarray, "m g"]:
    """A smooth distribution for each group: a few EM steps from equal masses.

    It is to be close to the truth without following the noise: it is not estimated, and any will
    do for validity. Masses that underflow are raised to the smallest normal number.
    """
    by_group = sample.by_group()
    by_group = by_group / by_group.sum(axis=1, keepdims=True)
    tiny = np.finfo(ravel_pytree(params)[0].dtype).tiny
    found = equal_masses(sample)
    for _ in range(num_steps):
        # A step multiplies each mass by the mean of g_q/p.
        ratios = np.asarray(sample.terms(params, sample.data, found).ratios)
        found = np.maximum(found + np.sqrt(found) * (by_group @ ratios).T, tiny)
        found = found / found.sum(axis=0)
    return np.maximum(found, tiny)


def equal_masses(sample: Sample) -> Float[np.ndarray, "m g"]:
    """The same mass at every support point."""
    return np.full((sample.num_points, sample.num_groups), 1.0 / sample.num_points)


def sharp_distribution(sample: Sample, params: PyTree) -> Float[np.ndarray, "m g"]:
    """An estimate of the distribution: for what is linear in it, and does not see its noise."""
    dtype = ravel_pytree(params)[0].dtype
    found = em_steps(
        sample.terms(params, sample.data, equal_masses(sample)).ratios,
        jnp.asarray(sample.weights, dtype),
        sample.labels,
        sample.num_groups,
        jnp.asarray(_SHARP_STEPS),
    )
    return np.maximum(np.asarray(found), np.finfo(found.dtype).tiny)
