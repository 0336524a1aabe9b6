"""The EM algorithm, for comparison and for starts."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._problem import MixProblem
from ._solver import AbstractMixSolver, MixState, state_at


class EM(AbstractMixSolver):
    """Expectation maximisation: p ∘ (1 - g), one gradient a step, linear convergence at best.

    It starts from equal proportions unless `init` says otherwise, and a component that starts at
    zero stays there: an `init` without the components of the optimum cannot converge, and is
    reported so. Expect to raise `max_steps`.

    Attributes
    ----------
    gap_tol : float or None
        See `AbstractMixSolver`.
    """

    gap_tol: float | None = None
    starts_anywhere: ClassVar[bool] = False

    def init(self, problem: MixProblem, init: Float[Array, " m"] | None) -> MixState:
        """First iterate: equal proportions, or `init`."""
        if init is None:
            m = problem.shape[1]
            init = jnp.full((m,), 1.0 / m, problem.lik.dtype)
        return state_at(problem, init, problem.mixture(init))

    def step(self, problem: MixProblem, state: MixState) -> MixState:
        """One EM step, renormalised against the drift of rounding."""
        probs = state.probs * (1.0 - state.gradient)
        probs = probs / jnp.sum(probs)
        new = state_at(problem, probs, problem.mixture(probs))
        stalled = jnp.where(jnp.all(probs == state.probs), state.num_stalled + 1, 0)
        return eqx.tree_at(
            lambda s: (s.num_steps, s.num_stalled), new, (state.num_steps + 1, stalled)
        )
