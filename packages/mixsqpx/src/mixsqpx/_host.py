"""Solves of known numbers, driven from the host: compiled is what the problem needs, once a shape.

Smaller problems are padded to one of few shapes. A program fills the shape, one solves it with
steps of one size, and another size is compiled where the problem asks for it.
"""

from dataclasses import fields, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.dtypes import canonicalize_dtype
from jaxtyping import Array, Float, Int, PyTree

from ._ladder import smallest_rung
from ._problem import FAULTS, MixProblem, exponentiate
from ._shapes import padded, padded_by_component, padded_shape
from ._solution import RESULTS, MixSolution
from ._solver import PATIENCE, AbstractMixSolver, MixState, first_state, phase
from ._start import COARSE_GAP, COARSE_STEPS, COARSENING, num_levels

# How far the sum of `init` may be from one: the solution of a problem in single precision may be.
INIT_TOL = float(np.finfo(np.float32).eps) ** 0.5
# Components that a first working set holds besides those of the start.
_MORE = 4

_exponentiate = jax.jit(exponentiate)
_exp_of_difference = jax.jit(lambda log_lik, row_max: jnp.exp(log_lik - row_max[None, :]))


class _Filled(NamedTuple):
    """Likelihoods, row maxima and weights in the shape in which a problem is solved.

    `faults` are those of each unit, `n` and `m` the numbers of units and components of the problem,
    `source` what `lik` is the exponential of, which may still be on its way.
    """

    lik: Array
    row_max: np.ndarray
    faults: np.ndarray
    weights: np.ndarray
    n: int
    m: int
    source: np.ndarray | None

    def likelihoods(self, members: np.ndarray, stride: int) -> np.ndarray:
        """Some components of every so manyth unit."""
        units = slice(0, self.n, stride)
        if self.source is None:
            return np.asarray(self.lik)[members, units]
        return np.exp(self.source[members, units] - self.row_max[units])


@partial(jax.jit, static_argnames=("solver", "rung"))
def _phase(
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
        state = replace(first_state(n, m, lik.dtype, 1, model), probs=start)
    problem = MixProblem(lik, weights, weights)  # the row maxima do not matter to a step
    state, needed = phase(solver, problem, state, gap_tol, max_steps, rung)
    values = {each.name: getattr(state, each.name) for each in fields(state)}
    return values, values.pop("model"), needed


def solve_on_host(
    log_lik: Float[Array, "n m"],
    weights: Float[Array, " n"] | None,
    init: Float[Array, " m"] | None,
    solver: AbstractMixSolver,
    max_steps: int,
) -> MixSolution | None:
    """Solve for known numbers on one device; None inside of a function that is being traced."""
    filled = _fill(log_lik, None if weights is None else np.asarray(weights))
    if filled is None:
        return None
    fault, unit = _find_fault(filled, weights is not None)
    start = None if init is None else np.asarray(init)
    if start is not None:
        feasible = np.all(start >= 0) and abs(np.sum(start) - 1) <= INIT_TOL
        fault = fault if feasible or fault is not None else RESULTS.infeasible_init
    if fault is not None:
        return _failed(filled, fault, unit)
    filled = _normalise(filled)
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


def _fill(log_lik: Any, weights: np.ndarray | None) -> _Filled | None:
    """Likelihoods in a shape. Units and components beyond those of the matrix have none."""
    n, m = log_lik.shape
    shape, source = padded_shape(n, m), None
    if shape is None:
        lik, row_max, faults = _exponentiate(log_lik)
    else:
        source = padded_by_component(np.asarray(log_lik), shape)
        row_max = np.max(source, axis=0)  # NaN where there is one
        usable = np.isfinite(row_max)
        faults = np.where(usable, 0, np.where(row_max == -np.inf, 1, 2))
        if not usable.all():
            source[:, ~usable] = 0.0
            row_max = np.where(usable, row_max, 0.0)
        lik = _exp_of_difference(source, row_max)
    if isinstance(lik, Tracer):
        return None
    weights = np.ones(n, lik.dtype) if weights is None else weights
    return _Filled(lik, np.asarray(row_max), np.asarray(faults), weights, n, m, source)


def _find_fault(filled: _Filled, is_weighted: bool) -> tuple[RESULTS | None, int]:
    """What is wrong with the data, if anything, and with which unit, as `build_problem` says it."""
    faults, weights = filled.faults[: filled.n], filled.weights
    if is_weighted:
        faults = np.where(weights != 0, faults, 0)
        faults = np.where((weights >= 0) & (weights < np.inf), faults, len(FAULTS) - 1)
    unit = int(np.argmax(faults))
    if faults[unit] > 0:
        return FAULTS[faults[unit]], unit
    return (None if weights.any() else RESULTS.zero_weights), -1


def _normalise(filled: _Filled) -> _Filled:
    """Weights that sum to one: equal ones if all are zero."""
    weights = filled.weights
    if not weights.any():
        weights = np.ones_like(weights)
    # The sum of weights near the end of the range would be infinite.
    weights = weights / np.max(weights)
    weights = weights / np.sum(weights)
    return filled._replace(weights=padded(weights, filled.lik.shape[1]))


def _solve_from_start(
    log_lik: Array, filled: _Filled, solver: AbstractMixSolver, gap_tol: float, max_steps: int
) -> dict[str, Any]:
    """From the solver's own point, or from the optimum of a subsample of the rows."""
    parts = [filled]
    if solver.starts_anywhere:
        for level in range(num_levels(filled.n)):
            stride = COARSENING ** (level + 1)
            rows = np.asarray(log_lik)[::stride]
            part: Any = _fill(rows, filled.weights[: filled.n : stride])
            parts.append(_normalise(part))
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
    filled: _Filled,
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
        data = (filled.lik, filled.weights, state, model)
        state, kept, needed = _phase(*data, *limits, solver=solver, rung=rung)
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


def _solution(filled: _Filled, state: dict[str, Any], gap_tol: float) -> MixSolution:
    terms = np.log(np.asarray(state["mix_lik"])) + filled.row_max
    gap = np.log1p(max(np.asarray(state["violation"])[()], 0))
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
    return _assemble(probs, objective, gap, gradient, result, counts)


def _failed(filled: _Filled, result: RESULTS, unit: int) -> MixSolution:
    """There is no solution."""
    nan = np.full(filled.m, np.nan, filled.lik.dtype)
    return _assemble(nan, nan[0], nan[0], nan, result, (0, 0, unit))


def _assemble(
    probs: Any, objective: Any, gap: Any, gradient: Any, result: RESULTS, counts: tuple[int, ...]
) -> MixSolution:
    """A solution of numbers of NumPy."""
    # A program that does nothing puts them on the device in a fifth of the time, if there is one.
    put = _put if probs.size in _sizes_seen else _put_without_program
    _sizes_seen.add(probs.size)
    probs, objective, gap, gradient = put(probs, objective, gap, gradient)
    names = ("num_steps", "num_active", "unit")
    stats: Any = {name: _integer(each) for name, each in zip(names, counts, strict=True)}
    return MixSolution(probs, objective, gap, gradient, result, stats)


_sizes_seen: set[int] = set()
_put = jax.jit(lambda *arrays: arrays)


def _put_without_program(*arrays: Any) -> Any:
    return jax.device_put(arrays)


@lru_cache(maxsize=256)
def _integer(number: int) -> Array:
    """The same small numbers come up again and again, and to put one on a device takes time."""
    return jax.device_put(np.asarray(number, canonicalize_dtype(int)))
