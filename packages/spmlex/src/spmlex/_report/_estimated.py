"""Results of any estimator, as tables and plots of several take them."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from .._fields import Fit
from .._inference import check_kind, std_errors
from .._search import RESULTS


@runtime_checkable
class Estimated(Protocol):
    """Estimates with names and standard errors. Orthogonal results live above."""

    n_obs: int
    result: RESULTS

    @property
    def param_names(self) -> tuple[str, ...]: ...
    @property
    def estimates(self) -> np.ndarray: ...
    def std_errors(self, *args: Any, **options: Any) -> Float[np.ndarray, " p"]: ...


def check_results(results: Any) -> None:
    """Refuse what is no mapping of names to results.

    Raises
    ------
    TypeError
        Saying what is in its place.
    ValueError
        If it is empty.
    """
    example = '`{"small": result, "large": other}`'
    if not isinstance(results, Mapping):
        raise TypeError(
            f"`results` must be a mapping of names to results, such as {example}, not "
            f"{type(results).__name__}."
        )
    for name, result in results.items():
        if not isinstance(result, Estimated):
            raise TypeError(
                f"`results` must hold results of `fit` or `fit_orthogonal`, such as {example}, but "
                f"{name!r} is {type(result).__name__}."
            )
    if not results:
        raise ValueError("`results` is empty: give at least one fit.")


def std_errors_of(result: Fit | Estimated, kind: str, clusters: Any) -> Float[np.ndarray, " p"]:
    """Standard errors of a fit by a kind; orthogonal estimates have one kind.

    Raises
    ------
    ValueError, RuntimeError
        As `cov` of the result.
    """
    if isinstance(result, Fit):
        check_kind(kind, clusters, result)
        return np.asarray(std_errors(result, kind, clusters))
    return np.asarray(result.std_errors(clusters=clusters))
