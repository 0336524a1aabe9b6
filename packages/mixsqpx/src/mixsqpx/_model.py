"""What mixSQP keeps of a step for the next."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

from ._solver import MixState


class Model(eqx.Module):
    """The quadratic model of a step, for the next.

    `hess` is the damped Hessian of the first components of `order`, as many as the rung of the
    ladder says, or of all as they come; what else it holds has no meaning. The next step can do
    with it if neither the violation nor a slope is above `holds_below`.
    """

    hess: Float[Array, "k k"]
    order: UInt32[Array, " m"]
    rung: Int[Array, ""]
    holds_below: Float[Array, ""]


def can_reuse(state: MixState) -> Bool[Array, ""]:
    """Whether the step from a state may take over the model of the last."""
    small = jnp.maximum(state.violation, state.slope) <= state.model.holds_below
    return (state.num_steps >= 0) & small


def not_holding(model: Model | None, where: bool | Bool[Array, ""] = True) -> Model | None:
    """A model that is not to be taken over, under a condition."""
    if model is None:
        return None
    below = jnp.where(where, -1.0, model.holds_below)
    return eqx.tree_at(lambda model: model.holds_below, model, below)
