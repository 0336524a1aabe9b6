"""The profile likelihood in the hands of other optimisers
=======================================================

`profile_ll` handed to other optimisers: jaxopt, optax, SciPy and optimagic.

The profile likelihood is an ordinary function with exact first and second derivatives, so whatever
minimises functions can minimise it. The model is that of `factor_model.py`: three outcomes that
load on a factor whose distribution is not known.

Usage: python optimisers.py
"""

import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
import optax
import optimagic
import scipy.optimize
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

import spmlex

# Likelihoods deserve double precision; the second line gives all versions of JAX the same draws.
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_threefry_partitionable", True)


class FactorModel(eqx.Module):
    """The floating-point arrays of the model are its parameters."""

    loadings: Float[Array, "2"]
    log_std: Float[Array, "3"]

    def lclk(self, data: Float[Array, "n 3"], supp: Float[Array, " m"]) -> Float[Array, "n m"]:
        """Log density of the outcomes of each unit, were its factor each of the support points."""
        mean = supp[:, None] * jnp.concatenate([jnp.ones(1), self.loadings])[None, :]
        z = (data[:, None, :] - mean[None, :, :]) / jnp.exp(self.log_std)[None, None, :]
        constant = jnp.sum(self.log_std) + 1.5 * jnp.log(2 * jnp.pi)
        return -0.5 * jnp.sum(z**2, axis=-1) - constant


Arguments = tuple[FactorModel, Array, Array]


def problem(num_units: int, num_points: int) -> Arguments:
    """A start, simulated outcomes and a grid: the arguments of `profile_ll`."""
    first, second = jax.random.split(jax.random.key(0))
    factor = jnp.array([-3.0, 0.0, 5.0])[jax.random.choice(first, 3, (num_units, 1))]
    errors = jax.random.normal(second, (num_units, 3))
    data = factor * jnp.array([[1.0, 1.5, 0.3]]) + errors * jnp.array([[1.0, 1.2, 0.7]])
    # Quasi-Newton methods take a first step of length one along the gradient: start them near.
    start = FactorModel(jnp.array([1.2, 0.5]), jnp.full((3,), 0.2))
    return start, data, jnp.linspace(-6.0, 8.0, num_points)


def with_jaxopt_bfgs(start: FactorModel, data: Array, supp: Array) -> FactorModel:
    """`profile_ll` as it is. The default tolerance would stop at a gradient of 1e-3."""
    solver = jaxopt.BFGS(spmlex.profile_ll, has_aux=True, linesearch="zoom", tol=1e-6)
    return solver.run(start, data, supp).params


def with_jaxopt_lbfgs(start: FactorModel, data: Array, supp: Array) -> FactorModel:
    """Without a matrix of the size of the Hessian: for thousands of parameters."""
    solver = jaxopt.LBFGS(spmlex.profile_ll, has_aux=True, tol=1e-6)
    return solver.run(start, data, supp).params


def with_optax(start: FactorModel, data: Array, supp: Array) -> FactorModel:
    """A loop of one's own around a gradient transformation."""

    def value(model: FactorModel) -> Array:
        return spmlex.profile_ll(model, data, supp)[0]

    solver = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(value)

    @jax.jit
    def step(model: Any, state: Any) -> tuple[Any, Any, Array]:
        f, grad = value_and_grad(model, state=state)
        updates, state = solver.update(grad, state, model, value=f, grad=grad, value_fn=value)
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


def flat(
    start: FactorModel, data: Array, supp: Array
) -> tuple[Callable[[Array], Array], np.ndarray, Callable[[Array], FactorModel]]:
    """For optimisers that know vectors only: the value, where to start, and the way back."""
    theta, rebuild = ravel_pytree(start)
    return lambda x: spmlex.profile_ll(rebuild(x), data, supp)[0], np.asarray(theta), rebuild


def with_scipy(start: FactorModel, data: Array, supp: Array) -> FactorModel:
    """Value, gradient and Hessian from JAX, the method from SciPy."""
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


def with_optimagic(start: FactorModel, data: Array, supp: Array) -> FactorModel:
    """One interface to many optimisers."""
    value, theta, rebuild = flat(start, data, supp)
    value, grad = jax.jit(value), jax.jit(jax.grad(value))
    found = optimagic.minimize(
        lambda x: float(value(x)),
        theta,
        algorithm="scipy_lbfgsb",
        jac=lambda x: np.asarray(grad(x)),
        algo_options={"convergence_ftol_rel": 1e-14, "convergence_gtol_abs": 1e-7},
    )
    return rebuild(jnp.asarray(found.params))


def with_spmlex(start: FactorModel, data: Array, supp: Array) -> FactorModel:
    """Ours, for comparison."""
    return spmlex.fit(start, data, supp).model


OPTIMISERS = {
    "spmlex.fit": with_spmlex,
    "jaxopt.BFGS": with_jaxopt_bfgs,
    "jaxopt.LBFGS": with_jaxopt_lbfgs,
    "optax.lbfgs": with_optax,
    "scipy, trust-exact": with_scipy,
    "optimagic, scipy_lbfgsb": with_optimagic,
}


def main() -> None:
    """Fit by each, and print where it ended."""
    start, data, supp = problem(2000, 71)
    evaluate = jax.jit(jax.value_and_grad(spmlex.profile_ll, has_aux=True))
    print(f"{'optimiser':<26}{'value':>16}{'gradient norm':>16}{'seconds':>10}\n{'-' * 68}")
    for name, minimise in OPTIMISERS.items():
        before = time.perf_counter()
        model = minimise(start, data, supp)
        seconds = time.perf_counter() - before
        (value, _), grad = evaluate(model, data, supp)
        norm = np.max(np.abs(ravel_pytree(grad)[0]))
        print(f"{name:<26}{value:>16.10f}{norm:>16.1e}{seconds:>10.1f}")


if __name__ == "__main__":
    main()
