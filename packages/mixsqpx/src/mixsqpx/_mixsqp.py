"""mixSQP: sequential quadratic programs on a working set of components."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from ._hessian import damped_hessian
from ._ladder import ladder, rung_for
from ._problem import MixProblem
from ._product import inner
from ._qp import solve_qp
from ._reductions import sums
from ._solver import AbstractMixSolver, MixState, as_python, evaluate, iterate, unevaluated
from ._start import (
    COARSE_GAP,
    COARSE_STEPS,
    COARSENING,
    every,
    num_levels,
    rough_start,
    rough_start_on_host,
)

# A unit is unexplained at less than this of the bound in `_cover`.
_SHORT = 0.3
# Multipliers of a quadratic program are solved for to a part of the largest violation, v: to v
# itself within these bounds. Far from the optimum the quadratic is not worth more.
_QP_FINEST, _QP_COARSEST = 1e-3, 0.1
# Candidates that a working set should hold besides the positive components.
MIN_CANDIDATES = 4
# First of two sizes of working sets: enough for most optima on a grid, with candidates.
_FIRST_OF_TWO = 24
# Above this violation H is formed in single precision, two to three times as fast. Below it, the
# small eigenvalues of H matter, and single precision costs steps.
_ROUGH_ABOVE = 1e-4
# A step that brought the violation down to a tenth leaves its Hessian to the next: it has hardly
# changed since. That pays where the Hessian of k components, n k² multiplications, takes some time,
# and far more than a gradient, n m, and where copies of it take far less.
_MODEL_HOLDS = 0.1
_MUCH_WORK = 5_000_000
_FAR_MORE, _FAR_LESS = 8, 20
# Armijo's constant and the shortest step: the defaults of the R package.
_SUFFICIENT_DECREASE = 0.01
_MIN_STEP = 1e-8


class _Model(eqx.Module):
    """The quadratic model of a step, for the next.

    `hess` is the damped Hessian of the first components of `order`, as many as the rung of the
    ladder says, or of all as they come; what else it holds has no meaning. The next step can do
    with it if neither the violation nor a slope is above `holds_below`.
    """

    hess: Float[Array, "k k"]
    order: Int[Array, " m"]
    rung: Int[Array, ""]
    holds_below: Float[Array, ""]


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
        likelihoods: Callable[[np.ndarray, int], np.ndarray],
        weights: Float[np.ndarray, " n"],
        num_components: int,
    ) -> Float[np.ndarray, " m"]:
        """A few EM steps."""
        return rough_start_on_host(likelihoods, weights, num_components)

    def no_model(
        self, num_units: int, num_components: int, dtype: DTypeLike, rung: int | None = None
    ) -> _Model | None:
        """A model that does not hold, with room for that of a rung, or for the largest."""
        rungs = _rungs(num_units, num_components)
        rungs = rungs if rung is None else rungs[rung : rung + 1]
        room = max((size for size, is_kept in rungs if is_kept), default=0)
        if not room:
            return None
        return _Model(
            hess=jnp.zeros((room, room), dtype),
            order=jnp.arange(num_components, dtype=jnp.int32),
            rung=jnp.asarray(0, jnp.int32),
            holds_below=jnp.asarray(-1.0, dtype),
        )

    def _none(self, problem: MixProblem) -> _Model | None:
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
        return jnp.where(_can_reuse(state), state.model.rung, rung)

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
        return _line_search(problem, state, target, model, reused)


def _can_reuse(state: MixState) -> Bool[Array, ""]:
    """Whether the step from a state may take over the model of the last."""
    small = jnp.maximum(state.violation, state.slope) <= state.model.holds_below
    return (state.num_steps >= 0) & small


def _not_holding(model: _Model | None, where: bool | Bool[Array, ""] = True) -> _Model | None:
    """A model that is not to be taken over, under a condition."""
    if model is None:
        return None
    below = jnp.where(where, -1.0, model.holds_below)
    return eqx.tree_at(lambda model: model.holds_below, model, below)


@lru_cache(maxsize=256)
def _rungs(num_units: int, num_components: int) -> list[tuple[int, bool]]:
    """Sizes of working sets, and whether Hessians of that size are kept for the next step."""
    n, m = num_units, num_components
    least, most = max(_MUCH_WORK / n, _FAR_MORE * m), n * m / _FAR_LESS
    sizes = ladder(n, m, first_of_two=_FIRST_OF_TWO)
    return [(k, least <= k**2 <= most) for k in sizes]


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
    short = mix_lik < _SHORT * problem.weights
    lacking = inner(problem.weights, short.astype(mix_lik.dtype))

    def add(
        probs: Float[Array, " m"], mix_lik: Float[Array, " n"]
    ) -> tuple[Float[Array, " m"], Float[Array, " n"]]:
        del mix_lik
        best = jnp.argmax(problem.lik, axis=0)
        probs = probs.at[best].add(jnp.where(short, problem.weights, 0.0)) / (1 + lacking)
        return probs, problem.mixture(probs)

    any_short = lacking > 0
    return *lax.cond(any_short, add, lambda *same: same, probs, mix_lik), any_short


def _same(
    _: MixProblem, state: MixState
) -> tuple[Float[Array, " m"], _Model | None, Bool[Array, ""]]:
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
) -> tuple[Float[Array, " m"], _Model | None, Bool[Array, ""]]:
    """Minimiser of the quadratic model on a working set; the model; whether it is the last one."""
    size, is_kept = rungs[rung]
    members, probs, gradient = slice(None), state.probs, state.gradient
    reused = jnp.asarray(False)
    if is_kept:
        reused = _can_reuse(state) & (state.model.rung == rung)
    order = jnp.arange(state.probs.size, dtype=jnp.int32)
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
        model = _Model(kept, order, jnp.asarray(rung, jnp.int32), _MODEL_HOLDS * worst)
    else:
        hess = new()
        model = _not_holding(state.model)
    tol = worst * jnp.clip(worst, _QP_FINEST, _QP_COARSEST)
    target = jnp.zeros_like(state.probs).at[members].set(solve_qp(hess, gradient, probs, tol))
    return target, model, reused


def _line_search(
    problem: MixProblem,
    state: MixState,
    target: Float[Array, " m"],
    model: _Model | None,
    reused: Bool[Array, ""],
) -> MixState:
    """Halve the step to the target until Armijo's condition holds; then cover, and rescale."""
    target_lik = problem.mixture(target)
    step = target - state.probs
    mass, slope = sums(step, state.gradient * step)
    relative = (target_lik - state.mix_lik) / state.mix_lik
    rounding = 4 * float(jnp.finfo(step.dtype).eps)  # of a change or a slope

    def too_long(carry: tuple[Float[Array, ""], Float[Array, ""]]) -> Bool[Array, ""]:
        length, change = carry
        enough = change <= _SUFFICIENT_DECREASE * length * slope + rounding
        return ~enough & (length > _MIN_STEP)

    def halve(
        carry: tuple[Float[Array, ""], Float[Array, ""]],
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        length = carry[0] / 2
        return length, length * mass - inner(problem.weights, jnp.log1p(length * relative))

    # An early step, whose mixture nobody knows yet, needs no trial.
    start = jnp.where(state.num_steps < 0, 0.0, jnp.inf).astype(slope.dtype)
    start = (jnp.full_like(slope, 2.0), start)
    length, change = lax.while_loop(too_long, halve, start)
    usable = (length > _MIN_STEP) & jnp.isfinite(change)
    # The full step is the target itself, with its exact zeros.
    full = length >= 1
    # Dividing by the total minimises the objective along the ray.
    total = jnp.where(usable, 1 + length * mass, 1.0)
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
        model=_not_holding(model, covered),
    )
