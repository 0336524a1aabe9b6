"""Covariances of the estimates, standard errors and confidence intervals."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Float, Int

from .._fields import Fit, problem_of, unit_weights
from .._level import critical_value
from .._model import as_labels
from ._scores import hessian, scores

KINDS = ("hessian", "opg", "robust", "cluster")

_CURVES_UP = "the likelihood curves the wrong way there, so this is not a maximum. Start elsewhere."
_NOT_TOLD_APART = (
    "the likelihood does not tell the parameters apart in that direction. Hold one of them fixed "
    "(`free`, which holds whole leaves), leave out what is collinear, or look for an outcome that "
    "is fitted exactly."
)


class SingularInformationError(RuntimeError):
    """The information matrix has no positive definite inverse; the message says along what.

    Examples
    --------
    The data are those of the example of `fit`. Of two parameters only the sum matters here:

    >>> def lclk(params, data, supp):
    ...     return Logit(params["one"] + params["other"]).lclk(data, supp)
    >>> both = spmlex.FunctionModel({"one": jnp.array(0.0), "other": jnp.array(0.0)}, lclk)
    >>> try:
    ...     spmlex.fit(both, data, supp).std_errors()
    ... except spmlex.SingularInformationError as error:
    ...     print("one" in str(error) and "other" in str(error))
    True
    """


def cov(
    result: Fit, kind: str = "hessian", clusters: Int[ArrayLike, " n"] | None = None
) -> Float[np.ndarray, "p p"]:
    """Estimated covariance of the estimates.

    With I = `hessian()`, the exact Hessian of the total, and sᵢ = `scores()`:

    - `"hessian"`: I⁻¹. The default: the profile likelihood is a likelihood, and this is its usual
      covariance if the model of the outcomes is right. The distribution may be anything.
    - `"opg"`: (Σᵢ wᵢ sᵢsᵢᵀ)⁻¹, under the same condition, from first derivatives.
    - `"robust"`: I⁻¹ (Σᵢ wᵢ² sᵢsᵢᵀ) I⁻¹, for a wrong model of the outcomes, and sampling weights.
    - `"cluster"`: the same with the sums of wᵢ sᵢ over each cluster, for units that depend on each
      other. With one unit a cluster it is `"robust"`: no kind has a factor for small samples.

    On weights: `"hessian"` and `"opg"` take them as frequencies, so a unit of weight three is three
    independent units, and the scale matters. `"robust"` and `"cluster"` take each unit as one draw,
    however much it counts, so the scale does not matter; they are what repeated rows would give
    that are one cluster a unit.

    Parameters
    ----------
    kind : {"hessian", "opg", "robust", "cluster"}
    clusters : Int[ArrayLike, "n"], optional
        A label for each unit, any integers; for `"cluster"` alone. By default those of the result,
        which it has from a panel.

    Returns
    -------
    Float[np.ndarray, "p p"]
        In the order of `param_names`.

    Raises
    ------
    ValueError
        For an unknown kind, and for clusters that are missing, superfluous, of a wrong shape or
        dtype, or only one that has weight.
    SingularInformationError
        A RuntimeError, if the information is singular or indefinite.
    RuntimeError
        If the fit has no data, or did not end at a stationary point.

    References
    ----------
    Murphy & van der Vaart (2000), On profile likelihood, JASA 95, 449-465.
    """
    problem_of(result)
    groups = check_kind(kind, clusters, result)
    if kind == "hessian":
        return invert_hessian(result)
    weights, units = unit_weights(result), np.asarray(scores(result), np.float64)
    if kind == "opg":
        return invert_opg(result, units)
    bread = invert_hessian(result)
    return sandwich(units @ bread, weights, groups)


def std_errors(
    result: Fit, kind: str = "hessian", clusters: Int[ArrayLike, " n"] | None = None
) -> Float[np.ndarray, " p"]:
    """Standard errors: square roots of the diagonal of `cov`.

    Parameters
    ----------
    kind, clusters
        See `cov`, also for what is raised.

    Returns
    -------
    Float[np.ndarray, "p"]
        In the order of `param_names`.
    """
    return np.sqrt(np.diagonal(cov(result, kind, clusters)))


def conf_int(
    result: Fit,
    level: float = 0.95,
    kind: str = "hessian",
    clusters: Int[ArrayLike, " n"] | None = None,
) -> Float[np.ndarray, "p 2"]:
    """Normal confidence intervals: estimate plus and minus a multiple of the standard error.

    Parameters
    ----------
    level : float
        Probability that an interval covers, strictly between 0 and 1.
    kind, clusters
        See `cov`, also for what is raised.

    Returns
    -------
    Float[np.ndarray, "p 2"]
        Lower and upper ends.
    """
    half = critical_value(level) * std_errors(result, kind, clusters)
    centre = result.estimates.astype(np.float64)
    return np.stack([centre - half, centre + half], axis=1)


def check_kind(kind: str, clusters: Any, result: Fit) -> Int[np.ndarray, " n"] | None:
    """Clusters numbered from zero, None without.

    Raises
    ------
    ValueError
        See `cov`.
    """
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(map(repr, KINDS))}, not {kind!r}.")
    if kind != "cluster":
        if clusters is not None:
            raise ValueError(f"`clusters` are for kind='cluster', but `kind` is {kind!r}.")
        return None
    clusters = result.clusters if clusters is None else clusters
    if clusters is None:
        raise ValueError("`clusters` are needed for kind='cluster': a label for each unit.")
    return check_clusters(clusters, result)


def check_clusters(clusters: Any, result: Fit) -> Int[np.ndarray, " n"]:
    """Clusters numbered from zero.

    Raises
    ------
    ValueError
        For a wrong shape or dtype, or a single cluster that has weight.
    """
    labels = as_labels(clusters, result.n_obs, "clusters")
    found = np.unique(labels[unit_weights(result) > 0])
    if found.size == 1:
        raise ValueError(
            f"`clusters` has the label {found[0]} alone among the units with weight. The spread "
            "between clusters takes two at least, and many for a good estimate."
        )
    return np.unique(labels, return_inverse=True)[1]


def sandwich(
    influences: Float[np.ndarray, "n q"],
    weights: Float[np.ndarray, " n"],
    clusters: Int[np.ndarray, " n"] | None,
) -> Float[np.ndarray, "q q"]:
    """Covariance from what each unit contributes to an estimate; clusters are summed first."""
    total = weights[:, None] * influences
    if clusters is not None:
        summed = np.zeros((clusters.max() + 1, total.shape[1]))
        np.add.at(summed, clusters, total)
        total = summed
    return total.T @ total


def invert_hessian(result: Fit) -> Float[np.ndarray, "p p"]:
    """Covariance of kind `"hessian"`."""
    return invert(hessian(result), result.param_names, result.probs.dtype)


def invert_opg(result: Fit, units: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "p p"]:
    """Covariance of kind `"opg"`, from the scores."""
    cross = units.T @ (unit_weights(result)[:, None] * units)
    return invert(
        cross,
        result.param_names,
        result.probs.dtype,
        what="sum of the scores' cross-products",
        advice="units are too few for it, or their scores are collinear. Take another kind, such "
        "as 'hessian'.",
    )


def invert(
    matrix: Float[np.ndarray, "p p"],
    names: tuple[str, ...],
    dtype: DTypeLike,
    what: str = "information matrix",
    advice: str = _NOT_TOLD_APART,
) -> Float[np.ndarray, "p p"]:
    """Inverse of a positive definite matrix, computed in a precision that may be below its own.

    Judged after scaling to a unit diagonal, so that the units of the parameters do not matter.

    Raises
    ------
    SingularInformationError
        If an eigenvalue is not positive, or cannot be told from zero: names its eigenvector.
    """
    precise = np.asarray(matrix, np.float64)
    if not np.isfinite(precise).all():
        row = int(np.argmax(~np.isfinite(precise).all(axis=1)))
        raise SingularInformationError(f"The {what} is not finite at {names[row]}.")
    diagonal = np.diagonal(precise)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, max(np.abs(diagonal).max(), 1e-300)))
    eigval, eigvec = np.linalg.eigh(precise / np.outer(scale, scale))
    # Errors of second derivatives are some thousands of roundings: no more digits are left.
    least = len(names) * float(jnp.finfo(dtype).eps) ** (2 / 3)
    if eigval[0] <= least:
        indefinite = eigval[0] < -least
        raise SingularInformationError(
            f"The {what} is {'not positive definite' if indefinite else 'singular'} along "
            f"{describe_direction(eigvec[:, 0] / scale, names)}: "
            f"{_CURVES_UP if indefinite else advice}"
        )
    inverse = (eigvec / eigval) @ eigvec.T
    return inverse / np.outer(scale, scale)


def describe_direction(vector: Float[np.ndarray, " p"], names: tuple[str, ...]) -> str:
    """A direction as a sum of parameters, the largest loadings first."""
    vector = vector / np.linalg.norm(vector)
    # Rounded, so that those that are equal but for rounding keep their order.
    order = np.argsort(-np.abs(vector).round(6), kind="stable")
    order = [k for k in order if abs(vector[k]) >= 0.05 * abs(vector).max()]
    vector = vector * np.sign(vector[order[0]])
    terms = [f"{'-' if vector[k] < 0 else '+'} {abs(vector[k]):.2f}*{names[k]}" for k in order[:6]]
    text = " ".join(terms).removeprefix("+ ")
    return text + (" and others" if len(order) > 6 else "")
