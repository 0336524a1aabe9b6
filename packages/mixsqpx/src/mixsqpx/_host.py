"""Solves of known numbers, driven from the host: compiled is what the problem needs, once a shape.

Smaller problems are padded to one of few shapes. A program fills the shape, one solves it with
steps of one size, and another size is compiled where the problem asks for it.
"""

from dataclasses import fields, replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.dtypes import canonicalize_dtype
from jaxtyping import Array, Float, Int, PyTree

from ._fill import Filled, fill, find_fault, normalise
from ._ladder import smallest_rung
from ._problem import MixProblem
from ._programs import Programs
from ._shapes import padded
from ._solution import RESULTS, MixSolution
from ._solver import PATIENCE, AbstractMixSolver, MixState, first_state, phase
from ._start import COARSE_GAP, COARSE_STEPS, COARSENING, num_levels

# How far the sum of `init` may be from one: the solution of a problem in single precision may be.
INIT_TOL = float(np.finfo(np.float32).eps) ** 0.5
# Components that a first working set holds besides those of the start.
_MORE = 4


def _run_phase(
    lik: Float[Array, "m n"],
    weights: Float[Array, " n"],
    start: Float[Array, " m"] | dict[str, Any],
    model: PyTree,
    gap_tol: Float[Array, ""],
    max_steps: Int[Array, ""],
    solver: AbstractMixSolver,
    rung: int,
) -> tuple[dict[str, Any], PyTree, Int[Array, ""]]:
    """Steps of one size, from the last state or from a point, perhaps with a model of another.

    A state is passed by its fields: a dictionary takes less time than a module.
    """
    m, n = lik.shape
    if model is None:
        model = solver.no_model(n, m, lik.dtype, rung)
    if isinstance(start, dict):
        state = MixState(**start, model=model)
    else:
        # The likelihoods of a mixture that is not known are any vector: ones would have to be made.
        state = first_state(n, m, lik.dtype, 1, model)
        state = replace(state, probs=start, mix_lik=weights)
    problem = MixProblem(lik, weights, weights)  # the row maxima do not matter to a step
    state, needed = phase(solver, problem, state, gap_tol, max_steps, rung)
    values = {each.name: getattr(state, each.name) for each in fields(state)}
    return values, values.pop("model"), needed


_phase = Programs(_run_phase, static=("solver", "rung"))
# Adding nothing, since JAX hands back as it is what a program hands back as it was.
_put = Programs(lambda *arrays: tuple(jnp.asarray(x) + 0 for x in arrays))


@np.errstate(all="ignore")
def solve_on_host(
    log_lik: Float[Array, "n m"],
    weights: Float[Array, " n"] | None,
    init: Float[Array, " m"] | None,
    solver: AbstractMixSolver,
    max_steps: int,
) -> MixSolution | None:
    """Solve for known numbers on one device; None inside of a function that is being traced."""
    filled = fill(log_lik, None if weights is None else np.asarray(weights))
    if filled is None:
        return None
    fault, unit = find_fault(filled, weights is not None)
    start = None if init is None else np.asarray(init)
    if start is not None:
        feasible = np.all(start >= 0) and abs(np.sum(start) - 1) <= INIT_TOL
        fault = fault if feasible or fault is not None else RESULTS.infeasible_init
    if fault is not None:
        return _failed(filled, fault, unit)
    filled = normalise(filled)
    gap_tol = _gap_tol(solver, log_lik.dtype)
    if start is None:
        state = _solve_from_start(log_lik, filled, solver, gap_tol, max_steps)
    else:
        state, _ = _climb(filled, start / np.sum(start), solver, gap_tol, max_steps)
    return _solution(filled, state, gap_tol)


def lives_where_programs_run(*arrays: Array | None) -> bool:
    """Whether arrays are on the one device on which results of NumPy's arrays are computed."""
    if jax.config.jax_default_device is not None:
        return False
    default = {jax.local_devices()[0]}
    return all(array is None or array.devices() == default for array in arrays)


def _solve_from_start(
    log_lik: Array, filled: Filled, solver: AbstractMixSolver, gap_tol: float, max_steps: int
) -> dict[str, Any]:
    """From the solver's own point, or from the optimum of a subsample of the rows."""
    parts = [filled]
    if solver.starts_anywhere:
        for level in range(num_levels(filled.n)):
            stride = COARSENING ** (level + 1)
            rows = np.asarray(log_lik)[::stride]
            part: Any = fill(rows, filled.weights[: filled.n : stride])
            parts.append(normalise(part))
    coarsest = parts[-1]
    m = coarsest.m
    weights = coarsest.weights[: coarsest.n]
    start = type(solver).first_point(solver, coarsest.likelihoods, weights, m)
    model = None
    for part in parts[:0:-1]:
        state, model = _climb(part, start, solver, COARSE_GAP, COARSE_STEPS, model)
        start = np.asarray(state["probs"])[:m]
    return _climb(filled, start, solver, gap_tol, max_steps, model)[0]


def _climb(
    filled: Filled,
    start: np.ndarray,
    solver: AbstractMixSolver,
    gap_tol: float,
    max_steps: int,
    model: PyTree = None,
) -> tuple[dict[str, Any], PyTree]:
    """Steps of one size after another, from a start and perhaps the model of another problem."""
    m, n = filled.lik.shape
    dtype = filled.lik.dtype
    solver, sizes = _plan(solver, n, m)
    rung = smallest_rung(int(np.count_nonzero(start)) + _MORE, sizes)
    if model is not None:
        none = jax.eval_shape(partial(solver.no_model, n, m, dtype, rung))
        is_alike = jax.tree.map(np.shape, model) == jax.tree.map(np.shape, none)
        model = model if is_alike else None
    limits = (np.asarray(gap_tol, dtype), np.asarray(max_steps, canonicalize_dtype(int)))
    state: Any = padded(start, m)
    kept = None
    while rung >= 0:
        key = (n, m, dtype, solver, rung, isinstance(state, dict), model is None)
        data = (filled.lik, filled.weights, state, model)
        state, kept, needed = _phase(key, *data, *limits, solver=solver, rung=rung)
        rung, model = int(needed), None
    return state, kept


# Kept, since every look at a method of an equinox module makes a new module.
@lru_cache(maxsize=64)
def _gap_tol(solver: AbstractMixSolver, dtype: np.dtype) -> float:
    return solver.resolve_gap_tol(dtype)


@lru_cache(maxsize=256)
def _plan(solver: AbstractMixSolver, n: int, m: int) -> tuple[AbstractMixSolver, tuple[int, ...]]:
    """The solver, one for all tolerances where only the loop looks at them, and its sizes."""
    same = solver if solver.looks_at_tol else replace(solver, gap_tol=None)
    return same, solver.sizes(n, m)


def _solution(filled: Filled, state: dict[str, Any], gap_tol: float) -> MixSolution:
    terms = np.log(np.asarray(state["mix_lik"])) + filled.row_max
    gap = np.log1p(np.maximum(np.asarray(state["violation"]), 0))
    if gap <= gap_tol:
        result = RESULTS.successful
    elif not np.isfinite(gap):
        result = RESULTS.nonfinite
    elif int(state["num_stalled"]) < PATIENCE:
        result = RESULTS.mix_max_steps_reached
    else:
        result = RESULTS.precision_exhausted
    probs, gradient = (np.asarray(state[name])[: filled.m] for name in ("probs", "gradient"))
    objective = -np.sum(filled.weights * terms)
    counts = (max(int(state["num_steps"]), 0), int(state["num_active"]), -1)
    # NumPy 1 takes a single number in single precision beside one of Python's for double.
    objective, gap = (np.asarray(x, probs.dtype) for x in (objective, gap))
    return _assemble(probs, objective, gap, gradient, result, counts)


def _failed(filled: Filled, result: RESULTS, unit: int) -> MixSolution:
    """There is no solution."""
    nan = np.full(filled.m, np.nan, filled.lik.dtype)
    return _assemble(nan, nan[0], nan[0], nan, result, (0, 0, unit))


def _assemble(
    probs: Any, objective: Any, gap: Any, gradient: Any, result: RESULTS, counts: tuple[int, ...]
) -> MixSolution:
    """A solution of numbers of NumPy."""
    # A program that does nothing puts numbers on the device faster; it is one for all shapes.
    objective, gap = _put(objective.dtype, objective, gap)
    probs, gradient = jax.device_put((probs, gradient))
    names = ("num_steps", "num_active", "unit")
    stats: Any = {name: _integer(each) for name, each in zip(names, counts, strict=True)}
    return MixSolution(probs, objective, gap, gradient, result, stats)


@lru_cache(maxsize=256)
def _integer(number: int) -> Array:
    """The same small numbers come up again and again, and to put one on a device takes time."""
    return jax.device_put(np.asarray(number, canonicalize_dtype(int)))
