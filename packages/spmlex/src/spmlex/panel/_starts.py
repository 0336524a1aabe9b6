"""Where the searches start."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ._model import PanelModel
from ._pooled import Pooled

# Part of the noise of the pooled model that is taken for the effect's, at most; the starts have
# even steps up to it.
_LARGEST_SHARE = 0.5
# Of the directions in which pooled coefficients are moved, where the share does not move them.
_SEED = 0
_STD_ERRORS = 2.0


def starting_models(model: PanelModel, pooled: Pooled, num: int) -> list[PanelModel]:
    """Models at the pooled estimates, with more and more of their noise left to the effect.

    Start k of K takes the share k/(2K) of the variance of what the index does not explain for the
    effect's: σ² falls by it, and coefficients of binary and ordered outcomes, choices and Weibull
    durations, which are in units of the noise, rise. With a logarithmic link an effect moves the
    intercept alone; then all but the first start have their coefficients moved by two standard
    errors in directions that are the same in each run.
    """
    rng, models = np.random.default_rng(_SEED), []
    for k in range(num):
        models.append(with_share(model, pooled, _LARGEST_SHARE * k / num))
        start = models[-1]
        if k and start.beta is not None and np.array_equal(start.beta, models[0].beta):
            if start.shape is not None and not np.array_equal(start.shape, models[0].shape):
                continue
            own = pooled.std_errs[-start.beta.size :]
            moved = np.asarray(start.beta) + _STD_ERRORS * own * rng.normal(size=own.size)
            models[-1] = eqx.tree_at(lambda m: m.beta, start, jnp.asarray(moved, start.beta.dtype))
    return models


def with_share(model: PanelModel, pooled: Pooled, share: float) -> PanelModel:
    """The model at pooled estimates, if this part of the noise is the effect's."""
    coef, shape = model.family.spread(pooled.coef, pooled.shape, share)
    beta = coef[len(model.effects) :]
    return PanelModel(
        jnp.asarray(beta) if beta.size else None,
        jnp.asarray(shape) if shape.size else None,
        model.family,
        model.columns,
        model.effects,
        model.lags,
        model.follows_lags,
    )
