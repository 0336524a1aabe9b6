"""Every product is asked for in full precision: accelerators round float32 to less by default.

No processor rounds so, hence the requests are looked at in place of the results.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

N, M = 53, 11  # a shape of its own: what is compiled already asks for nothing
CALLS = {
    "MixSQP": lambda pkg, ell, w: pkg.mixsolve(ell, w).probs,
    "EM": lambda pkg, ell, w: (
        pkg.mixsolve(ell, w, solver=pkg.EM(gap_tol=None), max_steps=50_000).probs
    ),
    "derivative of probs": lambda pkg, ell, w: jax.jacrev(lambda x: pkg.mixsolve(x, w).probs)(ell),
    "Hessian of objective": lambda pkg, ell, w: jax.hessian(
        lambda w: pkg.mixsolve(ell, w).objective
    )(w),
    "objective": lambda pkg, ell, w: pkg.objective(ell, jnp.full(M, 1 / M, ell.dtype), w),
    "optimality_gap": lambda pkg, ell, w: pkg.optimality_gap(ell, jnp.full(M, 1 / M, ell.dtype), w),
    "hessian": lambda pkg, ell, w: pkg.hessian(ell, jnp.full(M, 1 / M, ell.dtype), w),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_products_are_in_full_precision(name, monkeypatch):
    import mixsqpx

    asked = []
    bind = lax.dot_general_p.bind

    def spy(*args, **params):
        asked.append(params["precision"])
        return bind(*args, **params)

    monkeypatch.setattr(lax.dot_general_p, "bind", spy)
    rng = np.random.default_rng(3)
    ell = jnp.asarray(rng.normal(size=(N, M)), jnp.float32)
    weights = jnp.asarray(rng.uniform(0.5, 1.5, N), jnp.float32)
    jax.clear_caches()
    out = CALLS[name](mixsqpx, ell, weights)
    assert np.all(np.isfinite(np.asarray(out)))
    highest = (lax.Precision.HIGHEST, lax.Precision.HIGHEST)
    assert asked
    assert [x for x in asked if x != highest] == []
