"""The profile likelihood in the hands of other optimisers
=======================================================

`spmlex.profile_ll` is an ordinary function with exact first and second
derivatives. Can whatever minimises functions minimise it?

It can: jaxopt, optax, SciPy and optimagic end here where `spmlex.fit`
does. The model has three outcomes that load on a factor whose
distribution is not known, as in :doc:`factor_model`.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxopt
import matplotlib.pyplot as plt
import numpy as np
import optax
import optimagic
import scipy.optimize
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

import spmlex

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_threefry_partitionable", True)


class FactorModel(eqx.Module):
    loadings: Float[Array, "2"]
    log_std: Float[Array, "3"]

    def lclk(
        self, data: Float[Array, "n 3"], supp: Float[Array, " m"]
    ) -> Float[Array, "n m"]:
        loadings = jnp.concatenate([jnp.ones(1), self.loadings])[None, :]
        mean, std = supp[:, None] * loadings, jnp.exp(self.log_std)
        z = (data[:, None, :] - mean[None, :, :]) / std[None, None, :]
        constant = jnp.sum(self.log_std) + 1.5 * jnp.log(2 * jnp.pi)
        return -0.5 * jnp.sum(z**2, axis=-1) - constant


def problem(
    num_units: int, num_points: int
) -> tuple[FactorModel, Array, Array]:
    """The arguments of `profile_ll`: a start, outcomes, a grid."""
    first, second = jax.random.split(jax.random.key(0))
    points = jnp.array([-3.0, 0.0, 5.0])
    factor = points[jax.random.choice(first, 3, (num_units, 1))]
    errors = jax.random.normal(second, (num_units, 3))
    data = factor * jnp.array([[1.0, 1.5, 0.3]])
    data = data + errors * jnp.array([[1.0, 1.2, 0.7]])
    # The first step of quasi-Newton methods is as long as the gradient:
    # start them near.
    start = FactorModel(jnp.array([1.2, 0.5]), jnp.full((3,), 0.2))
    return start, data, jnp.linspace(-6.0, 8.0, num_points)


# %%
# Functions of a model
# --------------------
# jaxopt takes `profile_ll` as it is. Its own BFGS and LBFGS do so, too.


def with_jaxopt(
    start: FactorModel, data: Array, supp: Array
) -> FactorModel:
    solver = jaxopt.ScipyMinimize(
        fun=spmlex.profile_ll, has_aux=True, method="BFGS", tol=1e-7
    )
    return solver.run(start, data, supp).params


# %%
# optax has gradient transformations, and the loop is one's own.


def with_optax(start: FactorModel, data: Array, supp: Array) -> FactorModel:
    def value(model: FactorModel) -> Array:
        return spmlex.profile_ll(model, data, supp)[0]

    solver = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(value)

    @jax.jit
    def step(model: Any, state: Any) -> tuple[Any, Any, Array]:
        f, grad = value_and_grad(model, state=state)
        updates, state = solver.update(
            grad, state, model, value=f, grad=grad, value_fn=value
        )
        norm = jnp.max(jnp.abs(ravel_pytree(grad)[0]))
        return optax.apply_updates(model, updates), state, norm

    # optax's annotations know no Modules.
    model: Any = start
    state, norm = solver.init(model), jnp.inf
    for _ in range(200):
        if norm <= 1e-6:
            break
        model, state, norm = step(model, state)
    return model


# %%
# Functions of a vector
# ---------------------
# SciPy and optimagic know vectors only: they need the value, where to
# start, and the way back. SciPy gets the exact Hessian, too.


def flat(
    start: FactorModel, data: Array, supp: Array
) -> tuple[
    Callable[[Array], Array], np.ndarray, Callable[[Array], FactorModel]
]:
    theta, rebuild = ravel_pytree(start)

    def value(x: Array) -> Array:
        return spmlex.profile_ll(rebuild(x), data, supp)[0]

    return value, np.asarray(theta), rebuild


def with_scipy(start: FactorModel, data: Array, supp: Array) -> FactorModel:
    value, theta, rebuild = flat(start, data, supp)
    found = scipy.optimize.minimize(
        jax.jit(jax.value_and_grad(value)),
        theta,
        jac=True,
        hess=jax.jit(jax.hessian(value)),
        method="trust-exact",
        options={"gtol": 1e-8},
    )
    return rebuild(jnp.asarray(found.x))


def with_optimagic(
    start: FactorModel, data: Array, supp: Array
) -> FactorModel:
    value, theta, rebuild = flat(start, data, supp)
    value_and_grad = jax.jit(jax.value_and_grad(value))

    def as_numpy(x: np.ndarray) -> tuple[float, np.ndarray]:
        f, grad = value_and_grad(x)
        return float(f), np.asarray(grad)

    found = optimagic.minimize(
        lambda x: as_numpy(x)[0],
        theta,
        algorithm="scipy_lbfgsb",
        fun_and_jac=as_numpy,
        algo_options={
            "convergence_ftol_rel": 1e-14,
            "convergence_gtol_abs": 1e-7,
        },
    )
    return rebuild(jnp.asarray(found.params))


def with_spmlex(
    start: FactorModel, data: Array, supp: Array
) -> FactorModel:
    return spmlex.fit(start, data, supp).model


OPTIMISERS = {
    "spmlex.fit": with_spmlex,
    "jaxopt, BFGS": with_jaxopt,
    "optax, L-BFGS": with_optax,
    "SciPy, trust-exact": with_scipy,
    "optimagic, L-BFGS-B": with_optimagic,
}

# %%
# All of them
# -----------
# Each starts at the same place. The table has the mean negative
# log-likelihood where it ended, and the largest entry of the gradient
# there.
start, data, supp = problem(200, 21)
evaluate = jax.jit(jax.value_and_grad(spmlex.profile_ll, has_aux=True))
ends, norms = {}, {}
print(f"{'optimiser':<26}{'value':>16}{'gradient':>12}\n{'-' * 54}")
for name, minimise in OPTIMISERS.items():
    ends[name] = minimise(start, data, supp)
    (value, _), grad = evaluate(ends[name], data, supp)
    norms[name] = np.max(np.abs(ravel_pytree(grad)[0]))
    print(f"{name:<26}{value:>16.10f}{norms[name]:>12.1e}")

# %%
# They differ in where their tolerances let them stop. The last of the
# Newton steps of `spmlex.fit`, on exact Hessians, ends at rounding.
best = ravel_pytree(ends["spmlex.fit"])[0]
figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
for k, name in enumerate(OPTIMISERS):
    far = np.max(np.abs(ravel_pytree(ends[name])[0] - best))
    axes.plot(norms[name], k, "o", color="#004488")
    axes.plot(far if far else np.nan, k, "s", color="#ddaa33")
axes.plot([], [], "o", color="#004488", label="gradient")
axes.plot([], [], "s", color="#ddaa33", label="distance from spmlex.fit")
axes.set_yticks(range(len(OPTIMISERS)), list(OPTIMISERS))
axes.invert_yaxis()
axes.set(xscale="log", xlabel="Largest entry, where the search ended")
axes.legend(fontsize="small")
plt.show()
