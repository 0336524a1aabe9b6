"""Profile likelihood of models with unobserved heterogeneity of unknown distribution."""

from ._fit import fit as fit
from ._fit import fit_multistart as fit_multistart
from ._function_model import FunctionModel as FunctionModel
from ._multistart import MultistartResult as MultistartResult
from ._newton import TrustRegionNewton as TrustRegionNewton
from ._profile import profile_ll as profile_ll
from ._result import FitResult as FitResult
from ._solution import RESULTS as RESULTS

__all__ = [
    "RESULTS",
    "FitResult",
    "FunctionModel",
    "MultistartResult",
    "TrustRegionNewton",
    "fit",
    "fit_multistart",
    "profile_ll",
]
