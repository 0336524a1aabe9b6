"""What a table says of the regressors of a panel."""

import numpy as np

from ._design import Design
from ._formula import INTERCEPT


def regressor_notes(panel: Design) -> list[str]:
    """Where the intercept is measured, and which regressors tell units apart alone."""
    effects, common = panel.model.effects, panel.model.columns
    notes = []
    others = [name for name in effects if name != INTERCEPT]
    if INTERCEPT in effects and others:
        where = f"where {' and '.join(others)} {'is' if len(others) == 1 else 'are'} zero"
        if common and panel.spec.center:
            where += " and the other regressors have their means"
        notes.append(f"The intercept is that {where}.")
    x = np.asarray(panel.data["x"])
    if x.ndim == 3 and common:  # with alternatives there is another axis
        spread, scale = np.ptp(x, axis=1).max(axis=0), np.abs(x).max(axis=(0, 1))
        same = [name for name, a, b in zip(common, spread, scale, strict=True) if a <= 1e-12 * b]
        if same:
            verb = "does" if len(same) == 1 else "do"
            notes.append(f"{', '.join(same)} {verb} not vary within units.")
    return notes
