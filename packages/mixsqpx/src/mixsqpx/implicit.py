"""Derivatives of the optimum, for those who build on the solver.

`attach_probs` and `attach_objective` return a number they are given, and attach to it the
derivative that it has as an optimum: by the implicit function theorem, and by the envelope theorem.
Their rules call the functions themselves, so that every further derivative sees the optimum move.
`on_active` restricts a computation to the few components that matter to it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import lineax as lx
from jax import lax
from jaxtyping import Array, Float, Int

from ._functions import objective
from ._ladder import ladder, rung_for
from ._problem import normalise_weights

__all__ = ["attach_objective", "attach_probs", "on_active"]

T = TypeVar("T")


def on_active(
    function: Callable[..., T], probs: Float[Array, " m"], *operands: Any
) -> T:
    """Evaluate `function(members, *operands)` on components that include all active ones.

    Parameters
    ----------
    function : Callable
        Called with the numbers of some components, shape `(k,)`: those with pⱼ > 0, and others up
        to a size fixed when compiling. What it returns may not have a shape that depends on k.
    probs : Float[Array, "m"]
        Proportions p.
    operands
        Passed on. To be differentiated, an array has to be an operand rather than closed over.

    Returns
    -------
    T
        What `function` returns.
    """
    sizes = ladder(probs.size)
    probs = lax.stop_gradient(probs)

    def branch(size: int) -> Callable[..., T]:
        return lambda *operands: function(lax.top_k(probs, size)[1], *operands)

    return lax.switch(
        rung_for(jnp.sum(probs > 0), sizes), [branch(size) for size in sizes], *operands
    )


@jax.custom_jvp
def attach_probs(
    log_lik: Float[Array, "n m"], weights: Float[Array, " n"], probs: Float[Array, " m"]
) -> Float[Array, " m"]:
    """Optimal proportions, differentiable in the data.

    On the active set A = {j: pⱼ > 0} the optimum solves rA(ℓ, ω, p) = 1 with
    rⱼ = Σᵢ ωᵢ aᵢⱼ/uᵢ, and ∂r/∂p = -H, so H_AA dp_A = d(rA at fixed p); of several solutions the one
    of least norm. Derivatives of `log_lik` outside A do not enter.
    """
    del log_lik, weights
    return probs


@attach_probs.defjvp
def _attach_probs_jvp(primals, tangents):
    log_lik, weights, probs = primals
    d_log_lik, d_weights, _ = tangents
    probs = attach_probs(log_lik, weights, probs)
    return probs, on_active(_move, probs, log_lik, weights, probs, d_log_lik, d_weights)


def _move(
    members: Int[Array, " k"],
    log_lik: Float[Array, "n m"],
    weights: Float[Array, " n"],
    probs: Float[Array, " m"],
    d_log_lik: Float[Array, "n m"],
    d_weights: Float[Array, " n"],
) -> Float[Array, " m"]:
    """Tangent of the proportions, from components that include all active ones."""
    p = probs[members]
    active = p > 0
    ell = jnp.where(active[None, :], log_lik[:, members], -jnp.inf)
    shift = lax.stop_gradient(jnp.max(ell, axis=1))
    usable = jnp.isfinite(shift)  # not so only for units of zero weight
    ell = jnp.where(usable[:, None], ell - jnp.where(usable, shift, 0.0)[:, None], -jnp.inf)

    def ratios(ell, weights):
        lik = jnp.exp(ell)
        mix_lik = jnp.where(usable, lik @ p, 1.0)
        omega = normalise_weights(weights, mix_lik.size, mix_lik.dtype)
        return (omega / mix_lik) @ lik

    d_ell = jnp.where(active[None, :] & usable[:, None], d_log_lik[:, members], 0.0)
    rhs = jax.jvp(ratios, (ell, weights), (d_ell, d_weights))[1]

    lik = jnp.exp(ell)
    mix_lik = jnp.where(usable, lik @ p, 1.0)
    omega = normalise_weights(weights, mix_lik.size, mix_lik.dtype)
    scaled = lik / mix_lik[:, None]
    hess = scaled.T @ (omega[:, None] * scaled)
    # Rows and columns outside A are zero; the solution of least norm is zero there.
    moved = lx.linear_solve(
        lx.MatrixLinearOperator(hess), jnp.where(active, rhs, 0.0), lx.SVD(), throw=False
    ).value
    return jnp.zeros_like(probs).at[members].set(moved, unique_indices=True)


@jax.custom_jvp
def attach_objective(
    log_lik: Float[Array, "n m"],
    weights: Float[Array, " n"],
    probs: Float[Array, " m"],
    value: Float[Array, ""],
) -> Float[Array, ""]:
    """Optimal objective with the envelope derivative: that at fixed p, without a linear system."""
    del log_lik, weights, probs
    return value


@attach_objective.defjvp
def _attach_objective_jvp(primals, tangents):
    log_lik, weights, probs, value = primals
    d_log_lik, d_weights, _, _ = tangents
    value = attach_objective(log_lik, weights, probs, value)
    probs = attach_probs(log_lik, weights, probs)
    tangent = jax.jvp(
        lambda ell, omega: objective(ell, probs, omega),
        (log_lik, weights),
        (d_log_lik, d_weights),
    )[1]
    return value, tangent
