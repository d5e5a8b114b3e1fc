"""Find out whether an image is grey or has few colours."""

from __future__ import annotations

import numpy as np
from PIL import Image

__all__ = ["has_more_colours", "is_grey"]


def has_more_colours(pixels: np.ndarray, limit: int) -> bool:
    """Whether pixels uint8 (H, W, 3) have more than ``limit`` colours."""
    sample = max(1, len(pixels) // 16)  # 16 rows decide for nearly all images
    return any(Image.fromarray(pixels[::step]).getcolors(limit) is None for step in (sample, 1))


def is_grey(pixels: np.ndarray) -> bool:
    """Whether red, green and blue are equal in all pixels uint8 (H, W, 3)."""
    bands = np.array_split(pixels, max(1, len(pixels) // 64))  # to stop early
    return all(
        np.array_equal(band[..., 0], band[..., 1]) and np.array_equal(band[..., 0], band[..., 2])
        for band in bands
    )
