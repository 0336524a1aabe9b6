"""Computations that are independent of the packages: NumPy, or JAX without any of ours."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

# Step of fourth-order central differences. Truncation leaves 4/30 STEP⁴ times the fifth derivative:
# 1e-11 where that is a million. Rounding of a function of size one leaves some eps/STEP, 1e-11 too.
# What limits the accuracy here is that of the functions: an inner solve to a gap of 1e-13 (usually
# it ends at 1e-15) may err by 1e-13 in the value, and make 1e-9 of it.
STEP = 1e-4


def example_above(name, heading):
    """What an example of the gallery defines before a heading, by its names: without its work."""
    source = (EXAMPLES / name).read_text(encoding="utf-8")
    above, found, _ = source.partition(f"# %%\n# {heading}\n# ---")
    assert found
    namespace = {"__name__": name}
    exec(compile(above, name, "exec"), namespace)
    return namespace


def flatten(model):
    """Floating-point leaves of a model as one vector, and the function back to a model."""
    params, rest = eqx.partition(model, eqx.is_inexact_array)
    vector, unravel = ravel_pytree(params)
    return vector, lambda vector: eqx.combine(unravel(vector), rest)


def central_differences(fn, x, entries=None):
    """Derivative of `fn`, an array or a scalar, in the vector x: last axis of the result.

    `entries` are those of x to differentiate in, all by default.
    """
    x = np.asarray(x)
    columns = []
    for k in range(x.size) if entries is None else entries:
        unit = np.zeros_like(x)
        unit[k] = STEP
        down2, down, up, up2 = (
            np.asarray(fn(jnp.asarray(x + times * unit))) for times in (-2, -1, 1, 2)
        )
        columns.append((8 * (up - down) - (up2 - down2)) / (12 * STEP))
    return np.stack(columns, axis=-1)


def log_lik_of(problem):
    """ℓ, (n, m), as NumPy sees it."""
    return np.asarray(problem.model.lclk(problem.data, problem.supp), dtype=np.float64)


def normalised(weights, num_units):
    """Weights ω that sum to one."""
    weights = np.ones(num_units) if weights is None else np.asarray(weights, dtype=np.float64)
    return weights / weights.sum()


def _scaled(log_lik, probs):
    row_max = log_lik.max(axis=1)
    lik = np.exp(log_lik - row_max[:, None])
    return row_max, lik, lik @ np.asarray(probs, dtype=np.float64)


def mixture_value(log_lik, probs, weights=None):
    """-Σᵢ ωᵢ log Σⱼ pⱼ exp ℓᵢⱼ."""
    row_max, _, mix = _scaled(log_lik, probs)
    return -normalised(weights, len(log_lik)) @ (np.log(mix) + row_max)


def mixture_gap(log_lik, probs, weights=None):
    """Certificate log maxⱼ Σᵢ ωᵢ aᵢⱼ/uᵢ: the value is above its minimum by at most this."""
    _, lik, mix = _scaled(log_lik, probs)
    return np.log(np.max((normalised(weights, len(log_lik)) / mix) @ lik))


def posterior(log_lik, probs):
    """πᵢⱼ, (n, m)."""
    _, lik, mix = _scaled(log_lik, probs)
    return lik * np.asarray(probs)[None, :] / mix[:, None]


def profile_hessians(model, data, supp, probs):
    """Hessian of the profiled value by its formula, and the one that takes p as fixed.

    f_θθ - f_θp H_AA⁻¹ f_pθ and f_θθ, from f(θ, p) = Σⱼ pⱼ - (1/n) Σᵢ log Σⱼ pⱼ exp ℓᵢⱼ(θ) on the
    support points with mass, differentiated twice by JAX.
    """
    theta, rebuild = flatten(model)
    active = np.flatnonzero(np.asarray(probs) > 0)
    points = jax.tree.map(lambda x: x[active], supp)

    def joint(theta, p):
        log_lik = rebuild(theta).lclk(data, points)
        return jnp.sum(p) - jnp.mean(jax.nn.logsumexp(log_lik + jnp.log(p)[None, :], axis=1))

    blocks = jax.jit(jax.hessian(joint, argnums=(0, 1)))(theta, jnp.asarray(probs)[active])
    (f_tt, f_tp), (_, f_pp) = [[np.asarray(block) for block in row] for row in blocks]
    return f_tt - f_tp @ np.linalg.solve(f_pp, f_tp.T), f_tt


def raises(error, *words):
    """Expect an error whose message holds all `words`, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(words))
