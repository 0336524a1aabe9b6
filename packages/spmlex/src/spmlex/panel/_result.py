"""What the fit of a panel returns."""

import dataclasses
from typing import TYPE_CHECKING, Any

from .._multistart import MultistartResult
from .._result import FitResult
from .._table import Table

if TYPE_CHECKING:
    from ._panel import Panel


class PanelResult(FitResult):
    """The best fit of a panel: a `FitResult` that also predicts, by the names of the frame.

    Attributes
    ----------
    panel : Panel
        What was fitted.
    several : MultistartResult or None
        The fits from all starts.
    """

    panel: "Panel"
    several: MultistartResult | None

    @classmethod
    def of(cls, fit: FitResult, panel: "Panel", several: MultistartResult | None) -> "PanelResult":
        """A fit, with what it is a fit of."""
        fields = {field.name: getattr(fit, field.name) for field in dataclasses.fields(fit)}
        return cls(**fields, panel=panel, several=several)

    def summary(self, **options: Any) -> Table:
        """Table of estimates and standard errors, with what was read; see `FitResult.summary`.

        Parameters
        ----------
        **options
            `kind`, `clusters` and `level`.

        Returns
        -------
        Table
        """
        table = super().summary(**options)
        panel, several = self.panel, self.several
        header = [("Family", panel.model.family.name), ("Rows", f"{panel.num_rows}")]
        if several is not None:
            header.append(("Starts", f"{len(several.fits)}"))
            header.append(("of them ended here", f"{several.num_reached}"))
        notes = [
            f"Heterogeneous: {', '.join(panel.model.effects)}, on {panel.describe_grid()}.",
            *([panel.describe_dropped()] if panel.dropped else []),
        ]
        return dataclasses.replace(
            table,
            title=f"Panel: {panel.formula}",
            header=(*header, *table.header),
            notes=(*notes, *table.notes),
        )
