"""Solves of matrices that are seen pass by pass: a sample of the rows, and sums over all of them.

Sequential programs on a working set, as `MixSQP` solves them, where each step costs a pass over the
rows. So that few are needed, the start is the optimum of a sample of the rows, and what a step
minimises is more than a quadratic: see `_surrogate`. A pass forms the gradient over all components
and the Hessian of the working set at once; of a unit nothing is kept but its weight.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from ._fill import normalised, without_tiny
from ._host import failed, integer
from ._inputs import SUM_TOL, as_vector, put
from ._mixsolve import solve_arrays
from ._mixsqp import MIN_CANDIDATES, MixSQP
from ._problem import MixProblem, build_problem
from ._progress import Progress
from ._rows import Rows
from ._solution import RESULTS, MixSolution
from ._solver import PATIENCE
from ._surrogate import Surrogate, linear_term, minimise, quadratic_term, with_telling
from ._sweep import Evaluation, Weighting, sweep

# Log-likelihoods of the sample, in nine bytes each for a moment, and eight throughout.
_SAMPLE_ENTRIES = 10_000_000
# The optimum of a part of the rows leaves a gap on the whole that is above this.
_SAMPLE_GAP = 1e-4
# As long as the violation is likely to be above this, sums of terms in single precision will do,
# and take half the time.
_ROUGH_ABOVE = 1e-3
# Where it is likely to be below this part of the tolerance, no step is to follow and no Hessian is
# formed.
_FAR_BELOW = 0.01
# Neighbours 1, 2, 4, … places away belong to the working set, up to a part of all components.
_REACH = 1 / 50
# Sizes of working sets are multiples of this, so that few programs are compiled.
_ROUNDED_TO = 8
# How many roundings of the objective a change of it has to be to be one.
_ROUNDINGS = 100
# Parts of a step that was too long.
_SHORTEST, _LONGEST = 0.1, 0.5


class _Proposal(NamedTuple):
    """Proportions to evaluate, and what their gradient is taken to be until then."""

    probs: Float[np.ndarray, " m"]
    gradient: Float[np.ndarray, " m"]


def solve_streamed(
    rows: Rows,
    weights: Any,
    init: Any,
    *,
    gap_tol: float,
    max_passes: int,
    progress: Progress,
) -> MixSolution:
    """Solve in passes over rows.

    Parameters
    ----------
    rows : Rows
    weights : Float[ArrayLike, "n"], optional
    init : Float[ArrayLike, "m"], optional
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

    Raises
    ------
    ValueError
        For vectors of the wrong length.
    """
    log_lik, stride = rows.sample(_SAMPLE_ENTRIES)
    n, m = rows.num_units, rows.num_components
    wide = np.dtype(jnp.result_type(float))
    weights = _as_numpy(weights, "weights", n, "unit", wide)
    init = _as_numpy(init, "init", m, "component", wide)
    fault, unit = _find_fault(weights, init)
    weights = None if weights is None else without_tiny(weights)
    if fault is not None:
        return _failed(rows, wide, fault, unit, 1)
    weighting = Weighting(None if weights is None else normalised(weights, n), n)
    omega = np.full(len(log_lik), 1 / n) if weighting.each is None else weighting.each[::stride]
    tol = gap_tol if stride == 1 else max(gap_tol, _SAMPLE_GAP)
    sample, proposal = _solve_sample(log_lik, omega, tol)
    share = np.sum(omega)
    del log_lik
    if init is not None:
        proposal = proposal._replace(probs=init / np.sum(init))

    is_rough, with_hess = stride > 1 and init is None, True
    base = surrogate = None
    num_passes, num_steps, num_stalled = 1, 0, 0
    while True:
        num_passes += 1
        progress.begin(num_passes, n)
        found = sweep(
            rows,
            weighting,
            proposal.probs,
            _working_set(*proposal, least=0 if base is None else base.members.size),
            dtype=np.dtype(np.float32) if is_rough else wide,
            with_hess=with_hess,
            progress=progress,
        )
        if found.fault is not None:
            return _failed(rows, wide, found.fault, found.unit, num_passes)
        progress.end(found.gap)
        result = _ending(found, gap_tol, num_stalled, num_passes >= max_passes)
        if result is not None:
            return _solution(found, result, n, num_steps, num_passes)
        num_steps += 1
        if base is not None and _is_too_far(base, found):
            num_stalled += 1
            proposal, is_rough, with_hess = _shortened(base, found), False, True
            continue
        num_stalled = 0 if _progresses(base, found) else num_stalled + 1
        base, surrogate = found, _learn(sample, share, found, surrogate)
        proposal = _Proposal(*map(np.asarray, minimise(surrogate)))
        expected = _expected(found)
        is_rough = is_rough and expected > _ROUGH_ABOVE
        with_hess = found.hess is None or expected > _FAR_BELOW * gap_tol


def _as_numpy(
    values: Any, name: str, length: int, what: str, dtype: np.dtype
) -> Float[np.ndarray, " k"] | None:
    array = as_vector(values, name, length, what, dtype, {})
    return None if array is None else np.asarray(array)


def _expected(found: Evaluation) -> float:
    """The violation after a step, about: v² from v, and as it is outside of the working set."""
    outside = np.delete(found.gradient, found.members)
    return max(found.violation**2, -float(np.min(outside, initial=0.0)))


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
    if init is not None and not (np.all(init >= 0) and abs(np.sum(init) - 1) <= SUM_TOL):
        return RESULTS.infeasible_init, -1
    return None, -1


def _solve_sample(
    log_lik: Float[np.ndarray, "s m"], weights: Float[np.ndarray, " s"], gap_tol: float
) -> tuple[MixProblem, _Proposal]:
    """The problem of the sample, and its optimum.

    Rows that no solver can use get no weight: a pass will say which is the first of all.
    """
    largest = np.max(log_lik, axis=1)  # NaN where there is one
    usable = np.isfinite(largest)
    log_lik[~usable] = 0.0
    weights = np.where(usable, weights, 0.0)
    omega = jnp.asarray(weights if weights.any() else np.ones(len(log_lik)))
    matrix = jnp.asarray(log_lik)
    problem, _, _ = build_problem(matrix, omega)
    solver = MixSQP(gap_tol=gap_tol)
    solution = solve_arrays(matrix, omega, None, solver, solver.usual_max_steps)
    return problem, _Proposal(np.asarray(solution.probs), np.asarray(solution.gradient))


def _working_set(
    probs: Float[np.ndarray, " m"], gradient: Float[np.ndarray, " m"], *, least: int
) -> Int[np.ndarray, " k"]:
    """Components with mass, their neighbours, and those that are the likeliest to enter.

    On a grid, what is left to do is mostly to move mass by a few points. Of the others, peaks of
    the violation come first, as in `MixSQP`, then the smallest gradients. At least as many as in
    the last set, since another size would be compiled for.
    """
    m, is_active = probs.size, probs > 0
    distances = [1]
    while 2 * distances[-1] <= _REACH * m:
        distances.append(2 * distances[-1])
    walled = np.concatenate([[np.inf], gradient, [np.inf]])
    is_peak = (gradient < 0) & (gradient <= walled[:-2]) & (gradient <= walled[2:])
    kinds = [is_active, *(_is_away(is_active, distance) for distance in distances), is_peak]
    rank = np.select(kinds, range(len(kinds)), len(kinds))
    wanted = (1 + 2 * len(distances)) * np.count_nonzero(is_active) + MIN_CANDIDATES
    size = min(m, max(least, -(-wanted // _ROUNDED_TO) * _ROUNDED_TO))
    return np.sort(np.lexsort((gradient, rank))[:size])


def _is_away(which: Bool[np.ndarray, " m"], distance: int) -> Bool[np.ndarray, " m"]:
    """Components so many places before or after some."""
    out = np.zeros_like(which)
    out[distance:] |= which[:-distance]
    out[:-distance] |= which[distance:]
    return out


def _learn(
    sample: MixProblem, share: float, found: Evaluation, last: Surrogate | None
) -> Surrogate:
    """The surrogate of what a pass has found, with the last Hessian that there is."""
    probs, gradient = jnp.asarray(found.probs), jnp.asarray(found.gradient)
    if found.hess is None or found.telling is None:
        assert last is not None  # the first pass forms a Hessian
        linear = linear_term(last.sample, probs, gradient)
        return replace(last, probs=probs, linear=linear)
    sample = with_telling(sample, jnp.asarray(share, probs.dtype), found.telling, probs)
    members = jnp.asarray(found.members)
    return Surrogate(
        sample,
        probs,
        linear_term(sample, probs, gradient),
        members,
        quadratic_term(sample, probs, members, jnp.asarray(found.hess)),
        found.dtype,
    )


def _ending(found: Evaluation, gap_tol: float, num_stalled: int, is_last: bool) -> RESULTS | None:
    """How the solve ends, if it does."""
    if found.is_exact and found.gap <= gap_tol:
        return RESULTS.successful
    if not np.isfinite(found.gap):
        return RESULTS.nonfinite
    if num_stalled >= PATIENCE:
        return RESULTS.precision_exhausted
    return RESULTS.max_passes_reached if is_last else None


def _is_too_far(base: Evaluation, found: Evaluation) -> bool:
    """Whether a step has led to a higher objective, where it rises on."""
    rises = found.gradient @ (found.probs - base.probs) > 0
    higher = found.objective > base.objective + _slack(base, found)
    return not found.num_covered and bool(rises and higher)


def _progresses(base: Evaluation | None, found: Evaluation) -> bool:
    """Whether the violation or the objective has become less."""
    if base is None or found.num_covered or found.violation < base.violation:
        return True
    return found.objective < base.objective - _slack(base, found)


def _slack(base: Evaluation, found: Evaluation) -> float:
    """How much of a change of the objective may be rounding."""
    eps = max(np.finfo(base.dtype).eps, np.finfo(found.dtype).eps)
    return _ROUNDINGS * float(eps) * (1 + abs(base.objective))


def _shortened(base: Evaluation, found: Evaluation) -> _Proposal:
    """A part of a step, to where the objective were least if its slope changed evenly."""
    step = found.probs - base.probs
    before, after = base.gradient @ step, found.gradient @ step
    length = np.clip(before / (before - after), _SHORTEST, _LONGEST)
    gradient = base.gradient + length * (found.gradient - base.gradient)
    return _Proposal(base.probs + length * step, gradient)


def _solution(
    found: Evaluation, result: RESULTS, num_units: int, num_steps: int, num_passes: int
) -> MixSolution:
    dtype = found.probs.dtype
    numbers = (found.probs, found.objective, found.gap, found.gradient)
    probs, objective, gap, gradient = (put(np.asarray(each, dtype)) for each in numbers)
    counts = {
        "num_units": num_units,
        "num_steps": num_steps,
        "num_active": int(np.count_nonzero(found.probs)),
        "unit": -1,
        "num_passes": num_passes,
    }
    stats = {name: integer(count) for name, count in counts.items()}
    return MixSolution(probs, objective, gap, gradient, result, stats)


def _failed(rows: Rows, dtype: np.dtype, fault: RESULTS, unit: int, num_passes: int) -> MixSolution:
    solution = failed(rows.num_components, dtype, fault, unit)
    counts = {"num_units": integer(rows.num_units), "num_passes": integer(num_passes)}
    return replace(solution, stats=solution.stats | counts)
