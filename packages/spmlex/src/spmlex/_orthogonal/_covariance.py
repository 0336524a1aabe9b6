"""How sure one may be of an orthogonal estimate."""

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Int

from .._level import critical_value
from ._fields import Estimated, check_root, clusters_of
from ._inference import covariance


def cov(
    result: Estimated, clusters: Int[ArrayLike, " n"] | None = None
) -> Float[np.ndarray, "p p"]:
    """Covariance of the estimates.

    A⁻¹ V A⁻ᵀ, V of what leaving out each unit, or each cluster, does to the mean orthogonal
    score, A = E[ψ s_Fᵀ] under a sharp estimate F of the distribution, in which it is linear;
    and the part of the draws on top. It is valid where the model of the outcomes is
    right, whatever the distribution is; weights are those of a sampling design, so that their
    scale does not matter.

    Parameters
    ----------
    clusters : Int[ArrayLike, "n"], optional
        A label for each unit, any integers, for units that depend on each other. By default those
        of the result, which it has from a panel.

    Returns
    -------
    Float[np.ndarray, "p p"]
        In the order of `param_names`.

    Raises
    ------
    ValueError
        For clusters of a wrong shape or dtype, or only one that has weight.
    SingularInformationError
        A RuntimeError, where not knowing the distribution leaves no information in some
        direction; the message says along what.
    RuntimeError
        If no root was found.
    """
    check_root(result)
    return covariance(
        result.moments, result.slope, result.simulation, clusters_of(result, clusters)
    )


def std_errors(
    result: Estimated, clusters: Int[ArrayLike, " n"] | None = None
) -> Float[np.ndarray, " p"]:
    """Standard errors: square roots of the diagonal of `cov`."""
    return np.sqrt(np.diagonal(cov(result, clusters)))


def conf_int(
    result: Estimated, level: float = 0.95, clusters: Int[ArrayLike, " n"] | None = None
) -> Float[np.ndarray, "p 2"]:
    """Normal confidence intervals, lower and upper ends; see `cov` for what is raised."""
    half = critical_value(level) * std_errors(result, clusters)
    centre = result.estimates.astype(np.float64)
    return np.stack([centre - half, centre + half], axis=1)
