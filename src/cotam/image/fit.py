"""Shrink images to the size that a model sees."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cotam.image.read import Pixels

__all__ = ["resize", "shrink_to_fit", "shrunk_size"]


def shrunk_size(
    width: int, height: int, fit: str | None = None, max_pixels: int | None = None
) -> tuple[int, int]:
    """Return the size (width, height) worth sending, with neither side larger than that of the image.

    Raises InputError if the model is unknown.

    Parameters
    ----------
    width, height : of the upright image, in pixels
    fit : name of a model, see `cotam.image.models.find`; None keeps the size
    max_pixels : largest number of pixels of the result, at least 1
    """
    size = width, height
    if fit is not None:
        from cotam.image import models  # takes 20 ms

        size = models.get(fit).size_for(width, height)
    if max_pixels is not None and size[0] * size[1] > max_pixels:
        scale = math.sqrt(max_pixels / (size[0] * size[1]))
        size = max(1, int(size[0] * scale)), max(1, int(size[1] * scale))
        if size[0] * size[1] > max_pixels:  # one side was already 1
            size = min(size[0], max_pixels), min(size[1], max_pixels)
    return size


def shrink_to_fit(pixels: Pixels, fit: str | None = None, max_pixels: int | None = None) -> Pixels:
    """Shrink pixels, uint8 (H, W, 3), to their `shrunk_size`; returns the same array if they have it."""
    height, width = pixels.shape[:2]
    return resize(pixels, shrunk_size(width, height, fit, max_pixels))


def resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize pixels, uint8 (H, W, 3), to (width, height); returns the same array if they have it."""
    if size == (pixels.shape[1], pixels.shape[0]):
        return pixels
    import numpy as np
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))
