"""Fixtures that several modules share. The packages are imported inside: see .pytest.ini."""

from collections.abc import Iterator

import jaxtyping
import pytest


@pytest.fixture(scope="module")
def problem():
    """The factor model, 300 units on 25 support points."""
    from .models import NUM_POINTS, NUM_UNITS, factor_problem

    return factor_problem(NUM_UNITS, NUM_POINTS)


@pytest.fixture(scope="module")
def result(problem):
    """It is fitted."""
    import spmlex

    return spmlex.fit(*problem)


@pytest.fixture
def without_annotations() -> Iterator[None]:
    """What users see: outside these tests nobody checks annotations at run time."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)
