"""What is minimised: the profile likelihood as a function of the free parameters."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, Scalar

from mixsqpx import RESULTS as MIX_RESULTS
from mixsqpx import AbstractMixSolver

from .._model import Groups, as_weights, leading_length
from .._profile import Profile, expand_profile, solve_profile
from ._newton import AbstractExpandable, Expansion

# Support points of the distribution at which the first inner solve starts.
_NUM_START = 8


class Problem(AbstractExpandable):
    """Everything an evaluation needs besides the free parameters.

    `init` is where the inner solve starts: at the distribution of the last accepted model, once
    there is one.
    """

    held: PyTree
    data: PyTree
    supp: PyTree
    weights: Float[Array, " n"] | None
    groups: Groups | None
    mix_solver: AbstractMixSolver
    init: Float[Array, "m *g"] | None

    def __call__(self, params: PyTree, args: None = None) -> tuple[Scalar, Profile]:
        """Objective of a minimiser: the value, and the inner optimum as auxiliary output."""
        del args
        profile = solve_profile(
            eqx.combine(params, self.held),
            self.data,
            self.supp,
            groups=self.groups,
            weights=self.weights,
            solver=self.mix_solver,
            init=self.init,
            throw=False,
        )
        return profile.value, jax.lax.stop_gradient(profile)

    def expand(self, params: PyTree) -> Expansion:
        """The same with gradient and Hessian."""
        return self.expand_at(params, self(params)[1])

    def expand_at(
        self, params: PyTree, profile: Profile, num_points: int | None = None
    ) -> Expansion:
        """The same where the inner problem is solved; see `expand_profile`."""
        weights = as_weights(self.weights, leading_length(self.data, "data"))
        grad, hess = expand_profile(
            params, self.held, self.data, self.supp, weights, self.groups, profile, num_points
        )
        return Expansion(profile.value, grad, hess, profile)


def first_init(
    mix_solver: AbstractMixSolver, num_points: int, num_groups: int | None, dtype: Any
) -> Float[Array, "m *g"] | None:
    """Equal mass on points spread over the grid, for a solver that can leave there any point.

    The solver's own start saves some steps of this one solve, which a fit does not notice, and is
    not used: on its own it would be another program to compile, larger than the one for all others.
    """
    if not mix_solver.starts_anywhere:
        return None
    count = min(num_points, _NUM_START)
    probs = np.zeros(num_points)
    probs[np.arange(count) * (num_points - 1) // max(count - 1, 1)] = 1 / count
    if num_groups is not None:
        probs = np.tile(probs[:, None], num_groups)
    return jnp.asarray(probs, dtype)


def problem_from(profile: Profile, problem: Problem) -> Problem:
    """The problem, its next inner solve starting at the optimum of this one."""
    if problem.init is None or profile.result != MIX_RESULTS.successful:
        return problem
    return eqx.tree_at(lambda p: p.init, problem, profile.probs)


def num_active(profile: Profile) -> int:
    """Support points with mass in any group."""
    positive = np.asarray(profile.probs) > 0
    return int(np.sum(positive.reshape(positive.shape[0], -1).any(axis=1)))
