"""The profile likelihood and its derivatives."""

from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import CustomVJPPrimal, SymbolicZero
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PyTree

from mixsqpx import RESULTS as MIX_RESULTS
from mixsqpx import AbstractMixSolver, MixSolution, MixSQP, mixsolve, raise_on_failure
from mixsqpx.implicit import attach_objective, attach_probs, on_active
from mixsqpx.numerics import product

from .._model import (
    Groups,
    as_groups,
    as_inputs,
    as_weights,
    leading_length,
    log_lik_of,
    replace_units,
    take,
)


class Profile(eqx.Module):
    """The inner optimum at one model. Only `value` and `probs` carry derivatives.

    Attributes
    ----------
    value : Float[Array, ""]
        Mean negative log-likelihood.
    probs : Float[Array, "m"] or Float[Array, "m g"]
        Masses of the distribution of each group.
    gap : Float[Array, ""]
        Bound on how far `value` is above its minimum over the distributions.
    result : mixsqpx.RESULTS
        How the inner solve ended; with groups, the first failure if there is one.
    num_steps : Int[Array, ""]
        Steps of the inner solver, over all groups.
    group_values : Float[Array, ""] or Float[Array, "g"]
        `value` within each group.
    usable : Bool[Array, "n"] or None
        With weights: which units have log-likelihoods that can be used. The others have no weight.
    """

    value: Float[Array, ""]
    probs: Float[Array, "m *g"]
    gap: Float[Array, ""]
    result: MIX_RESULTS
    num_steps: Int[Array, ""]
    group_values: Float[Array, "*g"]
    usable: Bool[Array, " n"] | None

    @property
    def mass(self) -> Float[Array, " m"]:
        """Mass of each support point, over all groups."""
        return self.probs if self.probs.ndim == 1 else jnp.sum(self.probs, axis=1)


def default_mix_solver(dtype: Any) -> MixSQP:
    """A solver exact enough for gradients of the outer problem.

    The gradient of `value` is off by f_θp δp, and δp is of the order of the square root of the gap:
    the gap has to be far below the square of the gradient norm that a fit asks for. Newton steps
    get there from mixsqpx's own default at the price of one more.
    """
    return MixSQP(gap_tol=1e-13 if jnp.finfo(dtype).bits >= 64 else 1e-6)


def profile_ll(
    model: Any,
    data: PyTree,
    supp: PyTree,
    *,
    groups: Int[ArrayLike, " n"] | None = None,
    weights: Float[ArrayLike, " n"] | None = None,
    solver: AbstractMixSolver | None = None,
) -> tuple[Float[Array, ""], Float[Array, "m *g"]]:
    """Mean *negative* profile log-likelihood, and the distribution that attains it.

    value(θ) = min over F of -Σᵢ ωᵢ log ∫ G(wᵢ, v; θ) dF(v), with F on the grid `supp`: a function
    to be minimised, by any minimiser that takes `fun(params, *args)` with an auxiliary output.

    It is a `jax.custom_vjp`, differentiable in reverse mode, and forward over reverse: `jax.grad`,
    `jax.jacrev` and `jax.hessian` are exact, `jax.jvp` and `jax.jacfwd` by themselves are refused.
    The gradient of `value` is that of the envelope theorem; `probs` moves by the implicit function
    theorem, and with it every second derivative. The reverse pass evaluates `lclk` at the active
    support points alone.

    Parameters
    ----------
    model : PyTree with a method `lclk(data, supp) -> (n, m)`
        The floating-point array leaves are the parameters θ. `lclk` returns the log conditional
        likelihood of each unit at each support point, and treats both one by one: entry (i, j)
        depends on the i-th unit and the j-th point alone. That is not checked here (`fit` does),
        and where column j depends on other points the derivatives are wrong.
    data : PyTree
        Arrays with the n units on the leading axis.
    supp : PyTree
        Arrays with the m support points on the leading axis.
    groups : Int[ArrayLike, "n"], optional
        Labels 0, …, G-1: each group has a distribution of its own. They have to be known when
        compiling.
    weights : Float[ArrayLike, "n"], optional
        Observation weights of any scale, normalised to sum to one. Equal by default.
    solver : AbstractMixSolver, optional
        Of the inner problem. By default `mixsqpx.MixSQP` with a tolerance that suits derivatives.

    Returns
    -------
    value : Float[Array, ""]
        Mean negative log-likelihood, in nats per unit weight.
    probs : Float[Array, "m"], or Float[Array, "m g"] with groups
        Masses of F; each column sums to one.

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong kind or length, and for whatever `mixsqpx.mixsolve` refuses in
        the log-likelihoods or the weights.
    RuntimeError
        If the inner problem could not be solved to the solver's tolerance.

    References
    ----------
    Bunting, Diegert & Maurel (2024), arXiv 2402.08575, section 5 and appendix B.4.1.

    Examples
    --------
    The model and the data are those of the example of `fit`.

    >>> value, probs = spmlex.profile_ll(result.model, data, supp)
    >>> bool(abs(-200 * value - result.loglik) < 1e-6)
    True
    >>> (slope, _) = jax.grad(spmlex.profile_ll, has_aux=True)(result.model, data, supp)
    >>> bool(abs(slope.slope) < 1e-6)
    True
    """
    profile = solve_profile(
        model, data, supp, groups=groups, weights=weights, solver=solver, throw=True
    )
    return profile.value, profile.probs


def solve_profile(
    model: Any,
    data: PyTree,
    supp: PyTree,
    *,
    groups: Any = None,
    weights: Any = None,
    solver: AbstractMixSolver | None = None,
    init: Float[Array, "m *g"] | None = None,
    throw: bool,
) -> Profile:
    """`profile_ll`, with all that is known about the inner solve, and a choice of raising.

    `init` is where the inner solve starts. Where it ends depends on that within its tolerance only.
    """
    model, data, supp = as_inputs(model, data, supp)
    if not isinstance(solver, AbstractMixSolver | None):
        raise TypeError(f"`solver` must be a solver such as MixSQP(), not {solver!r}.")
    n = leading_length(data, "data")
    groups = as_groups(groups, n)
    is_weighted = weights is not None
    inputs = (model, data, supp, as_weights(weights, n, groups))
    smooth, other = eqx.partition(inputs, eqx.is_inexact_array)
    fixed, static = eqx.partition(other, eqx.is_array)

    def merge(smooth: PyTree, fixed: PyTree) -> tuple[Any, PyTree, PyTree, Float[Array, " n"]]:
        return cast(Any, eqx.combine(smooth, fixed, static))

    # Neither rule calls `profile`: they are differentiated in their turn, forward over reverse.
    @jax.custom_vjp
    def profile(smooth: PyTree, arrays: tuple[PyTree, Array | None]) -> Profile:
        fixed, init = arrays
        return _solve(*merge(smooth, fixed), groups, is_weighted, solver, init, throw)

    def attach(members: Int[Array, " k"], smooth: PyTree, fixed: PyTree, solved: Profile):
        """`value` and `probs` as differentiable functions of `smooth`."""
        return _attach(members, *merge(smooth, fixed), groups, solved)

    def forward(smooth: PyTree, arrays: PyTree) -> tuple[Profile, PyTree]:
        smooth, arrays = jax.tree.map(lambda x: x.value, (smooth, arrays), is_leaf=_is_primal)
        fixed, init = arrays
        inputs = merge(*lax.stop_gradient((smooth, fixed)))
        solved = _solve(*inputs, groups, is_weighted, solver, init, throw)
        value, probs = on_active(attach, solved.mass, n, smooth, fixed, solved)
        out = eqx.tree_at(lambda p: (p.value, p.probs), solved, (value, probs))
        return out, (smooth, fixed, solved)

    def backward(residuals: PyTree, cotangents: Profile) -> tuple[PyTree, None]:
        smooth, fixed, solved = residuals
        pair = (cotangents.value, cotangents.probs)
        wanted = [not isinstance(cotangent, SymbolicZero) for cotangent in pair]

        def pull(members: Int[Array, " k"], smooth: PyTree, pair: list[Array]) -> PyTree:
            def outputs(smooth: PyTree) -> list[Array]:
                return _pick(attach(members, smooth, fixed, solved), wanted)

            return jax.vjp(outputs, smooth)[1](pair)[0]

        return on_active(pull, solved.mass, n, smooth, _pick(pair, wanted)), None

    profile.defvjp(forward, backward, symbolic_zeros=True)
    return profile(smooth, (fixed, init))


def _is_primal(x: Any) -> bool:
    return isinstance(x, CustomVJPPrimal)


def _pick(pair: tuple[Any, Any], wanted: list[bool]) -> list[Any]:
    """Those of `value` and `probs` that are differentiated."""
    return [one for one, want in zip(pair, wanted, strict=True) if want]


def _solve(
    model: Any,
    data: PyTree,
    supp: PyTree,
    weights: Float[Array, " n"],
    groups: Groups | None,
    is_weighted: bool,
    solver: AbstractMixSolver | None,
    init: Float[Array, "m *g"] | None,
    throw: bool,
) -> Profile:
    """Solve the inner problem on the whole grid."""
    log_lik = log_lik_of(model, data, supp)
    usable = None
    if is_weighted:
        usable = jnp.all(log_lik < jnp.inf, axis=1) & jnp.any(log_lik > -jnp.inf, axis=1)
    solver = default_mix_solver(log_lik.dtype) if solver is None else solver
    if groups is None:
        one = mixsolve(log_lik, weights, init=init, solver=solver, throw=throw)
        steps = one.stats["num_steps"]
        value = one.objective
        return Profile(value, one.probs, one.gap, one.result, steps, value, usable)

    def solve(
        log_lik: Array, weights: Array, units: Array, init: Array | None
    ) -> tuple[MixSolution, Int[Array, ""]]:
        own = mixsolve(log_lik, weights, init=init, solver=solver, throw=False)
        unit = own.stats["unit"]
        return own, jnp.where(unit >= 0, units[unit], -1)

    each, faulty = groups.map(solve, log_lik, weights, None if init is None else init.T)
    share = groups.share(weights).astype(log_lik.dtype)
    first_failure = jnp.argmax(each.result != MIX_RESULTS.successful)
    result = jax.tree.map(lambda code: code[first_failure], each.result)
    if throw:
        unit = faulty[first_failure]
        each = raise_on_failure(each, result, unit, each.gap[first_failure])
    return Profile(
        product(share, each.objective),
        each.probs.T,
        product(share, each.gap),
        result,
        jnp.sum(each.stats["num_steps"]),
        each.objective,
        usable,
    )


def _attach(
    members: Int[Array, " k"],
    model: Any,
    data: PyTree,
    supp: PyTree,
    weights: Float[Array, " n"],
    groups: Groups | None,
    solved: Profile,
) -> tuple[Float[Array, ""], Float[Array, "m *g"]]:
    """Give `value` and `probs` of a solved problem their derivatives.

    Only support points with mass contribute, so `lclk` is evaluated at `members` alone. A unit
    whose data are unusable, and whose weight is therefore zero, lends those of another: zero times
    a derivative that is NaN would be NaN.
    """
    if solved.usable is not None:
        data = replace_units(data, solved.usable)
    log_lik = log_lik_of(model, data, take(supp, members))
    kept = solved.probs[members]
    if groups is None:
        omega = weights.astype(log_lik.dtype)
        value = attach_objective(log_lik, omega, kept, solved.group_values)
        moved = attach_probs(log_lik, omega, kept)
    else:

        def of_group(log_lik: Array, omega: Array, _: Array, kept: Array, value: Array):
            return (
                attach_objective(log_lik, omega, kept, value),
                attach_probs(log_lik, omega, kept),
            )

        values, moved = groups.map(of_group, log_lik, weights, kept.T, solved.group_values)
        value = product(groups.share(weights).astype(log_lik.dtype), values)
        moved = moved.T
    return value, jnp.zeros_like(solved.probs).at[members].set(moved, unique_indices=True)
