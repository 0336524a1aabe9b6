"""The orthogonal estimator: moments that hold whatever the distribution of the heterogeneity is.

It takes a model and its units, and makes no use of the profile likelihood.
"""

from ._estimator import checked as checked
from ._estimator import estimate as estimate
from ._from_fit import orthogonal as orthogonal
from ._functionals import Functional as Functional
from ._inference import ScoreTest as ScoreTest
from ._inference import WaldTest as WaldTest
from ._options import Orthogonal as Orthogonal
from ._restore import restore as restore
from ._result import OrthogonalResult as OrthogonalResult
from ._save import KIND as KIND
