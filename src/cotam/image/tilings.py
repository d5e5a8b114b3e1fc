"""Kinds of rules that cut an image into tiles, as `cotam.image.sizes` has those that do not."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from cotam.image.sizes import Seen

__all__ = [
    "Canvases",
    "Crops",
    "EnlargedTiles",
    "OverlappingCrops",
    "PaddedTiles",
    "Slices",
    "StretchedTiles",
]

Size = tuple[int, int]


@dataclass(frozen=True)
class Canvases:
    """LLaVA: fit into the canvas that keeps most of the image, cut into tiles, and a small view beside them.

    A tile is ``side`` × ``side`` tokens. With ``pool`` more tokens than ``pool`` tiles have are pooled.
    """

    canvases: tuple[Size, ...]
    tile: int
    side: int
    pool: int | None = None

    def see(self, width: int, height: int) -> Seen:
        canvas = _best_canvas(width, height, self.canvases)
        scale = min(canvas[0] / width, canvas[1] / height)
        size = min(math.ceil(width * scale), canvas[0]), min(math.ceil(height * scale), canvas[1])
        across, down = (self.side * (length // self.tile) for length in canvas)
        tokens = _unpadded_tokens((width, height), across, down, self.pool and self.pool * self.side**2)
        return Seen(size, tokens + self.side**2)


@dataclass(frozen=True)
class StretchedTiles:
    """Stretch to the grid of tiles with the nearest proportions, and a small view of the whole beside it.

    Images with no side above ``tile_above`` are not cut: their longer side becomes ``whole`` pixels.
    ``view_of_one`` says whether a grid of one tile has a small view, too.
    """

    tile: int
    least: int
    most: int
    tokens_per_tile: int
    tokens_of_view: int
    extra: int
    view_of_one: bool
    tile_above: int = 0
    whole: int = 0

    def see(self, width: int, height: int) -> Seen:
        if max(width, height) <= self.tile_above:
            scale = self.whole / max(width, height)
            size = max(1, round(width * scale)), max(1, round(height * scale))
            return Seen(size, self.tokens_of_view + self.extra)
        columns, rows = _nearest_grid(width, height, self.tile, self.least, self.most)
        count = columns * rows
        view = self.tokens_of_view if count > 1 or self.view_of_one else 0
        tokens = self.tokens_per_tile * count + view + self.extra
        return Seen((columns * self.tile, rows * self.tile), tokens)


@dataclass(frozen=True)
class PaddedTiles:
    """Llama 4: fit, padded, into the smallest canvas of tiles that holds the image, or else the largest."""

    tile: int
    most: int
    tokens_per_tile: int

    def see(self, width: int, height: int) -> Seen:
        columns, rows, size = _padded_canvas(width, height, self.tile, self.most)
        count = columns * rows
        return Seen(size, self.tokens_per_tile * (count + (count > 1)))


@dataclass(frozen=True)
class Slices:
    """MiniCPM-V: slices of about ``side``² pixels and a small view of the whole, a token for 56² pixels."""

    side: int
    most: int
    step: int

    def see(self, width: int, height: int) -> Seen:
        size, view = _sliced(width, height, self.side, self.most, self.step)
        return Seen(size, (size[0] * size[1] + view[0] * view[1]) // self.step**2)


@dataclass(frozen=True)
class Crops:
    """Phi-4: crops of ``tile`` pixels that hold the image, padded, and a small view of the whole."""

    tile: int
    most: int

    def see(self, width: int, height: int) -> Seen:
        return Seen(*_cropped(width, height, self.tile, self.most))


@dataclass(frozen=True)
class OverlappingCrops:
    """Molmo 2: stretched to crops of 378 pixels that overlap by 112, and a small view of the whole."""

    most: int

    def see(self, width: int, height: int) -> Seen:
        return Seen(*_overlapping(width, height, self.most))


@dataclass(frozen=True)
class EnlargedTiles:
    """SmolVLM: scale the longer side to ``longest``, stretch to whole tiles; a small view of the whole."""

    longest: int
    tile: int
    tokens_per_tile: int

    def see(self, width: int, height: int) -> Seen:
        size = _enlarged(width, height, self.longest, self.tile)
        count = size[0] * size[1] // self.tile**2
        return Seen(size, self.tokens_per_tile * (count + (count > 1)))


def _best_canvas(width: int, height: int, canvases: Sequence[Size]) -> Size:
    """Choose the canvas that keeps most of the image and, of those, wastes least (LLaVA-NeXT)."""

    def merit(canvas: Size) -> tuple[int, int]:
        scale = min(canvas[0] / width, canvas[1] / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        return kept, kept - canvas[0] * canvas[1]

    return max(canvases, key=merit)


def _unpadded_tokens(image: Size, across: int, down: int, most: int | None) -> int:
    """Tokens of a canvas of ``across`` × ``down`` without its padding, and one for each row (LLaVA-NeXT).

    More than ``most`` tokens are pooled (LLaVA-OneVision).
    """
    width, height = image
    if width / height > across / down:
        down -= (down - int(round(height * (across / width), 7))) // 2 * 2
    else:
        across -= (across - int(round(width * (down / height), 7))) // 2 * 2
    if most and (ratio := math.sqrt(across * down / most)) > 1.1:
        across, down = int(across // ratio), int(down // ratio)
    return across * down + down


def _nearest_grid(width: int, height: int, tile: int, least: int, most: int) -> Size:
    """Choose the grid with the nearest proportions (InternVL); among equals the largest, half filled."""
    sides = range(1, most + 1)
    grids = [(columns, rows) for columns in sides for rows in sides if least <= columns * rows <= most]
    best, smallest = (1, 1), math.inf
    for columns, rows in sorted(grids, key=lambda grid: grid[0] * grid[1]):
        difference = abs(width / height - columns / rows)
        half_filled = width * height > 0.5 * tile * tile * columns * rows
        if difference < smallest or (difference == smallest and half_filled):
            best, smallest = (columns, rows), difference
    return best


def _padded_canvas(width: int, height: int, tile: int, most: int) -> tuple[int, int, Size]:
    """Choose the canvas of tiles and the size of the image in it (Llama 4): columns, rows, size.

    The scale is compared in single precision, as transformers does it.
    """
    sides = range(1, most + 1)
    grids = [(columns, rows) for columns in sides for rows in sides if columns * rows <= most]
    scales = {grid: _single(min(grid[0] * tile / width, grid[1] * tile / height)) for grid in grids}
    enlarging = [scale for scale in scales.values() if scale >= 1]
    chosen = min(enlarging) if enlarging else max(scales.values())
    columns, rows = min(
        (grid for grid, scale in scales.items() if scale == chosen), key=lambda grid: grid[0] * grid[1]
    )
    # A small image is enlarged to one tile at most.
    target_width, target_height = min(max(width, tile), columns * tile), min(max(height, tile), rows * tile)
    across, down = target_width / width, target_height / height
    if across < down:
        size = target_width, min(math.floor(height * across), target_height)
    else:
        size = min(math.floor(width * down), target_width), target_height
    return columns, rows, (max(1, size[0]), max(1, size[1]))


def _sliced(width: int, height: int, side: int, most: int, step: int) -> tuple[Size, Size]:
    """Sizes of the sliced image and of the small view of the whole (MiniCPM-V), (0, 0) for what there is not.

    An image that is not cut is the first of the two.
    """
    grid = _slice_grid(width, height, side, most)
    view = _near_square(width, height, side, step, enlarge=grid is None)
    if grid is None:
        return view, (0, 0)
    columns, rows = grid
    cell = _multiple(width, columns) / columns, _multiple(height, rows) / rows
    across, down = _near_square(*cell, side, step, enlarge=True)
    return (across * columns, down * rows), view


def _slice_grid(width: int, height: int, side: int, most: int) -> Size | None:
    multiple = min(math.ceil(width * height / (side * side)), most)
    if multiple <= 1:
        return None
    best, smallest = (1, 1), math.inf
    proportion = math.log(width / height)
    for count in (multiple - 1, multiple, multiple + 1):
        if count == 1 or count > most:
            continue
        for rows in range(1, count + 1):
            if count % rows:
                continue
            columns = count // rows
            error = abs(proportion - math.log(columns / rows))
            if error < smallest or (error == smallest and rows > best[1]):
                best, smallest = (columns, rows), error
    return best


def _near_square(width: float, height: float, side: int, step: int, enlarge: bool) -> Size:
    if width * height > side * side or enlarge:
        proportion = width / height
        height = int(side / math.sqrt(proportion))
        width = int(height * proportion)
    return _multiple(width, step), _multiple(height, step)


def _multiple(length: float, step: int) -> int:
    return max(round(length / step) * step, step)


def _cropped(width: int, height: int, tile: int, most: int) -> tuple[Size, int]:
    """Size of the image in its crops, and tokens (Phi-4-multimodal): 16 × 16 a crop, without padding."""
    columns, rows = math.ceil(width / tile), math.ceil(height / tile)
    if columns * rows > most:
        columns, rows = _nearest_grid(width, height, tile, 1, most)
    across, down = columns * tile / width, rows * tile / height
    size = (columns * tile, int(height * across)) if across < down else (int(width * down), rows * tile)
    patch = tile // 32
    tokens = [
        (32 * count - (count * tile - length) // patch + 1) // 2
        for count, length in zip((columns, rows), size, strict=True)
    ]
    # 256 of the small view, a separator, 16 ends of its rows, and an end for each row of the crops.
    return (max(1, size[0]), max(1, size[1])), 256 + 1 + 16 + tokens[0] * tokens[1] + tokens[1]


def _overlapping(width: int, height: int, most: int) -> tuple[Size, int]:
    """Size of the stretched image, and tokens (Molmo 2): 2 × 2 patches are one, and each row has an end."""
    window, margin, patch, view = 19 * 14, 8 * 14, 14, 14
    sides = range(1, most + 1)
    grids = [(columns, rows) for columns in sides for rows in sides if columns * rows <= most]
    grids.sort(key=lambda grid: (grid[0] * grid[1], grid[1]))

    def scale(grid: Size) -> float:
        across, down = (
            _single(_single(count * window) / length if length else math.inf)
            for count, length in zip(grid, (width - margin, height - margin), strict=True)
        )
        return min(across, down)

    enlarging = [grid for grid in grids if scale(grid) >= 1]
    columns, rows = min(enlarging, key=scale) if enlarging else max(grids, key=scale)
    size = columns * window + margin, rows * window + margin
    across, down = (math.ceil(length // patch / 2) for length in size)
    return size, view * (view + 1) + 2 + down * (across + 1) + 2


def _enlarged(width: int, height: int, longest: int, tile: int) -> Size:
    """Size of the image stretched to whole tiles (SmolVLM)."""
    proportion = width / height
    if width >= height:
        width, height = longest, int(longest / proportion)
        height += height % 2
    else:
        width, height = int(longest * proportion), longest
        width += width % 2
    width, height = max(1, width), max(1, height)
    proportion = width / height
    if width >= height:
        width = math.ceil(width / tile) * tile
        height = math.ceil(int(width / proportion) / tile) * tile
    else:
        height = math.ceil(height / tile) * tile
        width = math.ceil(int(height * proportion) / tile) * tile
    return max(tile, width), max(tile, height)


def _single(value: float) -> float:
    """Round to single precision."""
    single: float = struct.unpack("f", struct.pack("f", value))[0]
    return single
