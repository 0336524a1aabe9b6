"""Errors from result codes: at once for known numbers, by a callback for traced ones."""

from typing import Any, TypeVar

import equinox as eqx
import equinox.internal as eqxi
import jax
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from ._inputs import is_concrete
from ._solution import RESULTS

T = TypeVar("T")

_FAULTS_OF_INPUT = (
    RESULTS.invalid_log_lik,
    RESULTS.zero_likelihood,
    RESULTS.invalid_weights,
    RESULTS.zero_weights,
    RESULTS.infeasible_init,
)


def _code(result: Any) -> Any:
    return result._value


_CODES_OF_INPUT = frozenset(int(_code(member)) for member in _FAULTS_OF_INPUT)
_SUCCESS = int(_code(RESULTS.successful))


def _raise_for_first(code: ArrayLike, unit: ArrayLike, gap: ArrayLike) -> None:
    """Raise the error of the first member of a batch, or of the one solve, that is one."""
    if not np.any(np.asarray(code) != _SUCCESS):
        return
    code, unit, gap = np.broadcast_arrays(*map(np.asarray, (code, unit, gap)))
    for member in np.argwhere(code != _SUCCESS)[:1]:
        at = tuple(member.tolist())
        _raise_for(int(code[at]), int(unit[at]), float(gap[at]), at)


def _raise_for(code: int, unit: int, gap: float, member: tuple[int, ...]) -> None:
    """Raise the error of one result code, at a place in a batch."""
    message = RESULTS[eqx.tree_at(_code, RESULTS.successful, np.asarray(code))]
    if member:
        number = ", ".join(map(str, member))
        message = f"Member {number} of the batch (counting from zero): {message}"
    if unit >= 0:
        message = f"{message} First unit at fault: {unit} (counting from zero)."
    if code in _CODES_OF_INPUT:
        raise ValueError(message)
    raise RuntimeError(f"{message} The gap is {gap:.1e}.")


def raise_on_failure(
    value: T, result: RESULTS, unit: Int[Array, "*batch"], gap: Float[Array, "*batch"]
) -> T:
    """Return `value` unless the result is a failure: then raise it.

    Under a JAX transformation the error comes when the computation runs, wrapped by JAX, with the
    same text; of a batch it is that of the first member to fail. The value passes through the
    check, which is dead code otherwise.

    Parameters
    ----------
    value : PyTree of arrays
        Returned.
    result : RESULTS
        Of a solve, or of a batch of solves: then the first failure is raised.
    unit : Int[Array, "..."]
        The unit at fault, for the message; -1 for none.
    gap : Float[Array, "..."]
        The optimality gap that was reached, for the message.

    Raises
    ------
    ValueError
        For a result that blames the input.
    RuntimeError
        For any other failure.

    Examples
    --------
    >>> import jax.numpy as jnp, mixsqpx
    >>> log_lik = jnp.log(jnp.array([[1.0, 0.4], [0.2, 1.0], [1.0, 0.5]]))
    >>> one = mixsqpx.mixsolve(log_lik, throw=False)
    >>> probs = mixsqpx.raise_on_failure(one.probs, one.result, one.stats["unit"], one.gap)
    >>> probs.shape
    (2,)
    """
    code = _code(result)
    if is_concrete(code, unit, gap):
        _raise_for_first(code, unit, gap)
        return value

    def check(code: ArrayLike, unit: ArrayLike, gap: ArrayLike, value: T) -> T:
        _raise_for_first(code, unit, gap)
        return value

    def call(value: T) -> T:
        struct = jax.eval_shape(lambda: value)
        return jax.pure_callback(check, struct, code, unit, gap, value, vmap_method="broadcast_all")

    # `unvmap_any` keeps the branch a branch under `vmap`, and the callback out of a good solve.
    return lax.cond(eqxi.unvmap_any(code != _SUCCESS), call, lambda value: value, value)
