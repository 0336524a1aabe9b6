"""From a target to the next iterate: Armijo's rule, and cover for units without likelihood."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from ._model import Model, not_holding
from ._problem import MixProblem
from ._product import inner
from ._reductions import sums
from ._solver import MixState, evaluate

# A unit is unexplained at less than this of the bound in `_cover`.
SHORT = 0.3
# Armijo's constant and the shortest step: the defaults of the R package.
SUFFICIENT_DECREASE = 0.01
MIN_STEP = 1e-8


def line_search(
    problem: MixProblem,
    state: MixState,
    target: Float[Array, " m"],
    model: Model | None,
    reused: Bool[Array, ""],
) -> MixState:
    """Halve the step to the target until Armijo's condition holds; then cover, and rescale."""
    target_lik = problem.mixture(target)
    step = target - state.probs
    whole, mass, slope = sums(target, step, state.gradient * step)
    relative = (target_lik - state.mix_lik) / state.mix_lik
    rounding = 4 * float(jnp.finfo(step.dtype).eps)  # of a change or a slope

    def too_long(carry: tuple[Float[Array, ""], Float[Array, ""]]) -> Bool[Array, ""]:
        length, change = carry
        enough = change <= SUFFICIENT_DECREASE * length * slope + rounding
        return ~enough & (length > MIN_STEP)

    def halve(
        carry: tuple[Float[Array, ""], Float[Array, ""]],
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        length = carry[0] / 2
        return length, length * mass - inner(problem.weights, jnp.log1p(length * relative))

    # An early step, whose mixture nobody knows yet, needs no trial.
    start = jnp.where(state.num_steps < 0, 0.0, jnp.inf).astype(slope.dtype)
    start = (jnp.full_like(slope, 2.0), start)
    length, change = lax.while_loop(too_long, halve, start)
    usable = (length > MIN_STEP) & jnp.isfinite(change)
    # The full step is the target itself, with its exact zeros.
    full = length >= 1
    # Dividing by the total minimises the objective along the ray.
    total = whole - (1 - jnp.minimum(length, 1.0)) * mass
    probs = jnp.where(full, target, state.probs + length * step) / total
    mix_lik = jnp.where(full, target_lik, state.mix_lik * (1 + length * relative)) / total
    probs = jnp.where(usable, probs, state.probs)
    mix_lik = jnp.where(usable, mix_lik, state.mix_lik)
    probs, mix_lik, covered = _cover(problem, probs, mix_lik)
    new = evaluate(problem, probs, mix_lik, rounding)
    # Where rounding is all that is left, some step or other lowers the objective for ever. It says
    # nothing of a violation above that: units of little weight move it by less than rounding.
    lower = usable & (change < 0) & (new["violation"] > rounding)
    better = lower | (new["violation"] < state.record)
    # The quadratic program left no slope at the components it gave mass; new ones may violate, but
    # not by as much. A Hessian in single precision may have no factors: such a step goes nowhere.
    exact = (new["slope"] < 0.5 * state.violation) & (new["violation"] < 0.9 * state.violation)
    inexact = (state.num_steps >= 0) & ~reused & ~exact
    return MixState(
        **new,
        num_steps=state.num_steps + 1,
        num_stalled=jnp.where(better, 0, state.num_stalled + 1),
        record=jnp.minimum(new["violation"], state.record),
        inexact=inexact,
        # The working set of the model does not hold the components of the cover.
        model=not_holding(model, covered),
    )


def _cover(
    problem: MixProblem, probs: Float[Array, " m"], mix_lik: Float[Array, " n"]
) -> tuple[Float[Array, " m"], Float[Array, " n"], Bool[Array, ""]]:
    """Give mass ωᵢ to the best component of each unit i that the proportions hardly explain.

    At the optimum uᵢ >= ωᵢ, since gⱼ >= 0 at the best component, where aᵢⱼ is one. Far below that
    bound the quadratic model of -log uᵢ says nothing, Newton's method crawls (each step doubles
    uᵢ), and the Hessian may overflow. At less than 0.3 of the bound the added mass pays for itself:
    the unit gains ωᵢ log(1 + 1/0.3) = 1.47 ωᵢ, and the others lose ωᵢ at most. The last result is
    whether there was such a unit.
    """

    def short(mix_lik: Float[Array, " n"]) -> Bool[Array, " n"]:
        return mix_lik < SHORT * problem.weights

    lacking = inner(problem.weights, short(mix_lik).astype(mix_lik.dtype))

    def add(
        probs: Float[Array, " m"], mix_lik: Float[Array, " n"]
    ) -> tuple[Float[Array, " m"], Float[Array, " n"]]:
        best = jnp.argmax(problem.lik, axis=0)
        more = jnp.where(short(mix_lik), problem.weights, 0.0)
        probs = probs.at[best].add(more) / (1 + lacking)
        return probs, problem.mixture(probs)

    any_short = lacking > 0
    return *lax.cond(any_short, add, lambda *same: same, probs, mix_lik), any_short
