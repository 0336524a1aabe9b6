"""What the index of rows says of their outcomes, averaged over support points."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ._arrays import Layout
from ._families import ConditionalLogit
from ._formula import Columns
from ._model import PanelModel, Supp


def row_index(
    model: PanelModel, columns: Columns, offset: np.ndarray, supp: Supp
) -> Float[Array, "rows m"]:
    """Index of each row at each support point."""
    effect = jnp.matmul(
        jnp.asarray(columns.z), model.points(supp).T, precision=lax.Precision.HIGHEST
    )
    return model.common_index(jnp.asarray(columns.x), jnp.asarray(offset))[:, None] + effect


def choice_probs(
    model: PanelModel, index: Float[Array, "rows m"], layout: Layout
) -> Float[Array, "rows m"]:
    """Probability of each row's alternative among those of its occasion."""
    assert isinstance(model.family, ConditionalLogit)
    assert layout.available is not None
    there = layout.available & layout.mask[:, :, None]
    available = jnp.asarray(layout.available, index.dtype)[..., None]
    probs = model.family.choice_probs(available, index[layout.rows])
    return jnp.zeros_like(index).at[layout.rows[there]].set(probs[there])


def expected(model: PanelModel, index: Array, available: Array | None) -> Float[Array, "q *index"]:
    """Mean of the outcome, or probability of each category, on a new leading axis.

    With alternatives, which `index` has on the axis before the last, that axis becomes the first.
    """
    if isinstance(model.family, ConditionalLogit):
        assert available is not None
        return jnp.moveaxis(model.family.choice_probs(available[..., None], index), -2, 0)
    mean = model.family.mean(index, model.shape)
    return mean if model.family.categories else mean[None]


def outcome_names(model: PanelModel) -> tuple[str, ...]:
    """Names of the entries of `expected`; one empty name for a mean."""
    return tuple(str(level) for level in model.family.categories) or ("",)


def numeric_levels(levels: tuple[Any, ...]) -> Float[np.ndarray, " j"]:
    """Levels as numbers.

    Raises
    ------
    ValueError
        For text.
    """
    try:
        return np.asarray(levels, float)
    except (TypeError, ValueError):
        raise ValueError(
            f"The outcome has the categories {list(levels)} and no mean. `predict_probs` has their "
            "probabilities."
        ) from None
