"""Bootstrap by exchangeable weights."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree, Scalar

from mixsqpx import RESULTS as MIX_RESULTS
from mixsqpx.numerics import product

from .._fields import Fit, problem_of, total_weight
from .._model import check_key
from .._search import Problem, TrustRegionNewton, optimise
from ._covariance import check_clusters, invert_hessian
from ._replications import Bootstrap

SCHEMES = ("exponential", "multinomial")

# A replication has converged when a Newton step would be this part of a standard error. The steps
# converge superlinearly, so the next one would be far smaller still.
_TOL_DOUBLE, _TOL_SINGLE = 1e-4, 1e-2
# Of the quick search; what it does not finish goes to the one that `fit` uses.
_MAX_QUICK_STEPS = 25
_MAX_NEWTON_STEPS = 100


def bootstrap(
    result: Fit,
    key: Array,
    *,
    num: int = 500,
    clusters: Int[np.ndarray | Array, " n"] | None = None,
    scheme: str = "exponential",
) -> Bootstrap:
    """Refit under random weights, each time from the estimates of parameters and distribution.

    Each unit or cluster gets a weight, on top of the weight it has. The spread of the estimates is
    that of the estimator, for a parametric part that is estimated along with a distribution, too
    (Cheng & Huang, 2010). A unit counts as one draw, whatever its weight, as in kind `"robust"` of
    `cov`.

    The searches are quasi-Newton ones that start from the Hessian of the fit: a handful of
    gradients each. Those that do not finish are repeated with `TrustRegionNewton`.

    Parameters
    ----------
    key : PRNG key
        Of JAX: the same key gives the same replications.
    num : int
        Number of replications, 2 at least.
    clusters : Int[Array, "n"], optional
        A label for each unit, any integers: the units of a cluster share one weight. By default
        those of the result, which it has from a panel.
    scheme : {"exponential", "multinomial"}
        Exponential weights (Bayesian bootstrap), with which every unit stays in; or counts from
        drawing as many units as there are with replacement (Efron's bootstrap). A replication
        without any unit of some group fails: with groups of a few units take the former.

    Returns
    -------
    Bootstrap
        Estimates, standard errors, intervals, and how many failed.

    Raises
    ------
    ValueError
        For an unknown scheme, `num` below 2, and clusters as in `cov`.
    SingularInformationError
        A RuntimeError, if the information is singular or indefinite.
    RuntimeError
        If the fit has no data or was no success, or if fewer than two replications succeed.

    References
    ----------
    Cheng & Huang (2010), Bootstrap consistency for general semiparametric M-estimation, Annals of
    Statistics 38, 2884-2915.
    """
    problem = problem_of(result)
    if isinstance(num, bool) or not isinstance(num, int | np.integer) or num < 2:
        raise ValueError(f"`num` must be an integer of at least 2, but it is {num!r}.")
    check_key(key)
    if scheme not in SCHEMES:
        raise ValueError(
            f"`scheme` must be one of {', '.join(map(repr, SCHEMES))}, not {scheme!r}."
        )
    labels = np.arange(result.n_obs)
    clusters = result.clusters if clusters is None else clusters
    if clusters is not None:
        labels = check_clusters(clusters, result)
    num_clusters, labels = int(labels.max()) + 1, jnp.asarray(labels)
    flat = ravel_pytree(result.params)[0]
    inverse = invert_hessian(result) * total_weight(result)
    inverse = jnp.asarray(inverse, flat.dtype)
    sampled = _Sampled(problem, labels, num_clusters, scheme)
    keys = jax.random.split(key, num)
    rows, converged = [], []
    for k in range(num):
        # By its number: to iterate over them compiles a program with an output a key.
        params, ok = _quick(sampled, result.params, inverse, keys[k])
        rows.append(params)
        converged.append(ok)
    estimates = np.array(jax.device_get(rows), np.float64)
    for k in np.flatnonzero(~np.array(jax.device_get(converged))):
        params, ok = _careful(sampled, result.params, keys[k])
        estimates[k] = np.asarray(params) if ok else np.nan
    found = Bootstrap(np.asarray(flat, np.float64), estimates, result.param_names)
    if num - found.num_failed < 2:
        raise RuntimeError(
            f"{found.num_failed} of {num} replications did not end at a stationary point: the "
            "sample is too small for this model, or the fit is no proper maximum."
        )
    return found


class _Sampled(eqx.Module):
    """A problem whose weights are drawn."""

    problem: Problem
    labels: Int[Array, " n"]
    num_clusters: int = eqx.field(static=True)
    scheme: str = eqx.field(static=True)

    def draw(self, key: Array, dtype: jnp.dtype) -> Problem:
        """The problem under random weights."""
        if self.scheme == "exponential":
            drawn = jax.random.exponential(key, (self.num_clusters,), dtype)
        else:
            places = jax.random.randint(key, (self.num_clusters,), 0, self.num_clusters)
            drawn = jnp.zeros(self.num_clusters, dtype).at[places].add(1)
        weights = drawn[self.labels]
        if self.problem.weights is not None:
            weights = weights * self.problem.weights.astype(dtype)
        where = lambda p: p.weights  # noqa: E731
        return eqx.tree_at(where, self.problem, weights, is_leaf=lambda x: x is None)


class _State(NamedTuple):
    """An iterate with its value, gradient and inner optimum, and the step to try next."""

    flat: Float[Array, " p"]
    value: Scalar
    grad: Float[Array, " p"]
    init: Float[Array, "m *g"] | None
    inverse: Float[Array, "p p"]
    step: Float[Array, " p"]
    decrement: Scalar
    certified: Bool[Array, ""]
    num_steps: Int[Array, ""]


@eqx.filter_jit
def _quick(
    sampled: _Sampled, params: PyTree, inverse: Float[Array, "p p"], key: Array
) -> tuple[Float[Array, " p"], Bool[Array, ""]]:
    """BFGS from the inverse Hessian of the fit (Nocedal & Wright, 2006, equation 6.17)."""
    flat, unravel = ravel_pytree(params)
    problem = sampled.draw(key, flat.dtype)
    tol = _TOL_DOUBLE if jnp.finfo(flat.dtype).bits >= 64 else _TOL_SINGLE
    assert problem.weights is not None
    num_units = problem.weights.size

    def decrement_of(grad: Array) -> Scalar:
        """Length of a Newton step in standard errors."""
        return jnp.sqrt(num_units * jnp.maximum(product(grad, product(inverse, grad)), 0.0))

    def proceeds(state: _State) -> Bool[Array, ""]:
        return (state.decrement > tol) & (state.num_steps < _MAX_QUICK_STEPS)

    def advance(state: _State) -> _State:
        here = problem
        if state.init is not None:
            here = eqx.tree_at(lambda p: p.init, problem, state.init)
        trial = state.flat + state.step
        (value, profile), grad = jax.value_and_grad(lambda flat: here(unravel(flat)), has_aux=True)(
            trial
        )
        certified = profile.result == MIX_RESULTS.successful
        decrement = decrement_of(grad)
        good = certified & (decrement < jnp.inf)
        good = good & ((value <= state.value) | (decrement < state.decrement))
        step, change = state.step, grad - state.grad
        curvature = product(step, change)
        use = good & (curvature > 0)
        rho = 1.0 / jnp.where(use, curvature, 1.0)
        left = jnp.eye(flat.size, dtype=flat.dtype) - rho * jnp.outer(step, change)
        updated = product(product(left, state.inverse), left.T) + rho * jnp.outer(step, step)
        new_inverse = jnp.where(use, updated, state.inverse)
        accepted = _State(
            trial,
            value,
            grad,
            None if state.init is None else profile.probs,
            new_inverse,
            -product(new_inverse, grad),
            decrement,
            certified,
            state.num_steps,
        )
        rejected = state._replace(step=0.25 * step)
        new = jax.tree.map(lambda a, b: jnp.where(good, a, b), accepted, rejected)
        return new._replace(num_steps=state.num_steps + 1)

    infinite = jnp.asarray(jnp.inf, flat.dtype)
    first = _State(
        flat,
        infinite,
        jnp.zeros_like(flat),
        problem.init,
        inverse,
        jnp.zeros_like(flat),
        infinite,
        jnp.array(False),
        jnp.array(0),
    )
    last = lax.while_loop(proceeds, advance, first)
    return last.flat, (last.decrement <= tol) & last.certified


@eqx.filter_jit
def _careful(
    sampled: _Sampled, params: PyTree, key: Array
) -> tuple[Float[Array, " p"], Bool[Array, ""]]:
    """The search of `fit`."""
    flat = ravel_pytree(params)[0]
    problem = sampled.draw(key, flat.dtype)
    atol = 1e-8 if jnp.finfo(flat.dtype).bits >= 64 else 1e-4
    found = optimise(problem, params, TrustRegionNewton(atol=atol), _MAX_NEWTON_STEPS)
    return ravel_pytree(found.params)[0], found.successful
