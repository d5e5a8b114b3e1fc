"""Hierarchical guidance: fuse the importance map of the whole image with those of its tiles.

::

    image ──▸ shrunk ──▸ whole, at the guide's side ──▸ global map ────────────────┐
                 │                                          │ means of tiles       ▾
                 └──▸ overlapping tiles, side × side ──▸ local maps ──▸ blended, fused ──▸ importance

Many multimodal LLMs see a large image both shrunk, as a whole, and in tiles at full resolution.
"""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np

from cotam.errors import InputError
from cotam.guide.base import Guide
from cotam.guide.resize import reduce_by, resample, resize_bilinear

__all__ = ["FUSION", "LOCAL_PIXELS", "MAX_TILES", "importance"]

FUSION = 0.5
"""Weight of the local maps in log importance: 0 is the global map alone, 1 the local maps alone."""

LOCAL_PIXELS = 4_000_000
"""Larger images are shrunk to this many pixels before they are cut into tiles."""

MAX_TILES = 48
"""Images are shrunk until they have at most this many tiles, which bounds time."""

OVERLAP = 0.25
"""Smallest overlap of neighbouring tiles, as a share of their side."""


def importance(guide: Guide, pixels: np.ndarray, *, fusion: float = FUSION) -> np.ndarray:
    """Return the importance map, float32 (gh, gw), positive and of mean 1, of an image of any size.

    Raises InputError if the guide does not return a map of positive numbers.

    Parameters
    ----------
    guide : runs once if it has no ``side``, or if the image is not larger than that
    pixels : uint8 (H, W, 3)
    fusion : 0 … 1, see `FUSION`
    """
    side = getattr(guide, "side", None)
    height, width = pixels.shape[:2]
    if side is None or max(height, width) <= side:
        return _run_guide(guide, pixels)
    pixels = reduce_by(pixels, math.ceil(math.sqrt(height * width / LOCAL_PIXELS)))
    size = _local_size(pixels.shape[0], pixels.shape[1], side)
    pixels = resize_bilinear(pixels, size)
    whole = _run_guide(guide, resize_bilinear(pixels, _fit_size(*size, side)))
    if fusion == 0 or max(size) <= side:
        return whole
    return _fuse(guide, pixels, side, whole, fusion)


def _run_guide(guide: Guide, pixels: np.ndarray) -> np.ndarray:
    """Run the guide. Raises InputError if it does not return a map of positive numbers."""
    returned = guide.importance(pixels)
    expected = f"guide {type(guide).__name__} must return positive numbers of shape (gh, gw)"
    try:
        with np.errstate(over="ignore"):
            found = np.asarray(returned, np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{expected}: {error}") from error
    if found.ndim != 2 or not found.size or not (np.isfinite(found).all() and found.min() > 0):
        raise InputError(f"{expected}, got {found.shape}")
    return found


def _local_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Return the largest size of this aspect, at most that of the image, with at most `MAX_TILES` tiles."""
    longest = max(height, width)

    def has_more(length: int) -> bool:
        size = _fit_size(height, width, length)
        return length > side and math.prod(len(_starts(n, side)) for n in size) > MAX_TILES

    length = bisect_left(range(longest + 1), True, key=has_more) - 1
    return _fit_size(height, width, length)


def _fit_size(height: int, width: int, length: int) -> tuple[int, int]:
    """Return the size of this aspect whose long side is ``length``, or that of the image if smaller."""
    scale = min(1.0, length / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _starts(length: int, side: int) -> list[int]:
    """Return the starts of tiles of ``side`` along an axis, evenly spaced from end to end."""
    if length <= side:
        return [0]
    step = side * (1 - OVERLAP)
    count = math.ceil((length - side) / step) + 1
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def _fuse(guide: Guide, pixels: np.ndarray, side: int, whole: np.ndarray, fusion: float) -> np.ndarray:
    """Fuse the global map ``whole`` with the maps of all tiles, at the resolution of the latter."""
    height, width = pixels.shape[:2]
    rows, columns = _starts(height, side), _starts(width, side)
    tiles = [(top, left) for top in rows for left in columns]
    tile_height, tile_width = min(side, height), min(side, width)
    maps = [
        _run_guide(guide, np.ascontiguousarray(pixels[top : top + side, left : left + side]))
        for top, left in tiles
    ]
    map_height, map_width = maps[0].shape
    if any(local.shape != maps[0].shape for local in maps):
        raise InputError(f"guide {type(guide).__name__} must return maps of one shape for tiles of one size")
    grid = math.ceil(height * map_height / tile_height), math.ceil(width * map_width / tile_width)
    overall, total, weight = resample(whole, grid), np.zeros(grid), np.zeros(grid)
    for (top, left), local in zip(tiles, maps, strict=True):
        below, down, fade_down = _tile_axis(top, tile_height, map_height, height, grid[0])
        beside, across, fade_across = _tile_axis(left, tile_width, map_width, width, grid[1])
        where, window = (below, beside), fade_down[:, None] * fade_across
        # The local map ranks places within the tile, the global map the tile among others.
        scaled = local.astype(np.float64) * (overall[where].mean() / local.mean(dtype=np.float64))
        total[where] += window * (down @ np.log(scaled) @ across.T)
        weight[where] += window
    fused = np.exp((1 - fusion) * np.log(overall) + fusion * total / weight)
    return np.maximum(fused / fused.mean(), 1e-9).astype(np.float32)  # float32 could round to zero


def _tile_axis(
    start: int, length: int, values: int, whole: int, grid: int
) -> tuple[slice, np.ndarray, np.ndarray]:
    """Place one axis of a tile's map on the grid of the image.

    Returns the slice of the cells of the grid whose centres lie in the tile, their linear interpolation from
    the tile's values (cells, values), and their blending weights (cells,).
    """
    centres = (np.arange(grid) + 0.5) * whole / grid - start  # in pixels of the tile
    inside = np.flatnonzero((centres >= 0) & (centres < length))
    centres = centres[inside]
    at = np.clip(centres * values / length - 0.5, 0, values - 1)
    matrix = np.maximum(0, 1 - np.abs(np.arange(values) - at[:, None]))
    # Nearly zero at the ends of the tile, but positive, for the edge of the image.
    window = np.sin(np.pi * centres / length) ** 2 + 1e-6
    return slice(int(inside[0]), int(inside[-1]) + 1), matrix, window
