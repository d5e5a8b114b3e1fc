"""Hierarchical guidance: a map of the whole picture, fused with maps of its tiles.

::

    picture ──▸ reduced ──▸ whole, at the guide's side ──▸ global map ───────────┐
                   │                                          │ means of tiles   ▾
                   └──▸ overlapping tiles, side × side ──▸ local maps ──▸ blended, fused ──▸ importance

Knows guides, pixels and grids: nothing of what a guide is made of, or of levels. A vision encoder sees a
large picture small, as a whole, and many multimodal LLMs add tiles of it at full scale: both count.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from cotam.errors import InputError
from cotam.guide.base import Guide, side_of
from cotam.guide.grids import resample

__all__ = ["FUSION", "LOCAL_PIXELS", "MAX_TILES", "importance", "resized"]

FUSION = 0.5
"""Weight of the local maps in the logarithm: 0 is the global map alone, 1 the local ones alone."""

LOCAL_PIXELS = 4_000_000
"""Larger pictures are reduced to this many pixels before they are cut into tiles."""

MAX_TILES = 48
"""Pictures are reduced further until they have no more tiles than this: the guide's time is bounded."""

OVERLAP = 0.25
"""Neighbouring tiles share at least this part of their side."""

_STRIP_PIXELS = 1 << 21


def importance(
    guide: Guide,
    pixels: np.ndarray,
    *,
    fusion: float = FUSION,
    local_pixels: int = LOCAL_PIXELS,
    max_tiles: int = MAX_TILES,
) -> np.ndarray:
    """Importance of a picture of any size, float32 (gh, gw), positive and of mean 1.

    Parameters
    ----------
    guide : a guide; one without a ``side``, or a picture that is not larger than it, gives its own map
    pixels : uint8 (H, W, 3)
    fusion : 0 … 1, see `FUSION`
    local_pixels, max_tiles : bounds of the work, see `LOCAL_PIXELS` and `MAX_TILES`

    Raises
    ------
    InputError
        if what the guide gives is no map of positive numbers
    """
    side = side_of(guide)
    height, width = pixels.shape[:2]
    if side is None or max(height, width) <= side:
        return _checked(guide, pixels)
    pixels = _reduced(pixels, math.ceil(math.sqrt(height * width / local_pixels)))
    size = _local_size(pixels.shape[0], pixels.shape[1], side, max_tiles)
    pixels = resized(pixels, size)
    whole = _checked(guide, resized(pixels, _fitted(*size, side)))
    if fusion == 0 or max(size) <= side:
        return whole
    return _fused(guide, pixels, side, whole, fusion)


def _checked(guide: Guide, pixels: np.ndarray) -> np.ndarray:
    """What the guide says. Raises InputError if that is no map of positive numbers."""
    found = guide.importance(pixels)
    if found.ndim != 2 or not found.size or not (np.isfinite(found).all() and found.min() > 0):
        raise InputError(
            f"guide {type(guide).__name__} gives no importance: positive numbers of shape (gh, gw) are wanted"
        )
    return found


def _local_size(height: int, width: int, side: int, tiles: int) -> tuple[int, int]:
    """The largest size of this aspect, not above the picture's, that has so few tiles."""
    scale = 1.0
    while True:
        size = max(1, round(height * scale)), max(1, round(width * scale))
        if len(_starts(size[0], side)) * len(_starts(size[1], side)) <= tiles or max(size) <= side:
            return size
        scale *= 0.97


def _fitted(height: int, width: int, side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _starts(length: int, side: int) -> list[int]:
    """Where tiles of ``side`` begin on an axis: evenly, from its beginning to its end."""
    if length <= side:
        return [0]
    step = side * (1 - OVERLAP)
    count = math.ceil((length - side) / step) + 1
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def _fused(guide: Guide, pixels: np.ndarray, side: int, whole: np.ndarray, fusion: float) -> np.ndarray:
    """The global map ``whole`` and the maps of all tiles, on a grid as fine as that of a tile."""
    height, width = pixels.shape[:2]
    rows, columns = _starts(height, side), _starts(width, side)
    total = weight = overall = np.empty((0, 0))  # their grid is known after the first tile
    for top in rows:
        for left in columns:
            tile = np.ascontiguousarray(pixels[top : top + side, left : left + side])
            local = _checked(guide, tile).astype(np.float64)
            if not total.size:
                grid = (
                    math.ceil(height * local.shape[0] / tile.shape[0]),
                    math.ceil(width * local.shape[1] / tile.shape[1]),
                )
                overall = resample(whole, grid)
                total, weight = np.zeros(grid), np.zeros(grid)
            down = _Placed(top, tile.shape[0], local.shape[0], height, total.shape[0])
            across = _Placed(left, tile.shape[1], local.shape[1], width, total.shape[1])
            where = down.cells, across.cells
            # The guide says what counts within a tile; how much the tile counts is the global map's to say.
            local *= overall[where].mean() / local.mean()
            window = down.window[:, None] * across.window
            total[where] += window * (down.matrix @ np.log(local) @ across.matrix.T)
            weight[where] += window
    fused = np.exp((1 - fusion) * np.log(overall) + fusion * total / weight)
    return (fused / fused.mean()).astype(np.float32)


class _Placed:
    """One axis of a tile's map on the grid of the picture: which cells, from which values, how strongly."""

    def __init__(self, start: int, length: int, values: int, whole: int, grid: int) -> None:
        centres = (np.arange(grid) + 0.5) * whole / grid - start  # in pixels of the tile
        inside = np.flatnonzero((centres >= 0) & (centres < length))
        self.cells = slice(int(inside[0]), int(inside[-1]) + 1)
        centres = centres[inside]
        at = np.clip(centres * values / length - 0.5, 0, values - 1)
        low = np.minimum(at.astype(int), max(values - 2, 0))
        self.matrix = np.zeros((len(inside), values))
        self.matrix[np.arange(len(inside)), low] = 1 - (at - low)
        if values > 1:
            self.matrix[np.arange(len(inside)), low + 1] += at - low
        # Falls to nothing at the tile's ends, but for the little that the picture's own edge is left with.
        self.window = np.sin(np.pi * centres / length) ** 2 + 1e-6


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels uint8 (H, W, 3) at another size (h, w), antialiased, in little memory beside the result."""
    height, width = pixels.shape[:2]
    if (height, width) == size:
        return np.ascontiguousarray(pixels)
    factor = max(1, int(min(height / size[0], width / size[1]) / 1.5))
    # What is left of the last row and column after whole factors keeps its part of the picture.
    box = (0.0, 0.0, width / factor, height / factor)
    image = Image.fromarray(_reduced(pixels, factor))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=box))


def _reduced(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Means of ``factor`` × ``factor`` pixels, strip by strip: Pillow takes four bytes for each of them."""
    if factor == 1:
        return pixels
    height, width = pixels.shape[:2]
    rows = max(1, _STRIP_PIXELS // (width * factor)) * factor
    strips = [Image.fromarray(pixels[top : top + rows]).reduce(factor) for top in range(0, height, rows)]
    return np.concatenate([np.asarray(strip) for strip in strips])
