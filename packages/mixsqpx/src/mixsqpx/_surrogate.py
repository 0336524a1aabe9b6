"""What a step minimises in place of the objective, whose every value would take a pass.

A pass tells the gradient, the Hessian of a working set, and the units that are explained worst. A
sample of the rows tells the rest, roughly: how the Hessian changes on the way, which a quadratic
does not. So the surrogate is the objective on the sample, corrected by a linear and a quadratic
term so that its gradient and Hessian where the pass was made are those of the whole. Its error is
that of the sample in the third derivatives, and where they are large, at the units explained worst,
there is none.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from ._hessian import ROUGH_RIDGE, with_ridge
from ._line_search import SUFFICIENT_DECREASE
from ._problem import MixProblem
from ._product import product
from ._qp import solve_qp
from ._sweep import Telling

# The surrogate is minimised to this part of the slopes at its start, in so many steps at most.
_SHARE, _MAX_STEPS = 1e-4, 20
# Multipliers of a quadratic program are solved for to this part of the largest slope.
_QP_TOL = 1e-3
_LENGTHS = tuple(0.5**i for i in range(12))


class Surrogate(eqx.Module):
    """The objective as far as it is known, to second order at `probs`.

    `sample` stands for all units, with gradient and Hessian off by `linear` and, for the components
    `members`, by `bend`. That may be left from other proportions; `precision` is that of the terms
    of the Hessian.
    """

    sample: MixProblem
    probs: Float[Array, " m"]
    linear: Float[Array, " m"]
    members: Int[Array, " k"]
    bend: Float[Array, "k k"]
    precision: np.dtype = eqx.field(static=True)


@jax.jit
def with_telling(
    sample: MixProblem, share: Float[Array, ""], telling: Telling, probs: Float[Array, " m"]
) -> MixProblem:
    """The units that a pass brought back, each for itself, and the sample for all others.

    A unit of the sample that would belong to the first must not stand for others. `share` is that
    of the sample in the weights of all units.
    """
    scores = share * sample.weights / sample.mixture(probs)
    weights = jnp.where(scores < jnp.min(telling.scores), sample.weights, 0.0)
    return MixProblem(
        jnp.concatenate([sample.lik, jnp.exp(telling.log_lik.T)], axis=1),
        jnp.concatenate([sample.row_max, jnp.zeros_like(telling.weights)]),
        jnp.concatenate([weights, telling.weights]),
    )


@jax.jit
def linear_term(
    sample: MixProblem, probs: Float[Array, " m"], gradient: Float[Array, " m"]
) -> Float[Array, " m"]:
    """What the gradient of the sample lacks."""
    return gradient - sample.gradient(sample.mixture(probs))


@jax.jit
def quadratic_term(
    sample: MixProblem,
    probs: Float[Array, " m"],
    members: Int[Array, " k"],
    hess: Float[Array, "k k"],
) -> Float[Array, "k k"]:
    """What the Hessian of the sample lacks."""
    return hess - _hessian(sample, sample.lik[members], sample.mixture(probs))


class _State(NamedTuple):
    """An iterate: masses of the members; `slope` is the largest that a step could make use of."""

    mass: Float[Array, " k"]
    mix_lik: Float[Array, " s"]
    gradient: Float[Array, " k"]
    slope: Float[Array, ""]
    num_steps: Int[Array, ""]


@jax.jit
def minimise(surrogate: Surrogate) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    """Minimiser over the masses of the members, scaled to the simplex, and the gradient there.

    That of the other components is that at the start, as nothing is known of their curvature.
    """
    sample, members, bend = surrogate.sample, surrogate.members, surrogate.bend
    lik, start = sample.lik[members], surrogate.probs[members]
    part = MixProblem(lik, sample.row_max, sample.weights)

    def at(mass: Array, mix_lik: Array, num_steps: Array) -> _State:
        gradient = part.gradient(mix_lik) + surrogate.linear[members]
        gradient = gradient + product(bend, mass - start)
        slopes = jnp.where(mass > 0, jnp.abs(gradient), -gradient)
        return _State(mass, mix_lik, gradient, jnp.max(slopes), num_steps)

    def improve(state: _State) -> _State:
        hess = _hessian(sample, lik, state.mix_lik) + bend
        hess = _damped(hess, surrogate.precision)
        target = solve_qp(hess, state.gradient, state.mass, _QP_TOL * state.slope)
        step = target - state.mass
        change = jnp.where(sample.weights > 0, product(step, lik), 0.0)
        # The surrogate along the step, less its value at the start: a t + b t²/2 - Σ ω log(1 + t c)
        relative = change / state.mix_lik
        linear = jnp.sum(step * (1.0 + state.gradient - part.gradient(state.mix_lik)))
        quadratic = jnp.sum(step * product(bend, step))
        lengths = jnp.asarray(_LENGTHS, lik.dtype)
        logs = jnp.stack([
            jnp.sum(sample.weights * jnp.log1p(length * relative)) for length in _LENGTHS
        ])  # fmt: skip
        changes = linear * lengths + 0.5 * quadratic * lengths**2 - logs
        rounding = 4 * float(jnp.finfo(lik.dtype).eps)
        slope = jnp.sum(step * state.gradient)
        enough = changes <= SUFFICIENT_DECREASE * slope * lengths + rounding
        length = lengths[jnp.argmax(enough)]
        mass = jnp.where(length == 1, target, state.mass + length * step)
        new = at(mass, state.mix_lik + length * change, state.num_steps + 1)
        usable = jnp.any(enough) & jnp.isfinite(new.slope)
        last = state._replace(num_steps=jnp.asarray(_MAX_STEPS))
        return jax.tree.map(lambda a, b: jnp.where(usable, a, b), new, last)

    first = at(start, sample.mixture(surrogate.probs), jnp.asarray(0))
    state = lax.while_loop(
        lambda state: (state.num_steps < _MAX_STEPS) & (state.slope > _SHARE * first.slope),
        improve,
        first,
    )
    probs = surrogate.probs.at[members].set(state.mass)
    before = sample.gradient(first.mix_lik) + surrogate.linear
    return probs / jnp.sum(probs), before.at[members].set(state.gradient)


def _hessian(
    sample: MixProblem, lik: Float[Array, "k s"], mix_lik: Float[Array, " s"]
) -> Float[Array, "k k"]:
    scaled = lik * (jnp.sqrt(sample.weights) / mix_lik)[None, :]
    return product(scaled, scaled.T)


def _damped(hess: Float[Array, "k k"], precision: np.dtype) -> Float[Array, "k k"]:
    """With the ridge that a Hessian gets whose terms are in this precision."""
    eps = float(jnp.finfo(precision).eps)
    ridge = eps ** (2 / 3) if hess.dtype == precision else ROUGH_RIDGE
    return with_ridge(hess, ridge, eps)
