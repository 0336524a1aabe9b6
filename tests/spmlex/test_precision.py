"""Every product is asked for in full precision: see tests/mixsqpx/test_precision.py.

The model makes no products, so all of them are the package's own.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from .models import factor_problem

KEY = jax.random.PRNGKey(2)


@pytest.mark.slow
def test_products_are_in_full_precision(monkeypatch):
    import spmlex

    asked = []
    bind = lax.dot_general_p.bind

    def spy(*args, **params):
        asked.append(params["precision"])
        return bind(*args, **params)

    problem = jax.tree.map(lambda x: x.astype(jnp.float32), factor_problem(211, 17))
    labels = np.arange(211) % 2
    jax.clear_caches()
    monkeypatch.setattr(lax.dot_general_p, "bind", spy)
    result = spmlex.fit(*problem, groups=labels)
    uses = [
        result.std_errors(kind="robust"),
        result.std_errors(kind="opg"),
        result.hessian(),
        result.bootstrap(KEY, num=2).std_errors,
        result.posterior_mean(),
        result.average(lambda model, data, supp: supp**2).std_errors,
        result.average(lambda model, data, supp: data[:, :1] * supp[None, :]).std_errors,
        result.grid_gap(),
        jax.hessian(lambda coef: spmlex.profile_ll(_with(problem.model, coef), *problem[1:])[0])(
            problem.model.coef
        ),
    ]
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(uses))
    assert asked
    assert [x for x in asked if x != (lax.Precision.HIGHEST, lax.Precision.HIGHEST)] == []


def _with(model, coef):
    return type(model)(coef, model.log_std_e)
