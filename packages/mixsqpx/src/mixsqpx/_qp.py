"""The quadratic subproblem over the non-negative orthant, by a primal active-set method."""

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
from jax import lax
from jaxtyping import Array, Bool, Float, Int

# Multipliers this close to the worst free their variables, where that makes progress; after a pivot
# that made none the worst alone, and from then on a few more with every pivot.
_LEAST_SHARE, _EASING = 0.5, 0.9
# From this size on a factor of half the size is worth compiling: it is an eighth of the work.
_LARGE = 250
# Lengths tried on the way to a target that is not feasible.
_LENGTHS = tuple(0.5**i for i in range(12))


class _QPState(eqx.Module):
    """`slope` is the gradient Hy + b of the quadratic."""

    y: Float[Array, " k"]
    slope: Float[Array, " k"]
    free: Bool[Array, " k"]
    share: Float[Array, ""]
    num_pivots: Int[Array, ""]
    done: Bool[Array, ""]


def _minimise_free(
    hess: Float[Array, "k k"], linear: Float[Array, " k"], free: Bool[Array, " k"]
) -> Float[Array, " k"]:
    """Minimiser over the free variables, the others at zero, at a fixed shape.

    Rows and columns of the others are those of the identity, so the system stays positive definite.
    """

    def solve(hess: Array, linear: Array, free: Array) -> Array:
        both = free[:, None] & free[None, :]
        matrix = jnp.where(both, hess, 0.0) + jnp.diag(jnp.where(free, 0.0, 1.0))
        operator = lx.MatrixLinearOperator(matrix, lx.positive_semidefinite_tag)
        rhs = jnp.where(free, -linear, 0.0)
        return lx.linear_solve(operator, rhs, lx.Cholesky(), throw=False).value

    def solve_half(hess: Array, linear: Array, free: Array) -> Array:
        members = jnp.argsort(~free)[: free.size // 2]
        part = solve(hess[jnp.ix_(members, members)], linear[members], free[members])
        return jnp.zeros_like(linear).at[members].set(part, unique_indices=True)

    if free.size < _LARGE:
        return solve(hess, linear, free)
    few = jnp.sum(free) <= free.size // 2
    return lax.cond(few, solve_half, solve, hess, linear, free)


def _shorten(y: Float[Array, " k"], target: Float[Array, " k"]) -> Float[Array, "c k"]:
    """Feasible points on the way from y to a target that is not feasible.

    The way is bent along the boundary. The points at lengths 1, ½, ¼, … may drop many variables at
    once (Bertsekas, 1982); the one where the first variable is dropped is always a descent.
    """
    step = target - y
    ratio = jnp.where(target < 0, -y / step, jnp.inf)
    first = jnp.minimum(jnp.min(ratio), 1.0)
    length = jnp.append(jnp.asarray(_LENGTHS, y.dtype), first)[:, None]
    points = jnp.maximum(y[None, :] + length * step[None, :], 0.0)
    # Dropped, and not left at a rounding error above zero, also where the ratio underflows.
    return points.at[-1].set(jnp.where(ratio <= first, 0.0, points[-1]))


def solve_qp(
    hess: Float[Array, "k k"],
    linear: Float[Array, " k"],
    start: Float[Array, " k"],
    tol: Float[Array, ""],
) -> Float[Array, " k"]:
    """Decrease ½ yᵀHy + bᵀy over y >= 0, from a feasible start, to the minimum or close to it.

    Each pivot solves for the minimum on the free variables. Where that is infeasible, the best of
    several feasible points on the way is taken (`_shorten`). At the minimum on the free variables,
    those whose multiplier is below `-tol` are freed: all that are at least half as bad as the
    worst. After a pivot without progress it is the worst alone, which always makes some, and the
    share falls back to a half over the pivots that follow.

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

    def body(state: _QPState) -> _QPState:
        y, slope = state.y, state.slope
        target = _minimise_free(hess, linear, state.free)
        interior = jnp.all(target >= 0)
        points = _shorten(y, target)
        steps = points - y[None, :]
        turned = steps @ hess
        changes = jnp.sum(steps * (slope[None, :] + 0.5 * turned), axis=1)
        best = jnp.argmin(changes)
        # Not if the factor failed. A change of eps is rounding: the objective is of order one.
        change = changes[best]
        usable = change <= float(jnp.finfo(y.dtype).eps)
        new = jnp.where(usable, points[best], y)
        multipliers = slope + jnp.where(usable, turned[best], 0.0)
        held = new <= 0
        worst = jnp.min(jnp.where(held, multipliers, 0.0))
        share = jnp.where(change < 0, jnp.maximum(_EASING * state.share, _LEAST_SHARE), 1.0)
        enter = held & (multipliers <= share * worst) & (worst < -tol) & interior
        finished = interior & (worst >= -tol)
        return _QPState(
            new,
            multipliers,
            ~held | enter,
            share,
            state.num_pivots + 1,
            finished | ~jnp.all(jnp.isfinite(new)),
        )

    half = jnp.full_like(tol, _LEAST_SHARE)
    slope = hess @ start + linear
    start_state = _QPState(start, slope, start > 0, half, jnp.asarray(0), jnp.asarray(False))
    final = lax.while_loop(
        lambda state: ~state.done & (state.num_pivots < max_pivots), body, start_state
    )
    return final.y
