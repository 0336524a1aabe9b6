"""What the orthogonal estimator returns: its fields, and what can be asked of it."""

from ._average import average, delta
from ._covariance import conf_int, cov, std_errors
from ._fields import Estimated
from ._save import save
from ._table import sensitivity, summary
from ._tests import score_interval, score_test, wald_test


class OrthogonalResult(Estimated):
    """Estimates that do not lean on an estimate of the distribution. `print` shows a table.

    Attributes
    ----------
    model : PyTree
        The model at the estimates.
    params : PyTree
        The part of the model that was estimated; None in place of the rest.
    supp : PyTree
        The support points.
    working : Float[np.ndarray, "m g"]
        The working distribution F̃ of each group, one column without groups. It is no estimate of
        the distribution: for that, see `fit`.
    n_obs : int
        Number of units.
    moment_norm : float
        Length of the mean orthogonal score in standard errors: zero at a root.
    result : RESULTS
        How the search ended.
    stats : dict
        `num_evaluations` of the moments; `num_draws` of each unit, or how many outcomes it has if
        they are listed; `exact`, which says which;
        `simulation_share`, the largest standard error from the draws over that from the sample;
        `overlap`, the part of the draws that counts; `information`, the least share of the
        information under a known distribution that is left in any direction; `ridge_bias`, the
        largest move of an estimate by the ridge, in standard errors.
    options : Orthogonal
    sample, outcomes, recipe, moments, slope, simulation
        What the moments are of; the outcomes over which expectations are, None after loading
        without the data, and how they are drawn again; the moments at the estimates, minus the
        derivative of their mean, and its variance from the draws.
    clusters : Int[np.ndarray, "n"] or None
        Labels that `clusters` of the methods is by default: those of a panel with a column of them.

    Examples
    --------
    With `orthogonal` from the example of `fit_orthogonal`:

    >>> lower, upper = orthogonal.conf_int(0.95)[0]
    >>> bool(lower < 1.0 < upper)
    True
    """

    summary = summary
    sensitivity = sensitivity
    save = save

    cov = cov
    std_errors = std_errors
    conf_int = conf_int
    wald_test = wald_test
    score_test = score_test
    score_interval = score_interval

    delta = delta
    average = average

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()
