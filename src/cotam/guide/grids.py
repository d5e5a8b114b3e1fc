"""Resample maps from one coarse grid to another."""

from __future__ import annotations

import numpy as np

__all__ = ["resample"]


def resample(
    grid: np.ndarray, shape: tuple[int, int], extent: tuple[float, float] = (1.0, 1.0)
) -> np.ndarray:
    """Resample a map to float64 ``shape``: by averages if that is coarser, else by linear interpolation.

    Parameters
    ----------
    grid : (gh, gw)
    shape : (h, w)
    extent : size of the area that the result covers, relative to that of ``grid``; above 1 its last cells
        reach beyond the edge, where the last values are repeated
    """
    down, across = (_matrix(n, m, e) for n, m, e in zip(grid.shape, shape, extent, strict=True))
    return down @ grid.astype(np.float64) @ across.T


def _matrix(source: int, target: int, extent: float) -> np.ndarray:
    """Return the weights (target, source): triangles as wide as the coarser grid's cells."""
    step = source * extent / target
    centres = (np.arange(target) + 0.5) * step - 0.5
    away = np.abs(np.arange(source) - np.clip(centres, 0, source - 1)[:, None])
    weights = np.maximum(0, 1 - away / max(step, 1.0))
    return weights / weights.sum(1, keepdims=True)
