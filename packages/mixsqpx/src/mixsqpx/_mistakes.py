"""What is all but certainly a mistake, though every number is valid: said at the call."""

import sys
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._inputs import LOST, SUM_TOL, can_be_read

# Rows that are looked at first: of logarithms they hold a negative entry, and that is all.
_NUM_ROWS = 50


def warn_of_likelihoods(
    log_lik: Float[Array, "n m"] | Float[np.ndarray, "n m"], *, stacklevel: int
) -> None:
    """Warn if the matrix is that of likelihoods, in place of their logarithms."""
    if _holds_likelihoods(log_lik):
        warnings.warn(
            "Every entry of `log_lik` is zero or positive, as likelihoods are; their logarithms "
            "hardly ever are, and these are what is asked for. For likelihoods L write "
            "`mixsolve(jnp.log(L))`; better, compute the logarithms in the first place, which "
            "do not underflow. If they are logarithms, subtract a number from each row: that moves "
            "no proportion.",
            UserWarning,
            stacklevel=stacklevel,
        )


def _holds_likelihoods(log_lik: Float[Array, "n m"] | Float[np.ndarray, "n m"]) -> bool:
    if isinstance(log_lik, Array) and not (
        can_be_read(log_lik) and {each.platform for each in log_lik.devices()} == {"cpu"}
    ):
        return False
    values = np.asarray(log_lik)  # no copy
    if values[0, 0] < 0:
        return False
    some = values[:: max(1, values.shape[0] // _NUM_ROWS)]
    # A matrix of zeros, which says nothing, is no mistake.
    return bool(np.min(some) >= 0 and np.min(values) >= 0 and np.max(values) > 0)


def warn_of_proportions(probs: Float[Array, " m"], *, stacklevel: int) -> None:
    """Warn of what is no vector of proportions, up to the rounding of a solver."""
    if not can_be_read(probs):
        return
    values = np.asarray(probs)
    total = float(np.sum(values))
    if not np.all(np.isfinite(values)):
        what = "it holds NaN or infinity."
    elif np.min(values) < -LOST:
        j = int(np.argmin(values))
        what = f"entry {j} (counting from zero) is {values[j]:.3g}."
    elif abs(total - 1) > SUM_TOL:
        what = (
            f"it sums to {total:.6g}. Heights of a density become masses by the widths of their "
            "cells; then divide by the sum."
        )
    else:
        return
    warnings.warn(
        f"`probs` is not a vector of proportions: {what}", UserWarning, stacklevel=stacklevel
    )


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
    warnings.warn(message, UserWarning, stacklevel=4)


def outside() -> int:
    """The `stacklevel` of the first frame that is not of this package.

    For a function whose caller has asked, and which warns itself.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__package__") == __package__:
        frame, level = frame.f_back, level + 1
    return level
