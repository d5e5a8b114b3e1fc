"""Maps on coarse grids, brought from one grid to another.

Knows arrays only: nothing of what a map says.
"""

from __future__ import annotations

import numpy as np

__all__ = ["resample"]


def resample(
    grid: np.ndarray, shape: tuple[int, int], extent: tuple[float, float] = (1.0, 1.0)
) -> np.ndarray:
    """A map on another grid, float64 ``shape``: means where it is coarser, linear in between where finer.

    Parameters
    ----------
    grid : (gh, gw)
    shape : (h, w)
    extent : rows and columns of ``shape`` over those that cover what ``grid`` covers: above 1 the last cells
        reach beyond the edge, where the last values are repeated
    """
    down, across = (_matrix(n, m, e) for n, m, e in zip(grid.shape, shape, extent, strict=True))
    return down @ grid.astype(np.float64) @ across.T


def _matrix(source: int, target: int, extent: float) -> np.ndarray:
    """(target, source): a triangle as wide as the coarser grid's cells around each target's centre."""
    step = source * extent / target
    centres = (np.arange(target) + 0.5) * step - 0.5
    away = np.abs(np.arange(source) - np.clip(centres, 0, source - 1)[:, None])
    weights = np.maximum(0, 1 - away / max(step, 1.0))
    return weights / weights.sum(1, keepdims=True)
