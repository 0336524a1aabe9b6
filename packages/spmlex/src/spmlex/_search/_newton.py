"""A trust-region Newton minimiser on the exact Hessian."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree, Scalar

from mixsqpx.numerics import product

# Columns of the Hessian formed at once: they share one pass over the data, and each needs memory of
# its own.
_BLOCK = 16
# Nocedal & Wright (2006), algorithm 4.1: when to shrink, when to grow, and by how much.
_SHRINK_BELOW, _GROW_ABOVE = 0.25, 0.75
_SHRINK, _GROW = 0.25, 3.0
# Halvings of the bracket of the multiplier: to the last bit.
_BISECTIONS = 60


class Expansion(eqx.Module):
    """Value, derivatives and auxiliary output at one point, the point flattened."""

    f: Scalar
    grad: Float[Array, " p"]
    hess: Float[Array, "p p"]
    aux: PyTree


class AbstractExpandable(eqx.Module):
    """An objective `fn(y, args) -> (f, aux)` that has a better way to its derivatives than JAX."""

    @abc.abstractmethod
    def __call__(self, y: PyTree, args: Any = None) -> tuple[Scalar, PyTree]:
        """Value and auxiliary output."""

    @abc.abstractmethod
    def expand(self, y: Any, /) -> Expansion:
        """Both, and the derivatives in the leaves of `y` in their order."""


class _NewtonState(eqx.Module):
    # Updated by every step.
    trial: Float[Array, " p"]
    predicted: Scalar
    radius: Scalar
    first: Bool[Array, ""]
    # Updated by accepted steps.
    local: Expansion
    scaled: Float[Array, " p"]
    scale: Float[Array, " p"]
    # For termination.
    terminate: Bool[Array, ""]
    result: optx.RESULTS

    @property
    def grad(self) -> Float[Array, " p"]:
        """Gradient at the current iterate."""
        return self.local.grad


class TrustRegionNewton(optx.AbstractMinimiser):
    """Newton's method in a trust region, on the exact Hessian, for some hundred parameters.

    A minimiser like any of optimistix: for `optimistix.minimise` and for `spmlex.fit`. The
    subproblem is solved exactly, by an eigendecomposition, so indefinite Hessians are no obstacle.
    The region is an ellipsoid, scaled by the largest second derivative seen in each parameter
    (Moré, 1978). A trial with any non-finite value or derivative is rejected and the region shrunk.

    Converged means `norm(gradient / curvature) <= atol + rtol * |f|`, where `curvature` is the root
    of each parameter's second derivative in absolute value, or one where that is zero: whatever the
    units of the parameters, a gradient above rounding is seen, and one that is rounding is not
    waited for. Where a parameter matters so little that its curvature is rounding as well, it is
    enough that the gradient itself is as small and that no step promises a decrease above rounding.
    Other ends are `nonfinite`, for a start that cannot be evaluated, and `stagnation`, when no step
    can be told from rounding and the gradient is still too large.

    Attributes
    ----------
    rtol, atol : float
        Tolerances of the gradient, relative to the objective and absolute. The relative one is for
        the rounding of a large objective.
    norm : Callable
        Norm of the gradient over the curvature; the largest entry by default.

    References
    ----------
    Nocedal & Wright (2006), Numerical Optimization, chapter 4. Moré (1978), The Levenberg-Marquardt
    algorithm: implementation and theory.

    Examples
    --------
    The model and the data are those of the example of `fit`.

    >>> sharper = spmlex.TrustRegionNewton(atol=1e-12)
    >>> again = spmlex.fit(model, data, supp, minimiser=sharper)
    >>> bool(abs(again.loglik - result.loglik) < 1e-9)
    True
    """

    rtol: float = 1e-12
    atol: float = 1e-10
    norm: Callable[[PyTree], Scalar] = optx.max_norm

    def init(self, fn, y, args, options, f_struct, aux_struct, tags) -> _NewtonState:
        """State before the first evaluation, which the first step makes at `y`."""
        del fn, args, options, tags
        flat = ravel_pytree(y)[0]
        zero = jnp.zeros(f_struct.shape, f_struct.dtype)
        infinite = jnp.full_like(flat, jnp.inf)
        aux = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype) if isinstance(x, jax.ShapeDtypeStruct) else x,
            aux_struct,
        )
        hess = jnp.zeros((flat.size, flat.size), flat.dtype)
        return _NewtonState(
            trial=flat,
            predicted=zero,
            radius=jnp.ones_like(zero),
            first=jnp.array(True),
            local=Expansion(zero, infinite, hess, aux),
            scaled=infinite,
            scale=jnp.zeros_like(flat),
            terminate=jnp.array(False),
            result=optx.RESULTS.successful,
        )

    def step(self, fn, y, args, options, state: _NewtonState, tags):
        """Evaluate the trial, accept or reject it, and choose the next."""
        del options, tags
        current, unravel = ravel_pytree(y)
        if isinstance(fn, AbstractExpandable):
            new = fn.expand(unravel(state.trial))
        else:
            new = _expand(lambda y: fn(unravel(y), args), state.trial)
        finite = (
            jnp.isfinite(new.f) & jnp.all(jnp.isfinite(new.grad)) & jnp.all(jnp.isfinite(new.hess))
        )
        old = state.local
        # Below this a change of f is rounding; the gradient then says whether a step is good.
        noise = 8 * float(jnp.finfo(new.f.dtype).eps) * jnp.maximum(1.0, jnp.abs(old.f))
        tiny = state.predicted <= noise
        ratio = (old.f - new.f) / jnp.where(state.predicted > 0, state.predicted, 1.0)
        closer = (new.f <= old.f + noise) & (self.norm(new.grad) < self.norm(old.grad))
        accept = finite & (state.first | jnp.where(tiny, closer, ratio > 1e-4))

        local, flat = lax.cond(accept, lambda: (new, state.trial), lambda: (old, current))
        scale = jnp.maximum(state.scale, jnp.sqrt(jnp.abs(jnp.diagonal(local.hess))))
        scale = jnp.where(scale > 0, scale, 1.0)
        taken = jnp.linalg.norm(scale * (state.trial - current))
        radius = jnp.where(
            accept & (tiny | (ratio >= _SHRINK_BELOW)),
            jnp.where(ratio > _GROW_ABOVE, jnp.maximum(state.radius, _GROW * taken), state.radius),
            _SHRINK * jnp.minimum(taken, state.radius),
        )
        radius = jnp.where(state.first, state.radius, radius)

        step, predicted = _trust_region_step(
            local.grad / scale, local.hess / jnp.outer(scale, scale), radius
        )
        tol = self.atol + self.rtol * jnp.abs(local.f)
        scaled = local.grad / _curvature(local.hess)
        idle = (self.norm(unravel(local.grad)) <= tol) & (predicted <= noise)
        scaled = jnp.where(idle, local.grad, scaled)
        small = self.norm(unravel(scaled)) <= tol
        stuck = ~accept & (tiny | (radius <= float(jnp.finfo(radius.dtype).eps)))
        result = optx.RESULTS.where(
            stuck & ~small & ~state.first,
            optx.RESULTS.stagnation,  # pyright: ignore[reportArgumentType]
            optx.RESULTS.successful,
        )
        result = optx.RESULTS.where(state.first & ~finite, optx.RESULTS.nonfinite, result)
        new_state = _NewtonState(
            trial=flat + step / scale,
            predicted=predicted,
            radius=radius,
            first=jnp.array(False),
            local=local,
            scaled=scaled,
            scale=scale,
            terminate=small | stuck,
            result=result,
        )
        return unravel(flat), new_state, local.aux

    def terminate(self, fn, y, args, options, state: _NewtonState, tags):
        """Whether the last step ended the search, and how."""
        del fn, y, args, options, tags
        return state.terminate, state.result

    def postprocess(self, fn, y, aux, args, options, state: _NewtonState, tags, result):
        """Nothing to change: `y` and `aux` belong to the last accepted point."""
        del fn, args, options, state, tags, result
        return y, aux, {}


def _curvature(hess: Float[Array, "p p"]) -> Float[Array, " p"]:
    """Root of each second derivative in absolute value, one for zero.

    A gradient divided by it does not depend on the units of the parameters.
    """
    diagonal = jnp.abs(jnp.diagonal(hess))
    return jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1.0))


def _expand(fn: Callable[[Array], tuple[Scalar, PyTree]], y: Float[Array, " p"]) -> Expansion:
    """Value, gradient and Hessian: one evaluation, and its linearisation in blocks of columns.

    One block is pushed forward along with the evaluation, which keeps nothing for later.
    """

    def gradient(y: Array) -> tuple[Array, tuple[Scalar, PyTree]]:
        (f, aux), grad = jax.value_and_grad(fn, has_aux=True)(y)
        return grad, (f, aux)

    num_blocks = -(-y.size // _BLOCK)
    block = -(-y.size // num_blocks)
    basis = jnp.eye(num_blocks * block, y.size, dtype=y.dtype).reshape(num_blocks, block, y.size)
    if num_blocks == 1:
        both = lambda v: jax.jvp(gradient, (y,), (v,), has_aux=True)  # noqa: E731
        grad, hess, (f, aux) = jax.vmap(both, out_axes=(None, 0, None))(basis[0])
    else:
        grad, push, (f, aux) = jax.linearize(gradient, y, has_aux=True)
        hess = lax.map(jax.vmap(push), basis).reshape(-1, y.size)[: y.size]
    return Expansion(f, grad, 0.5 * (hess + hess.T), aux)


def _trust_region_step(
    grad: Float[Array, " p"], hess: Float[Array, "p p"], radius: Scalar
) -> tuple[Float[Array, " p"], Scalar]:
    """Global minimiser of gᵀs + ½ sᵀHs over the ball, and the decrease it promises.

    In the eigenbasis s(μ) = -c/(λ + μ); the multiplier μ is zero inside the ball, else the root of
    |s(μ)| = radius above -λ₁ (Nocedal & Wright, theorem 4.1).
    """
    eigval, eigvec = jnp.linalg.eigh(hess)
    c = product(eigvec.T, grad)
    lowest = eigval[0]
    largest = jnp.max(jnp.abs(eigval))
    floor = float(jnp.finfo(grad.dtype).eps) * grad.size * largest
    flat = jnp.abs(eigval) <= floor

    def step_at(shift: Scalar) -> Array:
        denominator = eigval + shift
        # A direction without slope and curvature is left alone.
        idle = denominator <= floor
        return jnp.where(idle, 0.0, -c / jnp.where(idle, 1.0, denominator))

    inside = step_at(jnp.zeros_like(radius))
    interior = (lowest >= -floor) & (jnp.linalg.norm(inside) <= radius)
    interior = interior & jnp.all(jnp.where(flat, jnp.abs(c) <= floor, True))

    low = jnp.maximum(-lowest, 0.0)
    high = low + jnp.linalg.norm(c) / radius + floor

    def halve(_: Int[Array, ""], bracket: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = bracket
        middle = 0.5 * (low + high)
        outside = jnp.linalg.norm(step_at(middle)) > radius
        return jnp.where(outside, middle, low), jnp.where(outside, high, middle)

    _, high = lax.fori_loop(0, _BISECTIONS, halve, (low, high))
    boundary = step_at(high)
    # Hard case: no slope along the lowest eigenvector, which leads to the boundary either way.
    missing = jnp.sqrt(jnp.maximum(radius**2 - jnp.sum(boundary**2), 0.0))
    boundary = boundary.at[0].add(
        jnp.where(lowest < -floor, jnp.where(c[0] > 0, -missing, missing), 0.0)
    )
    s = jnp.where(interior, inside, boundary)
    return product(eigvec, s), -jnp.sum(s * (c + 0.5 * eigval * s))
