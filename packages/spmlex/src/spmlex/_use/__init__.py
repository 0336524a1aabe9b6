"""What an estimate is for: averages and effects, what is known of each unit, simulation.

Functions of a `Fit`, which `FitResult` binds as methods.
"""

from ._average import Estimate as Estimate
from ._average import average as average
from ._average import delta as delta
from ._posterior import posterior as posterior
from ._posterior import posterior_mean as posterior_mean
from ._posterior import posterior_mode as posterior_mode
from ._posterior import posterior_quantile as posterior_quantile
from ._posterior import quantile as quantile
from ._simulate import sample_latent as sample_latent
from ._simulate import simulate as simulate
