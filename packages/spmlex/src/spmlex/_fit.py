"""Estimation."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import optimistix as optx
from jax.typing import ArrayLike
from jaxtyping import Float, Int, PyTree

from mixsqpx import AbstractMixSolver

from ._model import as_arrays, leading_length, split_model
from ._multistart import MultistartResult
from ._result import FitResult
from ._search import (
    RESULTS,
    Progress,
    Task,
    explain_derivatives,
    num_active,
    prepare,
    problem_from,
    search,
    watch,
)


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
    progress: bool = False,
    throw: bool = True,
) -> FitResult:
    """Semi-parametric maximum likelihood: minimise `profile_ll` over the parameters.

    Parameters
    ----------
    model : PyTree with a method `lclk(data, supp) -> (n, m)`
        See `profile_ll`. Its floating-point array leaves are where the search starts; a Python
        float is a constant. The search runs in the dtype that `lclk` returns.
    data, supp, groups
        See `profile_ll`.
    weights : Float[ArrayLike, "n"], optional
        Observation weights, not negative. Their scale does not move the estimates, but they are
        taken as frequencies, so it counts in the log-likelihood and in all that follows from it:
        standard errors other than `"robust"` and `"cluster"`, tests, and criteria.
    minimiser : optimistix.AbstractMinimiser, optional
        By default `TrustRegionNewton`, which converges on the norm of the gradient; with more than
        100 parameters `optimistix.BFGS`, which takes many more steps and less time there.
    mix_solver : mixsqpx.AbstractMixSolver, optional
        Of the inner problem; see `profile_ll`.
    free : PyTree of bool, optional
        Which leaves of the model to estimate, as a prefix of the model (equinox's filter
        convention). By default all floating-point arrays.
    max_steps : int
        Limit on the steps of the minimiser; each evaluates one trial.
    progress : bool
        Whether to show value, gradient norm, step, active support points and gap while it runs.
        Needs tqdm.
    throw : bool
        Whether to raise when the minimiser does not end at a stationary point. If not, look at
        `result`.

    Returns
    -------
    FitResult
        The estimated model and distribution, with the log-likelihood, the certificate of the inner
        problem and the gradient norm. `print` it. It is successful only where the largest entry of
        the gradient of `profile_ll` is at most 100 √eps, 1.5e-6 in float64: after
        `TrustRegionNewton` the gradient over the root of the second derivative in each parameter,
        which does not depend on the units of the parameters, and after others the gradient itself,
        so that parameters should be of order one.

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong kind or length, for log-likelihoods that are not finite at the
        start, for an `lclk` whose entries depend on other units or support points, for invalid
        weights, for a `free` that leaves nothing to estimate, and under a JAX transformation.
    ImportError
        For `progress=True` without tqdm.
    RuntimeError
        If the search fails, and always if the gradient is not small where it ended.

    Examples
    --------
    A panel logit: 200 units, four periods, and an effect of unknown distribution.

    >>> import equinox as eqx, jax, jax.numpy as jnp, numpy as np, spmlex
    >>> jax.config.update("jax_enable_x64", True)
    >>> class Logit(eqx.Module):
    ...     slope: jax.Array
    ...
    ...     def lclk(self, data, supp):
    ...         index = (self.slope * data["x"])[:, :, None] + supp[None, None, :]
    ...         density = data["y"][:, :, None] * index - jnp.logaddexp(0.0, index)
    ...         return jnp.sum(density, axis=1)
    ...
    ...     def sample(self, key, data, latent):
    ...         index = self.slope * data["x"] + latent[:, None]
    ...         drawn = jax.random.logistic(key, index.shape) < index
    ...         return data | {"y": drawn.astype(index.dtype)}
    >>> rng = np.random.default_rng(0)
    >>> effect = rng.choice([-1.0, 1.0], size=(200, 1))
    >>> x = rng.normal(size=(200, 4))
    >>> y = (x + effect + rng.logistic(size=(200, 4)) > 0).astype(float)
    >>> data, supp = {"x": x, "y": y}, jnp.linspace(-4.0, 4.0, 33)
    >>> model = Logit(jnp.array(0.0))
    >>> result = spmlex.fit(model, data, supp)
    >>> print(f"{result.estimates[0]:.3f} ({result.std_errors()[0]:.3f})")
    1.083 (0.109)
    """
    task = prepare([model], data, supp, groups, weights, minimiser, mix_solver, free, max_steps)
    with watch(progress) as report:
        report.begin("fit")
        fitted = _run(task, model, report)
    if throw and fitted.result != RESULTS.successful:
        message = RESULTS[fitted.result]
        if fitted.result == RESULTS.not_finite_at_start:
            message = f"{message} {explain_derivatives(fitted.problem, fitted.params)}".rstrip()
        raise RuntimeError(f"{message}\n\nWhere it ended:\n\n{fitted}")
    return fitted


def fit_multistart(
    models: Sequence[Any],
    data: PyTree,
    supp: PyTree,
    *,
    groups: Int[ArrayLike, " n"] | None = None,
    weights: Float[ArrayLike, " n"] | None = None,
    minimiser: optx.AbstractMinimiser | None = None,
    mix_solver: AbstractMixSolver | None = None,
    free: PyTree[bool] | None = None,
    max_steps: int = 500,
    progress: bool = False,
    throw: bool = True,
) -> MultistartResult:
    """Fit from several starting models, and keep the best fit and all others.

    The profile likelihood need not be concave in the parameters. How many of the starts end at the
    best fit says how far to trust that there is no better one.

    The starts are run one after the other by one compiled program, each in its own number of steps.
    One that cannot be evaluated, or does not end at a stationary point, is recorded as such and
    does not stop the others.

    Parameters
    ----------
    models : sequence of models
        Where the searches start: models of one structure, with arrays of the same shapes. They may
        differ in what `free` holds fixed, too.
    data, supp, groups, weights, minimiser, mix_solver, free, max_steps, progress
        See `fit`.
    throw : bool
        Whether to raise when no start ends at a stationary point.

    Returns
    -------
    MultistartResult
        `best`, all `fits` in the order of the starts, and how many reached the best. `print` it.

    Raises
    ------
    TypeError, ValueError
        As for `fit`; if no start can be evaluated; for models that differ in structure.
    RuntimeError
        If no start ends at a stationary point.

    Examples
    --------
    The model and the data are those of the example of `fit`.

    >>> several = spmlex.fit_multistart(
    ...     [Logit(jnp.array(start)) for start in (0.0, 2.0)], data, supp
    ... )
    >>> several.num_reached
    2
    """
    if not isinstance(models, Sequence):
        raise TypeError(
            f"`models` must be a sequence of starting models, such as a list, not {models!r}."
        )
    if len(models) == 0:
        raise ValueError("`models` is empty: give at least one starting model.")
    task = prepare(models, data, supp, groups, weights, minimiser, mix_solver, free, max_steps)
    fits = []
    with watch(progress) as report:
        for k, model in enumerate(models):
            report.begin(f"start {k + 1} of {len(models)}")
            fits.append(_run(task, model, report))
    found = MultistartResult(tuple(fits))
    if throw and found.best.result != RESULTS.successful:
        raise RuntimeError(
            f"None of the {len(fits)} starts ended at a stationary point. Of the best: "
            f"{RESULTS[found.best.result]}\n\n{found}"
        )
    return found


def _run(task: Task, model: Any, report: Progress) -> FitResult:
    """Fit from one start."""
    params, held = split_model(as_arrays(model), task.free)
    params = jax.tree.map(lambda x: x.astype(task.dtype), params)
    problem = eqx.tree_at(lambda p: p.held, task.problem, held, is_leaf=lambda x: x is None)
    found = search(task.minimiser, problem, params, task.max_steps, report)
    return FitResult(
        model=eqx.combine(found.params, held),
        params=found.params,
        probs=found.profile.probs,
        supp=problem.supp,
        loglik=-float(found.profile.value) * task.total_weight,
        n_obs=leading_length(problem.data, "data"),
        grad_norm=found.grad_norm,
        gap=float(found.profile.gap),
        result=found.result,
        stats={
            "num_steps": len(found.history["value"]),
            "num_active": num_active(found.profile),
            "minimiser": type(task.minimiser).__name__,
            "total_weight": task.total_weight,
            "densities": task.densities,
        },
        history=found.history,
        problem=problem_from(found.profile, problem),
        clusters=None,
    )
