"""The entry point."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from ._collapse import collapse
from ._host import integer, lives_where_programs_run, solve_on_host
from ._inputs import SUM_TOL, as_problem_arrays, is_concrete
from ._mistakes import warn_of_likelihoods, warn_of_tolerance
from ._mixsqp import MixSQP
from ._names import OF_A_SOLVE, explain_arguments
from ._problem import MixProblem, build_problem
from ._raise import raise_on_failure
from ._solution import RESULTS, MixSolution
from ._solver import AbstractMixSolver, MixState, iterate
from .implicit import attach_objective, attach_probs, on_active

_DEFAULT_SOLVER = MixSQP()


@explain_arguments("mixsolve", OF_A_SOLVE)
def mixsolve(
    log_lik: Float[ArrayLike, "n m"],
    weights: Float[ArrayLike, " n"] | None = None,
    *,
    init: Float[ArrayLike, " m"] | None = None,
    solver: AbstractMixSolver = _DEFAULT_SOLVER,
    max_steps: int | None = None,
    throw: bool = True,
) -> MixSolution:
    """Maximum-likelihood mixture proportions, with a certificate of optimality.

    Minimises f(p) = -Σᵢ ωᵢ log Σⱼ pⱼ exp ℓᵢⱼ over the simplex. Works under `jit`, `vmap`, and
    forward and reverse differentiation of any order: `probs` by the implicit function theorem,
    `objective` by the envelope theorem. Members of a `vmap` are solved one after the other, each
    in its own number of steps.

    Parameters
    ----------
    log_lik : Float[ArrayLike, "n m"]
        Log-likelihood ℓᵢⱼ of unit i, a row, under component j, a column; -inf for a likelihood of
        zero. Constants added to a row do not move `probs`. Integers and half precision are
        promoted.
    weights : Float[ArrayLike, "n"], optional
        Observation weights ωᵢ >= 0, of any scale; they are normalised to sum to one. Equal by
        default. Units of zero weight have no influence, whatever their data.
    init : Float[ArrayLike, "m"], optional
        Proportions to start from, such as the solution of a nearby problem. No derivative.
    solver : AbstractMixSolver
        `MixSQP()` or `EM()`, with its options.
    max_steps : int, optional
        Limit on the solver's steps: quadratic programs of `MixSQP` on all rows, by default 1000,
        or EM steps, by default 100 000.
    throw : bool
        Whether a failure raises. If not, look at `result`: after faulty input `probs`, `objective`,
        `gap` and `gradient` are NaN; after a limit they are those of the last iterate.

    Returns
    -------
    MixSolution
        The proportions, the objective, the gap over all components and the result code.

    Raises
    ------
    ValueError
        For an argument of the wrong shape; for NaN or +inf in `log_lik`, a unit without
        likelihood, negative, infinite or all-zero weights, an infeasible `init`.
    TypeError
        For an argument that is not a real array.
    RuntimeError
        If the gap could not be brought down to `gap_tol`: step limit, or limit of the precision.

    Warns
    -----
    UserWarning
        If no entry of `log_lik` is negative, as of likelihoods in place of their logarithms; of a
        `gap_tol` below rounding.

    References
    ----------
    Kim, Carbonetto, Stephens & Anitescu (2020), A fast algorithm for maximum likelihood estimation
    of mixture proportions using sequential quadratic programming, JCGS 29, 261-273.
    Lindsay (1983), The geometry of mixture likelihoods, Annals of Statistics 11, 86-94.

    Examples
    --------
    >>> import jax.numpy as jnp, mixsqpx
    >>> lik = jnp.array([[1.0, 0.5], [0.2, 1.0], [0.4, 1.0]])
    >>> solution = mixsqpx.mixsolve(jnp.log(lik))
    >>> bool(solution.gap < 1e-5)
    True
    """
    given = log_lik
    log_lik, init, weights = as_problem_arrays(log_lik, weights, init, probs_name="init")
    if not isinstance(solver, AbstractMixSolver):
        raise TypeError(f"`solver` must be a solver such as MixSQP() or EM(), not {solver!r}.")
    max_steps = solver.usual_max_steps if max_steps is None else max_steps
    if isinstance(max_steps, bool) or not isinstance(max_steps, int | np.integer) or max_steps < 1:
        raise ValueError(f"`max_steps` must be a positive integer, but it is {max_steps!r}.")
    warn_of_likelihoods(log_lik, stacklevel=4)
    warn_of_tolerance(solver.gap_tol, log_lik.dtype, given)
    data: Any = (log_lik, weights, init)
    matrix, omega, start = data if is_concrete(*data) else lax.stop_gradient(data)
    matrix, omega = collapse(matrix, omega) or (matrix, omega)
    solution = solve_arrays(matrix, omega, start, solver, max_steps)
    if throw:
        solution = raise_on_failure(solution, solution.result, solution.stats["unit"], solution.gap)
    # Of the matrix that was given: equal rows are solved for as one.
    solution.stats["num_units"] = integer(log_lik.shape[0])
    if is_concrete(log_lik, weights):
        return solution
    weights = jnp.ones(log_lik.shape[0], log_lik.dtype) if weights is None else weights

    def attach(members: Int[Array, " k"], log_lik: Array, weights: Array) -> tuple[Array, Array]:
        log_lik, kept = log_lik[:, members], solution.probs[members]
        moved = attach_probs(log_lik, weights, kept)
        probs = jnp.zeros_like(solution.probs).at[members].set(moved, unique_indices=True)
        return probs, attach_objective(log_lik, weights, kept, solution.objective)

    probs, objective = on_active(attach, solution.probs, log_lik.shape[0], log_lik, weights)
    if not throw:
        # After faulty input there is no derivative either: NaN, and zero times any number else.
        finite = jnp.where(jnp.isfinite(log_lik), log_lik, 0.0)
        finite = jnp.sum(finite / log_lik.size) + jnp.sum(weights / log_lik.shape[0])
        nothing = jnp.where(jnp.isnan(solution.objective), jnp.nan, 0.0) * finite
        probs, objective = probs + nothing, objective + nothing
    return MixSolution(
        probs, objective, solution.gap, solution.gradient, solution.result, solution.stats
    )


def solve_arrays(
    log_lik: Float[Array, "n m"],
    weights: Float[Array, " n"] | None,
    init: Float[Array, " m"] | None,
    solver: AbstractMixSolver,
    max_steps: int,
) -> MixSolution:
    """Solve without derivatives and without raising."""
    data = (log_lik, weights, init)
    if is_concrete(*data) and lives_where_programs_run(*data):
        solution = solve_on_host(*data, solver, max_steps)
        if solution is not None:
            return solution
    return _solve_traced(*data, solver, max_steps)


@partial(jax.jit, static_argnames=("solver", "max_steps"))
def _solve_traced(
    log_lik: Float[Array, "n m"],
    weights: Float[Array, " n"] | None,
    init: Float[Array, " m"] | None,
    solver: AbstractMixSolver,
    max_steps: int,
) -> MixSolution:
    """All in one program, which takes steps of any size."""
    problem, fault, unit = build_problem(log_lik, weights)
    if init is not None:
        feasible = jnp.all(init >= 0) & (jnp.abs(jnp.sum(init) - 1) <= SUM_TOL)
        fault = RESULTS.where(
            (fault == RESULTS.successful) & ~feasible, RESULTS.infeasible_init, fault
        )
        init = init / jnp.sum(init)
    ok = fault == RESULTS.successful
    state, result = _run(problem, init, ok, solver=solver, max_steps=max_steps)
    result = RESULTS.where(ok, result, fault)

    def or_nan(value: Array) -> Array:
        return jnp.where(ok, value, jnp.nan)

    return MixSolution(
        or_nan(state.probs),
        or_nan(problem.objective(state.mix_lik)),
        or_nan(state.gap),
        or_nan(state.gradient),
        result,
        {
            "num_steps": jnp.maximum(state.num_steps, 0),
            "num_active": state.num_active,
            "unit": unit,
        },
    )


def _run(
    problem: MixProblem,
    init: Float[Array, " m"] | None,
    ok: Bool[Array, ""],
    *,
    solver: AbstractMixSolver,
    max_steps: int,
) -> tuple[MixState, RESULTS]:
    """The loop, run under `vmap` for one member after the other.

    Batching it instead would run every branch of every step for all members until the last is
    done, and batched factorisations run one after the other in any case.
    """
    gap_tol = solver.resolve_gap_tol(problem.lik.dtype)

    @custom_vmap
    def run(
        problem: MixProblem, start: Float[Array, " m"] | MixState | None, ok: Bool[Array, ""]
    ) -> tuple[MixState, RESULTS]:
        if isinstance(start, MixState):
            first = solver.resume(problem, start)
        else:
            first = solver.init(problem, start)
        return iterate(solver, problem, first, gap_tol=gap_tol, max_steps=max_steps, ok=ok)

    @run.def_vmap
    def _(axis_size: int, in_batched: Any, *args: Any) -> tuple[Any, Any]:
        del axis_size
        problem, start, ok = args
        only_weights = in_batched[0].weights and not in_batched[0].lik
        if start is None and only_weights and solver.starts_anywhere:
            # Many weightings of one matrix: all start from the solution for the mean of the good.
            usable = jnp.broadcast_to(ok, problem.weights.shape[:1])
            mean = jnp.mean(problem.weights, axis=0, where=usable[:, None])
            shared = eqx.tree_at(lambda p: p.weights, problem, mean)
            start = run(shared, None, jnp.any(usable))[0]
            unbatched = jax.tree.map(lambda _: False, start)
            args, in_batched = (problem, start, ok), (in_batched[0], unbatched, in_batched[2])
        leaves, treedef = jax.tree.flatten(args)
        flags = jax.tree.leaves(in_batched)

        def member(batched: list[Array]) -> tuple[MixState, RESULTS]:
            own = iter(batched)
            merged = [next(own) if flag else x for x, flag in zip(leaves, flags, strict=True)]
            return run(*jax.tree.unflatten(treedef, merged))

        out = lax.map(member, [x for x, flag in zip(leaves, flags, strict=True) if flag])
        return out, jax.tree.map(lambda _: True, out)

    return run(problem, init, ok)
