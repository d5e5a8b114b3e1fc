"""Shrink images for guides: antialiased, in little memory."""

from __future__ import annotations

import numpy as np
from PIL import Image

__all__ = ["reduce_by", "resize_bilinear"]

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
