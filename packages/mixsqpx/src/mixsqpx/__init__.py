"""Maximum-likelihood mixture proportions by mixSQP, in pure JAX."""

from importlib.metadata import version

from . import datasets as datasets
from . import implicit as implicit
from . import numerics as numerics
from ._em import EM as EM
from ._functions import hessian as hessian
from ._functions import objective as objective
from ._functions import optimality_gap as optimality_gap
from ._functions import posterior as posterior
from ._mixsolve import mixsolve as mixsolve
from ._mixsolve_blocks import mixsolve_blocks as mixsolve_blocks
from ._mixsqp import MixSQP as MixSQP
from ._raise import raise_on_failure as raise_on_failure
from ._solution import RESULTS as RESULTS
from ._solution import MixSolution as MixSolution
from ._solver import AbstractMixSolver as AbstractMixSolver

__version__ = version("mixsqpx")

__all__ = [
    "EM",
    "RESULTS",
    "AbstractMixSolver",
    "MixSQP",
    "MixSolution",
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
