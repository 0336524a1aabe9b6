"""mixSQP: sequential quadratic programs on a working set of components."""

from functools import partial
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from ._hessian import damped_hessian
from ._ladder import ladder, rung_for
from ._line_search import line_search
from ._model import Model, can_reuse, not_holding
from ._problem import MixProblem
from ._qp import solve_qp
from ._solver import AbstractMixSolver, MixState, as_python, iterate, unevaluated
from ._start import (
    COARSE_GAP,
    COARSE_STEPS,
    COARSENING,
    every,
    num_levels,
    rough_start,
    rough_start_on_host,
)

# Multipliers of a quadratic program are solved for to a part of the largest violation, v: to v
# itself within these bounds. Far from the optimum the quadratic is not worth more.
_QP_FINEST, _QP_COARSEST = 1e-3, 0.1
# Candidates that a working set should hold besides the positive components.
MIN_CANDIDATES = 4
# First of two sizes of working sets: enough for most optima on a grid, with candidates.
_FIRST_OF_TWO = 24
# First of more sizes: the Hessian of 40 components takes longer than the rest of a step only where
# there are many units. Where there are not, a smaller size is not worth compiling.
_FIRST, _FIRST_OF_FEW, _MANY_UNITS = 16, 40, 4000
# Above this violation H is formed in single precision, two to three times as fast. Below it, the
# small eigenvalues of H matter, and single precision costs steps.
_ROUGH_ABOVE = 1e-4
# A step that brought the violation down to a tenth leaves its Hessian to the next: it has hardly
# changed since. That pays where the Hessian of k components, n k² multiplications, takes some time,
# and far more than a gradient, n m, and where copies of it take far less.
_MODEL_HOLDS = 0.1
_MUCH_WORK = 5_000_000
_FAR_MORE, _FAR_LESS = 8, 20


class MixSQP(AbstractMixSolver):
    """Sequential quadratic programming on a working set, after Kim et al. (2020).

    Where it differs from the R package: the Hessian is formed on a working set of components, which
    grows up a ladder of sizes to all of them, in single precision far from the optimum, and not
    anew after a step that hardly changed it; convergence is judged by the optimality gap over all
    components; nothing is added to the mixture likelihoods; the matrix is not replaced by one of
    low rank; the first iterates come from EM and quadratic programs on a subsample of the rows; the
    programs may take in and drop several components at once.

    Attributes
    ----------
    gap_tol : float or None
        See `AbstractMixSolver`.

    Examples
    --------
    >>> import jax.numpy as jnp, mixsqpx
    >>> log_lik = jnp.log(jnp.array([[1.0, 0.4], [0.2, 1.0], [1.0, 0.5]]))
    >>> solver = mixsqpx.MixSQP(gap_tol=1e-4)
    >>> bool(mixsqpx.mixsolve(log_lik, solver=solver).gap <= 1e-4)
    True
    """

    gap_tol: float | None = eqx.field(default=None, static=True, converter=as_python)
    starts_anywhere: ClassVar[bool] = True
    looks_at_tol: ClassVar[bool] = False

    def init(self, problem: MixProblem, init: Float[Array, " m"] | None) -> MixState:
        """First iterate: `init`, or a few EM steps and the optimum of a subsample of the rows."""
        if init is not None:
            return unevaluated(problem, init, num_early=1, model=self._none(problem))
        stride = COARSENING ** num_levels(problem.shape[0])
        part = every(stride, problem)
        state = unevaluated(part, rough_start(part), num_early=1, model=self._none(part))
        while stride > 1:
            state, _ = iterate(self, part, state, gap_tol=COARSE_GAP, max_steps=COARSE_STEPS)
            stride //= COARSENING
            part = every(stride, problem)
            state = self.resume(part, state)
        return state

    def resume(self, problem: MixProblem, state: MixState) -> MixState:
        """First iterate: the last one of another problem, whose Hessian the first step takes over.

        That of a sixteenth of the units, or of other weights, does for one step.
        """
        model = state.model
        if _rungs(state.mix_lik.size, state.probs.size) != _rungs(*problem.shape):
            model = self._none(problem)
        return unevaluated(problem, state.probs, num_early=1, model=model)

    def first_point(
        self,
        log_lik: Float[np.ndarray, "n m"],
        weights: Float[np.ndarray, " n"] | None,
    ) -> Float[np.ndarray, " m"]:
        """A few EM steps."""
        return rough_start_on_host(log_lik, weights)

    def no_model(
        self, num_units: int, num_components: int, dtype: DTypeLike, rung: int | None = None
    ) -> Model | None:
        """A model that does not hold, with room for that of a rung, or for the largest."""
        rungs = _rungs(num_units, num_components)
        rungs = rungs if rung is None else rungs[rung : rung + 1]
        room = max((size for size, is_kept in rungs if is_kept), default=0)
        if not room:
            return None
        return Model(
            hess=jnp.zeros((room, room), dtype),
            order=jnp.arange(num_components, dtype=jnp.uint32),
            rung=jnp.asarray(0, jnp.int32),
            holds_below=jnp.asarray(-1.0, dtype),
        )

    def _none(self, problem: MixProblem) -> Model | None:
        return self.no_model(*problem.shape, problem.lik.dtype)

    def sizes(self, num_units: int, num_components: int) -> tuple[int, ...]:
        """The ladder of sizes of working sets."""
        return tuple(size for size, _ in _rungs(num_units, num_components))

    def choose(self, problem: MixProblem, state: MixState) -> Int[Array, ""]:
        """The smallest rung that holds all positive components and some of the candidates.

        Proportions outside the working set are always zero, therefore. Or the rung of the last
        step, with its Hessian.
        """
        rungs = _rungs(*problem.shape)
        most = MIN_CANDIDATES + state.num_active // 10
        wanted = state.num_active + jnp.minimum(state.num_candidates, most)
        rung = rung_for(wanted, tuple(size for size, _ in rungs))
        if state.model is None:
            return rung
        return jnp.where(can_reuse(state), state.model.rung, rung)

    def step(self, problem: MixProblem, state: MixState, rung: int | None = None) -> MixState:
        """One quadratic program on a working set, and a line search (Kim et al., algorithm 1).

        An early step goes nowhere, and evaluates the state: a program of its own would take long to
        compile.
        """
        rungs = _rungs(*problem.shape)
        choices = range(len(rungs)) if rung is None else [rung]
        chosen = self.choose(problem, state) if rung is None else jnp.asarray(0, jnp.int32)
        branches = [_same, *(partial(_subproblem, rungs=rungs, rung=i) for i in choices)]
        branch = jnp.where(state.num_steps < 0, 0, 1 + chosen)
        target, model, reused = lax.switch(branch, branches, problem, state)
        return line_search(problem, state, target, model, reused)


def _rungs(num_units: int, num_components: int) -> list[tuple[int, bool]]:
    """Sizes of working sets, and whether Hessians of that size are kept for the next step."""
    n, m = num_units, num_components
    least, most = max(_MUCH_WORK / n, _FAR_MORE * m), n * m / _FAR_LESS
    first = _FIRST if n > _MANY_UNITS else _FIRST_OF_FEW
    sizes = ladder(n, m, first_of_two=_FIRST_OF_TWO, first=first)
    return [(k, least <= k**2 <= most) for k in sizes]


def _same(
    _: MixProblem, state: MixState
) -> tuple[Float[Array, " m"], Model | None, Bool[Array, ""]]:
    """No step. A model that there is already is that of another problem, and does for one step."""
    model = state.model
    if model is not None:
        below = jnp.where(model.holds_below >= 0, jnp.inf, model.holds_below)
        model = eqx.tree_at(lambda model: model.holds_below, model, below)
    return state.probs, model, jnp.asarray(False)


def _score(state: MixState) -> Float[Array, " m"]:
    """Priority for the working set: positive components, peaks of the violation, the violation.

    Components usually come from a grid, and the violation -g is smooth along it: its peaks are
    where new mass belongs, and would otherwise lose to the neighbours of the highest one. For
    columns in no order this is a random choice among violators.
    """
    violation = -state.gradient
    before = jnp.concatenate([violation[:1], violation[:-1]])
    after = jnp.concatenate([violation[1:], violation[-1:]])
    is_peak = (violation > 0) & (violation >= before) & (violation >= after)
    score = jnp.where(is_peak, violation + state.violation, violation)
    return jnp.where(state.probs > 0, jnp.inf, score)


def _subproblem(
    problem: MixProblem, state: MixState, *, rungs: list[tuple[int, bool]], rung: int
) -> tuple[Float[Array, " m"], Model | None, Bool[Array, ""]]:
    """Minimiser of the quadratic model on a working set; the model; whether it is the last one."""
    size, is_kept = rungs[rung]
    members, probs, gradient = slice(None), state.probs, state.gradient
    reused = jnp.asarray(False)
    if is_kept:
        reused = can_reuse(state) & (state.model.rung == rung)
    order = jnp.arange(state.probs.size, dtype=jnp.uint32)
    if size < state.probs.size:
        score = -_score(state)
        if is_kept:
            # The place of each component in the order of the last step.
            place = jnp.zeros_like(score).at[state.model.order].set(order.astype(score.dtype))
            score = jnp.where(reused, place, score)
        sorted_by_score = lax.sort((score, order, probs, gradient), num_keys=1)
        order = sorted_by_score[1]
        members, probs, gradient = (values[:size] for values in sorted_by_score[1:])
    worst = state.violation
    rough = (worst > _ROUGH_ABOVE) & ~state.inexact
    scale = jnp.sqrt(problem.weights) / state.mix_lik
    new = partial(damped_hessian, problem, members, scale, rough)
    if is_kept:
        kept = state.model.hess
        hess = lax.cond(reused, lambda: kept[:size, :size], new)
        kept = kept.at[:size, :size].set(hess)
        model = Model(kept, order, jnp.asarray(rung, jnp.int32), _MODEL_HOLDS * worst)
    else:
        hess = new()
        model = not_holding(state.model)
    tol = worst * jnp.clip(worst, _QP_FINEST, _QP_COARSEST)
    # There is no mass outside of the working set.
    found = solve_qp(hess, gradient, probs, tol)
    target = state.probs.at[members].set(found, mode="promise_in_bounds", unique_indices=True)
    return target, model, reused
