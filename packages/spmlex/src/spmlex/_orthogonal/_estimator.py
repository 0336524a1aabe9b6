"""The orthogonal estimator of a problem."""

import equinox as eqx
import numpy as np
from jaxtyping import Array, PyTree

from .._model import leading_length, param_names
from .._search import RESULTS, Problem
from ._draws import check_outcomes
from ._inference import LEAST_INFORMATION, information_shares
from ._options import Orthogonal
from ._result import OrthogonalResult
from ._sample import sample_of
from ._search import ridge_bias, search_root, simulation_share
from ._working import sharp_distribution


def estimate(
    problem: Problem, params: PyTree, key: Array, options: Orthogonal, max_steps: int
) -> OrthogonalResult:
    """Solve for the root of the mean orthogonal score.

    Parameters
    ----------
    problem : Problem
        What is estimated from, as of a fit.
    params : PyTree
        Where to start.
    key : PRNG key
        Of the draws.
    options : Orthogonal
    max_steps : int
        Limit on the steps of each search for a root.

    Raises
    ------
    TypeError
        If the model can neither draw nor list outcomes.
    ValueError
        If what it draws or lists is no `data`, or not of its density.
    """
    model = eqx.combine(params, problem.held)
    check_outcomes(model)
    sample, names = sample_of(problem), param_names(params, model)
    attempt = search_root(sample, params, key, options, names, max_steps)
    root, outcomes = attempt.root, attempt.outcomes
    moments, found = root.moments, sample.unravel(params, root.flat)
    result, share, bias = RESULTS.no_root, np.nan, np.nan
    slope, drawn = moments.jacobian, np.zeros(moments.jacobian.shape)
    if moments.is_finite:
        share = float(information_shares(moments)[0][0])
        drawn = outcomes.simulation(found, moments)
    if root.found:
        result = RESULTS.successful if share >= LEAST_INFORMATION else RESULTS.no_information
        sharp = sharp_distribution(sample, found)
        slope = outcomes.slope(found, moments, sharp)
        inverse = np.linalg.pinv(slope)
        error = np.sqrt(np.diagonal(inverse @ moments.meat @ inverse.T))
        moved = ridge_bias(moments, slope, outcomes, sharp, options.ridge)
        bias = float(np.max(np.abs(moved) / np.where(error > 0, error, 1.0)))
    return OrthogonalResult(
        model=eqx.combine(found, sample.held),
        params=found,
        supp=sample.supp,
        working=outcomes.working,
        n_obs=leading_length(sample.data, "data"),
        moment_norm=moments.norm if moments.is_finite else np.nan,
        result=result,
        stats={
            "num_evaluations": attempt.num_evaluations,
            "num_draws": outcomes.num_draws,
            "exact": outcomes.exact,
            "simulation_share": simulation_share(moments, slope, drawn),
            "overlap": moments.overlap,
            "information": share,
            "ridge_bias": bias,
        },
        options=options,
        sample=sample,
        outcomes=outcomes,
        recipe=outcomes.recipe,
        moments=moments,
        slope=slope,
        clusters=None,
        simulation=drawn,
    )


def checked(found: OrthogonalResult) -> OrthogonalResult:
    """The result, if it is one.

    Raises
    ------
    RuntimeError
        If no root was found, or not knowing the distribution leaves no information.
    """
    if found.result != RESULTS.successful:
        raise RuntimeError(f"{RESULTS[found.result]}\n\nWhere it ended:\n\n{found}")
    return found
