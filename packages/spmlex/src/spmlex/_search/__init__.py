"""The search for the parameters: what is minimised, by what, from where, and how it ended.

Minimisers are those of optimistix; `TrustRegionNewton` is one more. A search returns parameters and
inner optimum, and knows nothing of tables or standard errors.
"""

from ._compiled import optimise as optimise
from ._driver import hessian_at as hessian_at
from ._driver import search as search
from ._newton import AbstractExpandable as AbstractExpandable
from ._newton import Expansion as Expansion
from ._newton import TrustRegionNewton as TrustRegionNewton
from ._problem import Problem as Problem
from ._problem import num_active as num_active
from ._problem import problem_from as problem_from
from ._progress import Progress as Progress
from ._progress import watch as watch
from ._results import RESULTS as RESULTS
from ._start import explain_derivatives as explain_derivatives
from ._task import Task as Task
from ._task import prepare as prepare
