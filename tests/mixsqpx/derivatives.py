"""A planted optimum, its derivatives in closed form, and what the tests of them share."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from .helpers import arrays, numpy_ratios, numpy_weights, plant, probs_error

# One shape for nearly all: the solver is compiled anew into each function below, in two seconds.
N, M, K = 40, 12, 5
GAP_TOL = 1e-13  # differences divide the solver's error by the step


@cache
def planted(num_active: int = K):
    """An optimum with strict complementarity, so that small changes do not move its active set.

    18 active of 24: a shape of its own, for which derivatives are taken on all or on 16 components.
    """
    return plant(70 + num_active, N, M if num_active <= M else 24, num_active)


def data(num_active: int = K):
    return arrays(planted(num_active).log_lik, planted(num_active).weights)


def solve(log_lik, weights, init=None):
    import mixsqpx

    return mixsqpx.mixsolve(log_lik, weights, init=init, solver=mixsqpx.MixSQP(gap_tol=GAP_TOL))


def probs(log_lik, weights, init=None):
    return solve(log_lik, weights, init).probs


def objective(log_lik, weights):
    return solve(log_lik, weights).objective


jacobians = {
    "forward": jax.jit(jax.jacfwd(probs, (0, 1))),
    "reverse": jax.jit(jax.jacrev(probs, (0, 1))),
}
gradient = jax.jit(jax.grad(objective, (0, 1)))
hessian = jax.jit(jax.hessian(objective, (0, 1)))


def closed_form(log_lik, p, weights):
    """Jacobians of p in ℓ, shape (m, n, m), and in the weights, (m, n): H_AA⁺ d(Σᵢ ωᵢ aᵢA/uᵢ)."""
    ell, p = np.asarray(log_lik, np.float64), np.asarray(p, np.float64)
    active = p > 0
    omega, total = numpy_weights(weights, len(ell)), np.sum(weights)
    ratios = np.zeros(ell.shape)
    usable = np.isfinite(ell.max(axis=1))
    ratios[usable] = numpy_ratios(ell[usable], p)
    inside = ratios[:, active]
    inverse = np.linalg.pinv(inside.T @ (omega[:, None] * inside), rcond=1e-12, hermitian=True)
    # Change of aᵢⱼ/uᵢ with ℓᵢₖ: aᵢⱼ/uᵢ (1{j = k} - pₖ aᵢₖ/uᵢ).
    unit = np.eye(len(p))[active]
    by_ratio = inside.T[:, :, None] * (unit[:, None, :] - (p[None, :] * ratios)[None, :, :])
    by_data, by_weight = np.zeros((len(p), *ell.shape)), np.zeros((len(p), len(ell)))
    by_data[active] = np.tensordot(inverse, omega[None, :, None] * by_ratio, 1)
    by_weight[active] = inverse @ (inside - 1.0).T / total
    return by_data, by_weight


def system_error(log_lik, weights, p):
    """Rounding of H_AA⁻¹ b, where b and the entries of H are below 10 or so."""
    tol = 100 * probs_error(log_lik, p, weights)
    assert tol < 1e-9
    return tol


def directions(seed: int = 0):
    """Changes of ℓ and of the weights: two of ℓ, one of the weights, one of both."""
    rng = np.random.default_rng(seed)
    of_data, of_weights = rng.uniform(-1, 1, (4, N, M)), rng.uniform(-0.5, 0.5, (4, N))
    of_data[2], of_weights[:2] = 0.0, 0.0
    return arrays(of_data, of_weights)


def everything(log_lik, weights):
    """p, f and the gradient of f, from one solve."""

    def values(log_lik, weights):
        solution = solve(log_lik, weights)
        return solution.probs, solution.objective

    (p, f), pull = jax.vjp(values, log_lik, weights)
    by_data, by_weight = pull((jnp.zeros_like(p), jnp.ones_like(f)))
    return {"probs": p, "objective": f, "gradient": jnp.concatenate([by_data.ravel(), by_weight])}


def everything_moved(log_lik, weights):
    """Derivatives of all of these along a fixed direction."""
    tangents = tuple(d[3] for d in directions(1))
    return jax.jvp(everything, (log_lik, weights), tangents)[1]


@cache
def slopes(function):
    """The same by forward mode."""
    one = jax.vmap(lambda *tangents: jax.jvp(function, data(), tangents)[1])
    return jax.tree.map(np.asarray, jax.jit(one)(*directions()))
