"""Smooth unimportant areas of pages, such as paper and noise, before an image is coded."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from cotam.image.read import Pixels

__all__ = ["CONTRAST", "OCTAVES", "RADIUS", "TINT", "flat_share", "smooth", "without_tint"]

OCTAVES = 3.0
"""Pixels with importance this far below its maximum are smoothed, with a transition over the octave before.
The paper of receipts lies 3.2 to 3.5 octaves below their text."""

CONTRAST = 16
"""Smallest range of grey levels in 3×3 pixels that is kept: an edge, a stroke, or a faint line of a form."""

RADIUS = 0.7
"""Radius of the Gaussian blur in pixels."""

TINT = 12
"""Largest colour difference (Cb, Cr) of a pixel that is grey with a tint or noise, as in scans."""


def smooth(pixels: Pixels, importance: np.ndarray) -> Pixels:
    """Smooth pixels, uint8 (H, W, 3), whose importance is low; edges and strokes stay.

    The filters are a 3×3 median, then a small blur. ``importance``, (gh, gw), is positive, an even grid over
    the image.
    """
    height, width = pixels.shape[:2]
    below = np.log2(importance.max() / np.maximum(importance, 1e-12))
    grid = Image.fromarray(below.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    weight = np.clip(np.asarray(grid) - OCTAVES + 1, 0, 1)
    if not weight.any():
        return pixels
    image = Image.fromarray(pixels)
    grey = image.convert("L")
    span = ImageChops.subtract(grey.filter(ImageFilter.MaxFilter(3)), grey.filter(ImageFilter.MinFilter(3)))
    weight *= np.asarray(span) < CONTRAST
    smoothed = np.asarray(image.filter(ImageFilter.MedianFilter(3)).filter(ImageFilter.GaussianBlur(RADIUS)))
    mixed = np.empty_like(pixels)
    for row in range(height):  # one by one, to save memory
        change = weight[row, :, None] * (smoothed[row].astype(np.float32) - pixels[row])
        mixed[row] = np.rint(pixels[row] + change)
    return mixed


def without_tint(pixels: Pixels) -> Pixels:
    """Return pixels in grey if at most one in 2000 has more colour than `TINT`, else unchanged."""
    planes = np.asarray(Image.fromarray(pixels).convert("YCbCr"))
    coloured = planes[..., 1:] - np.uint8(128 - TINT) > 2 * TINT  # what is less wraps around
    share = (coloured[..., 0] | coloured[..., 1]).mean()
    return pixels if share > 1 / 2000 else planes[..., :1].repeat(3, axis=2)


def flat_share(pixels: Pixels) -> float:
    """Return the share of pixels, 0 … 1, that equal their left and upper neighbours."""
    inner = pixels[1:, 1:]
    if not inner.size:
        return 1.0
    same = (inner == pixels[1:, :-1]) & (inner == pixels[:-1, 1:])
    return float((same[..., 0] & same[..., 1] & same[..., 2]).mean())
