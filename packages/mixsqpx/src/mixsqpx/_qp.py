"""The quadratic subproblem over the non-negative orthant, by a primal active-set method."""

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
from jax import lax
from jaxtyping import Array, Bool, Float, Int


class _QPState(eqx.Module):
    y: Float[Array, " k"]
    free: Bool[Array, " k"]
    one_at_a_time: Bool[Array, ""]
    num_pivots: Int[Array, ""]
    done: Bool[Array, ""]


def _minimise_free(
    hess: Float[Array, "k k"], linear: Float[Array, " k"], free: Bool[Array, " k"]
) -> Float[Array, " k"]:
    """Minimiser over the free variables, the others at zero, at a fixed shape.

    Rows and columns of the others are those of the identity, so the system stays positive definite.
    """
    both = free[:, None] & free[None, :]
    matrix = jnp.where(both, hess, 0.0) + jnp.diag(jnp.where(free, 0.0, 1.0))
    operator = lx.MatrixLinearOperator(matrix, lx.positive_semidefinite_tag)
    rhs = jnp.where(free, -linear, 0.0)
    return lx.linear_solve(operator, rhs, lx.Cholesky(), throw=False).value


def _clip_at_first(y: Float[Array, " k"], target: Float[Array, " k"]) -> Float[Array, " k"]:
    """The last feasible point on the way from y to the target, what blocks it exactly zero."""
    blocks = target < 0
    ratio = jnp.where(blocks, y / jnp.where(blocks, y - target, 1.0), jnp.inf)
    length = jnp.minimum(jnp.min(ratio), 1.0)
    return jnp.where(ratio <= length, 0.0, y + length * (target - y))


def solve_qp(
    hess: Float[Array, "k k"],
    linear: Float[Array, " k"],
    start: Float[Array, " k"],
    tol: Float[Array, ""],
) -> Float[Array, " k"]:
    """Decrease ½ yᵀHy + bᵀy over y >= 0, from a feasible start, to the minimum or close to it.

    Each pivot solves for the minimum on the free variables. Where that is infeasible, the better of
    two feasible points is taken: its projection (drops many variables at once) and the last point
    before the boundary (always a descent, and drops one). At the minimum on the free variables,
    those whose multiplier is below `-tol` are freed: all that are at least half as bad as the
    worst, or, once a pivot has made no progress, the worst alone, which always makes some.

    Every pivot decreases the quadratic, hence an early stop still gives a descent direction.

    Parameters
    ----------
    hess : Float[Array, "k k"]
        H, positive definite to working precision (the caller adds a ridge).
    linear : Float[Array, "k"]
        b.
    start : Float[Array, "k"]
        Feasible point; its positive entries are the first free variables.
    tol : Float[Array, ""]
        Multipliers above `-tol` count as non-negative.

    Returns
    -------
    Float[Array, "k"]
        Feasible, with exact zeros.
    """
    max_pivots = 3 * hess.shape[0] + 10  # a cycle is impossible, a long tail is not worth its time

    def decrease(y, slope, candidate):
        step = candidate - y
        return step @ slope + 0.5 * step @ (hess @ step)

    def body(state: _QPState) -> _QPState:
        y = state.y
        slope = hess @ y + linear
        target = _minimise_free(hess, linear, state.free)
        interior = jnp.all(target >= 0)
        projected = jnp.maximum(target, 0.0)
        clipped = _clip_at_first(y, target)
        change_projected = decrease(y, slope, projected)
        change_clipped = decrease(y, slope, clipped)
        better = change_projected <= change_clipped
        new = jnp.where(better, projected, clipped)
        change = jnp.where(better, change_projected, change_clipped)
        # Not if the factor failed. A change of eps is rounding: the objective is of order one.
        new = jnp.where(change <= float(jnp.finfo(y.dtype).eps), new, y)
        multipliers = hess @ new + linear
        held = new <= 0
        worst = jnp.min(jnp.where(held, multipliers, 0.0))
        stuck = state.one_at_a_time | ~(change < 0)
        cut = jnp.where(stuck, worst, 0.5 * worst)
        enter = held & (multipliers <= cut) & (worst < -tol) & interior
        finished = interior & (worst >= -tol)
        return _QPState(
            new, ~held | enter, stuck, state.num_pivots + 1, finished | ~jnp.all(jnp.isfinite(new))
        )

    start_state = _QPState(start, start > 0, jnp.asarray(False), jnp.asarray(0), jnp.asarray(False))
    final = lax.while_loop(
        lambda state: ~state.done & (state.num_pivots < max_pivots), body, start_state
    )
    return final.y
