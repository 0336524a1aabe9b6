import os

# OpenBLAS, which JAX takes from SciPy when it is imported, waits for its threads in busy loops: on
# a machine with other work, or under pytest -n, one solve took forty times as long as with one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Most of a test's time is XLA's, and 40% of that are optimisations, which small problems do not
# need. A variable, so that processes which tests start inherit it. The gate sets it to 0 once.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import tempfile
from pathlib import Path

import jax
import pytest
from hypothesis import settings

jax.config.update("jax_enable_x64", True)
# Broadcasts and conversions that nobody wrote down are errors here; users' settings are their own.
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
# The draws of JAX 0.5 and later, on 0.4 too: the worked case is one data set.
jax.config.update("jax_threefry_partitionable", True)

# No deadline: the first example of a shape is compiled. Few examples: each may be a solve.
# `pytest --hypothesis-profile=nightly` takes many.
in_ci = "CI" in os.environ
settings.register_profile("default", deadline=None, max_examples=10, derandomize=in_ci)
settings.register_profile("nightly", deadline=None, max_examples=1000)
settings.load_profile("default")


def pytest_configure(config: pytest.Config) -> None:
    """Have a program compiled once: not by each worker, nor again after room was made for others.

    Of a run with workers this happens in the process that starts them, and they inherit it.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    programs = tempfile.TemporaryDirectory(prefix="programs-", ignore_cleanup_errors=True)
    config.add_cleanup(programs.cleanup)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = programs.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    jax.config.update("jax_compilation_cache_dir", programs.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


# Linux allows a process 65 530 memory mappings. One test's programs take up to 14 000.
MOST_MAPPINGS = 45_000
# What takes less seconds does not compile much, and is not worth a look at the mappings.
_LONG = 1.0


def num_mappings() -> int:
    """Memory mappings of this process, of which every program that XLA compiles keeps some."""
    table = Path("/proc/self/maps")  # of Linux alone
    return table.read_bytes().count(b"\n") if table.exists() else 0


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> None:
    """Make room before the limit, where the next program would end in a segmentation fault.

    Not after every test: the next would compile the same programs anew.
    """
    del item
    if call.duration > _LONG and num_mappings() > MOST_MAPPINGS:
        jax.clear_caches()
