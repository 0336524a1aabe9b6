"""How sure one may be of an estimate: covariances, ratios, bootstrap, criteria, grid.

Functions of a `Fit`, which `FitResult` binds as methods. A new kind of standard error goes to
`_covariance`.
"""

from ._bootstrap import bootstrap as bootstrap
from ._covariance import SingularInformationError as SingularInformationError
from ._covariance import check_kind as check_kind
from ._covariance import conf_int as conf_int
from ._covariance import cov as cov
from ._covariance import describe_direction as describe_direction
from ._covariance import invert_hessian as invert_hessian
from ._covariance import invert_opg as invert_opg
from ._covariance import sandwich as sandwich
from ._covariance import std_errors as std_errors
from ._grid import grid_gap as grid_gap
from ._grid import grid_notes as grid_notes
from ._information import aic as aic
from ._information import bic as bic
from ._information import num_free as num_free
from ._likelihood_ratio import LikelihoodRatio as LikelihoodRatio
from ._likelihood_ratio import likelihood_ratio_test as likelihood_ratio_test
from ._profile_interval import ProfileInterval as ProfileInterval
from ._profile_interval import profile_curve as profile_curve
from ._profile_interval import profile_interval as profile_interval
from ._replications import Bootstrap as Bootstrap
from ._scores import hessian as hessian
from ._scores import linearisation as linearisation
from ._scores import scores as scores
