"""Orthogonal estimates from a fit."""

from jaxtyping import Array

from .._fields import Fit, problem_of
from .._model import check_key
from ._estimator import checked, estimate
from ._options import Orthogonal
from ._result import OrthogonalResult


def orthogonal(
    result: Fit, key: Array, *, options: Orthogonal | None = None, max_steps: int = 60
) -> OrthogonalResult:
    """Estimates and intervals that hold for continuous distributions, too.

    `spmlex.fit_orthogonal` from the estimates of this fit, which describes the method. The model
    needs a method `sample` or `all_outcomes`.

    Parameters
    ----------
    key : PRNG key
        Of JAX, for the draws.
    options, max_steps
        See `fit_orthogonal`, also for what is raised.

    Returns
    -------
    OrthogonalResult
        `print` it.
    """
    check_key(key)
    found = estimate(problem_of(result), result.params, key, options or Orthogonal(), max_steps)
    return checked(found)
