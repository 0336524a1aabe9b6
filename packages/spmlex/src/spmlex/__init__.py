"""Profile likelihood of models with unobserved heterogeneity of unknown distribution."""

from importlib.metadata import version

from ._fit import fit as fit
from ._fit import fit_multistart as fit_multistart
from ._fit_orthogonal import fit_orthogonal as fit_orthogonal
from ._inference import Bootstrap as Bootstrap
from ._inference import LikelihoodRatio as LikelihoodRatio
from ._inference import ProfileInterval as ProfileInterval
from ._inference import SingularInformationError as SingularInformationError
from ._inference import likelihood_ratio_test as likelihood_ratio_test
from ._load import load as load
from ._model import FunctionModel as FunctionModel
from ._multistart import MultistartResult as MultistartResult
from ._orthogonal import Functional as Functional
from ._orthogonal import Orthogonal as Orthogonal
from ._orthogonal import OrthogonalResult as OrthogonalResult
from ._orthogonal import ScoreTest as ScoreTest
from ._orthogonal import WaldTest as WaldTest
from ._profile import profile_ll as profile_ll
from ._report import compare as compare
from ._report import plot_coefficients as plot_coefficients
from ._result import FitResult as FitResult
from ._search import RESULTS as RESULTS
from ._search import TrustRegionNewton as TrustRegionNewton
from ._table import Table as Table
from ._use import Estimate as Estimate

__version__ = version("spmlex")

__all__ = [
    "RESULTS",
    "Bootstrap",
    "Estimate",
    "FitResult",
    "FunctionModel",
    "Functional",
    "LikelihoodRatio",
    "MultistartResult",
    "Orthogonal",
    "OrthogonalResult",
    "ProfileInterval",
    "ScoreTest",
    "SingularInformationError",
    "Table",
    "TrustRegionNewton",
    "WaldTest",
    "compare",
    "fit",
    "fit_multistart",
    "fit_orthogonal",
    "likelihood_ratio_test",
    "load",
    "plot_coefficients",
    "profile_ll",
]
