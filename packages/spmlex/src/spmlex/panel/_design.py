"""A frame, a formula, and the model, data and support that they make."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ._arrays import as_data, as_occasions
from ._families import FAMILIES, AbstractFamily, ConditionalLogit
from ._formula import Formula
from ._frame import numbered
from ._grid import as_supp, choose_grid
from ._model import PanelModel, Supp
from ._pooled import Pooled, estimate
from ._read import describe_dropped, read_again, read_first
from ._reading import Known, Reading, Spec
from ._starts import starting_models, with_share

Axis = ArrayLike | Sequence[float | int]


class Design:
    """What a panel is, but for its fits; `Panel` describes it."""

    def __init__(
        self,
        formula: str,
        frame: Any,
        *,
        unit: str,
        time: str | None = None,
        family: str = "normal",
        heterogeneous: str = "1",
        grid: Axis | Mapping[str, Axis] | None = None,
        weights: str | None = None,
        groups: str | None = None,
        clusters: str | None = None,
        offset: str | None = None,
        exposure: str | None = None,
        trials: str | None = None,
        event: str | None = None,
        alternative: str | None = None,
        means: bool = False,
        center: bool = True,
    ):
        """Read the frame, estimate without an effect, and choose a grid."""
        kind = _family_of(family)
        _check_arguments(kind, heterogeneous, time, trials, event, alternative)
        self.formula = formula
        self.spec = Spec(
            Formula(formula, heterogeneous), kind, unit, time, alternative, weights, groups,
            clusters, offset, exposure, trials, event, means, center,
        )  # fmt: skip
        reading, self.known = read_first(self.spec, frame)
        _check_outcome(reading, formula, unit)
        self.reading = reading
        self.units, self.dropped = reading.unit_labels, reading.dropped
        self.num_rows = int(reading.used.sum())
        self.group_labels = self.known.group_labels
        self.groups = self.groups_of(reading)
        self.clusters = _numbers_of(reading, "clusters")
        self.weights = None
        if "weights" in reading.of_units:
            self.weights = reading.of_units["weights"].to_numpy(float)
        self.data = reading.data(self.known.lags)
        self._pooled = self._estimate_pooled()
        template = PanelModel(
            None, None, reading.family, reading.columns.common, reading.columns.effects,
            tuple(reading.columns.common.index(name) for name, _ in self.known.lags),
            _can_draw(self.spec.formula, self.known),
        )  # fmt: skip
        self.model = with_share(template, self._pooled, 0.0)
        centre = self._pooled.coef[: len(reading.columns.effects)]
        self.supp: Supp = (
            choose_grid(with_share(template, self._pooled, 0.5), self.data, centre)
            if grid is None
            else _given_grid(grid, reading.columns.effects)
        )

    def starts(self, num: int = 10) -> list[PanelModel]:
        """Models to start from: the pooled estimates, with parts of their noise left to the effect.

        Parameters
        ----------
        num : int
            How many; one is the pooled estimates.

        Returns
        -------
        list of PanelModel
            Start k takes the share k/(2 num) of the variance of what the index does not explain
            for the effect's. With a logarithmic link an effect moves the intercept alone; there all
            but the first start have their coefficients moved by two standard errors in directions
            that are the same in each run.
        """
        if isinstance(num, bool) or not isinstance(num, int | np.integer) or num < 1:
            raise ValueError(f"`starts` must be a positive integer, but it is {num!r}.")
        return starting_models(self.model, self._pooled, int(num))

    def read(self, frame: Any) -> tuple[dict[str, Any], np.ndarray | None, np.ndarray]:
        """Other units, with their outcomes, as `posterior`, `simulate` and `fit` take them.

        Parameters
        ----------
        frame : data frame
            With the columns of the first one. Rows with missing values are left out.

        Returns
        -------
        data, groups, units
            Arrays, the number of each unit's group, and the label of each unit.

        Raises
        ------
        TypeError, ValueError
            As `Panel`, and for categories, groups and alternatives that are new.
        """
        reading = read_again(self.spec, self.known, frame, outcomes=True)
        return reading.data(self.known.lags), self.groups_of(reading), reading.unit_labels

    def __repr__(self) -> str:
        """What was read."""
        counts = np.asarray(self.data["mask"]).sum(axis=1)
        alone = f", {int(np.sum(counts == 1))} units with one" if 1 in counts else ""
        what = "choices" if self.reading.layout.available is not None else "rows"
        lines = [
            f"Panel of {counts.size} units, {counts.min()} to {counts.max()} {what} a unit{alone}",
            f"{self.formula}, {self.model.family.name}",
            f"heterogeneous: {', '.join(self.model.effects)}, on {self.describe_grid()}",
        ]
        if self.dropped:
            lines.append(self.describe_dropped())
        return "\n".join(lines)

    def describe_grid(self) -> str:
        """The support in words."""
        if not isinstance(self.supp, Mapping):
            low, high = float(jnp.min(self.supp)), float(jnp.max(self.supp))
            return f"{self.supp.size} points from {low:.4g} to {high:.4g}"
        axes = [
            f"{np.unique(x).size} for {name} from {float(x.min()):.4g} to {float(x.max()):.4g}"
            for name, x in self.supp.items()
        ]
        return f"{next(iter(self.supp.values())).size} points, {', '.join(axes)}"

    def describe_dropped(self) -> str:
        """Which rows are left out, as a sentence; empty if none is."""
        return describe_dropped(self.dropped)

    def groups_of(self, reading: Reading) -> np.ndarray | None:
        """Number of the group of each unit of a reading; None without groups."""
        if "groups" not in reading.of_units:
            return None
        assert self.group_labels is not None
        known, numbers = list(self.group_labels), []
        for label in reading.of_units["groups"]:
            if label not in known:
                raise ValueError(f"The group {label!r} is not among those of the fit, {known}.")
            numbers.append(known.index(label))
        return np.array(numbers)

    def _estimate_pooled(self) -> Pooled:
        reading = self.reading
        columns = reading.columns
        alone = as_occasions(reading.layout)
        units = np.nonzero(reading.layout.mask)[0]
        weights = np.ones(len(self.units)) if self.weights is None else self.weights
        no_lags = np.zeros((self.num_rows, 0), int)
        outcomes = as_data(
            reading.family, alone, columns.x, columns.z, reading.offset, reading.outcomes, no_lags
        )["rows"]
        return estimate(
            reading.family,
            outcomes,
            alone,
            columns.matrix,
            columns.names,
            reading.offset,
            weights[units],
            units,
        )


def _family_of(family: str) -> type[AbstractFamily]:
    if family not in FAMILIES:
        raise ValueError(
            f"`family` must be one of {', '.join(map(repr, FAMILIES))}, not {family!r}."
        )
    return FAMILIES[family]


def _check_arguments(
    family: type[AbstractFamily],
    heterogeneous: str,
    time: str | None,
    trials: str | None,
    event: str | None,
    alternative: str | None,
) -> None:
    """Refuse arguments that a family has no use for, or the lack of those that it needs."""
    uses = {
        "trials": (trials, ("logit", "probit")),
        "event": (event, ("exponential", "weibull")),
        "alternative": (alternative, ("conditional logit",)),
    }
    for argument, (given, families) in uses.items():
        if given is not None and family.name not in families:
            raise ValueError(
                f"`{argument}` is for {' and '.join(map(repr, families))}, and the family is "
                f"{family.name!r}."
            )
    if family is not ConditionalLogit:
        return
    if alternative is None or time is None:
        raise ValueError(
            '`family="conditional logit"` needs `alternative`, the column that says which '
            "alternative a row describes, and `time`, the column that says at which of the unit's "
            "choices."
        )
    if heterogeneous.strip() == "1":
        raise ValueError(
            "Choices do not depend on an intercept that all alternatives share. Say which "
            'coefficients differ between units, such as `heterogeneous="price"`.'
        )


def _check_outcome(reading: Reading, formula: str, unit: str) -> None:
    """Refuse outcomes from which nothing can be learnt."""
    y, trials = reading.outcomes["y"], reading.outcomes.get("trials")
    if np.ptp(y) == 0 if trials is None else (y == 0).all() or (y == trials).all():
        name = formula.split("~")[0].strip()
        found = f"{y[0]:g}" if trials is None or y[0] == 0 else "as large as `trials`"
        raise ValueError(f"`{name}` is {found} in all {y.size} rows: there is nothing to explain.")
    alone = reading.layout.mask.shape[1] == 1 and trials is None
    if alone and reading.family.needs_rows:
        raise ValueError(
            f"Each unit, by its `{unit}`, has one row alone. With the family "
            f"{reading.family.name!r} an effect cannot be told from noise then: units of several "
            "rows are needed. Is it the right column?"
        )


def _numbers_of(reading: Reading, name: str) -> np.ndarray | None:

    return numbered(reading.of_units[name])[0] if name in reading.of_units else None


def _can_draw(formula: Formula, known: Known) -> bool:
    """Whether all that depends on earlier outcomes is a column `lag(y)`."""
    outcome, plain = set(formula.outcome_variables), {name for name, _ in known.lags}
    depends = [
        name
        for name in (*known.columns, *known.effects)
        if name not in plain
        and not name.startswith("mean(")
        and outcome & formula.terms_of(name)[0]
        and "initial" not in formula.terms_of(name)[1]
    ]
    return not depends and not (plain and known.family.categories)


def _given_grid(grid: Any, effects: tuple[str, ...]) -> Supp:
    """The support from vectors that were given.

    Raises
    ------
    ValueError
        For names that are not those of the heterogeneous columns, and what is no vector.
    """
    if isinstance(grid, Mapping):
        if set(grid) != set(effects):
            raise ValueError(
                f"`grid` must have a vector for each of {', '.join(map(repr, effects))}, and has "
                f"{', '.join(map(repr, grid)) or 'none'}."
            )
        axes = {name: np.asarray(grid[name], float) for name in effects}
    elif len(effects) > 1:
        raise ValueError(
            f"`grid` must be a dict with a vector for each of {', '.join(map(repr, effects))}."
        )
    else:
        axes = dict.fromkeys(effects, np.asarray(grid, float))
    for name, axis in axes.items():
        if axis.ndim != 1 or not axis.size or not np.isfinite(axis).all():
            raise ValueError(
                f"`grid` of `{name}` must be a vector of finite numbers, but its shape is "
                f"{axis.shape}."
            )
    return as_supp(axes)
