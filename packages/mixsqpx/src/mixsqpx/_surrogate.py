"""What a pass said of the objective, with a sample of the rows for what it did not say."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from ._hessian import damped, undamped_hessian
from ._problem import MixProblem
from ._product import product
from ._qp import solve_qp

# Steps on the surrogate, and the part of the violation at its start to which it is minimised.
_MAX_STEPS = 20
_SHARE = 1e-4
_LENGTHS = tuple(0.5**i for i in range(12))


class Knowledge(eqx.Module):
    """What is known of the objective at a point: the whole gradient, and H of some components.

    H is that of the sample plus `correction`, which may be left from another point; its terms were
    taken in `precision`.
    """

    probs: Float[Array, " m"]
    gradient: Float[Array, " m"]
    members: Int[Array, " k"]
    correction: Float[Array, "k k"]
    precision: np.dtype = eqx.field(static=True)


class _State(NamedTuple):
    mass: Float[Array, " k"]
    mix_lik: Float[Array, " s"]
    gradient: Float[Array, " k"]
    violation: Float[Array, ""]
    step: Int[Array, ""]


@jax.jit
def minimise(sample: MixProblem, known: Knowledge) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    """Minimiser of the surrogate over the masses of some components, and its gradient over all.

    The surrogate is the objective on the sample, plus a linear and a quadratic term that give it
    the gradient of the whole at one point and the Hessian of the members. So what is left to the
    sample are the third derivatives and the second ones of other components.
    """
    lik = sample.lik[known.members]
    part = MixProblem(lik, sample.row_max, sample.weights)
    start = known.probs[known.members]
    at_start = sample.mixture(known.probs)
    linear_of_all = known.gradient - sample.gradient(at_start)
    linear = linear_of_all[known.members]

    def evaluate(mass: Array, mix_lik: Array, step: Array) -> _State:
        turned = product(known.correction, mass - start)
        gradient = part.gradient(mix_lik) + linear + turned
        slopes = jnp.where(mass > 0, jnp.abs(gradient), -gradient)
        return _State(mass, mix_lik, gradient, jnp.max(slopes), step)

    def improve(state: _State) -> _State:
        root = jnp.sqrt(sample.weights) / state.mix_lik
        hess = undamped_hessian(part, slice(None), root, lik.dtype) + known.correction
        tol = 1e-3 * state.violation
        target = solve_qp(damped(hess, known.precision), state.gradient, state.mass, tol)
        step = target - state.mass
        change = jnp.where(sample.weights > 0, product(step, lik), 0.0)
        relative = change / state.mix_lik
        turned = product(known.correction, step)
        slope = jnp.sum(step * (state.gradient - part.gradient(state.mix_lik) + 1.0))
        bend = jnp.sum(step * turned)

        def gain(length: float) -> Array:
            """Change of the surrogate, exact but for rounding."""
            logs = jnp.sum(sample.weights * jnp.log1p(length * relative))
            return length * slope + 0.5 * length**2 * bend - logs

        changes = jnp.stack([gain(length) for length in _LENGTHS])
        changes = jnp.where(jnp.isfinite(changes), changes, jnp.inf)
        # The longest that does it: shorter ones are for a quadratic that does not hold.
        enough = changes <= 1e-2 * jnp.asarray(_LENGTHS) * jnp.sum(step * state.gradient) + 1e-15
        best = jnp.argmax(enough)
        length = jnp.where(enough[best], jnp.asarray(_LENGTHS)[best], 0.0)
        mass = jnp.where(length == 1, target, state.mass + length * step)
        new = evaluate(mass, state.mix_lik + length * change, state.step + 1)
        usable = (length > 0) & jnp.isfinite(new.violation)
        ended = state._replace(step=jnp.asarray(_MAX_STEPS))
        return jax.tree.map(lambda a, b: jnp.where(usable, a, b), new, ended)

    first = evaluate(start, at_start, jnp.asarray(0))
    goal = _SHARE * first.violation
    last = lax.while_loop(
        lambda state: (state.step < _MAX_STEPS) & (state.violation > goal), improve, first
    )
    probs = known.probs.at[known.members].set(last.mass)
    gradient = known.gradient.at[known.members].set(last.gradient)
    return probs / jnp.sum(probs), gradient


@jax.jit
def correction(
    sample: MixProblem,
    probs: Float[Array, " m"],
    members: Int[Array, " k"],
    hess: Float[Array, "k k"],
) -> Float[Array, "k k"]:
    """Difference of a Hessian of some components to that of the sample."""
    root = jnp.sqrt(sample.weights) / sample.mixture(probs)
    return hess - undamped_hessian(sample, members, root, hess.dtype)
