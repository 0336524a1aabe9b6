"""What the orthogonal estimates of a panel return."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Int

from .._orthogonal import Functional, OrthogonalResult
from .._table import Table
from ._averages import RowMeans, effects_of, predictions_of, weights_of_rows
from ._describe import describe_panel
from ._design import Design


class PanelOrthogonalResult(OrthogonalResult):
    """Orthogonal estimates of a panel: an `OrthogonalResult` with effects by name.

    Attributes
    ----------
    panel : Panel
        What was fitted.

    Examples
    --------
    With `found` from the example of `Panel`:

    >>> orthogonal = found.orthogonal(jax.random.key(0))
    >>> effect = orthogonal.average_effects("x")
    >>> lower, upper = effect.conf_int()[0]
    >>> bool(lower < found.average_effects("x").value[0] < upper)
    True
    """

    panel: Design

    @classmethod
    def of(cls, found: OrthogonalResult, panel: Design) -> "PanelOrthogonalResult":
        """Estimates, with what they are of."""
        fields: dict[str, Any] = {}
        for field in dataclasses.fields(found):
            fields[field.name] = getattr(found, field.name)
        fields["clusters"] = panel.clusters
        return cls(**fields, panel=panel)

    def average_effects(
        self, *names: str, clusters: Int[ArrayLike, " n"] | None = None
    ) -> Functional:
        """By how much variables change the expected outcome, averaged over rows and distribution.

        The effects of `PanelResult.average_effects`, by moments that do not integrate over an
        estimated distribution: see `average`.

        Parameters
        ----------
        *names : str
            Variables of the frame, or columns of the formula such as `lag(union)`; by default all
            variables right of the tilde.
        clusters
            See `cov`.

        Returns
        -------
        Functional
            An entry for each, with standard errors and bias bounds: `print` it.

        Raises
        ------
        TypeError, ValueError
            As `PanelResult.average_effects`, and as `average`.
        RuntimeError
            As `average`.
        """
        return self._averaged(effects_of(self.panel, names), clusters)

    def average_prediction(
        self, *, clusters: Int[ArrayLike, " n"] | None = None, **values: Any
    ) -> Functional:
        """Expected outcome, averaged over rows and distribution, were variables set to values.

        Parameters
        ----------
        clusters
            See `cov`.
        **values
            Of variables of the frame, for all rows: `average_prediction(union=1)`.

        Returns
        -------
        Functional
            Of categories and alternatives, the probability of each.

        Raises
        ------
        ValueError, RuntimeError
            As `average_effects`.
        """
        return self._averaged(predictions_of(self.panel, values), clusters)

    def summary(self, **options: Any) -> Table:
        """Table of the estimates, with what was read; see `OrthogonalResult.summary`.

        Parameters
        ----------
        **options
            `clusters` and `level`.

        Returns
        -------
        Table
        """
        table = describe_panel(super().summary(**options), self.panel, [], [])
        return dataclasses.replace(table, title=f"Orthogonal: {self.panel.formula}")

    def _averaged(self, means: RowMeans, clusters: Any) -> Functional:
        # `average` weights units, and here each of their rows counts.
        own = self.sample.weights
        scale = jnp.asarray(weights_of_rows(self.panel) / np.where(own > 0, own, 1.0))
        found = self.average(
            lambda model, data, supp: scale[:, None, None] * means.values(model, supp),
            clusters=clusters,
        )
        return dataclasses.replace(
            found,
            names=means.names,
            title=means.title,
            header=means.header + found.header,
            notes=means.notes + found.notes,
        )
