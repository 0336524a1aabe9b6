"""The quadratic subproblem over the non-negative orthant, by a primal active-set method."""

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Scalar

from ._cholesky import BlockCholesky
from ._product import product
from ._reductions import largest

# Multipliers this close to the worst free their variables, where that makes progress; after a pivot
# that made none the worst alone, and from then on a few more with every pivot.
_LEAST_SHARE, _EASING = 0.5, 0.9
# Up to this size systems are solved without LAPACK.
_MOST_WITHOUT_LAPACK = 320
# From this size on a factor of half the size is worth compiling: it is an eighth of the work.
_LARGE = 250
# Lengths tried on the way to a target that is not feasible.
_LENGTHS = tuple(0.5**i for i in range(12))


class _QPState(eqx.Module):
    """`slope` is the gradient of the quadratic."""

    y: Float[Array, " k"]
    slope: Float[Array, " k"]
    free: Bool[Array, " k"]
    share: Float[Array, ""]
    pivots_left: Int[Array, ""]


def _newton_step(
    hess: Float[Array, "k k"], slope: Float[Array, " k"], free: Bool[Array, " k"]
) -> Float[Array, " k"]:
    """Step to the minimum over the free variables, at a fixed shape.

    Rows and columns of the others are those of the identity, so the system stays positive definite.
    """

    def solve(hess: Array, slope: Array, free: Array) -> Array:
        both = free[:, None] & free[None, :]
        # As a constant where that is not large: then there is nothing to compile.
        identity = (np if free.size < _LARGE else jnp).eye(free.size, dtype=hess.dtype)
        matrix = jnp.where(both, hess, identity)
        operator = lx.MatrixLinearOperator(matrix, lx.positive_semidefinite_tag)
        rhs = jnp.where(free, -slope, 0.0)
        method = BlockCholesky() if free.size <= _MOST_WITHOUT_LAPACK else lx.Cholesky()
        return lx.linear_solve(operator, rhs, method, throw=False).value

    def solve_half(hess: Array, slope: Array, free: Array) -> Array:
        members = jnp.argsort(~free)[: free.size // 2]
        part = solve(hess[jnp.ix_(members, members)], slope[members], free[members])
        return jnp.zeros_like(slope).at[members].set(part, unique_indices=True)

    if free.size < _LARGE:
        return solve(hess, slope, free)
    few = jnp.sum(free) <= free.size // 2
    return lax.cond(few, solve_half, solve, hess, slope, free)


def _shortened(
    y: Float[Array, " k"], step: Float[Array, " k"], ratio: Float[Array, " k"], least: Scalar
) -> Float[Array, "c k"]:
    """Feasible steps from y on the way of a step that leads out of the orthant.

    The way is bent along the boundary, which variable j meets at length `ratio[j]`, the first at
    `least`. The steps of lengths 1, ½, ¼, … may drop many variables at once (Bertsekas, 1982); the
    one where the first variable is dropped is always a descent.
    """
    is_least = np.arange(len(_LENGTHS) + 1)[:, None] == len(_LENGTHS)
    shorter = np.append(_LENGTHS, 1.0).astype(y.dtype)[:, None]
    length = jnp.where(is_least, jnp.minimum(least, 1.0), shorter)
    # Dropped, and not left at a rounding error above zero, also where the ratio underflows.
    dropped = is_least & (ratio <= least)[None, :]
    points = jnp.where(dropped, 0.0, jnp.maximum(y[None, :] + length * step[None, :], 0.0))
    return points - y[None, :]


def solve_qp(
    hess: Float[Array, "k k"],
    slope: Float[Array, " k"],
    start: Float[Array, " k"],
    tol: Float[Array, ""],
) -> Float[Array, " k"]:
    """Decrease a quadratic over y >= 0, from a feasible start, to the minimum or close to it.

    Each pivot solves for the minimum on the free variables. Where that is infeasible, the best of
    several feasible points on the way is taken (`_shortened`). At the minimum on the free
    variables, those whose multiplier is below `-tol` are freed: all that are at least half as bad
    as the worst. After a pivot without progress it is the worst alone, which always makes some, and
    the share falls back to a half over the pivots that follow.

    Every pivot decreases the quadratic, hence an early stop still gives a descent direction. Where
    the factor fails no pivot would change anything: that is the end.

    Parameters
    ----------
    hess : Float[Array, "k k"]
        H, positive definite to working precision (the caller adds a ridge).
    slope : Float[Array, "k"]
        Gradient of the quadratic at the start.
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

    def body(state: _QPState) -> _QPState:
        y, slope = state.y, state.slope
        step = _newton_step(hess, slope, state.free)
        ratio = jnp.where(y + step < 0, -y / step, jnp.inf)
        least = -largest(-ratio)
        steps = _shortened(y, step, ratio, least)
        turned = product(steps, hess)
        changes = jnp.sum(steps * (slope[None, :] + 0.5 * turned), axis=1)
        best = jnp.argmin(changes)
        # Not if the factor failed. A change of eps is rounding: the objective is of order one.
        change = changes[best]
        is_finite = jnp.isfinite(change)
        usable = change <= float(jnp.finfo(y.dtype).eps)
        new = y + jnp.where(usable, steps[best], 0.0)
        multipliers = slope + jnp.where(usable, turned[best], 0.0)
        held = new <= 0
        worst = -largest(jnp.where(held, -multipliers, 0.0))
        interior = (least == jnp.inf) & is_finite
        share = jnp.where(change < 0, jnp.maximum(_EASING * state.share, _LEAST_SHARE), 1.0)
        enter = held & (multipliers <= share * worst) & (worst + tol < 0) & interior
        finished = (interior & (worst + tol >= 0)) | ~is_finite
        return _QPState(
            new,
            multipliers,
            ~held | enter,
            share,
            jnp.where(finished, 0, state.pivots_left - 1),
        )

    half = jnp.full_like(tol, _LEAST_SHARE)
    start_state = _QPState(start, slope, start > 0, half, jnp.asarray(max_pivots))
    return lax.while_loop(lambda state: state.pivots_left > 0, body, start_state).y
