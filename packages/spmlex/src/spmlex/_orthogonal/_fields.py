"""The fields of an orthogonal estimate, and what all that is asked of it needs."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float, Int, PyTree

from .._model import as_labels, param_names
from .._search import RESULTS
from ._inference import check_information
from ._moments import Moments
from ._options import Orthogonal
from ._outcomes import Outcomes, Recipe
from ._sample import Sample


class Estimated(eqx.Module):
    """The fields of an `OrthogonalResult`, which describes them."""

    model: Any
    params: PyTree
    supp: PyTree
    working: Float[np.ndarray, "m g"]
    n_obs: int
    moment_norm: float
    result: RESULTS
    stats: dict[str, Any]
    options: Orthogonal
    sample: Sample
    outcomes: Outcomes | None
    recipe: Recipe
    moments: Moments
    slope: Float[np.ndarray, "p p"]
    simulation: Float[np.ndarray, "p p"]
    clusters: Int[np.ndarray, " n"] | None

    @property
    def param_names(self) -> tuple[str, ...]:
        """Name of each estimated scalar: its path in the model, with its index in its array."""
        return param_names(self.params, self.model)

    @property
    def estimates(self) -> np.ndarray:
        """Estimated scalars, in the order of `param_names`."""
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(self.params)])


def check_root(result: Estimated) -> None:
    """Refuse where there is no estimate.

    Raises
    ------
    SingularInformationError
        If not knowing the distribution leaves no information in some direction.
    RuntimeError
        If no root was found.
    """
    if result.result != RESULTS.successful:
        raise RuntimeError(f"There is no estimate to work with. {RESULTS[result.result]}")
    check_information(result.moments, result.param_names)


def clusters_of(result: Estimated, clusters: Any) -> Int[np.ndarray, " n"] | None:
    """Cluster of each unit, counted from zero; by default those of the result.

    Raises
    ------
    ValueError
        For clusters of a wrong shape or dtype, or only one that has weight.
    """
    clusters = result.clusters if clusters is None else clusters
    if clusters is None:
        return None
    labels = as_labels(clusters, result.n_obs, "clusters")
    found = np.unique(labels[result.sample.weights > 0])
    if found.size == 1:
        raise ValueError(
            f"`clusters` has the label {found[0]} alone among the units with weight. The "
            "spread between clusters takes two at least, and many for a good estimate."
        )
    return np.unique(labels, return_inverse=True)[1]


def kind_of(clusters: Int[np.ndarray, " n"] | None) -> str:
    """Standard errors in a word, for tables."""
    return "robust" if clusters is None else f"{int(clusters.max()) + 1} clusters"


def outcomes_of(result: Estimated) -> Outcomes:
    """The outcomes over which expectations are.

    Raises
    ------
    RuntimeError
        If there are no data to draw them for.
    """
    if result.outcomes is None:
        raise RuntimeError(
            "This estimate was loaded without its data, and this needs them: give `load` the data."
        )
    return result.outcomes


def moments_at(result: Estimated, flat: Float[np.ndarray, " p"]) -> Moments:
    """Moments at some parameters."""
    params = result.sample.unravel(result.params, flat)
    return outcomes_of(result).moments(params, result.options.ridge)
