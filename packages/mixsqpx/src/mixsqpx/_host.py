"""Solves of known numbers, driven from the host: compiled is what the problem needs, once a shape.

Smaller problems are padded to one of few shapes. A program takes exponentials there and solves with
steps of one size, and another size is compiled where the problem asks for it. Numbers cross between
host and device as rarely as can be: on small problems that takes longer than a step.
"""

import math
from dataclasses import fields, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.dtypes import canonicalize_dtype
from jaxtyping import Array, Float, Int, PyTree

from ._fill import Filled, equal, fill, find_fault, normalised, without_tiny
from ._inputs import SUM_TOL, put
from ._ladder import smallest_rung
from ._problem import MixProblem
from ._programs import BeingTraced, Programs
from ._shapes import padded
from ._solution import RESULTS, MixSolution
from ._solver import PATIENCE, AbstractMixSolver, MixState, first_state, phase
from ._start import COARSE_GAP, COARSE_STEPS, COARSENING, num_levels

# Components that a first working set holds besides those of the start.
_MORE = 4


class _Ending(NamedTuple):
    """What is known after some steps: the fields of the state; the same problem; where to go on.

    `needed` is the index of the size that the next step needs, -1 at the end.
    """

    state: dict[str, Array]
    model: PyTree
    lik: Array | None
    objective: Array
    gap: Array
    needed: Array


def _run_phase(
    matrix: Float[Array, "m n"],
    row_max: Float[Array, " n"],
    weights: Float[Array, " n"],
    start: Float[Array, " m"] | dict[str, Any],
    model: PyTree,
    gap_tol: Float[Array, ""],
    max_steps: Int[Array, ""],
    *,
    is_log: bool,
    solver: AbstractMixSolver,
    rung: int,
) -> _Ending:
    """Steps of one size, from the last state or from a point, perhaps with a model of another.

    A state is passed by its fields: a dictionary takes less time than a module. Likelihoods are
    handed back where they are not what was given.
    """
    m, n = matrix.shape
    lik = jnp.exp(matrix - row_max[None, :]) if is_log else matrix
    if model is None:
        model = solver.no_model(n, m, lik.dtype, rung)
    if isinstance(start, dict):
        state = MixState(**start, model=model)
    else:
        # The likelihoods of a mixture that is not known are any vector: ones would have to be made.
        state = first_state(n, m, lik.dtype, 1, model)
        state = replace(state, probs=start, mix_lik=weights)
    problem = MixProblem(lik, row_max, weights)
    state, needed = phase(solver, problem, state, gap_tol, max_steps, rung)
    values = {each.name: getattr(state, each.name) for each in fields(state)}
    return _Ending(
        model=values.pop("model"),
        state=values,
        lik=lik if is_log else None,
        objective=problem.objective(state.mix_lik),
        gap=state.gap,
        needed=needed,
    )


_phase = Programs(_run_phase)


def solve_on_host(
    log_lik: Float[Array, "n m"],
    weights: Float[Array, " n"] | None,
    init: Float[Array, " m"] | None,
    solver: AbstractMixSolver,
    max_steps: int,
) -> MixSolution | None:
    """Solve for known numbers on one device; None inside of a function that is being traced."""
    try:
        return _solve(log_lik, weights, init, solver, max_steps)
    except BeingTraced:
        return None


@np.errstate(all="ignore")
def _solve(
    log_lik: Float[Array, "n m"],
    weights: Float[Array, " n"] | None,
    init: Float[Array, " m"] | None,
    solver: AbstractMixSolver,
    max_steps: int,
) -> MixSolution:
    dtype = log_lik.dtype
    gap_tol = _gap_tol(solver, dtype)
    omega = None if weights is None else without_tiny(np.asarray(weights))
    filled = fill(log_lik)
    fault, unit = find_fault(filled, omega)
    start = None if init is None else np.asarray(init)
    if start is not None:
        feasible = np.all(start >= 0) and abs(np.sum(start) - 1) <= SUM_TOL
        fault = fault if feasible or fault is not None else RESULTS.infeasible_init
    if fault is not None:
        return failed(filled.m, dtype, fault, unit)
    model = None
    if start is None:
        start, model = _find_start(np.asarray(log_lik), omega, solver)
    else:
        start = start / np.sum(start)
    limits = _limits(gap_tol, max_steps, dtype)
    ending = _climb(filled, _weights(omega, filled), start, solver, limits, model)
    return _solution(ending, filled.m, gap_tol)


def lives_where_programs_run(*arrays: Array | None) -> bool:
    """Whether arrays are on the one device on which results of NumPy's arrays are computed."""
    if jax.config.jax_default_device is not None:
        return False
    default = {jax.local_devices()[0]}
    return all(array is None or array.devices() == default for array in arrays)


def _find_start(
    log_lik: Float[np.ndarray, "n m"],
    weights: Float[np.ndarray, " n"] | None,
    solver: AbstractMixSolver,
) -> tuple[np.ndarray, PyTree]:
    """The solver's own point, or the optimum of a subsample of the rows and its last model."""
    n, m = log_lik.shape
    parts = [(log_lik, weights)]
    for level in range(num_levels(n) if solver.starts_anywhere else 0):
        rows = slice(None, None, COARSENING ** (level + 1))
        parts.append((log_lik[rows], None if weights is None else weights[rows]))
    coarsest, omega = parts[-1]
    if omega is not None:
        omega = normalised(omega, omega.size)
    start, model = type(solver).first_point(solver, coarsest, omega), None
    for part, omega in parts[:0:-1]:
        filled = fill(part)
        limits = _limits(COARSE_GAP, COARSE_STEPS, log_lik.dtype)
        ending = _climb(filled, _weights(omega, filled), start, solver, limits, model)
        start, model = np.asarray(ending.state["probs"])[:m], ending.model
    return start, model


def _weights(weights: Float[np.ndarray, " n"] | None, filled: Filled) -> np.ndarray:
    """Weights that sum to one, in the shape of a problem."""
    size = filled.matrix.shape[1]
    if weights is None:
        return equal(filled.n, size, filled.matrix.dtype)
    return normalised(weights, size)


def _climb(
    filled: Filled,
    weights: np.ndarray,
    start: np.ndarray,
    solver: AbstractMixSolver,
    limits: tuple[Array, ...],
    model: PyTree,
) -> _Ending:
    """Steps of one size after another, from a start and perhaps the model of another problem."""
    m, n = filled.matrix.shape
    dtype = filled.matrix.dtype
    solver, sizes = _plan(solver, n, m)
    rung = smallest_rung(int(np.count_nonzero(start)) + _MORE, sizes)
    if model is not None:
        none = jax.eval_shape(partial(solver.no_model, n, m, dtype, rung))
        is_alike = jax.tree.map(np.shape, model) == jax.tree.map(np.shape, none)
        model = model if is_alike else None
    matrix, is_log = filled.matrix, filled.is_log
    state: Any = padded(start.astype(dtype), m)
    while True:
        key = (n, m, dtype, solver, rung, is_log, isinstance(state, dict), model is None)
        data = (matrix, filled.row_max, weights, state, model)
        ending = _phase(key, *data, *limits, is_log=is_log, solver=solver, rung=rung)
        rung = int(ending.needed)
        if rung < 0:
            return ending
        if is_log:
            matrix, is_log = ending.lik, False
        state, model = ending.state, None


# Kept, since every look at a method of an equinox module makes a new module.
@lru_cache(maxsize=64)
def _gap_tol(solver: AbstractMixSolver, dtype: np.dtype) -> float:
    return solver.resolve_gap_tol(dtype)


@lru_cache(maxsize=64)
def _limits(gap_tol: float, max_steps: int, dtype: np.dtype) -> tuple[Array, Array]:
    """Limits of a solve, on the device, as those of the next solve are."""
    return put(np.asarray(gap_tol, dtype)), integer(max_steps)


@lru_cache(maxsize=256)
def _plan(solver: AbstractMixSolver, n: int, m: int) -> tuple[AbstractMixSolver, tuple[int, ...]]:
    """The solver, one for all tolerances where only the loop looks at them, and its sizes."""
    same = solver if solver.looks_at_tol else replace(solver, gap_tol=None)
    return same, solver.sizes(n, m)


def _solution(ending: _Ending, m: int, gap_tol: float) -> MixSolution:
    state, gap = ending.state, float(ending.gap)
    if gap <= gap_tol:
        result = RESULTS.successful
    elif not math.isfinite(gap):
        result = RESULTS.nonfinite
    elif int(state["num_stalled"]) < PATIENCE:
        result = RESULTS.mix_max_steps_reached
    else:
        result = RESULTS.precision_exhausted
    probs, gradient = (_without_padding(state[name], m) for name in ("probs", "gradient"))
    stats = [state["num_active"], state["num_steps"], integer(-1)]
    leaves = [probs, ending.objective, ending.gap, gradient, *jax.tree.leaves(result), *stats]
    # By way of its class it would take as long as some steps.
    return jax.tree.unflatten(_structure(), leaves)


@lru_cache(maxsize=1)
def _structure() -> Any:
    """That of every solution."""
    return jax.tree.structure(failed(1, np.dtype(np.float32), RESULTS.successful, -1))


def _without_padding(values: Array, m: int) -> Array:
    """The first entries, by way of the host: a program that cuts is another for every number."""
    if values.size == m:
        return values
    some = np.asarray(values)[:m]
    # Of the ways to a device that need no program the fastest.
    return jax.make_array_from_callback((m,), values.sharding, lambda _: some)


def failed(m: int, dtype: np.dtype, result: RESULTS, unit: int) -> MixSolution:
    """There is no solution."""
    each, nan = (put(np.full(shape, np.nan, dtype)) for shape in ((m,), ()))
    counts = {"num_steps": integer(0), "num_active": integer(0), "unit": integer(unit)}
    return MixSolution(each, nan, nan, each, result, counts)


@lru_cache(maxsize=64)
def integer(number: int) -> Array:
    """The same small numbers come up again and again, and to put one on a device takes time."""
    return put(np.asarray(number, canonicalize_dtype(int)))
