"""Fixtures that several modules share. The package is imported inside: see .pytest.ini."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(scope="module")
def own_programs() -> Iterator[None]:
    """Programs that are compiled with changed constants, and for these tests alone."""
    jax.clear_caches()
    yield
    jax.clear_caches()
