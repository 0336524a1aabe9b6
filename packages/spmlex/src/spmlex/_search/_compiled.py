"""The search for the parameters inside a compiled function, for many problems that are alike."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import optimistix as optx
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PyTree

from mixsqpx import RESULTS as MIX_RESULTS

from .._profile import Profile
from ._driver import small_gradient
from ._newton import TrustRegionNewton


class Optimum(NamedTuple):
    """Where a compiled search ended.

    Attributes
    ----------
    params : PyTree
        The parameters.
    profile : Profile
        Value and distribution there.
    hess : Float[Array, "p p"]
        Hessian of the mean there.
    successful : Bool[Array, ""]
        Whether the gradient is small, and the inner optimum certified.
        Where the minimiser gives up at rounding, it is small if that of a fit would be.
    num_steps : Int[Array, ""]
        Of the minimiser.
    """

    params: PyTree
    profile: Profile
    hess: Float[Array, "p p"]
    successful: Bool[Array, ""]
    num_steps: Int[Array, ""]


def optimise(
    problem: Any,
    params: PyTree,
    minimiser: TrustRegionNewton,
    max_steps: int,
) -> Optimum:
    """Newton's method from `params`, each inner solve starting where the last one ended.

    Parameters
    ----------
    problem : Problem, or what is called and has an `init` like one
    params : PyTree
        Where to start.
    minimiser : TrustRegionNewton
    max_steps : int

    Returns
    -------
    Optimum
    """
    struct, aux_struct = eqx.filter_eval_shape(problem, params)
    state = minimiser.init(problem, params, None, {}, struct, aux_struct, frozenset())
    dynamic, static = eqx.partition(state, eqx.is_array)

    def proceeds(carry: tuple) -> Bool[Array, ""]:
        _, _, done, count = carry
        return ~done & (count < max_steps)

    def step(carry: tuple) -> tuple:
        params, dynamic, _, count = carry
        state = eqx.combine(dynamic, static)
        here = problem
        if problem.init is not None:
            init = jnp.where(state.first, problem.init, state.local.aux.probs)
            here = eqx.tree_at(lambda p: p.init, problem, init)
        params, state, _ = minimiser.step(here, params, None, {}, state, frozenset())
        done, result = minimiser.terminate(here, params, None, {}, state, frozenset())
        done = done | (result != optx.RESULTS.successful)
        return params, eqx.filter(state, eqx.is_array), done, count + 1

    start = (params, dynamic, jnp.array(False), jnp.array(0))
    params, dynamic, done, count = lax.while_loop(proceeds, step, start)
    state = eqx.combine(dynamic, static)
    local = state.local
    converged = state.terminate & (state.result == optx.RESULTS.successful)
    small = jnp.all(jnp.abs(state.scaled) <= small_gradient(state.scaled.dtype))
    converged = converged | (done & small)
    certified = local.aux.result == MIX_RESULTS.successful
    return Optimum(params, local.aux, local.hess, converged & certified, count)
