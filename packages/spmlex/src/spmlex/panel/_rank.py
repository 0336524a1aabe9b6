"""Columns that are no combination of each other."""

import numpy as np
from jaxtyping import Float

from ._formula import INTERCEPT

# A column is told from a combination of others by the digits that least squares leaves of it.
_DEPENDENT = 1e-9


def check_rank(matrix: Float[np.ndarray, "rows p"], names: tuple[str, ...]) -> None:
    """Refuse columns that are combinations of those before them.

    Raises
    ------
    ValueError
        Naming the first such column and what it is made of.
    """
    scale = np.sqrt(np.mean(matrix**2, axis=0))
    for k in np.flatnonzero(scale == 0):
        raise ValueError(
            f"The column `{names[k]}` is zero in all rows that are used. Leave it out; of a "
            "category that no such row has, by `.cat.remove_unused_categories()` of those rows."
        )
    scaled = matrix / scale
    # The triangular factor has the part of each column that those before it do not explain.
    root = np.linalg.qr(scaled)[1]
    left = np.zeros(len(names))
    left[: root.shape[0]] = np.abs(np.diagonal(root)) / np.sqrt(len(matrix))
    dependent = np.flatnonzero(left < _DEPENDENT)
    if not dependent.size:
        return
    k = int(dependent[0])
    if np.ptp(matrix[:, k]) == 0 and INTERCEPT in names[:k]:
        raise ValueError(
            f"The column `{names[k]}` is {matrix[0, k]:.6g} in all rows, as an intercept is, and "
            "there is one. Leave it out."
        )
    made = np.linalg.lstsq(scaled[:, :k], scaled[:, k], rcond=None)[0]
    parts = [f"`{names[j]}`" for j in range(k) if abs(made[j]) > 1e-6]
    raise ValueError(
        f"The column `{names[k]}` is a combination of {', '.join(parts[:6])}"
        f"{' and others' if len(parts) > 6 else ''}, so that its coefficient is not determined. "
        "Leave one of them out."
        + (
            " The intercept is there because `heterogeneous` has one: categories then need a base."
            if f"`{INTERCEPT}`" in parts
            else ""
        )
    )
