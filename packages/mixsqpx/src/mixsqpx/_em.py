"""The EM algorithm, for comparison and for starts."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from ._problem import MixProblem
from ._solver import AbstractMixSolver, MixState, as_python, evaluate, excess, unevaluated


class EM(AbstractMixSolver):
    """Expectation maximisation: p ∘ (1 - g), one gradient a step, linear convergence at best.

    It starts from equal proportions unless `init` says otherwise, and a component that starts at
    zero stays there: an `init` without the components of the optimum cannot converge, and is
    reported so.

    Attributes
    ----------
    gap_tol : float or None
        See `AbstractMixSolver`; here 1e-4 by default, which takes thousands of steps. What it
        stands for as None may take more than the 100 000 that are the limit by default.

    Examples
    --------
    >>> import jax.numpy as jnp, mixsqpx
    >>> log_lik = jnp.log(jnp.array([[1.0, 0.4], [0.2, 1.0], [1.0, 0.5]]))
    >>> solution = mixsqpx.mixsolve(log_lik, solver=mixsqpx.EM())
    >>> bool(solution.gap <= 1e-4)
    True
    """

    gap_tol: float | None = eqx.field(default=1e-4, static=True, converter=as_python)
    starts_anywhere: ClassVar[bool] = False
    usual_max_steps: ClassVar[int] = 100_000
    looks_at_tol: ClassVar[bool] = True

    def init(self, problem: MixProblem, init: Float[Array, " m"] | None) -> MixState:
        """First iterate: equal proportions, or `init`."""
        if init is None:
            m = problem.shape[1]
            init = jnp.full((m,), 1.0 / m, problem.lik.dtype)
        return unevaluated(problem, init, num_early=1)

    def resume(self, problem: MixProblem, state: MixState) -> MixState:
        """First iterate: the last one of another problem."""
        return self.init(problem, state.probs)

    def first_point(
        self,
        log_lik: Float[np.ndarray, "n m"],
        weights: Float[np.ndarray, " n"] | None,
    ) -> Float[np.ndarray, " m"]:
        """Equal proportions."""
        del weights
        return np.full(log_lik.shape[1], 1 / log_lik.shape[1])

    def no_model(
        self, num_units: int, num_components: int, dtype: DTypeLike, rung: int | None = None
    ) -> None:
        """Nothing is ever kept."""
        del num_units, num_components, dtype, rung

    def sizes(self, num_units: int, num_components: int) -> tuple[int, ...]:
        """All components, always."""
        del num_units
        return (num_components,)

    def choose(self, problem: MixProblem, state: MixState) -> Int[Array, ""]:
        """The only size."""
        del problem, state
        return jnp.asarray(0, jnp.int32)

    def step(self, problem: MixProblem, state: MixState, rung: int | None = None) -> MixState:
        """One EM step, renormalised against the drift of rounding; at first only the gradient.

        At the optimum the components are left out that EM would take forever to drive to zero.
        """
        del rung
        dtype = state.probs.dtype
        slack = max(self.resolve_gap_tol(dtype), 0.0) ** 0.5
        known = jnp.isfinite(state.violation)
        optimal = state.gap <= self.resolve_gap_tol(dtype)
        out = excess(state.probs, state.gradient, slack) > 0
        probs = jnp.where(known & optimal & out, 0.0, state.probs * (1.0 - state.gradient))
        probs = probs / jnp.sum(probs)
        stalled = known & jnp.all(probs == state.probs)
        return MixState(
            **evaluate(problem, probs, problem.mixture(probs), slack),
            num_steps=state.num_steps + 1,
            num_stalled=jnp.where(stalled, state.num_stalled + 1, 0),
            record=state.record,
            inexact=state.inexact,
        )
