"""Predictions for rows of a frame: of the sample, of new rows and of new units."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._families import AbstractBinary, AbstractDistribution, ConditionalLogit
from ._fields import PanelFit
from ._frame import require
from ._index import choice_probs, numeric_levels, row_index
from ._model import PanelModel
from ._read import read_again
from ._reading import Reading

if TYPE_CHECKING:
    import pandas as pd


# Rows looked at together: each at every active point.
_BLOCK = 100_000
# Bisections of a quantile: from the range of the data to rounding.
_BISECTIONS = 60


def predict(result: PanelFit, frame: Any = None, *, history: Any = None) -> "pd.Series":
    """Expected outcome of each row; the probability of a one, of an alternative.

    Parameters
    ----------
    frame : data frame, optional
        Rows with the columns that the formula reads, and the unit; the outcome is not needed, but
        for its lags. By default those of the sample. A lag needs the row before it in the frame.
    history : data frame or "sample", optional
        What is known of the units, by which their latent variables are weighted: their rows in the
        sample, or those of a frame, outcomes included. By default nothing: units are drawn from the
        estimated distribution, with groups from that of their group.

    Returns
    -------
    pandas.Series
        With the labels of the frame's rows; NaN where something is missing.

    Raises
    ------
    ValueError
        For frames that cannot be read, units without a history, and outcomes of categories that are
        no numbers.
    RuntimeError
        If the fit did not end at a stationary point.
    """
    rows = _rows_of(result, frame, history)
    model = result.model
    if isinstance(model.family, ConditionalLogit):
        probs = choice_probs(model, rows.index_of(slice(None)), rows.reading.layout)
        values = np.sum(np.asarray(probs) * rows.masses(slice(None)), axis=1)
        return rows.series(values, "probability")
    parts = []
    for part in rows.blocks():
        mean = model.family.mean(rows.index_of(part), model.shape)
        if model.family.categories:
            mean = jnp.tensordot(jnp.asarray(numeric_levels(model.family.categories)), mean, 1)
        parts.append(np.sum(np.asarray(mean) * rows.masses(part), axis=1))
    return rows.series(np.concatenate(parts), "mean")


def predict_probs(
    result: PanelFit,
    frame: Any = None,
    values: Sequence[float | int] | None = None,
    *,
    history: Any = None,
) -> "pd.DataFrame":
    """Probability of each value of the outcome, for each row.

    Parameters
    ----------
    result, frame, history
        See `predict`, also for what is raised. Choices have theirs in `predict`.
    values : sequence of numbers, optional
        Counts whose probabilities are wanted, by default from zero to the largest of the sample.

    Returns
    -------
    pandas.DataFrame
        A row for each of the frame, and a column for each value.

    Raises
    ------
    ValueError
        For continuous outcomes, which have no probabilities of values.
    """
    model, rows = result.model, _rows_of(result, frame, history)
    family = model.family
    if isinstance(family, ConditionalLogit):
        raise ValueError("Rows of choices are alternatives: `predict` has their probabilities.")
    if isinstance(family, AbstractDistribution) and not family.discrete:
        raise ValueError(
            f"Outcomes of the family {family.name!r} are continuous, and no value has a "
            "probability. `predict_quantiles` has quantiles."
        )
    if values is not None and family.categories:
        raise ValueError(f"`values` are for counts; these outcomes are {list(family.categories)}.")
    columns = list(family.categories) or [0, 1]
    if not family.categories and not isinstance(family, AbstractBinary):
        largest = int(np.max(np.asarray(result.problem.data["rows"]["y"])))
        columns = list(range(largest + 1)) if values is None else list(values)
    parts = []
    for part in rows.blocks():
        index, masses = rows.index_of(part), rows.masses(part)
        if isinstance(family, AbstractDistribution):
            probs = [
                np.exp(family.log_prob(jnp.full_like(index, value), index, model.shape))
                for value in columns
            ]
        else:
            probs = list(np.asarray(family.mean(index, model.shape)))
        parts.append(np.stack([np.sum(np.asarray(p) * masses, axis=1) for p in probs], axis=1))
    return rows.frame(np.concatenate(parts), columns)


def predict_quantiles(
    result: PanelFit,
    levels: float | Sequence[float | int] = (0.05, 0.5, 0.95),
    frame: Any = None,
    *,
    history: Any = None,
) -> "pd.DataFrame":
    """Quantiles of the outcome of each row, its latent variable and its noise included.

    Parameters
    ----------
    result, frame, history
        See `predict`, also for what is raised.
    levels : float or sequence of floats
        Probabilities, strictly between zero and one.

    Returns
    -------
    pandas.DataFrame
        A row for each of the frame, and a column for each level: the smallest value at or below
        which the outcome is with this probability at least. Parameters are taken as estimated.

    Raises
    ------
    ValueError
        For levels that are no probabilities, and for categories.
    """
    wanted = np.atleast_1d(np.asarray(levels, float))
    if wanted.ndim != 1 or not ((wanted > 0) & (wanted < 1)).all():
        raise ValueError(f"`levels` must be between 0 and 1, such as 0.5, but are {levels!r}.")
    model, rows = result.model, _rows_of(result, frame, history)
    family = model.family
    if not isinstance(family, AbstractDistribution):
        raise ValueError(
            f"Outcomes of the family {family.name!r} are categories and have no quantiles. "
            "`predict_probs` has their probabilities."
        )
    parts = []
    for part in rows.blocks():
        index, masses = rows.index_of(part), jnp.asarray(rows.masses(part))
        found = [_quantile(model, index, masses, jnp.asarray(level)) for level in wanted]
        parts.append(np.stack([np.asarray(x) for x in found], axis=1))
    return rows.frame(np.concatenate(parts), wanted.tolist())


@eqx.filter_jit
def _quantile(
    model: PanelModel, index: Float[Array, "rows k"], masses: Array, level: Array
) -> Float[Array, " rows"]:
    """By doubling a bracket, and halving it."""
    family, shape = model.family, model.shape
    assert isinstance(family, AbstractDistribution)
    slack = 8 * jnp.finfo(index.dtype).eps  # masses that should reach the level are off by rounding

    def reached(value: Array) -> Array:
        below = family.cdf(jnp.broadcast_to(value[:, None], index.shape), index, shape)
        return jnp.sum(below * masses, axis=1) >= level - slack

    centre = jnp.sum(jnp.where(masses > 0, family.mean(index, shape) * masses, 0.0), axis=1)
    width = 1.0 + jnp.abs(centre)
    low, high = centre - width, centre + width
    for _ in range(_BISECTIONS // 2):
        width = 2 * width
        low = jnp.where(reached(low), low - width, low)
        high = jnp.where(reached(high), high, high + width)

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        is_reached = reached(middle)
        return jnp.where(is_reached, low, middle), jnp.where(is_reached, middle, high)

    low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, (low, high))
    return jnp.floor(high) if family.discrete else high


class _Rows(NamedTuple):
    """Rows to predict for, and the masses of the active support points that hold for each."""

    model: PanelModel
    reading: Reading
    supp: Any
    by_unit: Float[np.ndarray, "n k"]

    def index_of(self, part: slice) -> Float[Array, "rows k"]:
        """Of some rows, at the active points."""
        reading = self.reading
        return row_index(self.model, reading.columns.rows(part), reading.offset[part], self.supp)

    def masses(self, part: slice) -> Float[np.ndarray, "rows k"]:
        """Of some rows."""
        return self.by_unit[self.reading.units[part]]

    def blocks(self) -> list[slice]:
        """Parts of the rows that are handled together."""
        num = len(self.reading.units)
        return [slice(start, start + _BLOCK) for start in range(0, num, _BLOCK)]

    def series(self, values: np.ndarray, name: str) -> "pd.Series":
        """With the labels of the frame."""
        return cast("pd.Series", self.frame(values[:, None], [name])[name])

    def frame(self, values: np.ndarray, columns: list[Any]) -> "pd.DataFrame":
        """With the labels of the frame."""
        reading = self.reading
        found = np.full((len(reading.all_labels), len(columns)), np.nan)
        found[reading.places] = values
        return require("pandas").DataFrame(found, reading.all_labels, columns)


def _rows_of(result: PanelFit, frame: Any, history: Any) -> _Rows:
    panel = result.panel
    reading = panel.reading if frame is None else read_again(panel.spec, panel.known, frame, False)
    masses = np.asarray(result.probs, float).reshape(result.probs.shape[0], -1)
    if history is None:
        groups = panel.groups_of(reading)
        by_unit = masses.T[np.zeros(len(reading.unit_labels), int) if groups is None else groups]
    else:
        by_unit = _known_of(result, history, reading.unit_labels)
    active = np.flatnonzero(masses.max(axis=1) > 0)
    supp = jax.tree.map(lambda x: x[active], result.supp)
    return _Rows(result.model, reading, supp, by_unit[:, active])


def _known_of(result: PanelFit, history: Any, wanted: np.ndarray) -> Float[np.ndarray, "n m"]:
    """Posterior probabilities of units by their labels.

    Raises
    ------
    ValueError
        For a unit of which there is no history.
    """
    if isinstance(history, str):
        if history != "sample":
            raise ValueError(f'`history` must be "sample" or a data frame, not {history!r}.')
        labels, probs = result.panel.units, result.posterior()
    else:
        data, groups, labels = result.panel.read(history)
        probs = result.posterior(data, groups)
    place = {label: k for k, label in enumerate(labels.tolist())}
    missing = [label for label in wanted.tolist() if label not in place]
    if missing:
        raise ValueError(
            f"There is no history of unit {missing[0]!r}, and of {len(missing)} units in all. "
            "Predict for them without `history`."
        )
    return np.asarray(probs, float)[[place[label] for label in wanted.tolist()]]
