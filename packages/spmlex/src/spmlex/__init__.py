"""Profile likelihood of models with unobserved heterogeneity of unknown distribution."""

from ._fit import fit as fit
from ._newton import TrustRegionNewton as TrustRegionNewton
from ._profile import profile_ll as profile_ll
from ._result import FitResult as FitResult
from ._solution import RESULTS as RESULTS

__all__ = ["RESULTS", "FitResult", "TrustRegionNewton", "fit", "profile_ll"]
