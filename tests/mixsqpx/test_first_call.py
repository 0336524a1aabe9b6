"""What is compiled, and how often: programs are counted, no time is taken."""

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest

from .helpers import arrays, check_solved
from .zoo import normal


def log_lik_of(n, m, *, seed=0, width=1.0):
    z = np.random.default_rng(seed).normal(size=n) * 2
    return normal(z, np.linspace(-4, 4, m), width)


@pytest.fixture(scope="module")
def _counter():
    """Numbers of programs that XLA has compiled so far."""
    seen = []

    def listen(name, seconds, **_):
        if name.endswith("backend_compile_duration"):
            seen.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    return seen


@pytest.fixture
def compiled(_counter):
    """A function that runs another and says how many programs were compiled for it."""

    def count(function, *args, **options):
        before = len(_counter)
        jax.block_until_ready(function(*args, **options))
        return len(_counter) - before

    return count


def test_what_counts_is_counted(compiled):
    # A shape of its own: it would be a test of nothing if programs were not noticed.
    assert compiled(jax.jit(lambda x: x + 1), jnp.zeros(1237)) >= 1


@pytest.mark.parametrize("options", [{}, {"throw": False}, {"max_steps": 7, "throw": False}])
def test_a_second_call_compiles_nothing(compiled, options):
    import mixsqpx

    log_lik, weights = arrays(log_lik_of(211, 23), np.linspace(1, 2, 211))
    for _ in range(2):
        mixsqpx.mixsolve(log_lik, weights, **options)
    assert compiled(mixsqpx.mixsolve, log_lik, weights, **options) == 0


def test_another_problem_of_a_shape_compiles_nothing(compiled):
    """Nor do other weights, another tolerance and a start, where no larger size is needed."""
    import mixsqpx

    first, second = (jnp.asarray(log_lik_of(500, 30, seed=seed)) for seed in (1, 2))
    for _ in range(2):
        found = mixsqpx.mixsolve(first)
    weights = jnp.linspace(0.5, 1.5, 500)
    assert compiled(mixsqpx.mixsolve, second) == 0
    assert compiled(mixsqpx.mixsolve, second, weights) == 0
    assert compiled(mixsqpx.mixsolve, second, init=found.probs) == 0
    assert compiled(mixsqpx.mixsolve, second, solver=mixsqpx.MixSQP(gap_tol=1e-7)) == 0


def test_a_second_shape_of_the_same_bucket_compiles_nothing(compiled):
    import mixsqpx

    mixsqpx.mixsolve(log_lik_of(300, 25))
    for n, m in ((301, 25), (700, 31), (1024, 40), (260, 17)):
        log_lik = log_lik_of(n, m)
        assert compiled(mixsqpx.mixsolve, log_lik) == 0
        check_solved(log_lik, None, mixsqpx.mixsolve(log_lik))


def test_what_failed_already_compiles_nothing(compiled):
    import mixsqpx

    jax.clear_caches()
    log_lik = log_lik_of(90, 12)
    log_lik[3, 4] = np.nan
    log_lik = jnp.asarray(log_lik)
    assert compiled(mixsqpx.mixsolve, log_lik, throw=False) == 0


def test_only_the_sizes_that_are_reached_are_compiled(monkeypatch):
    """There are three sizes of working sets for these 200 components."""
    import mixsqpx
    from mixsqpx._shapes import padded_shape

    programs = {}
    monkeypatch.setattr("mixsqpx._programs._kept", programs)
    assert len(mixsqpx.MixSQP().sizes(*padded_shape(600, 200))) == 3
    few, many = (log_lik_of(600, 200, width=width) for width in (1.5, 0.03))
    assert int(mixsqpx.mixsolve(few).stats["num_active"]) <= 16
    # One or two sizes, then the others.
    first = len(programs)
    assert 1 <= first <= 2
    assert int(mixsqpx.mixsolve(many).stats["num_active"]) > 40
    assert len(programs) > first


def test_no_lapack_where_working_sets_are_small():
    """It would be imported with SciPy."""
    import subprocess
    import sys

    code = (
        "import sys, numpy as np, mixsqpx\n"
        "z = np.random.default_rng(0).normal(size=400)\n"
        "mixsqpx.mixsolve(-0.5 * (z[:, None] - np.linspace(-3, 3, 60)) ** 2)\n"
        "assert 'scipy.linalg' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 7), (7, 1), (9, 299), (1025, 41), (2500, 90)])
def test_padding_is_no_part_of_the_answer(n, m):
    """A solve of known numbers is padded, one inside of a compiled function is not."""
    import mixsqpx

    log_lik, weights = arrays(log_lik_of(n, m), np.linspace(0.5, 1.5, n))
    solution = mixsqpx.mixsolve(log_lik, weights)
    traced = jax.jit(mixsqpx.mixsolve)(log_lik, weights)
    check_solved(log_lik, weights, solution)
    assert solution.probs.shape == solution.gradient.shape == (m,)
    # Both are within their gaps, at most 1e-10 each, of one minimum.
    np.testing.assert_allclose(solution.objective, traced.objective, rtol=0, atol=2e-10)


def test_shapes_hold_what_is_put_there():
    from mixsqpx._shapes import padded_shape

    rng = np.random.default_rng(0)
    pairs = {(int(n), int(m)) for n, m in np.exp(rng.uniform(0, 8, (5000, 2))) + 1}
    shapes = {pair: padded_shape(*pair) for pair in pairs}
    for (n, m), shape in shapes.items():
        if shape is None:
            assert n * m > 1_000_000
            continue
        assert shape[0] >= n
        assert shape[1] >= m
        if n * m > 330_000:
            # An eighth of each at most; and eight units.
            assert shape[0] <= 1.125 * n + 9
            assert shape[1] <= 1.125 * m + 1
    # Random sizes, as of genes or markets, share few.
    sizes = [(n, m) for n in range(300, 3001, 50) for m in range(20, 101, 5)]
    assert len({padded_shape(*size) for size in sizes}) <= 9


def test_programs_are_kept_between_processes(tmp_path):
    """By JAX's cache: the second process finds every program that the first has left there."""
    import os
    import subprocess
    import sys

    code = (
        "import jax, numpy as np, mixsqpx\n"
        "z = np.random.default_rng(0).normal(size=400)\n"
        "log_lik = -0.5 * (z[:, None] - np.linspace(-3, 3, 30)) ** 2\n"
        "assert int(mixsqpx.mixsolve(log_lik).stats['num_active']) > 0\n"
    )
    env = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_ENABLE_COMPILATION_CACHE": "1",
    }
    kept = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=True, env=env)
        kept.append({path.name for path in tmp_path.iterdir() if path.name.endswith("-cache")})
    # Older releases of JAX have no name for what `partial` makes.
    assert any("run_phase" in name or "unnamed" in name for name in kept[0])
    assert kept[1] == kept[0]


def num_mappings():
    with open("/proc/self/maps") as file:
        return sum(1 for _ in file)


# Only Linux says how many mappings a process has, and only there is a limit on them.
@pytest.mark.skipif("not __import__('os').path.exists('/proc/self/maps')")
def test_shapes_without_end_take_no_more_and_more_memory(monkeypatch):
    """With room for 6 programs in place of 128, two or three of which are one shape's."""
    import mixsqpx
    from mixsqpx import _programs

    monkeypatch.setattr(_programs, "_MOST_PROGRAMS", 6)
    counts = []
    for i, (n, m) in enumerate([(12, 12), (50, 12), (200, 12), (900, 12)] * 3):
        mixsqpx.mixsolve(log_lik_of(n + i, m))
        counts.append(num_mappings())
    # Every round compiles all it needs anew, and no round keeps what the others left.
    assert max(counts[8:]) <= max(counts[:8]) + 50
