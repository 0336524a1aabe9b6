"""JAX and Python as they may be set up around the package, in processes of their own."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from .helpers import numpy_gap, rounding

N, M = 30, 8

# No computation can start where there is no such platform.
PREAMBLE = """
import json, os, sys
import jax
before = dict(jax.config.values)
os.environ["JAX_PLATFORMS"] = "none_such"
jax.config.update("jax_platforms", "none_such")
import mixsqpx
jax.config.update("jax_platforms", "cpu")
changed = [k for k, v in jax.config.values.items() if k != "jax_platforms" and before.get(k) != v]
import jax.numpy as jnp
import numpy as np

def problem(seed, n=30, m=8):
    rng = np.random.default_rng(seed)
    log_lik = np.log(rng.gamma(1.0, size=(n, m)))
    log_lik[:, 0][rng.uniform(size=n) < 0.3] = -np.inf
    return log_lik, rng.integers(0, 3, n) + np.eye(n)[0]

def parts(log_lik, weights):
    solution = mixsqpx.mixsolve(log_lik, weights)
    return solution.objective, solution

value_and_grad = jax.jit(jax.value_and_grad(parts, has_aux=True))

def solve(seed):
    (_, solution), grad = value_and_grad(*problem(seed))
    return {
        "seed": seed,
        "ok": bool(solution.result == mixsqpx.RESULTS.successful),
        "dtype": str(solution.probs.dtype),
        "probs": np.asarray(solution.probs, np.float64).tolist(),
        "gradient": float(np.sum(grad)),
    }
"""

SCRIPTS = {
    "single": """
        solved = [solve(0)]
        jax.config.update("jax_numpy_rank_promotion", "raise")
        jax.config.update("jax_numpy_dtype_promotion", "strict")
        jacobian = jax.jit(jax.jacfwd(lambda ell, w: mixsqpx.mixsolve(ell, w).probs))
        data = [jnp.asarray(x, float) for x in problem(0)]
        checked = [jacobian(*data)] + [
            function(data[0], jnp.full(8, 1 / 8))
            for function in (mixsqpx.hessian, mixsqpx.posterior, mixsqpx.optimality_gap)
        ]
        print(json.dumps({
            "changed": changed,
            "solved": solved + [solve(1)],
            "finite": all(bool(jnp.all(jnp.isfinite(x))) for x in checked),
        }))
    """,
    "double": """
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(solve, [0, 1, 2, 3] * 4))
        alone = [solve(seed) for seed in (0, 1, 2, 3)]
        assert together == alone * 4

        with jax.disable_jit():
            solution = mixsqpx.mixsolve(*problem(0))
        again = alone[0] | {
            "ok": bool(solution.result == mixsqpx.RESULTS.successful),
            "dtype": str(solution.probs.dtype),
            "probs": np.asarray(solution.probs).tolist(),
        }

        jax.config.update("jax_debug_nans", True)
        watched = [solve(seed) for seed in range(4)]
        refused = False
        try:
            mixsqpx.mixsolve(np.full((30, 8), -np.inf), np.ones(30))
        except (ValueError, FloatingPointError):  # ours, or JAX's for the NaN in the outcome
            refused = True
        print(json.dumps({"solved": alone + [again] + watched, "refused": refused}))
    """,
    "spawned": """
        import multiprocessing
        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(2) as pool:
                there = pool.map(solve, [0, 1])
            assert there == [solve(0), solve(1)]
            print(json.dumps({"solved": there}))
    """,
}


def run(name, directory, **environment):
    """What one of the scripts prints, as JSON."""
    script = directory / "script.py"
    script.write_text(PREAMBLE + textwrap.dedent(SCRIPTS[name]), encoding="utf-8")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        env={**env, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow  # processes that compile everything anew
@pytest.mark.parametrize(
    ("name", "double", "devices"),
    [("single", False, 8), ("double", True, 1), ("spawned", False, 1)],
    ids=["single_strict_8_devices", "double_threads_no_jit_debug_nans", "spawned"],
)
def test_environment(name, double, devices, tmp_path):
    flags = f"--xla_force_host_platform_device_count={devices}"
    out = run(name, tmp_path, JAX_ENABLE_X64=str(int(double)), XLA_FLAGS=flags)
    dtype = np.dtype("float64" if double else "float32")
    tol = rounding(N, M, dtype)
    for one in out["solved"]:
        rng = np.random.default_rng(one["seed"])
        log_lik = np.log(rng.gamma(1.0, size=(N, M)))
        log_lik[:, 0][rng.uniform(size=N) < 0.3] = -np.inf
        weights = rng.integers(0, 3, N) + np.eye(N)[0]
        assert one["ok"] is True
        assert one["dtype"] == dtype.name
        assert numpy_gap(log_lik, one["probs"], weights) <= (1e-10 if double else 1e-5) + tol
        assert abs(one["gradient"] + 1) <= tol
    assert out.get("changed", []) == []
    assert out.get("finite", True) is True
    assert out.get("refused", True) is True


def test_what_is_public():
    import mixsqpx

    assert sorted(mixsqpx.__all__) == [
        "AbstractMixSolver",
        "EM",
        "MixSQP",
        "MixSolution",
        "RESULTS",
        "datasets",
        "hessian",
        "implicit",
        "mixsolve",
        "mixsolve_blocks",
        "numerics",
        "objective",
        "optimality_gap",
        "posterior",
        "raise_on_failure",
    ]
    assert mixsqpx.numerics.__all__ == ["normalise_weights", "product"]
