"""The fields of a panel's fit: what predictions and effects are given."""

from .._multistart import MultistartResult
from .._result import FitResult
from ._design import Design


class PanelFit(FitResult):
    """The fields of a `PanelResult`, which describes them."""

    panel: Design
    several: MultistartResult | None
