import os

# OpenBLAS, which JAX takes from SciPy when it is imported, waits for its threads in busy loops: on
# a machine with other work, or under pytest -n, one solve took forty times as long as with one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Iterator

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


@pytest.fixture(scope="module", autouse=True)
def _compiled_programs_are_dropped() -> Iterator[None]:
    """Every program that XLA compiles for a CPU keeps some memory mappings.

    Linux allows a process 65 530 of them, about what all tests together would need; the next
    program to be compiled then ends the process with a segmentation fault.
    """
    yield
    jax.clear_caches()
