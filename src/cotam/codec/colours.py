"""Tell images of few colours from others."""

from __future__ import annotations

import numpy as np
from PIL import Image

__all__ = ["has_more_colours"]


def has_more_colours(pixels: np.ndarray, limit: int) -> bool:
    """Whether pixels uint8 (H, W, 3) have more than ``limit`` colours."""
    few_rows = max(1, len(pixels) // 16)  # they decide for nearly all images
    return any(Image.fromarray(pixels[::step]).getcolors(limit) is None for step in (few_rows, 1))
