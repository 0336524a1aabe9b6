"""What a fit is asked to do, after a look at every argument."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import PyTree

from mixsqpx import AbstractMixSolver

from .._model import (
    as_groups,
    as_inputs,
    as_weights,
    check_model,
    check_weights,
    is_concrete,
    leading_length,
    param_names,
    split_model,
)
from .._profile import default_mix_solver
from ._newton import TrustRegionNewton
from ._problem import Problem, first_init
from ._start import check_alike, check_starts

# Parameters beyond which BFGS is the default. In benchmarks/fit it needs twice the time of
# Newton's method with 61 of them, and a quarter with 201.
_NEWTON_MOST = 100


class Task(NamedTuple):
    """What the fits from all starts share; of the problem, all but the model's fixed leaves."""

    problem: Problem
    free: PyTree[bool] | None
    minimiser: optx.AbstractMinimiser
    max_steps: int
    dtype: Any
    total_weight: float
    densities: bool


def prepare(
    models: Sequence[Any],
    data: PyTree,
    supp: PyTree,
    groups: Any,
    weights: Any,
    minimiser: optx.AbstractMinimiser | None,
    mix_solver: AbstractMixSolver | None,
    free: PyTree[bool] | None,
    max_steps: int,
) -> Task:
    """Check every argument, and fill in the defaults."""
    models, data, supp = as_inputs(list(models), data, supp)
    if not is_concrete(*jax.tree.leaves((models, data, supp, weights))):
        raise TypeError(
            "A fit is driven from Python and cannot be traced by `jit`, `vmap` or `grad`. Inside "
            "them, hand `profile_ll` to a minimiser such as `optimistix.minimise`."
        )
    for model in models:
        check_model(model)
    check_alike(models)
    if isinstance(max_steps, bool) or not isinstance(max_steps, int | np.integer) or max_steps < 1:
        raise ValueError(f"`max_steps` must be a positive integer, but it is {max_steps!r}.")
    if not isinstance(minimiser, optx.AbstractMinimiser | None):
        raise TypeError(f"`minimiser` must be a minimiser of optimistix, not {minimiser!r}.")
    if not isinstance(mix_solver, AbstractMixSolver | None):
        raise TypeError(f"`mix_solver` must be a solver such as MixSQP(), not {mix_solver!r}.")
    num_units = leading_length(data, "data")
    params, _ = split_model(models[0], free)
    param_names(params, models[0])  # raises, where names do not fit
    grouped = as_groups(groups, num_units)
    omega = check_weights(as_weights(weights, num_units, grouped))
    dtype, densities = check_starts(models, data, supp, omega)
    if mix_solver is None:
        mix_solver = default_mix_solver(dtype)
    if minimiser is None:
        num_params = sum(leaf.size for leaf in jax.tree.leaves(params))
        minimiser = _default_minimiser(num_params, jnp.finfo(dtype).bits >= 64)
    init = first_init(
        mix_solver, leading_length(supp, "supp"), None if grouped is None else grouped.num, dtype
    )
    weights = None if weights is None else omega
    problem = Problem(None, data, supp, weights, grouped, mix_solver, init)
    total_weight = float(np.sum(np.asarray(omega)))
    return Task(problem, free, minimiser, max_steps, dtype, total_weight, densities)


def _default_minimiser(num_params: int, double: bool) -> optx.AbstractMinimiser:
    """Newton's method, unless its Hessians take longer than all the steps that they save."""
    if num_params > _NEWTON_MOST:
        tol = 1e-9 if double else 1e-5
        return optx.BFGS(rtol=tol, atol=tol)
    return TrustRegionNewton() if double else TrustRegionNewton(rtol=1e-6, atol=1e-5)
