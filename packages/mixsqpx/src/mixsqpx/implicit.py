"""Derivatives of the optimum, for those who build on the solver.

`attach_probs` and `attach_objective` return a number they are given, and attach to it the
derivative that it has as an optimum: by the implicit function theorem, and by the envelope theorem.
Their rules call the functions themselves, so that every further derivative sees the optimum move.
Only components with mass contribute: `on_active` picks a few columns that include all of them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import lineax as lx
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from ._functions import is_usable, objective_of
from ._ladder import ladder, rung_for
from ._problem import normalise_weights
from ._product import product

__all__ = [
    "active_size",
    "attach_objective",
    "attach_probs",
    "on_active",
    "solve_active",
]

T = TypeVar("T")


def _sizes(num_units: int, num_components: int) -> tuple[int, ...]:
    """Numbers of components that derivatives are compiled for.

    Before the optimum of a model there are more active components than at it: 32 hold most of that.
    """
    return ladder(num_units, num_components, first_of_two=32)


def on_active(
    function: Callable[..., T], probs: Float[Array, " m"], num_units: int, *operands: Any
) -> T:
    """Evaluate `function(members, *operands)` on components that include all active ones.

    A reverse derivative of this keeps residuals for all sizes; to avoid that, take the reverse
    derivative inside `function`.

    Parameters
    ----------
    function : Callable
        Called with the numbers of some components, shape `(k,)`: those with pⱼ > 0, and others up
        to a size fixed when compiling. What it returns may not have a shape that depends on k.
    probs : Float[Array, "m"]
        Proportions p.
    num_units : int
        Number of units: more of them make a finer choice of k worth compiling.
    operands
        Passed on.

    Returns
    -------
    T
        What `function` returns.
    """
    sizes = _sizes(num_units, probs.size)
    probs = lax.stop_gradient(probs)

    def branch(size: int) -> Callable[..., T]:
        return lambda *operands: function(lax.top_k(probs, size)[1], *operands)

    return lax.switch(
        rung_for(jnp.sum(probs > 0), sizes), [branch(size) for size in sizes], *operands
    )


def active_size(num_active: int, num_components: int, num_units: int) -> int:
    """Size that `on_active` takes, where the number of active components is known.

    Parameters
    ----------
    num_active : int
        Number of components with mass.
    num_components : int
        Number of all.
    num_units : int
        As for `on_active`.

    Returns
    -------
    int
        Not below `num_active`.
    """
    return next(size for size in _sizes(num_units, num_components) if size >= num_active)


@jax.custom_jvp
def attach_probs(
    log_lik: Float[Array, "n k"], weights: Float[Array, " n"], probs: Float[Array, " k"]
) -> Float[Array, " k"]:
    """Optimal proportions, differentiable in the data.

    On the active set A = {j: pⱼ > 0} the optimum solves r_A(ℓ, ω, p) = 1 with
    rⱼ = Σᵢ ωᵢ aᵢⱼ/uᵢ, and ∂r/∂p = -H, so H_AA dp_A = d(r_A at fixed p); see `solve_active`. The
    columns have to include A.
    """
    del log_lik, weights
    return probs


def _instantiate(primals: tuple[Array, ...], tangents: tuple[Any, ...]) -> tuple[Array, ...] | None:
    """Tangents as arrays; None if nothing is differentiated, and no work is to be done."""
    is_zero = [isinstance(tangent, SymbolicZero) for tangent in tangents]
    if all(is_zero):
        return None
    return tuple(
        jnp.zeros_like(primal) if zero else tangent
        for primal, tangent, zero in zip(primals, tangents, is_zero, strict=True)
    )


@partial(attach_probs.defjvp, symbolic_zeros=True)
def _attach_probs_jvp(primals, tangents):
    log_lik, weights, probs = primals
    tangents = _instantiate(primals[:2], tangents[:2])
    if tangents is None:
        return probs, jnp.zeros_like(probs)
    d_log_lik, d_weights = tangents
    probs = attach_probs(log_lik, weights, probs)
    return probs, _move(log_lik, weights, probs, d_log_lik, d_weights)


def _move(
    log_lik: Float[Array, "n k"],
    weights: Float[Array, " n"],
    probs: Float[Array, " k"],
    d_log_lik: Float[Array, "n k"],
    d_weights: Float[Array, " n"],
) -> Float[Array, " k"]:
    """Tangent of the proportions."""
    active = probs > 0
    usable = is_usable(log_lik, probs)  # not so only for units of zero weight, which do not count
    d_weights = jnp.where(usable, d_weights, 0.0)
    ell = jnp.where(active[None, :], log_lik, -jnp.inf)
    shift = lax.stop_gradient(jnp.max(ell, axis=1))
    ell = jnp.where(usable[:, None], ell - jnp.where(usable, shift, 0.0)[:, None], -jnp.inf)

    def density_ratios(
        ell: Float[Array, "n k"], weights: Float[Array, " n"]
    ) -> tuple[Float[Array, " n"], Float[Array, "n k"]]:
        lik = jnp.exp(ell)
        mix_lik = jnp.where(usable, product(lik, probs), 1.0)
        omega = normalise_weights(weights, mix_lik.size, mix_lik.dtype)
        return omega, lik / mix_lik[:, None]

    def sums(ell: Float[Array, "n k"], weights: Float[Array, " n"]) -> Float[Array, " k"]:
        omega, ratios = density_ratios(ell, weights)
        return product(omega, ratios)

    d_ell = jnp.where(active[None, :] & usable[:, None], d_log_lik, 0.0)
    rhs = jax.jvp(sums, (ell, weights), (d_ell, d_weights))[1]
    omega, ratios = density_ratios(ell, weights)
    # Rows and columns outside A are zero, and so is what they move by: whatever a function makes of
    # a proportion of zero, 0/0 included, does not count in its derivative.
    hess = product(ratios.T, omega[:, None] * ratios)
    return jnp.where(active, solve_active(hess, jnp.where(active, rhs, 0.0)), 0.0)


def solve_active(hess: Float[Array, "k k"], rhs: Float[Array, " k"]) -> Float[Array, " k"]:
    """Solution of H x = b on the active components, zero elsewhere.

    Singular values are judged after scaling to a unit diagonal: a component that one unit i has for
    itself has a diagonal of 1/ωᵢ, beside which all the others would count for nothing. Of several
    solutions this is the one of least norm in these units.

    Parameters
    ----------
    hess : Float[Array, "k k"]
        H, positive semi-definite; rows and columns of other components are zero.
    rhs : Float[Array, "k"]
        b, zero there too.

    Returns
    -------
    Float[Array, "k"]
        x.
    """
    diagonal = lax.stop_gradient(jnp.diagonal(hess))
    scale = jnp.where(diagonal > 0, lax.rsqrt(jnp.where(diagonal > 0, diagonal, 1.0)), 0.0)
    operator = lx.MatrixLinearOperator(scale[:, None] * hess * scale[None, :])
    return scale * lx.linear_solve(operator, scale * rhs, lx.SVD(), throw=False).value


@jax.custom_jvp
def attach_objective(
    log_lik: Float[Array, "n k"],
    weights: Float[Array, " n"],
    probs: Float[Array, " k"],
    value: Float[Array, ""],
) -> Float[Array, ""]:
    """Optimal objective with the envelope derivative: that at fixed p, without a linear system."""
    del log_lik, weights, probs
    return value


@partial(attach_objective.defjvp, symbolic_zeros=True)
def _attach_objective_jvp(primals, tangents):
    log_lik, weights, probs, value = primals
    tangents = _instantiate(primals[:2], tangents[:2])
    if tangents is None:
        return value, jnp.zeros_like(value)
    value = attach_objective(log_lik, weights, probs, value)
    probs = attach_probs(log_lik, weights, probs)
    d_log_lik, d_weights = tangents
    d_weights = jnp.where(is_usable(log_lik, probs), d_weights, 0.0)
    tangent = jax.jvp(
        lambda ell, omega: objective_of(ell, probs, omega),
        (log_lik, weights),
        (d_log_lik, d_weights),
    )[1]
    return value, tangent
