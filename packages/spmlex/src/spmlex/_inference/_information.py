"""Information criteria."""

import math

import numpy as np

from .._fields import Fit, total_weight


def num_free(result: Fit, *, count_masses: bool = True) -> int:
    """Degrees of freedom of a fit: estimated scalars, and masses that are free to vary.

    A group's distribution with K active points has K - 1 free masses. Where on the grid its points
    lie is not counted, though the data chose that: the count is a convention, the one of latent
    class models, and no theorem.

    Parameters
    ----------
    count_masses : bool
        Whether to count the masses, as `aic` and `bic` do. Without them, the distribution is taken
        as a nuisance that all models under comparison share, and Akaike's criterion is
        `2 * fit.num_free(count_masses=False) - 2 * fit.loglik`.

    Returns
    -------
    int
        p, or p + Σ_g (K_g - 1).
    """
    probs = np.asarray(result.probs).reshape(result.probs.shape[0], -1)
    masses = int(np.sum(probs > 0)) - probs.shape[1]
    return result.estimates.size + (masses if count_masses else 0)


def aic(result: Fit) -> float:
    """Akaike's criterion, 2 × degrees of freedom - 2 × log-likelihood: smaller is better.

    The masses count as parameters, see `num_free`.
    """
    return 2.0 * num_free(result) - 2.0 * result.loglik


def bic(result: Fit) -> float:
    """Schwarz's criterion, log n × degrees of freedom - 2 × log-likelihood: smaller is better.

    n is the number of units; with weights, which are taken as frequencies, their sum.
    The masses count as parameters, see `num_free`.
    """
    return math.log(total_weight(result)) * num_free(result) - 2.0 * result.loglik
