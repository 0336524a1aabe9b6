"""Orthogonal estimation."""

from typing import Any

import equinox as eqx
import jax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PyTree

from ._model import as_arrays, check_key, split_model
from ._orthogonal import Orthogonal, OrthogonalResult, checked, estimate
from ._search import prepare


def fit_orthogonal(
    model: Any,
    data: PyTree,
    supp: PyTree,
    key: Array,
    *,
    groups: Int[ArrayLike, " n"] | None = None,
    weights: Float[ArrayLike, " n"] | None = None,
    free: PyTree[bool] | None = None,
    options: Orthogonal | None = None,
    max_steps: int = 60,
    throw: bool = True,
) -> OrthogonalResult:
    """Estimates and intervals that hold whatever the distribution of the heterogeneity is.

    The root θ of Σᵢ ωᵢ ψᵢ(θ) = 0, where the orthogonal score

        ψ = s - Cᵀ(B + κI)⁻¹D,   s = ∂θ log p,   p = Σ_q F̃_q g_q,   D_q = √F̃_q (g_q/p - 1),
        B = E[DDᵀ],   C = E[Dsᵀ],

    is the score of the model under a smooth working distribution F̃, less what of it the
    likelihood ratios of *all* support points explain. As p is linear in the distribution, ψ has a
    mean of zero at the true parameters under every distribution on the grid, whatever F̃ is, as κ
    goes to zero: a wrong F̃ costs precision, and not validity. The profile likelihood of `fit`
    maximises over the distribution instead, and where that is continuous, or covariates do not vary
    within units, its intervals are too short.

    Expectations are over outcomes given each unit's covariates, under the model with θ and F̃. They
    are sums over draws, reweighted as θ moves, so that ψ is smooth in θ; or exact sums, where the
    model lists all outcomes. The latent variable is taken to be independent of the covariates,
    within groups.

    Parameters
    ----------
    model : PyTree with `lclk(data, supp)`, and `sample` or `all_outcomes`
        `lclk` as for `profile_ll`; here it must be the log of a density of the outcomes, with every
        factor that depends on parameters. `sample(key, data, latent)` returns `data` with outcomes
        drawn for each unit given its latent variable, which comes as the support does, with units
        on the leading axis. `all_outcomes(data)`, for outcomes with few values, returns `data` with
        a new leading axis on every array, each possible outcome of a unit once.
    data, supp, groups
        See `profile_ll`.
    key : PRNG key
        Of JAX, for the draws: the same key gives the same estimates.
    weights : Float[ArrayLike, "n"], optional
        Observation weights, not negative. Their scale does not matter: each unit is one draw.
    free
        See `fit`.
    options : Orthogonal, optional
        How the score is made.
    max_steps : int
        Limit on the steps of each search for a root.
    throw : bool
        Whether to raise where there is no root. If not, look at `result`.

    Returns
    -------
    OrthogonalResult
        `print` it.

    Raises
    ------
    TypeError, ValueError
        As `fit`; for a model that can neither draw nor list outcomes, and where these do not have
        the density that `lclk` says.
    RuntimeError
        If no root is found, or not knowing the distribution leaves no information.

    References
    ----------
    van der Vaart (1996), Efficient maximum likelihood estimation in semiparametric mixture models,
    Annals of Statistics 24, 862-878. Argañaraz & Escanciano (2025), arXiv 2507.13788.

    Examples
    --------
    The model and the data are those of the example of `fit`.

    >>> orthogonal = spmlex.fit_orthogonal(model, data, supp, jax.random.key(0))
    >>> bool(abs(orthogonal.estimates[0] - result.estimates[0]) < orthogonal.std_errors()[0])
    True
    """
    check_key(key)
    task = prepare([model], data, supp, groups, weights, None, None, free, max_steps)
    params, held = split_model(as_arrays(model), task.free)
    params = jax.tree.map(lambda x: x.astype(task.dtype), params)
    problem = eqx.tree_at(lambda p: p.held, task.problem, held, is_leaf=lambda x: x is None)
    found = estimate(problem, params, key, options or Orthogonal(), max_steps)
    return checked(found) if throw else found
