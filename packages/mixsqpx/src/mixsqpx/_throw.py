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


def _raise_for(code: int, unit: int, gap: float) -> None:
    """Raise the error of one result code, if it is one."""
    if code == _SUCCESS:
        return
    message = RESULTS[eqx.tree_at(_code, RESULTS.successful, np.asarray(code))]
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
    same text. The value passes through the check, which is dead code otherwise.

    Parameters
    ----------
    value : PyTree of arrays
        Returned.
    result : RESULTS
        Of a solve, or of a batch of solves: then the first failure is raised.
    unit : Int[Array, "*batch"]
        The unit at fault, for the message; -1 for none.
    gap : Float[Array, "*batch"]
        The optimality gap that was reached, for the message.

    Raises
    ------
    ValueError
        For a result that blames the input.
    RuntimeError
        For any other failure.
    """
    code = _code(result)

    def check(code: ArrayLike, unit: ArrayLike, gap: ArrayLike, value: T) -> T:
        for one, where, reached in np.broadcast(*map(np.asarray, (code, unit, gap))):
            _raise_for(int(one), int(where), float(reached))
        return value

    if is_concrete(code, unit, gap):
        return check(code, unit, gap, value)

    def call(value: T) -> T:
        struct = jax.eval_shape(lambda: value)
        return jax.pure_callback(check, struct, code, unit, gap, value, vmap_method="broadcast_all")

    # `unvmap_any` keeps the branch a branch under `vmap`, and the callback out of a good solve.
    return lax.cond(eqxi.unvmap_any(code != _SUCCESS), call, lambda value: value, value)
