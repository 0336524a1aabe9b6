"""Likelihood-ratio tests."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaincc

from .._fields import Fit, problem_of, total_weight, unit_weights


class LikelihoodRatio(NamedTuple):
    """A likelihood-ratio test: twice the difference in log-likelihood, and what chi-square says.

    Examples
    --------
    With `result` from the example of `fit`; see `likelihood_ratio_test` for what it is made of.

    >>> test = spmlex.LikelihoodRatio(statistic=3.84, df=1, p_value=0.05)
    >>> test.df
    1
    """

    statistic: float
    df: int
    p_value: float


def likelihood_ratio_test(restricted: Fit, full: Fit) -> LikelihoodRatio:
    """Test of a restriction on the parameters.

    Twice the difference of the profile log-likelihoods is asymptotically chi-square, with as many
    degrees of freedom as the full model has more parameters (Murphy & van der Vaart, 2000). That
    the models are nested is for you to know. Not for a restriction on the distribution, nor for one
    at the boundary of what parameters can be. Weights are taken as frequencies.

    Parameters
    ----------
    restricted, full : FitResult
        Fits to the same units on the same grid.

    Returns
    -------
    LikelihoodRatio
        `statistic`, `df` and `p_value`.

    Raises
    ------
    ValueError
        If the fits differ in units, weights, groups or grid, the full one has no more parameters,
        or a smaller likelihood: then it is not the maximum, or the models are not nested.
    RuntimeError
        If a fit has no data, or did not end at a stationary point.

    Examples
    --------
    The data and `result` are those of the example of `fit`. A quadratic term is added:

    >>> def lclk(params, data, supp):
    ...     return Logit(params["slope"] + params["square"] * data["x"]).lclk(data, supp)
    >>> start = {"slope": jnp.array(0.0), "square": jnp.array(0.0)}
    >>> full = spmlex.fit(spmlex.FunctionModel(start, lclk), data, supp)
    >>> test = spmlex.likelihood_ratio_test(result, full)
    >>> test.df
    1
    """
    problems = problem_of(restricted), problem_of(full)
    sizes = [(fit.n_obs, tuple(fit.probs.shape)) for fit in (restricted, full)]
    for what, one, other in zip(("units", "support points and groups"), *sizes, strict=True):
        if one != other:
            raise ValueError(
                f"The fits differ in {what}: `restricted` has {one}, `full` has {other}. Fit both "
                "to the same units on the same grid."
            )
    rounding = 8 * float(jnp.finfo(full.probs.dtype).eps)
    if not eqx.tree_equal(*(p.supp for p in problems), rtol=rounding, atol=rounding):
        raise ValueError("The fits differ in their support points. Fit both on the same grid.")
    if not np.array_equal(unit_weights(restricted), unit_weights(full)):
        raise ValueError("The fits differ in the weights of units. Fit both with the same weights.")
    if not eqx.tree_equal(*(p.groups for p in problems)):
        raise ValueError("The fits differ in the groups of units. Fit both with the same groups.")
    df = full.estimates.size - restricted.estimates.size
    if df < 1:
        raise ValueError(
            f"`full` must have more parameters than `restricted`, but has {full.estimates.size} "
            f"and {restricted.estimates.size}. `restricted` comes first."
        )
    statistic = 2.0 * (full.loglik - restricted.loglik)
    if statistic < -noise(full):
        raise ValueError(
            f"The log-likelihood of `full`, {full.loglik:.6f}, is below that of `restricted`, "
            f"{restricted.loglik:.6f}. Either `full` is not at its highest maximum (start it from "
            "the restricted estimates), or the models are not nested."
        )
    statistic = max(statistic, 0.0)
    return LikelihoodRatio(statistic, df, float(gammaincc(df / 2, statistic / 2)))


def noise(result: Fit) -> float:
    """What a difference of log-likelihoods may be by rounding, and by the ends of searches.

    A gradient as large as a successful fit may have leaves less than the last term, unless the
    information is all but singular.
    """
    eps = float(jnp.finfo(result.probs.dtype).eps)
    return (
        total_weight(result) * (16 * eps * max(1.0, abs(result.loglik) / result.n_obs) + 1e-12)
        + 1e-6
    )
