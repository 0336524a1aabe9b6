"""What a family of outcomes says of itself."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Array, Float

from .._frame import plain, require

if TYPE_CHECKING:
    import pandas as pd

Rows = Mapping[str, Array]
"""What is known of outcomes: arrays of one shape, or with alternatives on one axis more."""

Shape = Float[Array, " s"] | None
"""Parameters of a family besides the coefficients."""


class Outcome(NamedTuple):
    """Outcomes as they are read, one entry a row of the frame.

    Attributes
    ----------
    name : str
        As the formula has it.
    values : pandas.Series
        Its index are the labels of the rows.
    beside : dict of str to arrays
        What stands beside it: `trials`, `event`, or the numbers of `occasion` and `alternative`,
        with `alternatives`, their labels.
    """

    name: str
    values: "pd.Series"
    beside: dict[str, Any]

    def numbers(self) -> Float[np.ndarray, " rows"]:
        """The outcomes as numbers.

        Raises
        ------
        ValueError
            For text and categories, and for what is not finite.
        """
        advice = (
            'For categories in order take `family="ordered logit"`; for one of two, a comparison '
            f'such as `frame["{self.name}"] == "yes"`.'
        )
        found = as_numbers(self.name, self.values, advice)
        self.refuse(~np.isfinite(found), "must be finite")
        return found

    def refuse(self, faulty: np.ndarray, rule: str, name: str | None = None) -> None:
        """Raise a ValueError that names the first row at fault, if there is one."""
        if not faulty.any():
            return
        row = int(np.argmax(faulty))
        values = self.values if name is None else self.beside[name]
        found = values.iloc[row] if name is None else values[row]
        shown = plain(found)
        more = f", and {int(faulty.sum()) - 1} more rows" if faulty.sum() > 1 else ""
        raise ValueError(
            f"`{name or self.name}` {rule}, but it is {shown!r} in row "
            f"{plain(self.values.index[row])!r}{more}."
        )


def as_numbers(name: str, values: "pd.Series", advice: str = "") -> Float[np.ndarray, " rows"]:
    """A column as numbers, missing ones NaN.

    Raises
    ------
    ValueError
        For text, with the first row that holds some, and advice.
    """
    try:
        return np.asarray(values.astype(float))
    except (TypeError, ValueError):
        numbers = require("pandas").to_numeric(values.astype(object), errors="coerce")
        text = (numbers.isna() & values.notna()).to_numpy()
        row = int(np.argmax(text))
        raise ValueError(
            f"`{name}` must be a number in each row, but row {plain(values.index[row])!r} holds "
            f"{plain(values.iloc[row])!r}. {advice}".rstrip()
        ) from None


@dataclass(frozen=True)
class AbstractFamily(abc.ABC):
    """A conditional distribution of outcomes, given their index x'β + z'v.

    `index` has the rows' shape with support points on one axis more, the last; `rows` broadcast
    against it. Outcomes of different rows are independent given the index.
    """

    name: ClassVar[str]
    link: ClassVar[str]
    """What the index is, in words."""
    log_link: ClassVar[bool] = False
    """Whether the mean is exponential in the index."""
    needs_rows: ClassVar[bool] = False
    """Whether a distribution of the effect is told from the noise by units of several rows alone.
    """

    @classmethod
    @abc.abstractmethod
    def encode(
        cls, outcome: Outcome, levels: tuple[Any, ...] = ()
    ) -> "tuple[AbstractFamily, dict[str, np.ndarray]]":
        """The family for these outcomes, and the outcomes as its `rows`.

        `levels` are those of an earlier frame, in whose terms the outcomes are to be read.

        Raises
        ------
        ValueError
            For outcomes that it does not have, naming a row.
        """

    @property
    def shape_names(self) -> tuple[str, ...]:
        """Names of the parameters besides the coefficients."""
        return ()

    @property
    def can_draw(self) -> bool:
        """Whether the data say enough to draw outcomes."""
        return True

    @property
    def categories(self) -> tuple[Any, ...]:
        """Levels of the outcome, where it has some."""
        return ()

    @abc.abstractmethod
    def log_density(self, rows: Rows, index: Array, shape: Shape) -> Array:
        """Log density or probability of outcomes."""

    @abc.abstractmethod
    def draw(self, key: Array, rows: Rows, index: Array, shape: Shape) -> Rows:
        """New outcomes, in place of those of `rows`; the index in the rows' own shape."""

    @abc.abstractmethod
    def mean(self, index: Array, shape: Shape) -> Array:
        """Expectation of an outcome, or of each category's indicator on a new leading axis."""

    @abc.abstractmethod
    def start(self, rows: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
        """An intercept and a shape from which the pooled likelihood can be climbed."""

    def spread(
        self, coef: np.ndarray, shape: np.ndarray, share: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients and shape, if the pooled ones left out an effect.

        `share` is the effect's part of the variance of what the index does not explain. By default
        nothing changes: with a logarithmic link an effect moves the intercept alone.
        """
        del share
        return coef, shape


@dataclass(frozen=True)
class AbstractDistribution(AbstractFamily):
    """A family whose outcomes are numbers, in order."""

    discrete: ClassVar[bool] = False

    @abc.abstractmethod
    def cdf(self, value: Array, index: Array, shape: Shape) -> Array:
        """Probability of an outcome at or below a value."""

    @abc.abstractmethod
    def log_prob(self, value: Array, index: Array, shape: Shape) -> Array:
        """Log density or probability of a value."""
