"""Resize images for guides, antialiased and in little memory, and resample their maps."""

from __future__ import annotations

import numpy as np
from PIL import Image

__all__ = ["reduce_by", "resample", "resize_bilinear"]

_STRIP_PIXELS = 1 << 21


def resize_bilinear(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize pixels, uint8 (H, W, 3), to ``size`` (h, w) with antialiasing."""
    height, width = pixels.shape[:2]
    if (height, width) == size:
        return np.ascontiguousarray(pixels)
    factor = max(1, int(min(height / size[0], width / size[1]) / 1.5))
    # The last rows and columns of the reduced image may cover fewer pixels than others.
    box = (0.0, 0.0, width / factor, height / factor)
    image = Image.fromarray(reduce_by(pixels, factor))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=box))


def reduce_by(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Average ``factor`` × ``factor`` pixels, in strips: Pillow takes four bytes per pixel."""
    if factor == 1:
        return pixels
    height, width = pixels.shape[:2]
    rows = max(1, _STRIP_PIXELS // (width * factor)) * factor
    strips = [Image.fromarray(pixels[top : top + rows]).reduce(factor) for top in range(0, height, rows)]
    return np.concatenate([np.asarray(strip) for strip in strips])


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
