"""Profile likelihood of models with unobserved heterogeneity of unknown distribution."""

from ._covariance import SingularInformationError as SingularInformationError
from ._covariance import conf_int as conf_int
from ._covariance import covariance as covariance
from ._covariance import std_errors as std_errors
from ._fit import fit as fit
from ._fit import fit_multistart as fit_multistart
from ._function_model import FunctionModel as FunctionModel
from ._multistart import MultistartResult as MultistartResult
from ._newton import TrustRegionNewton as TrustRegionNewton
from ._plots import plot_distribution as plot_distribution
from ._plots import plot_gradient as plot_gradient
from ._plots import plot_history as plot_history
from ._plots import plot_profile as plot_profile
from ._profile import profile_ll as profile_ll
from ._result import FitResult as FitResult
from ._save import load as load
from ._save import save as save
from ._scores import scores as scores
from ._solution import RESULTS as RESULTS
from ._summary import compare as compare
from ._summary import summary as summary
from ._table import Table as Table

__all__ = [
    "RESULTS",
    "FitResult",
    "FunctionModel",
    "MultistartResult",
    "SingularInformationError",
    "Table",
    "TrustRegionNewton",
    "compare",
    "conf_int",
    "covariance",
    "fit",
    "fit_multistart",
    "load",
    "plot_distribution",
    "plot_gradient",
    "plot_history",
    "plot_profile",
    "profile_ll",
    "save",
    "scores",
    "std_errors",
    "summary",
]
