"""Value, gradient and Hessian of the profile likelihood together, for Newton's method."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from mixsqpx.implicit import on_active, solve_active
from mixsqpx.numerics import normalise_weights, product

from .._model import Groups, log_lik_of, replace_units, take
from ._profile import Profile

# Entries of the log-likelihoods that are differentiated at once: with all that comes with them they
# fit the cache of a processor core.
_CHUNK = 32_768


class _Sums(NamedTuple):
    """Sums over units, at fixed masses p: what the Hessian of the profile consists of.

    With rⱼ = Σᵢ ωᵢ aᵢⱼ/uᵢ, the derivative of -f in the masses: f_θ, f_θθ, ∂r/∂θ and H = -∂r/∂p.
    """

    grad: Float[Array, " p"]
    direct: Float[Array, "p p"]
    cross: Float[Array, "p g k"]
    hess_probs: Float[Array, "g k k"]


def expand_profile(
    params: PyTree,
    held: PyTree,
    data: PyTree,
    supp: PyTree,
    weights: Float[Array, " n"],
    groups: Groups | None,
    solved: Profile,
    num_points: int | None = None,
) -> tuple[Float[Array, " p"], Float[Array, "p p"]]:
    """Gradient and Hessian of `value` in the parameters, flattened, at a solved inner problem.

    The Hessian is f_θθ - f_θp H_AA⁻¹ f_pθ, what `jax.hessian` makes of `profile_ll`. Here it is
    summed over chunks of the units and formed column by column, at the active support points: one
    differentiation of everything at once, for all columns, spends most of its time on memory.

    `num_points` support points are looked at, as many as are active or more; if it is not known
    when compiling, there is a program for each of several numbers.
    """
    flat, unravel = ravel_pytree(params)
    if solved.usable is not None:
        data = replace_units(data, solved.usable)
    num_units = weights.size
    dtype = solved.value.dtype
    omega = normalise_weights(weights.astype(dtype), num_units, dtype)
    labels = jnp.zeros(num_units, int) if groups is None else groups.labels(num_units)

    def derivatives(
        members: Int[Array, " k"], flat: Float[Array, " p"], solved: Profile
    ) -> tuple[Float[Array, " p"], Float[Array, "p p"]]:
        points = take(supp, members)
        probs = solved.probs.reshape(solved.mass.size, -1)[members].T

        num_chunks = -(-num_units * members.size // _CHUNK)
        length = -(-num_units // num_chunks)

        def of_chunk(number: Int[Array, ""] | int) -> _Sums:
            # The last one overlaps with the one before, and leaves out what that has counted.
            start = jnp.minimum(number * length, num_units - length)
            part = lambda x: lax.dynamic_slice_in_dim(x, start, length)  # noqa: E731
            units = jax.tree.map(lambda x: part(x) if eqx.is_array(x) else x, data)
            counts = start + jnp.arange(length) >= number * length

            def log_lik(flat: Float[Array, " p"]) -> Float[Array, "c k"]:
                return log_lik_of(eqx.combine(unravel(flat), held), units, points)

            return _sum(log_lik, flat, jnp.where(counts, part(omega), 0.0), probs, part(labels))

        if num_chunks == 1:
            total = of_chunk(0)
        else:
            zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(of_chunk, 0))
            total = lax.fori_loop(
                0, num_chunks, lambda k, sums: jax.tree.map(jnp.add, sums, of_chunk(k)), zero
            )
        solve = jax.vmap(solve_active, in_axes=(None, 0))
        response = jax.vmap(solve, in_axes=(0, 1), out_axes=1)(total.hess_probs, total.cross)
        hess = total.direct - jnp.einsum(
            "pgk,qgk->pq", total.cross, response, precision=lax.Precision.HIGHEST
        )
        return total.grad, 0.5 * (hess + hess.T)

    if num_points is not None:
        return derivatives(lax.top_k(solved.mass, num_points)[1], flat, solved)
    return on_active(derivatives, solved.mass, expansion_work(num_units, flat.size), flat, solved)


def expansion_work(num_units: int, num_params: int) -> int:
    """Number of units whose gradient is as much work as the Hessian of these.

    A column takes about half a gradient where there are few: see the page on `fit`.
    """
    return -(-num_units * num_params // 2)


def _sum(
    log_lik_at: Any,
    flat: Float[Array, " p"],
    omega: Float[Array, " c"],
    probs: Float[Array, "g k"],
    labels: Int[Array, " c"],
) -> _Sums:
    """The sums over some units."""
    own = probs[labels]
    member = labels[:, None] == jnp.arange(probs.shape[0])[None, :]
    member = jnp.where(member, omega[:, None], 0.0)

    def first(flat: Float[Array, " p"]) -> tuple[tuple[Array, Array], Array]:
        log_lik, pull = jax.vjp(log_lik_at, flat)
        inside = jnp.where(own > 0, log_lik, -jnp.inf)
        shift = lax.stop_gradient(jnp.max(inside, axis=1))
        lik = jnp.exp(inside - jnp.where(jnp.isfinite(shift), shift, 0.0)[:, None])
        mix = jnp.sum(lik * own, axis=1)
        # Zero only for units without weight.
        ratios = lik / jnp.where(mix > 0, mix, 1.0)[:, None]
        return (pull(-omega[:, None] * own * ratios)[0], product(member.T, ratios)), ratios

    (grad, _), push, ratios = jax.linearize(first, flat, has_aux=True)
    direct, cross = lax.map(push, jnp.eye(flat.size, dtype=flat.dtype))
    hess_probs = jax.vmap(lambda omega: product(ratios.T, omega[:, None] * ratios), in_axes=1)(
        member
    )
    return _Sums(grad, direct, cross, hess_probs)
