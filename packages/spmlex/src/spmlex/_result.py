"""What a fit returns: its fields, and what can be asked of it."""

from . import _inference, _orthogonal, _report, _use
from ._fields import Fit


class FitResult(Fit):
    """Estimates of a model and of the distribution of its heterogeneity. `print` shows a table.

    Attributes
    ----------
    model : PyTree
        The model at the estimates.
    params : PyTree
        The part of the model that was estimated; None in place of the rest.
    probs : Float[Array, "m"], or Float[Array, "m g"] with groups
        Estimated masses at the support points.
    supp : PyTree
        The support points.
    loglik : float
        Maximised log-likelihood in nats: the sum over the units, each times its weight.
    n_obs : int
        Number of units n.
    grad_norm : float
        Largest entry of the gradient of the mean profile log-likelihood.
    gap : float
        The mean log-likelihood is below its maximum over the distributions, at these parameters, by
        at most this many nats.
    result : RESULTS
        How the search ended.
    stats : dict
        `num_steps` of the minimiser, `num_active` support points, the name of the `minimiser`,
        `total_weight`, the sum of the weights: the number of units without weights, and whether
        what `lclk` returned at the start looks like `densities` rather than their logarithms.
    history : dict of str to numpy arrays
        One entry for each step: `value`, `grad_norm` (NaN if the minimiser does not keep a
        gradient), `gap` and `num_active` at the iterate after the step, and `step`, the largest
        change of a parameter: zero for a rejected trial.
    problem : Problem
        What was fitted besides the free parameters: the held part of the model, data, support,
        weights, groups and the solver of the inner problem. Its `data` are None after loading
        without them.
    clusters : Int[np.ndarray, "n"] or None
        Labels that `clusters` of the methods is by default: those of a panel with a column of them.

    Examples
    --------
    With `result` from the example of `fit`:

    >>> result.param_names
    ('slope',)
    >>> means = result.posterior_mean()
    >>> means.shape
    (200,)
    >>> interval = result.profile_interval("slope")
    >>> bool(interval.lower < result.estimates[0] < interval.upper)
    True
    """

    summary = _report.summary
    save = _report.save
    plot_distribution = _report.plot_distribution
    plot_gradient = _report.plot_gradient
    plot_history = _report.plot_history
    plot_profile = _report.plot_profile

    cov = _inference.cov
    std_errors = _inference.std_errors
    conf_int = _inference.conf_int
    scores = _inference.scores
    hessian = _inference.hessian
    bootstrap = _inference.bootstrap
    profile_interval = _inference.profile_interval
    profile_curve = _inference.profile_curve
    grid_gap = _inference.grid_gap
    num_free = _inference.num_free
    aic = property(_inference.aic)
    bic = property(_inference.bic)

    orthogonal = _orthogonal.orthogonal

    delta = _use.delta
    average = _use.average
    posterior = _use.posterior
    posterior_mean = _use.posterior_mean
    posterior_mode = _use.posterior_mode
    posterior_quantile = _use.posterior_quantile
    quantile = _use.quantile
    sample_latent = _use.sample_latent
    simulate = _use.simulate

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()
