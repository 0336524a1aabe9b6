"""What the fit of a panel returns."""

import dataclasses
from typing import Any

from jaxtyping import Array

from .._multistart import MultistartResult
from .._orthogonal import Orthogonal
from .._result import FitResult
from .._table import Table
from . import _effects, _predict
from ._describe import describe_panel
from ._design import Design
from ._fields import PanelFit
from ._orthogonal import PanelOrthogonalResult


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
        fields: dict[str, Any] = {}
        for field in dataclasses.fields(fit):
            fields[field.name] = getattr(fit, field.name)
        fields["clusters"] = panel.clusters
        return cls(**fields, panel=panel, several=several)

    def orthogonal(
        self, key: Array, *, options: Orthogonal | None = None, max_steps: int = 60
    ) -> PanelOrthogonalResult:
        """Estimates, intervals and effects that hold for continuous distributions, too.

        Parameters
        ----------
        key, options, max_steps
            See `FitResult.orthogonal`, also for what is raised.

        Returns
        -------
        PanelOrthogonalResult
            `print` it.
        """
        found = super().orthogonal(key, options=options, max_steps=max_steps)
        return PanelOrthogonalResult.of(found, self.panel)

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
        several, header = self.several, []
        if several is not None:
            header.append(("Starts", f"{len(several.fits)}"))
            header.append(("of them ended here", f"{several.num_reached}"))
        return describe_panel(super().summary(**options), self.panel, header, _alone(several))


def _alone(several: MultistartResult | None) -> list[str]:
    """That other starts ended elsewhere, if all did."""
    if several is None or len(several.fits) == 1 or several.num_reached > 1:
        return []
    return [
        f"One of {len(several.fits)} starts ended here, so that there may be a better fit: take "
        "more, `panel.fit(starts=30)`, and look at `result.several`."
    ]
