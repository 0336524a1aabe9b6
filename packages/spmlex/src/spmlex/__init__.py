"""Profile likelihood of models with unobserved heterogeneity of unknown distribution."""

from ._average import Estimate as Estimate
from ._average import average as average
from ._average import delta as delta
from ._bootstrap import bootstrap as bootstrap
from ._covariance import SingularInformationError as SingularInformationError
from ._covariance import conf_int as conf_int
from ._covariance import covariance as covariance
from ._covariance import std_errors as std_errors
from ._fit import fit as fit
from ._fit import fit_multistart as fit_multistart
from ._fit_orthogonal import fit_orthogonal as fit_orthogonal
from ._function_model import FunctionModel as FunctionModel
from ._grid import grid_gap as grid_gap
from ._information import aic as aic
from ._information import bic as bic
from ._information import num_free as num_free
from ._likelihood_ratio import LikelihoodRatio as LikelihoodRatio
from ._likelihood_ratio import ProfileInterval as ProfileInterval
from ._likelihood_ratio import likelihood_ratio_test as likelihood_ratio_test
from ._likelihood_ratio import profile_curve as profile_curve
from ._likelihood_ratio import profile_interval as profile_interval
from ._multistart import MultistartResult as MultistartResult
from ._newton import TrustRegionNewton as TrustRegionNewton
from ._orthogonal import Functional as Functional
from ._orthogonal import Orthogonal as Orthogonal
from ._orthogonal import OrthogonalResult as OrthogonalResult
from ._orthogonal import ScoreTest as ScoreTest
from ._orthogonal import WaldTest as WaldTest
from ._plots import plot_distribution as plot_distribution
from ._plots import plot_gradient as plot_gradient
from ._plots import plot_history as plot_history
from ._plots import plot_profile as plot_profile
from ._posterior import posterior as posterior
from ._posterior import posterior_mean as posterior_mean
from ._posterior import posterior_mode as posterior_mode
from ._posterior import posterior_quantile as posterior_quantile
from ._profile import profile_ll as profile_ll
from ._replications import Bootstrap as Bootstrap
from ._result import FitResult as FitResult
from ._save import load as load
from ._save import save as save
from ._scores import hessian as hessian
from ._scores import scores as scores
from ._simulate import sample_latent as sample_latent
from ._simulate import simulate as simulate
from ._solution import RESULTS as RESULTS
from ._summary import compare as compare
from ._summary import summary as summary
from ._table import Table as Table

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
    "aic",
    "average",
    "bic",
    "bootstrap",
    "compare",
    "conf_int",
    "covariance",
    "delta",
    "fit",
    "fit_multistart",
    "fit_orthogonal",
    "grid_gap",
    "hessian",
    "likelihood_ratio_test",
    "load",
    "num_free",
    "plot_distribution",
    "plot_gradient",
    "plot_history",
    "plot_profile",
    "posterior",
    "posterior_mean",
    "posterior_mode",
    "posterior_quantile",
    "profile_curve",
    "profile_interval",
    "profile_ll",
    "sample_latent",
    "save",
    "scores",
    "simulate",
    "std_errors",
    "summary",
]
