"""Panels from data frames: a formula, a family, names, predictions."""

from ._families import AbstractFamily as AbstractFamily
from ._model import PanelModel as PanelModel
from ._orthogonal import PanelOrthogonalResult as PanelOrthogonalResult
from ._panel import Panel as Panel
from ._result import PanelResult as PanelResult

__all__ = ["Panel", "PanelModel", "PanelOrthogonalResult", "PanelResult"]
