"""Normal scale mixtures in files, written block by block."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

BLOCK = 4_000_000
"""Entries of a block, about."""


def effects(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Estimated effects with known standard errors: half of the effects are zero."""
    error = rng.gamma(4.0, 0.25, size)
    scale = rng.choice([0.0, 0.5, 2.0], size, p=[0.5, 0.3, 0.2])
    return rng.normal(size=size) * np.hypot(error, scale), error


def blocks(n: int, m: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Log densities in float32 under m prior scales, from zero to twenty."""
    rng = np.random.default_rng(seed)
    scale = np.concatenate([[0.0], np.geomspace(0.05, 20.0, m - 1)])
    size = BLOCK // m
    for start in range(0, n, size):
        effect, error = effects(rng, min(size, n - start))
        variance = error[:, None] ** 2 + scale[None, :] ** 2
        yield (-0.5 * (effect[:, None] ** 2 / variance + np.log(variance))).astype(np.float32)


def write(path: Path, n: int, m: int) -> None:
    """An array in NumPy's format; not by way of a map, which would count as memory."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (n, m)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks(n, m):
            block.astype("<f4").tofile(file)
