"""What the fit of a panel returns."""

import dataclasses
from typing import Any

from .._multistart import MultistartResult
from .._result import FitResult
from .._table import Table
from . import _effects, _predict
from ._design import Design
from ._fields import PanelFit
from ._regressors import regressor_notes


class PanelResult(PanelFit):
    """The best fit of a panel: a `FitResult` that also predicts, by the names of the frame.

    Attributes
    ----------
    panel : Panel
        What was fitted.
    several : MultistartResult or None
        The fits from all starts.

    Examples
    --------
    With `found` from the example of `Panel`:

    >>> effect = found.average_effects("x")
    >>> bool(0.0 < effect.value[0] < 0.25)
    True
    """

    predict = _predict.predict
    predict_probs = _predict.predict_probs
    predict_quantiles = _predict.predict_quantiles
    average_effects = _effects.average_effects
    average_prediction = _effects.average_prediction

    @classmethod
    def of(cls, fit: FitResult, panel: Design, several: MultistartResult | None) -> "PanelResult":
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
            *regressor_notes(panel),
            *([panel.describe_dropped()] if panel.dropped else []),
            *_alone(several),
        ]
        return dataclasses.replace(
            table,
            title=f"Panel: {panel.formula}",
            header=(*header, *table.header),
            notes=(*notes, *table.notes),
        )


def _alone(several: MultistartResult | None) -> list[str]:
    """That other starts ended elsewhere, if all did."""
    if several is None or len(several.fits) == 1 or several.num_reached > 1:
        return []
    return [
        f"One of {len(several.fits)} starts ended here, so that there may be a better fit: take "
        "more, `panel.fit(starts=30)`, and look at `result.several`."
    ]
