"""Solves of matrices that are seen pass by pass: a sample of the rows, and sums over all of them.

Sequential programs on a working set, as `MixSQP` solves them, where a step costs a pass over the
rows. So that few are needed, the start is the optimum of a sample of the rows, and what a step
minimises is more than a quadratic: see `_surrogate`. A pass forms the gradient over all components
and the Hessian of the working set at once; of a unit nothing is kept but its weight.
"""

from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ._fill import normalised, without_tiny
from ._host import INIT_TOL, failed, integer
from ._inputs import put
from ._mixsolve import mixsolve
from ._mixsqp import MIN_CANDIDATES, MixSQP, priority
from ._problem import MixProblem, build_problem
from ._progress import Progress
from ._solution import RESULTS, MixSolution
from ._solver import PATIENCE, excess
from ._source import RowSource
from ._surrogate import Knowledge, correction, minimise
from ._sweep import Evaluation, Weighting, sweep

# Log-likelihoods of the sample. They take some 25 bytes each until the end.
_SAMPLE_ENTRIES = 10_000_000
# The optimum of a part of the rows is off by an error of sampling that leaves a gap above this.
_SAMPLE_GAP = 1e-4
# A step from a violation v leads to about v². Above this, sums of terms in single precision are
# good enough, and take half the time.
_ROUGH_ABOVE = 1e-3
# No step is to follow, and no Hessian is formed, where v² is this part of the tolerance.
_FAR_BELOW = 0.01
# Sizes of working sets are multiples of this, so that few programs are compiled.
_ROUNDED_TO = 8
# A change of the objective, in units of rounding, that may be rounding.
_ROUNDINGS = 100
# Parts of a step that is too long.
_SHORTEST, _LONGEST = 0.1, 0.5


class _Proposal(NamedTuple):
    """Proportions to evaluate, and what their gradient is taken to be until then."""

    probs: Float[np.ndarray, " m"]
    gradient: Float[np.ndarray, " m"]


def solve_streamed(
    source: RowSource,
    weights: Float[np.ndarray, " n"] | None,
    init: Float[np.ndarray, " m"] | None,
    *,
    gap_tol: float,
    max_passes: int,
    progress: Progress,
) -> MixSolution:
    """Solve for a source of rows.

    Parameters
    ----------
    source : RowSource
    weights : Float[np.ndarray, "n"], optional
        Of any scale.
    init : Float[np.ndarray, "m"], optional
        Proportions to start from, in place of the optimum of the sample.
    gap_tol : float
        Gap over all components at which the solve has converged.
    max_passes : int
        Limit on the passes, that for the sample among them.
    progress : Progress
        Told of the passes.

    Returns
    -------
    MixSolution
        As of `mixsolve(throw=False)`; `stats` has `num_passes` besides.
    """
    log_lik, stride = source.sample(_SAMPLE_ENTRIES)
    n, m = source.num_units, source.num_components
    precise = np.dtype(jnp.result_type(float))
    fault, unit = _find_fault(weights, init)
    if fault is not None:
        return _with_passes(failed(m, precise, fault, unit), 1)
    weighting = Weighting(None if weights is None else normalised(without_tiny(weights), n), n)
    omega = None if weights is None else weights[::stride]
    tol = gap_tol if stride == 1 else max(gap_tol, _SAMPLE_GAP)
    sample, proposal = _solve_sample(log_lik, omega, tol)
    del log_lik
    if init is not None:
        proposal = proposal._replace(probs=init / np.sum(init))
    progress.end(np.nan)

    is_rough, with_hess = stride > 1 and init is None, True
    base = known = certified = None
    num_passes, num_steps, num_stalled = 1, 0, 0
    while True:
        num_passes += 1
        progress.begin(num_passes, n)
        found = sweep(
            source, weighting, proposal.probs, _working_set(*proposal),
            dtype=np.dtype(np.float32) if is_rough else precise,
            with_hess=with_hess, progress=progress,
        )  # fmt: skip
        if found.fault is not None:
            return _with_passes(failed(m, precise, found.fault, found.unit), num_passes)
        progress.end(found.gap)
        if found.is_exact and found.gap <= gap_tol:
            certified = found
            if not _is_any_left_over(found):
                break
        elif certified is not None:
            break
        if num_passes >= max_passes or num_stalled >= PATIENCE:
            break
        num_steps += 1
        if base is not None and _overshoots(base, found):
            num_stalled += 1
            proposal, is_rough, with_hess = _shorter(base, found), False, True
            continue
        num_stalled = 0 if _progresses(base, found) else num_stalled + 1
        base, known = found, _learn(sample, found, known)
        proposal = _Proposal(*map(np.asarray, minimise(sample, known)))
        expected = found.violation**2
        is_rough = is_rough and expected > _ROUGH_ABOVE
        with_hess = expected > _FAR_BELOW * gap_tol
    if certified is not None:
        found, result = certified, RESULTS.successful
    elif not np.isfinite(found.gap):
        result = RESULTS.nonfinite
    elif num_stalled < PATIENCE:
        result = RESULTS.max_passes_reached
    else:
        result = RESULTS.precision_exhausted
    counts = {"num_steps": num_steps, "num_active": np.count_nonzero(found.probs), "unit": -1}
    numbers = (found.probs, found.objective, found.gap, found.gradient)
    probs, objective, gap, gradient = (put(np.asarray(x, precise)) for x in numbers)
    stats = {name: integer(count) for name, count in counts.items()}
    return _with_passes(MixSolution(probs, objective, gap, gradient, result, stats), num_passes)


def _with_passes(solution: MixSolution, num_passes: int) -> MixSolution:
    """A solution that says how often the rows were gone through."""
    return replace(solution, stats=solution.stats | {"num_passes": integer(num_passes)})


def _find_fault(
    weights: Float[np.ndarray, " n"] | None, init: Float[np.ndarray, " m"] | None
) -> tuple[RESULTS | None, int]:
    """What is wrong with the vectors, if anything, and with which unit."""
    if weights is not None:
        valid = (weights >= 0) & (weights < np.inf)
        if not valid.all():
            return RESULTS.invalid_weights, int(np.argmin(valid))
        if not without_tiny(weights).any():
            return RESULTS.zero_weights, -1
    if init is not None and not (np.all(init >= 0) and abs(np.sum(init) - 1) <= INIT_TOL):
        return RESULTS.infeasible_init, -1
    return None, -1


def _solve_sample(
    log_lik: Float[np.ndarray, "s m"], weights: Float[np.ndarray, " s"] | None, gap_tol: float
) -> tuple[MixProblem, _Proposal]:
    """The problem of the sample, and its optimum.

    Rows that no solver can use have no weight: a pass says which is the first of all.
    """
    usable = np.isfinite(np.max(log_lik, axis=1)) & ~np.isnan(log_lik).any(axis=1)
    if weights is None and not usable.all():
        weights = np.ones(len(log_lik))
    if weights is not None:
        weights = np.where(usable, weights, 0.0)
        weights = jnp.asarray(weights if weights.any() else np.ones(len(log_lik)))
    log_lik[~usable] = 0.0
    matrix = jnp.asarray(log_lik)
    problem, _, _ = build_problem(matrix, weights)
    solution = mixsolve(matrix, weights, solver=MixSQP(gap_tol=gap_tol), throw=False)
    return problem, _Proposal(np.asarray(solution.probs), np.asarray(solution.gradient))


def _working_set(
    probs: Float[np.ndarray, " m"], gradient: Float[np.ndarray, " m"]
) -> Int[np.ndarray, " k"]:
    """Components of positive mass, their neighbours, and those that are the likeliest to enter.

    The optimum of all rows is near that of the sample: on a grid, where mass moves by a point.
    """
    m, is_active = probs.size, probs > 0
    is_next = np.zeros(m, bool)
    is_next[1:] |= is_active[:-1]
    is_next[:-1] |= is_active[1:]
    wanted = 3 * np.count_nonzero(is_active) + MIN_CANDIDATES
    size = min(m, -(-wanted // _ROUNDED_TO) * _ROUNDED_TO)
    rank = np.where(is_active, 0, np.where(is_next, 1, 2))
    score = priority(jnp.asarray(probs), jnp.asarray(gradient), jnp.asarray(-np.min(gradient)))
    return np.sort(np.lexsort((-np.asarray(score), rank))[:size])


def _learn(sample: MixProblem, found: Evaluation, known: Knowledge | None) -> Knowledge:
    """What a pass has taught; of Hessians the last there is."""
    probs, gradient = jnp.asarray(found.probs), jnp.asarray(found.gradient)
    if found.hess is None and known is not None:
        return replace(known, probs=probs, gradient=gradient)
    members = jnp.asarray(found.members)
    off = correction(sample, probs, members, jnp.asarray(found.hess))
    return Knowledge(probs, gradient, members, off, found.dtype)


def _is_any_left_over(found: Evaluation) -> bool:
    """Whether there is a component of no mass to speak of that a step would drop: see `excess`."""
    slack = 4 * float(np.finfo(found.gradient.dtype).eps)
    probs, gradient = jnp.asarray(found.probs), jnp.asarray(found.gradient)
    return bool(jnp.any(excess(probs, gradient, slack) > 0))


def _overshoots(base: Evaluation, found: Evaluation) -> bool:
    """Whether the objective rises on the way, by more than rounding, and rises at its end."""
    slope = found.gradient @ (found.probs - base.probs)
    return (
        not found.num_covered
        and slope > 0
        and found.objective > base.objective + _slack(base, found)
    )


def _progresses(base: Evaluation | None, found: Evaluation) -> bool:
    """Whether the violation or the objective has become less."""
    if base is None or found.num_covered or found.violation < base.violation:
        return True
    return found.objective < base.objective - _slack(base, found)


def _slack(base: Evaluation, found: Evaluation) -> float:
    """How much of a change of the objective may be rounding."""
    eps = max(np.finfo(base.dtype).eps, np.finfo(found.dtype).eps)
    return _ROUNDINGS * float(eps) * (1 + abs(base.objective))


def _shorter(base: Evaluation, found: Evaluation) -> _Proposal:
    """Where the objective is least on the way, were its slope linear there: a part of the step."""
    step = found.probs - base.probs
    before, after = base.gradient @ step, found.gradient @ step
    length = float(np.clip(before / (before - after), _SHORTEST, _LONGEST))
    return _Proposal(
        base.probs + length * step, base.gradient + length * (found.gradient - base.gradient)
    )
