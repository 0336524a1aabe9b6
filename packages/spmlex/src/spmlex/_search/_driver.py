"""The search for the parameters, driven from the host step by step."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jax.flatten_util import ravel_pytree
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PyTree, Scalar

from mixsqpx import RESULTS as MIX_RESULTS
from mixsqpx.implicit import active_size

from .._model import leading_length
from .._profile import Profile, expansion_work
from ._newton import AbstractExpandable, Expansion, TrustRegionNewton
from ._problem import Problem, num_active, problem_from
from ._progress import Progress, Step
from ._results import RESULTS

# A fit is successful only where the largest entry of the gradient, over the curvature where that is
# known, is below this times sqrt(eps), whatever the minimiser says: 1.5e-6 in float64. Not relative
# to the value, which depends on units.
_SMALL_GRADIENT = 100.0
# Trials rejected in a row after which a minimiser that has arrived is not waited for: near the
# optimum changes of the value are rounding, and a line search that asks for more goes on for ever.
_MAX_REJECTED = 20


class _Solved(AbstractExpandable):
    """A problem at the one trial at which its inner optimum is known.

    Known on the host, too, which can then say how many support points the derivatives need: they
    are compiled for that number, instead of for all that might come up.
    """

    problem: Problem
    profile: Profile
    num_points: int = eqx.field(static=True)

    def __call__(self, params: PyTree, args: None = None) -> tuple[Scalar, Profile]:
        """What is known."""
        del params, args
        return self.profile.value, self.profile

    def expand(self, params: PyTree) -> Expansion:
        """The same with gradient and Hessian."""
        return self.problem.expand_at(params, self.profile, self.num_points)


class Found(NamedTuple):
    """Where a search ended, and how."""

    params: PyTree
    profile: Profile
    grad_norm: float
    history: dict[str, np.ndarray]
    result: RESULTS


def search(
    minimiser: optx.AbstractMinimiser,
    problem: Problem,
    params: PyTree,
    max_steps: int,
    progress: Progress,
) -> Found:
    """Drive the minimiser from the host: a step is long, and can be watched and interrupted.

    Whatever the minimiser says, it is only a success with a certified inner optimum and a small
    gradient.
    """
    params, known, rows, result = _run(minimiser, problem, params, max_steps, progress)
    if known is None:
        profile, grad = _evaluate(problem, params)
        known = _Known(profile, grad, grad)
    if result == RESULTS.successful and known.profile.result != MIX_RESULTS.successful:
        result = RESULTS.inner_problem_failed
    if result == RESULTS.successful and not known.is_small:
        result = RESULTS.gradient_not_small
    history = dict(zip(Step._fields, map(np.asarray, zip(*rows, strict=True)), strict=True))
    return Found(params, known.profile, _max_norm(known.grad), history, result)


class _Known(NamedTuple):
    """Inner optimum and gradient at an iterate.

    `scaled` is the gradient over the curvature with our own minimiser, whose Hessian is at hand,
    and the gradient itself with others.
    """

    profile: Profile
    grad: PyTree
    scaled: PyTree

    @property
    def is_small(self) -> bool:
        """Whether the gradient is that of an estimate."""
        return _max_norm(self.scaled) <= small_gradient(self.profile.value.dtype)


def small_gradient(dtype: DTypeLike) -> float:
    """Largest entry that the gradient, over the curvature, may have at an estimate."""
    return _SMALL_GRADIENT * float(jnp.finfo(dtype).eps) ** 0.5


def _run(
    minimiser: optx.AbstractMinimiser,
    problem: Problem,
    params: PyTree,
    max_steps: int,
    progress: Progress,
) -> tuple[PyTree, _Known | None, list[Step], RESULTS]:
    """All steps. Of a success with our own minimiser, inner optimum and gradient are known."""
    solves_ahead = isinstance(minimiser, TrustRegionNewton)
    here = _solve_at(problem, params, _flat(params)) if solves_ahead else problem
    state = _init(minimiser, here, params)
    rows: list[Step] = []
    while True:
        params, state, seen, step, end = _step(minimiser, here, params, state)
        profile = seen if solves_ahead else _profile_of(state, problem, params)
        grad = _gradient_of(state)
        known = None if grad is None else _Known(profile, grad, getattr(state, "scaled", grad))
        rows.append(
            Step(
                value=float(profile.value),
                grad_norm=np.nan if grad is None else _max_norm(grad),
                step=float(step),
                num_active=num_active(profile),
                gap=float(profile.gap),
            )
        )
        progress.update(rows[-1])
        if len(rows) == 1 and (end.nonfinite or not np.isfinite(seen.value)):
            return params, None, rows, RESULTS.not_finite_at_start
        arrived = known is not None and known.is_small
        if end.failed and (end.nonfinite or not arrived):
            return params, None, rows, RESULTS.minimiser_failed
        if end.done or end.failed or (arrived and _stands_still(rows)):
            return params, known if solves_ahead else None, rows, RESULTS.successful
        if len(rows) == max_steps:
            return params, None, rows, RESULTS.fit_max_steps_reached
        problem = problem_from(profile, problem)
        here = _solve_at(problem, params, state.trial) if solves_ahead else problem


def _stands_still(rows: list[Step]) -> bool:
    """Whether all of the last trials were rejected."""
    return len(rows) > _MAX_REJECTED and not any(row.step for row in rows[-_MAX_REJECTED:])


def _solve_at(problem: Problem, params: PyTree, trial: Float[Array, " p"]) -> _Solved:
    """Solve the inner problem at a trial, which is flattened."""
    profile = _profile(problem, params, trial)
    num_units = leading_length(problem.data, "data")
    num_points = active_size(
        num_active(profile), profile.mass.size, expansion_work(num_units, trial.size)
    )
    return _Solved(problem, profile, num_points)


def hessian_at(problem: Problem, params: PyTree) -> Float[Array, "p p"]:
    """Hessian at known parameters, by the program that a search solves the inner problem with."""
    return _hessian(_solve_at(problem, params, _flat(params)), params)


def _profile_of(state: Any, problem: Problem, params: PyTree) -> Profile:
    """Inner optimum at the iterate of another minimiser.

    What its step returns need not belong there: line searches of optimistix 0.1 return what the
    iterate before had, and keep that of this one; others what they looked at last.
    """
    if hasattr(state, "aux") and hasattr(state, "f_info"):
        return state.aux
    return _profile(problem, params, _flat(params))


def _gradient_of(state: Any) -> PyTree | None:
    """Gradient at the iterate, where the minimiser keeps one: ours, and some of optimistix's."""
    if hasattr(state, "grad"):
        return state.grad
    return getattr(getattr(state, "f_info", None), "grad", None)


def _max_norm(grad: PyTree) -> float:
    """Largest entry in absolute value, NaN if any is (XLA's maximum may drop a NaN on CPU)."""
    return float(np.max(np.abs(np.concatenate([np.ravel(x) for x in jax.tree.leaves(grad)]))))


def _flat(params: PyTree) -> Float[Array, " p"]:
    """Parameters in one vector, as `ravel_pytree` makes it."""
    return jnp.asarray(np.concatenate([np.ravel(x) for x in jax.tree.leaves(params)]))


@eqx.filter_jit
def _profile(problem: Problem, params: PyTree, trial: Float[Array, " p"]) -> Profile:
    return problem(ravel_pytree(params)[1](trial))[1]


@eqx.filter_jit
def _hessian(solved: _Solved, params: PyTree) -> Float[Array, "p p"]:
    return solved.expand(params).hess


@eqx.filter_jit
def _init(minimiser: optx.AbstractMinimiser, problem: AbstractExpandable, params: PyTree) -> Any:
    f_struct, aux_struct = eqx.filter_eval_shape(problem, params)
    return minimiser.init(problem, params, None, {}, f_struct, aux_struct, frozenset())


class _End(NamedTuple):
    """Whether a minimiser has ended, and how."""

    done: Bool[Array, ""]
    failed: Bool[Array, ""]
    nonfinite: Bool[Array, ""]


@eqx.filter_jit
def _step(
    minimiser: optx.AbstractMinimiser, problem: AbstractExpandable, params: PyTree, state: Any
) -> tuple[PyTree, Any, Profile, Scalar, _End]:
    new, state, profile = minimiser.step(problem, params, None, {}, state, frozenset())
    done, result = minimiser.terminate(problem, new, None, {}, state, frozenset())
    step = optx.max_norm(jax.tree.map(jnp.subtract, new, params))
    end = _End(done, result != optx.RESULTS.successful, result == optx.RESULTS.nonfinite)
    return new, state, profile, step, end


@eqx.filter_jit
def _evaluate(problem: Problem, params: PyTree) -> tuple[Profile, PyTree]:
    (_, profile), grad = jax.value_and_grad(problem, has_aux=True)(params)
    return profile, grad
