"""What is all but certainly a mistake, though every number is valid: said at the call."""

import sys
import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._inputs import is_concrete

P = ParamSpec("P")
T = TypeVar("T")

# Rows that are looked at first: of logarithms they hold a negative entry, and that is all.
_NUM_ROWS = 50

NAMES_MEANT = {
    "L": "The matrix is called `log_lik`, and holds logarithms: for likelihoods `jnp.log(L)`.",
    "log": "The matrix always holds logarithms: for likelihoods L write `mixsolve(jnp.log(L))`.",
    "w": "The weights of the units are called `weights`.",
    "x0": "Proportions to start from are called `init`.",
    "control": "Options belong to the solver: `solver=MixSQP(gap_tol=1e-8)`; the limit on its "
    "steps is `max_steps`.",
    "gap_tol": "The tolerance belongs to the solver: `solver=MixSQP(gap_tol=1e-8)`.",
    "tol": "The tolerance belongs to the solver: `solver=MixSQP(gap_tol=1e-8)`.",
    "maxiter": "The limit on the solver's steps is called `max_steps`.",
}
"""What stands for the arguments of R's mixsqp, and for what others are called elsewhere."""


def explain_names(meant: Mapping[str, str]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorator: a call with one of these names as a keyword raises, and says what is meant."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
            for name in kwargs:
                if name in meant:
                    raise TypeError(
                        f"`{getattr(function, '__name__', 'this function')}` has no argument "
                        f"`{name}`. {meant[name]}"
                    )
            return function(*args, **kwargs)

        return wrapped

    return decorate


def warn_of_likelihoods(log_lik: Float[Array, "n m"] | Float[np.ndarray, "n m"]) -> None:
    """Warn if the matrix is that of likelihoods, in place of their logarithms."""
    if _holds_likelihoods(log_lik):
        warnings.warn(
            "Every entry of `log_lik` is zero or positive, as likelihoods are; their logarithms "
            "hardly ever are, and these are what is asked for. For likelihoods L write "
            "`mixsolve(jnp.log(L))`; better, compute the logarithms in the first place, which "
            "do not underflow. If they are logarithms, subtract a number from each row: that moves "
            "no proportion.",
            UserWarning,
            stacklevel=_outside(),
        )


def _holds_likelihoods(log_lik: Float[Array, "n m"] | Float[np.ndarray, "n m"]) -> bool:
    if not is_concrete(log_lik):
        return False
    if isinstance(log_lik, Array) and {each.platform for each in log_lik.devices()} != {"cpu"}:
        return False
    values = np.asarray(log_lik)  # no copy
    if values[0, 0] < 0:
        return False
    some = values[:: max(1, values.shape[0] // _NUM_ROWS)]
    # A matrix of zeros, which says nothing, is no mistake.
    return bool(np.min(some) >= 0 and np.min(values) >= 0 and np.max(values) > 0)


def warn_of_tolerance(gap_tol: float | None, computed: np.dtype, given: Any) -> None:
    """Warn of a tolerance that is below rounding where it is computed, and met by it."""
    eps = float(jnp.finfo(computed).eps)
    if gap_tol is None or not 0 < gap_tol < eps:
        return
    message = (
        f"`gap_tol` is {gap_tol:.1e}, below the rounding of {computed}, {eps:.1e}: a gap that "
        "is said to be as small is rounding. "
    )
    dtype = getattr(given, "dtype", None)
    if dtype == np.float64 and not jax.config.jax_enable_x64:  # pyright: ignore
        message += (
            "`log_lik` was given in float64, and JAX made float32 of it: write "
            '`jax.config.update("jax_enable_x64", True)` at the start of the program.'
        )
    else:
        message += "Use float64, or a larger `gap_tol`."
    warnings.warn(message, UserWarning, stacklevel=_outside())


def _outside() -> int:
    """The `stacklevel` of the first frame that is not of this package, seen by who warns."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__package__") == __package__:
        frame, level = frame.f_back, level + 1
    return level
