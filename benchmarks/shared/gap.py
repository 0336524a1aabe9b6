"""The optimality gap, the one measure of accuracy applied to every solver."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

WRONG = 1e-3
"""A gap above it is not a solution."""

BLOCK_ENTRIES = 1 << 21
"""Entries of `log_lik` that are exponentiated at a time (16 MiB of float64)."""


def optimality_gap(
    log_lik: NDArray[np.float64], probs: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Bound on f(p) - f*, in float64, on the original matrix.

    With rᵢ = maxⱼ ℓᵢⱼ, aᵢⱼ = exp(ℓᵢⱼ - rᵢ), uᵢ = Σⱼ aᵢⱼ pⱼ and weights ω that sum to one it is
    log maxⱼ Σᵢ ωᵢ aᵢⱼ/uᵢ, the maximum over all m components (Lindsay, 1983). The matrix is read in
    blocks of rows, so a memory-mapped one is never in memory as a whole.

    Parameters
    ----------
    log_lik
        Log-likelihood matrix, shape (n, m), float64; -inf allowed.
    probs
        What a solver returned, shape (m,). It is divided by its sum before use.
    weights
        Observation weights, shape (n,); equal ones where absent. Rows of weight zero are not read.

    Returns
    -------
    gap
        Zero at the optimum, up to rounding of either sign; infinity where `probs` is no
        distribution (a NaN, an infinity, a negative entry, a sum of zero, a wrong shape) or gives
        an observation the likelihood zero.
    """
    n, m = log_lik.shape
    p = np.asarray(probs, dtype=np.float64)
    if p.shape != (m,) or not np.all(np.isfinite(p)) or np.any(p < 0.0) or p.sum() <= 0.0:
        return float("inf")
    p = p / p.sum()
    if weights is None:
        w = np.full(n, 1.0 / n)
    else:
        w = np.asarray(weights, dtype=np.float64)
        w = w / w.sum()
    total = np.zeros(m)
    step = max(1, BLOCK_ENTRIES // m)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        w_rows = w[rows]
        a = np.array(log_lik[rows], dtype=np.float64)
        if np.any(w_rows == 0.0):
            a, w_rows = a[w_rows > 0.0], w_rows[w_rows > 0.0]
            if a.shape[0] == 0:
                continue
        peak = a.max(axis=1, keepdims=True)
        if not np.all(np.isfinite(peak)):
            return float("inf")
        a -= peak
        np.exp(a, out=a)
        u = a @ p
        if not np.all(u > 0.0):
            return float("inf")
        total += (w_rows / u) @ a
    return float(np.log(total.max()))
