"""Estimation."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PyTree, Scalar

from mixsqpx import RESULTS as MIX_RESULTS
from mixsqpx import AbstractMixSolver

from ._model import (
    Groups,
    as_arrays,
    as_groups,
    as_weights,
    check_model,
    check_weights,
    is_concrete,
    leading_length,
    log_lik_of,
    split_model,
    take,
)
from ._newton import TrustRegionNewton
from ._profile import Profile, default_mix_solver, solve_profile
from ._result import FitResult
from ._solution import RESULTS

# A fit is successful only where the largest entry of the gradient is below this times sqrt(eps),
# whatever the minimiser says: 1.5e-6 in float64. Not relative to the value, which depends on units.
_SMALL_GRADIENT = 100.0


class _Problem(eqx.Module):
    """Everything an evaluation needs besides the free parameters."""

    held: PyTree
    data: PyTree
    supp: PyTree
    weights: Float[Array, " n"] | None
    groups: Groups | None
    mix_solver: AbstractMixSolver

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
            throw=False,
        )
        return profile.value, jax.lax.stop_gradient(profile)


def fit(
    model: Any,
    data: PyTree,
    supp: PyTree,
    *,
    groups: Int[ArrayLike, " n"] | None = None,
    weights: Float[ArrayLike, " n"] | None = None,
    minimiser: optx.AbstractMinimiser | None = None,
    mix_solver: AbstractMixSolver | None = None,
    free: PyTree[bool] | None = None,
    max_steps: int = 500,
    throw: bool = True,
) -> FitResult:
    """Semi-parametric maximum likelihood: minimise `profile_ll` over the parameters.

    Parameters
    ----------
    model : PyTree with a method `lclk(data, supp) -> (n, m)`
        See `profile_ll`. Its floating-point array leaves are where the search starts; a Python
        float is a constant. The search runs in the dtype that `lclk` returns.
    data, supp, groups, weights
        See `profile_ll`.
    minimiser : optimistix.AbstractMinimiser, optional
        By default `TrustRegionNewton`, which converges on the norm of the gradient.
    mix_solver : mixsqpx.AbstractMixSolver, optional
        Of the inner problem; see `profile_ll`.
    free : PyTree of bool, optional
        Which leaves of the model to estimate, as a prefix of the model (equinox's filter
        convention). By default all floating-point arrays.
    max_steps : int
        Limit on the steps of the minimiser; each evaluates one trial.
    throw : bool
        Whether to raise when the minimiser does not end at a stationary point. If not, look at
        `result`.

    Returns
    -------
    FitResult
        The estimated model and distribution, with the log-likelihood, the certificate of the inner
        problem and the gradient norm. `print` it. It is successful only where the largest entry of
        the gradient of `profile_ll` is at most 100 √eps: 1.5e-6 in float64.

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong kind or length, for log-likelihoods that are not finite at the
        start, for an `lclk` whose columns depend on each other's support points, for invalid
        weights, for a `free` that leaves nothing to estimate, and under a JAX transformation.
    RuntimeError
        If the search fails, and always if the gradient is not small where it ended.
    """
    model, data, supp = as_arrays((model, data, supp))
    if not is_concrete(*jax.tree.leaves((model, data, supp, weights))):
        raise TypeError(
            "`fit` is driven from Python and cannot be traced by `jit`, `vmap` or `grad`. Inside "
            "them, hand `profile_ll` to a minimiser such as `optimistix.minimise`."
        )
    check_model(model)
    if isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 1:
        raise ValueError(f"`max_steps` must be a positive integer, but it is {max_steps!r}.")
    if not isinstance(minimiser, optx.AbstractMinimiser | None):
        raise TypeError(f"`minimiser` must be a minimiser of optimistix, not {minimiser!r}.")
    if not isinstance(mix_solver, AbstractMixSolver | None):
        raise TypeError(f"`mix_solver` must be a solver such as MixSQP(), not {mix_solver!r}.")
    num_units = leading_length(data, "data")
    params, held = split_model(model, free)
    grouped = as_groups(groups, num_units)
    omega = check_weights(as_weights(weights, num_units, grouped))
    dtype = _check_start(model, data, supp, omega)
    params = jax.tree.map(lambda x: x.astype(dtype), params)
    if mix_solver is None:
        mix_solver = default_mix_solver(dtype)
    if minimiser is None:
        double = jnp.finfo(dtype).bits >= 64
        minimiser = TrustRegionNewton() if double else TrustRegionNewton(rtol=1e-6, atol=1e-4)
    problem = _Problem(held, data, supp, None if weights is None else omega, grouped, mix_solver)

    params, found, history, result = _search(minimiser, problem, params, max_steps)
    profile, grad = _evaluate(problem, params) if found is None else found
    value, grad_norm = float(profile.value), _max_norm(grad)
    if result == RESULTS.successful and profile.result != MIX_RESULTS.successful:
        result = RESULTS.inner_problem_failed
    limit = _SMALL_GRADIENT * float(jnp.finfo(dtype).eps) ** 0.5
    if result == RESULTS.successful and not grad_norm <= limit:
        result = RESULTS.gradient_not_small
    fitted = FitResult(
        model=eqx.combine(params, held),
        params=params,
        probs=profile.probs,
        supp=supp,
        loglik=-value * float(jnp.sum(omega)),
        n_obs=num_units,
        grad_norm=grad_norm,
        gap=float(profile.gap),
        result=result,
        stats={
            "num_steps": len(history["value"]),
            "num_active": _num_active(profile),
            "minimiser": type(minimiser).__name__,
        },
        history=history,
    )
    if throw and result != RESULTS.successful:
        raise RuntimeError(f"{RESULTS[result]}\n\nWhere it ended:\n\n{fitted}")
    return fitted


def _check_start(model: Any, data: PyTree, supp: PyTree, weights: Float[Array, " n"]) -> Any:
    """Dtype of the log-likelihoods at the start, after a look at every one of them."""
    log_lik, entangled, *faults = _look_at_start(model, data, supp, weights)
    invalid, impossible = map(np.asarray, faults)
    for fault, what in (
        (invalid, "is NaN or +inf"),
        (impossible, "is -inf at every support point, so nothing on the grid can explain it,"),
    ):
        if fault.any():
            unit = int(np.argmax(fault))
            raise ValueError(
                f"At the starting `model`, `lclk` {what} for {int(fault.sum())} of {fault.size} "
                f"units, the first of them number {unit} (counting from zero). Check the data of "
                "that unit, the starting values and the range of `supp`."
            )
    if entangled:
        raise ValueError(
            "`lclk` must treat the support points one by one, but at the starting `model` what it "
            "returns for some of them changes when others are left out. Derivatives are taken at "
            "the active points alone, and would be wrong. Look for a mean, a sort, a position or a "
            "number of points that `lclk` takes from `supp`, and compute it beforehand."
        )
    return log_lik.dtype


@eqx.filter_jit
def _look_at_start(
    model: Any, data: PyTree, supp: PyTree, weights: Float[Array, " n"]
) -> tuple[Float[Array, ""], Bool[Array, ""], Bool[Array, " n"], Bool[Array, " n"]]:
    """An entry of the log-likelihoods, whether columns depend on each other, and faulty units."""
    log_lik = log_lik_of(model, data, supp)
    counts = weights > 0
    invalid = counts & jnp.any(jnp.isnan(log_lik) | (log_lik == jnp.inf), axis=1)
    impossible = counts & jnp.all(log_lik == -jnp.inf, axis=1)
    # Without the first support point a mean, a rank, a position and a count are all different.
    num_points = log_lik.shape[1]
    some = jnp.arange(min(1, num_points - 1), num_points)
    alone, together = model.lclk(data, take(supp, some)), log_lik[:, some]
    entangled = jnp.asarray(True)
    if jnp.shape(alone) == together.shape:
        tol = float(jnp.finfo(log_lik.dtype).eps) ** 0.5
        same = (alone == together) | (jnp.abs(alone - together) <= tol * (1 + jnp.abs(together)))
        entangled = jnp.any(counts[:, None] & ~same)
    return log_lik[0, 0], entangled, invalid, impossible


def _search(
    minimiser: optx.AbstractMinimiser, problem: _Problem, params: PyTree, max_steps: int
) -> tuple[PyTree, tuple[Profile, PyTree] | None, dict[str, np.ndarray], RESULTS]:
    """Drive the minimiser from the host: a step is long, and can be watched and interrupted.

    Of a search that succeeded with our own minimiser the inner optimum and the gradient are known.
    """
    state = _init(minimiser, problem, params)
    rows = []
    profile, done, result = None, False, optx.RESULTS.successful
    while not done and len(rows) < max_steps:
        params, state, profile, done, result = _step(minimiser, problem, params, state)
        grad = _gradient_of(state)
        rows.append(
            (
                float(profile.value),
                np.nan if grad is None else _max_norm(grad),
                float(profile.gap),
                _num_active(profile),
            )
        )
        if result != optx.RESULTS.successful or not np.isfinite(rows[0][0]):
            break
    columns = zip(*rows, strict=True)
    names = ("value", "grad_norm", "gap", "num_active")
    history = {name: np.asarray(column) for name, column in zip(names, columns, strict=True)}
    if not np.isfinite(rows[0][0]) or (result == optx.RESULTS.nonfinite and len(rows) == 1):
        return params, None, history, RESULTS.not_finite_at_start
    if result != optx.RESULTS.successful:
        return params, None, history, RESULTS.minimiser_failed
    if not done:
        return params, None, history, RESULTS.fit_max_steps_reached
    found = None
    if profile is not None and isinstance(minimiser, TrustRegionNewton):
        found = (profile, state.grad)
    return params, found, history, RESULTS.successful


def _gradient_of(state: Any) -> PyTree | None:
    """Gradient at the iterate, where the minimiser keeps one: ours, and some of optimistix's."""
    if hasattr(state, "grad"):
        return state.grad
    return getattr(getattr(state, "f_info", None), "grad", None)


def _max_norm(grad: PyTree) -> float:
    """Largest entry in absolute value, NaN if any is (XLA's maximum may drop a NaN on CPU)."""
    return float(np.max(np.abs(np.concatenate([np.ravel(x) for x in jax.tree.leaves(grad)]))))


def _num_active(profile: Profile) -> int:
    """Support points with mass in any group."""
    positive = np.asarray(profile.probs) > 0
    return int(np.sum(positive.reshape(positive.shape[0], -1).any(axis=1)))


@eqx.filter_jit
def _init(minimiser: optx.AbstractMinimiser, problem: _Problem, params: PyTree) -> Any:
    f_struct, aux_struct = eqx.filter_eval_shape(problem, params)
    return minimiser.init(problem, params, None, {}, f_struct, aux_struct, frozenset())


@eqx.filter_jit
def _step(
    minimiser: optx.AbstractMinimiser, problem: _Problem, params: PyTree, state: Any
) -> tuple[PyTree, Any, Profile, Bool[Array, ""], optx.RESULTS]:
    params, state, profile = minimiser.step(problem, params, None, {}, state, frozenset())
    done, result = minimiser.terminate(problem, params, None, {}, state, frozenset())
    return params, state, profile, done, result


@eqx.filter_jit
def _evaluate(problem: _Problem, params: PyTree) -> tuple[Profile, PyTree]:
    (_, profile), grad = jax.value_and_grad(problem, has_aux=True)(params)
    return profile, grad
