"""Rules of models that cut an image into tiles; `cotam.image.sizes` has the others."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from cotam.image.sizes import Seen, Size


def canvases(
    width: int, height: int, *, canvases: tuple[Size, ...], tile: int, side: int, pool: int | None = None
) -> Seen:
    """LLaVA: fit into the canvas that keeps most pixels, cut it into tiles, and add a thumbnail.

    A tile has ``side`` × ``side`` tokens. With ``pool``, tokens beyond those of ``pool`` tiles are pooled.
    """
    canvas = _best_canvas(width, height, canvases)
    scale = min(canvas[0] / width, canvas[1] / height)
    size = min(math.ceil(width * scale), canvas[0]), min(math.ceil(height * scale), canvas[1])
    across, down = (side * (length // tile) for length in canvas)
    tokens = _unpadded_tokens((width, height), across, down, pool and pool * side**2)
    return Seen(size, tokens + side**2)


def stretched_tiles(
    width: int,
    height: int,
    *,
    tile: int,
    least: int,
    most: int,
    tokens_per_tile: int,
    tokens_of_view: int,
    extra: int,
    view_of_one: bool,
    tile_above: int = 0,
    whole: int = 0,
) -> Seen:
    """Stretch to the grid of tiles with the nearest aspect ratio, and add a thumbnail.

    Images with no side above ``tile_above`` are not cut: their longer side becomes ``whole`` pixels.
    ``view_of_one`` says whether a single tile has a thumbnail too.
    """
    if max(width, height) <= tile_above:
        scale = whole / max(width, height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        return Seen(size, tokens_of_view + extra)
    columns, rows = _nearest_grid(width, height, tile, least, most)
    count = columns * rows
    view = tokens_of_view if count > 1 or view_of_one else 0
    tokens = tokens_per_tile * count + view + extra
    return Seen((columns * tile, rows * tile), tokens)


def padded_tiles(width: int, height: int, *, tile: int, most: int, tokens_per_tile: int) -> Seen:
    """Llama 4: pad to the smallest canvas of tiles that holds the image, or shrink to the largest.

    Scales are compared in single precision, as in transformers.
    """
    grids = _grids(1, most)
    scales = {grid: _single(min(grid[0] * tile / width, grid[1] * tile / height)) for grid in grids}
    enlarging = [scale for scale in scales.values() if scale >= 1]
    chosen = min(enlarging) if enlarging else max(scales.values())
    columns, rows = min((grid for grid in grids if scales[grid] == chosen), key=_area)
    # A small image is enlarged to one tile at most.
    most_width, most_height = min(max(width, tile), columns * tile), min(max(height, tile), rows * tile)
    across, down = most_width / width, most_height / height
    if across < down:
        size = most_width, max(1, min(math.floor(height * across), most_height))
    else:
        size = max(1, min(math.floor(width * down), most_width)), most_height
    count = columns * rows
    return Seen(size, tokens_per_tile * (count + (count > 1)))


def slices(width: int, height: int, *, side: int, most: int, step: int) -> Seen:
    """MiniCPM-V: slices of about ``side``² pixels and a thumbnail, with a token per ``step``² pixels."""
    grid = _slice_grid(width, height, side, most)
    size = view = _near_square(width, height, side, step, enlarge=grid is None)
    if grid is None:
        return Seen(size, _area(size) // step**2)
    columns, rows = grid
    cell = _multiple(width, columns) / columns, _multiple(height, rows) / rows
    across, down = _near_square(*cell, side, step, enlarge=True)
    size = across * columns, down * rows
    return Seen(size, (_area(size) + _area(view)) // step**2)


def _near_square(width: float, height: float, side: int, step: int, enlarge: bool) -> Size:
    if width * height > side**2 or enlarge:
        proportion = width / height
        height = int(side / math.sqrt(proportion))
        width = int(height * proportion)
    return _multiple(width, step), _multiple(height, step)


def crops(width: int, height: int, *, tile: int, most: int) -> Seen:
    """Phi-4: pad to crops of ``tile`` pixels, and add a thumbnail."""
    columns, rows = math.ceil(width / tile), math.ceil(height / tile)
    if columns * rows > most:
        columns, rows = _nearest_grid(width, height, tile, 1, most)
    whole = columns * tile, rows * tile
    across, down = whole[0] / width, whole[1] / height
    size = (whole[0], int(height * across)) if across < down else (int(width * down), whole[1])
    # 16 × 16 tokens per crop, without those of padding.
    columns, rows = (
        (32 * count - (length - used) // (tile // 32) + 1) // 2
        for count, length, used in zip((columns, rows), whole, size, strict=True)
    )
    # 256 of the thumbnail, a separator, 16 row ends, and a row end for each row of the crops.
    tokens = 256 + 1 + 16 + columns * rows + rows
    return Seen((max(1, size[0]), max(1, size[1])), tokens)


def overlapping_crops(width: int, height: int, *, most: int) -> Seen:
    """Molmo 2: stretch to crops of 378 pixels that overlap by 112, and add a thumbnail.

    2 × 2 patches are a token, and each row ends with a further token.
    """
    window, margin, patch, view = 19 * 14, 8 * 14, 14, 14
    grids = sorted(_grids(1, most), key=lambda grid: (_area(grid), grid[1]))

    def scale(grid: Size) -> float:
        sides = zip(grid, (width - margin, height - margin), strict=True)
        return min(
            _single(_single(count * window) / length if length else math.inf) for count, length in sides
        )

    enlarging = [grid for grid in grids if scale(grid) >= 1]
    columns, rows = min(enlarging, key=scale) if enlarging else max(grids, key=scale)
    size = columns * window + margin, rows * window + margin
    across, down = (math.ceil(length // patch / 2) for length in size)
    return Seen(size, view * (view + 1) + 2 + down * (across + 1) + 2)


def enlarged_tiles(width: int, height: int, *, longest: int, tile: int, tokens_per_tile: int) -> Seen:
    """SmolVLM: scale the longer side to ``longest``, stretch to whole tiles, and add a thumbnail."""
    turned = height > width
    # Sides are rounded twice, with aspect ratios computed as in the processor.
    short = int(longest * (width / height)) if turned else int(longest / (width / height))
    long, short = longest, max(1, short + short % 2)
    proportion = short / long if turned else long / short
    long = math.ceil(long / tile) * tile
    short = int(long * proportion) if turned else int(long / proportion)
    size = max(tile, long), max(tile, math.ceil(short / tile) * tile)
    count = _area(size) // tile**2
    return Seen(size[::-1] if turned else size, tokens_per_tile * (count + (count > 1)))


def _area(size: Size) -> int:
    return size[0] * size[1]


def _grids(least: int, most: int) -> list[Size]:
    """Return all (columns, rows) with ``least`` to ``most`` cells."""
    sides = range(1, most + 1)
    return [(columns, rows) for columns in sides for rows in sides if least <= columns * rows <= most]


def _best_canvas(width: int, height: int, canvases: Sequence[Size]) -> Size:
    """Choose the canvas that keeps most of the image and, of those, wastes least (LLaVA-NeXT)."""

    def merit(canvas: Size) -> tuple[int, int]:
        scale = min(canvas[0] / width, canvas[1] / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        return kept, kept - canvas[0] * canvas[1]

    return max(canvases, key=merit)


def _unpadded_tokens(image: Size, across: int, down: int, most: int | None) -> int:
    """Count the tokens of a canvas of ``across`` × ``down`` without padding, plus one per row (LLaVA-NeXT).

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
    """Choose the grid with the nearest aspect ratio (InternVL); of equals the largest that is half filled."""
    best, smallest = (1, 1), math.inf
    for columns, rows in sorted(_grids(least, most), key=_area):
        difference = abs(width / height - columns / rows)
        half_filled = width * height > 0.5 * tile * tile * columns * rows
        if difference < smallest or (difference == smallest and half_filled):
            best, smallest = (columns, rows), difference
    return best


def _slice_grid(width: int, height: int, side: int, most: int) -> Size | None:
    multiple = min(math.ceil(width * height / (side * side)), most)
    if multiple <= 1:
        return None
    counts = [count for count in (multiple - 1, multiple, multiple + 1) if 1 < count <= most]
    grids = [(count // rows, rows) for count in counts for rows in range(1, count + 1) if not count % rows]
    proportion = math.log(width / height)
    return min(grids, key=lambda grid: (abs(proportion - math.log(grid[0] / grid[1])), -grid[1]))


def _multiple(length: float, step: int) -> int:
    return max(round(length / step) * step, step)


def _single(value: float) -> float:
    """Round to single precision."""
    return struct.unpack("f", struct.pack("f", value))[0]
