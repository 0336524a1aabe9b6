"""jit, vmap, sharding, dtypes, and JAX as users configure it."""

import json
import os
import subprocess
import sys
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .helpers import arrays, check_solved, plant, probs_error

# The shape of `derivatives.py` and `test_errors.py`.
N, M = 40, 12
MEMBERS = 3


def solve(log_lik, weights, init=None):
    import mixsqpx

    return mixsqpx.mixsolve(log_lik, weights, init=init)


@cache
def problems():
    """Problems that take different numbers of steps and end with different active sets."""
    planted = [plant(seed, N, M, k) for seed, k in enumerate((1, 4, 8))]
    return arrays(
        np.stack([one.log_lik for one in planted]), np.stack([one.weights for one in planted])
    )


def check_member(log_lik, weights, solution):
    """Certified, and the same as alone: within the distances of both from the optimum."""
    check_solved(log_lik, weights, solution)
    alone = solve(log_lik, weights)
    tol = probs_error(log_lik, solution.probs, weights) + probs_error(log_lik, alone.probs, weights)
    assert tol < 1e-6
    assert np.linalg.norm(solution.probs - alone.probs) <= tol
    assert int(solution.stats["num_active"]) == int(alone.stats["num_active"])


def member(batch, *index):
    return jax.tree.map(lambda leaf: leaf[index], batch)


def test_jit():
    log_liks, weights = problems()
    function = jax.jit(solve)
    for log_lik, weight in zip(log_liks, weights, strict=True):
        check_member(log_lik, weight, function(log_lik, weight))


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_vmap_over_data_and_weights(wrap):
    log_liks, weights = problems()
    batch = wrap(jax.vmap(solve))(log_liks, weights)
    assert batch.probs.shape == (MEMBERS, M)
    for i in range(MEMBERS):
        check_member(log_liks[i], weights[i], member(batch, i))
    # Each in its own number of steps.
    alone = [solve(*pair).stats["num_steps"] for pair in zip(log_liks, weights, strict=True)]
    assert len(set(map(int, alone))) > 1
    np.testing.assert_array_equal(batch.stats["num_steps"], np.asarray(alone))


def test_vmap_over_data_only():
    log_liks, weights = problems()
    batch = jax.jit(jax.vmap(solve, (0, None)))(log_liks, weights[0])
    for i in range(MEMBERS):
        check_member(log_liks[i], weights[0], member(batch, i))


def test_vmap_over_weights_only():
    log_liks, weights = problems()
    batch = jax.jit(jax.vmap(solve, (None, 0)))(log_liks[1], weights)
    for i in range(MEMBERS):
        check_member(log_liks[1], weights[i], member(batch, i))


def test_vmap_over_weights_of_em():
    import mixsqpx

    # EM leaves a face slowly or never: a member must not start where another one ended.
    rng = np.random.default_rng(0)
    log_lik = np.log(rng.gamma(1.0, size=(N, M)))
    weights = rng.uniform(0.1, 2.0, (2, N))
    weights[0] *= 1e6
    weights[0, : N // 2] *= 1e-3
    weights[1, N // 2 :] *= 1e-3

    def em(weights):
        solver = mixsqpx.EM(gap_tol=1e-8)
        return mixsqpx.mixsolve(log_lik, weights, solver=solver, max_steps=500, throw=False)

    batch = jax.jit(jax.vmap(em))(weights)
    for i in range(2):
        check_solved(log_lik, weights[i], em(weights[i]), gap_tol=1e-8)
        check_solved(log_lik, weights[i], member(batch, i), gap_tol=1e-8)


def test_nested_vmap_over_all_pairs():
    log_liks, weights = problems()
    pairs = jax.vmap(jax.vmap(solve, (None, 0)), (0, None))
    batch = jax.jit(pairs)(log_liks, weights)
    assert batch.objective.shape == (MEMBERS, MEMBERS)
    for i in range(MEMBERS):
        for j in range(MEMBERS):
            check_member(log_liks[i], weights[j], member(batch, i, j))


def test_vmap_over_starts_and_other_axes():
    log_liks, weights = problems()
    starts = jnp.stack([jnp.eye(M)[0], jnp.eye(M)[5], jnp.full(M, 1 / M)], axis=1)
    batch = jax.jit(jax.vmap(solve, (None, None, 1), 0))(log_liks[1], weights[1], starts)
    for i in range(MEMBERS):
        one = member(batch, i)
        check_solved(log_liks[1], weights[1], one)
        tol = probs_error(log_liks[1], one.probs, weights[1])
        assert np.linalg.norm(one.probs - plant(1, N, M, 4).probs) <= tol
    # Data with the members last, and not at all.
    last = jax.jit(jax.vmap(solve, (2, None)))(jnp.moveaxis(log_liks, 0, 2), weights[0])
    for i in range(MEMBERS):
        check_member(log_liks[i], weights[0], member(last, i))


def test_scan_with_warm_starts():
    log_liks, weights = problems()
    path = jnp.stack([log_liks[1] + t * log_liks[2] for t in np.linspace(0, 1e-2, 5)])

    def step(start, log_lik):
        solution = solve(log_lik, weights[1], start)
        return solution.probs, solution

    batch = jax.jit(lambda: jax.lax.scan(step, jnp.full(M, 1 / M), path))()[1]
    for i in range(5):
        check_solved(path[i], weights[1], member(batch, i))
    steps = np.asarray(batch.stats["num_steps"])
    assert np.all(steps[1:] < steps[0])


def test_single_precision_beside_double():
    # x64 is on: nothing may be promoted on the way, under no transformation.
    log_liks, weights = (part.astype(jnp.float32) for part in problems())

    def parts(log_lik, weights):
        solution = solve(log_lik, weights)
        return solution.probs, solution.objective, solution.gap, solution.gradient

    single = jnp.dtype(jnp.float32)
    assert {leaf.dtype for leaf in parts(log_liks[0], weights[0])} == {single}
    for args in ((log_liks[0], None), (log_liks[0], np.ones(N, np.float32))):
        assert {leaf.dtype for leaf in jax.eval_shape(parts, *args)} == {single}
    assert {leaf.dtype for leaf in jax.eval_shape(jax.vmap(parts), log_liks, weights)} == {single}
    for jacobian in (jax.jacfwd, jax.jacrev):
        moved = jax.eval_shape(jacobian(parts, (0, 1)), log_liks[0], weights[0])
        assert {leaf.dtype for leaf in jax.tree.leaves(moved)} == {single}


def test_mixed_dtypes_follow_the_matrix():
    log_liks, weights = problems()
    low = log_liks[1].astype(jnp.float32)
    solution = solve(low, weights[1])
    assert solution.probs.dtype == jnp.float32
    check_solved(low, weights[1].astype(jnp.float32), solution, gap_tol=1e-5)
    solution = solve(log_liks[1], weights[1].astype(jnp.float32))
    assert solution.probs.dtype == jnp.float64
    check_solved(log_liks[1], weights[1].astype(jnp.float32), solution)


# ---- in a process of its own ---------------------------------------------------------------------


def run_alone(script, **environment):
    """What a script prints, as JSON, in a Python that knows nothing of this one's settings."""
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**env, "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


PLAIN = """
import json
import jax
import numpy as np

before = dict(jax.config.values)
import mixsqpx
changed = [name for name, value in jax.config.values.items() if value != before.get(name, value)]
changed += [name for name in before if name not in jax.config.values]

z = np.random.default_rng(0).normal(size=500) * np.repeat([1.0, 3.0], 250)
sd = np.sqrt(1 + np.linspace(0, 5, 20) ** 2)
log_lik = -0.5 * (z[:, None] / sd) ** 2 - np.log(sd)
solution = mixsqpx.mixsolve(log_lik)
moved = jax.jit(jax.grad(lambda ell: mixsqpx.mixsolve(ell).objective))(log_lik)
print(json.dumps({
    "changed": changed,
    "x64": bool(jax.config.jax_enable_x64),
    "dtype": str(solution.probs.dtype),
    "probs": np.asarray(solution.probs, np.float64).tolist(),
    "gap": float(solution.gap),
    "ok": bool(solution.result == mixsqpx.RESULTS.successful),
    "gradient": float(np.sum(moved)),
    "spmlex": "spmlex" in __import__("sys").modules,
}))
"""


def test_import_changes_no_setting_and_single_precision_is_enough():
    from .helpers import numpy_gap, rounding

    out = run_alone(PLAIN)
    assert out["changed"] == []
    assert out["x64"] is False
    assert out["dtype"] == "float32"
    assert out["ok"] is True
    assert out["spmlex"] is False
    z = np.random.default_rng(0).normal(size=500) * np.repeat([1.0, 3.0], 250)
    sd = np.sqrt(1 + np.linspace(0, 5, 20) ** 2)[None, :]
    log_lik = (-0.5 * (z[:, None] / sd) ** 2 - np.log(sd)).astype(np.float32)
    assert 0 <= out["gap"] <= 1e-5
    # The rounding of exp and of the subtraction of the row maximum, in float32.
    assert numpy_gap(log_lik, out["probs"]) <= 1e-5 + rounding(500, 20, np.float32)
    # Each row of the gradient sums to -1/n, as posterior probabilities sum to one.
    assert abs(out["gradient"] + 1) <= rounding(500, 20, np.float32)


SHARDED = """
import json
import jax
import numpy as np
jax.config.update("jax_enable_x64", True)
import mixsqpx
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

assert len(jax.devices()) == 8
mesh = Mesh(np.array(jax.devices()), ("units",))
z = np.random.default_rng(0).normal(size=1600) * np.repeat([1.0, 3.0], 800)
sd = np.sqrt(1 + np.linspace(0, 5, 30) ** 2)
log_lik = -0.5 * (z[:, None] / sd) ** 2 - np.log(sd)
weights = np.linspace(0.5, 1.5, 1600)
ell = jax.device_put(log_lik, NamedSharding(mesh, P("units", None)))
omega = jax.device_put(weights, NamedSharding(mesh, P("units")))

def value(ell, omega):
    solution = mixsqpx.mixsolve(ell, omega)
    return solution.objective, (solution.probs, solution.gap, solution.result._value)

eager = mixsqpx.mixsolve(ell, omega)
(_, (probs, gap, code)), moved = jax.jit(jax.value_and_grad(value, has_aux=True))(ell, omega)
print(json.dumps({
    "devices": len(ell.sharding.device_set),
    "gradient_devices": len(moved.sharding.device_set),
    "eager": np.asarray(eager.probs).tolist(),
    "jit": np.asarray(probs).tolist(),
    "ok": [bool(eager.result == mixsqpx.RESULTS.successful),
           int(code) == int(mixsqpx.RESULTS.successful._value)],
    "gradient": np.asarray(moved).sum(axis=1).tolist(),
}))
"""


@pytest.mark.slow  # compiles for several devices
def test_sharded_over_units():
    from .helpers import numpy_gap, rounding

    out = run_alone(SHARDED, XLA_FLAGS="--xla_force_host_platform_device_count=8")
    assert out["devices"] == out["gradient_devices"] == 8
    assert out["ok"] == [True, True]
    z = np.random.default_rng(0).normal(size=1600) * np.repeat([1.0, 3.0], 800)
    sd = np.sqrt(1 + np.linspace(0, 5, 30) ** 2)[None, :]
    log_lik = -0.5 * (z[:, None] / sd) ** 2 - np.log(sd)
    weights = np.linspace(0.5, 1.5, 1600)
    tol = rounding(1600, 30)
    for way in ("eager", "jit"):
        assert numpy_gap(log_lik, out[way], weights) <= 1e-10 + tol
        assert abs(sum(out[way]) - 1) <= 31 * np.finfo(float).eps
    np.testing.assert_allclose(out["gradient"], -weights / weights.sum(), rtol=tol, atol=0)
