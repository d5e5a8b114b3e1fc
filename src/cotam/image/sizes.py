"""Rules of models that resize an image as a whole.

Each public function that returns `Seen` is a kind of rule, which ``models.json`` names; its keyword arguments
are the parameters.
All sizes are (width, height) in pixels. Several rules rely on Python's ``round``, half to even.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import NamedTuple

__all__ = ["Seen", "Size", "fit_box"]

Size = tuple[int, int]
"""(width, height) in pixels."""


class Seen(NamedTuple):
    """What a model sees of an image."""

    size: Size  # (width, height) of the resized image, without padding, in pixels
    tokens: int | None  # number of visual tokens; None if the rule is unknown


def fit_box(width: int, height: int, longest: int | None, shortest: int | None = None) -> Size:
    """Limit the longer, then the shorter side; the other side rounds down. Never enlarges."""
    if longest and max(width, height) > longest:
        width, height = (max(1, side * longest // max(width, height)) for side in (width, height))
    if shortest and min(width, height) > shortest:
        width, height = (max(1, side * shortest // min(width, height)) for side in (width, height))
    return width, height


# Rules that keep the aspect ratio


def keep(width: int, height: int) -> Seen:
    """No resizing is known."""
    return Seen((width, height), None)


def box(
    width: int,
    height: int,
    *,
    longest: int | None = None,
    shortest: int | None = None,
    tokens: int | None = None,
) -> Seen:
    """Limit the longer side, the shorter side, or both; ``tokens`` do not depend on the size."""
    return Seen(fit_box(width, height, longest, shortest), tokens)


def area(width: int, height: int, *, pixels_per_token: int) -> Seen:
    """No resizing is known; approximately one token per ``pixels_per_token``."""
    return Seen((width, height), math.ceil(width * height / pixels_per_token))


def gpt_tiles(width: int, height: int, *, base: int, each: int) -> Seen:
    """OpenAI's tiles: limit both sides, then ``base`` tokens plus ``each`` per tile of 512 pixels."""
    size = fit_box(width, height, 2048, 768)
    return Seen(size, base + each * _cells(size, 512))


def gpt_patches(width: int, height: int, *, longest: int, budget: int, times: float) -> Seen:
    """OpenAI's patches of 32 pixels: limit the longer side and the patches; ``times`` tokens per patch."""
    patch = 32
    size = width, height = fit_box(width, height, longest)
    if _cells(size, patch) > budget:
        shrink = patch * math.sqrt(budget / (width * height))
        across, down = width * shrink / patch, height * shrink / patch
        shrink *= min(max(1, math.floor(across)) / across, max(1, math.floor(down)) / down)
        size = max(1, math.floor(width * shrink + 1e-6)), max(1, math.floor(height * shrink + 1e-6))
    return Seen(size, math.ceil(_cells(size, patch) * times - 1e-6))


def claude_patches(width: int, height: int, *, longest: int, budget: int) -> Seen:
    """Anthropic's patches of 28 pixels: the largest size within limits of longer side and patches."""
    long, short = max(width, height), min(width, height)

    def sized(length: int) -> Size:
        return length, max(1, round(length * short / long))

    lengths = range(1, min(long, longest) + 1)
    length = max(1, bisect_right(lengths, budget, key=lambda length: _cells(sized(length), 28)))
    size = sized(length) if length < long else (long, short)
    return Seen(size if width >= height else size[::-1], _cells(size, 28))


def gemini_crops(width: int, height: int, *, longest: int, each: int) -> Seen:
    """Gemini up to 2.5: ``each`` tokens for a small image, or per crop of 256 to 768 pixels."""
    size = width, height = fit_box(width, height, longest)
    if max(size) <= 384:
        return Seen(size, each)
    crop = min(768, max(256, math.floor(min(size) / 1.5)))
    return Seen(size, each * _cells(size, crop))


def patch_rows(width: int, height: int, *, longest: int, patch: int) -> Seen:
    """Limit the longer side and round up to patches; each row of patches ends with a further token."""
    ratio = max(width, height) / longest
    if ratio > 1:
        width, height = math.floor(width / ratio), math.floor(height / ratio)
    columns, rows = (max(1, math.ceil(side / patch)) for side in (width, height))
    return Seen((columns * patch, rows * patch), (columns + 1) * rows)


def native_patches(width: int, height: int, *, budget: int) -> Seen:
    """Kimi: shrink to a budget of patches of 14 pixels, and pad to blocks of 2 × 2, each a token."""
    longest = 512 * 14  # at most 512 patches a side
    patches = max(1, width // 14) * max(1, height // 14)
    scale = min(1.0, math.sqrt(budget / patches), longest / height, longest / width)
    size = min(longest, max(1, int(width * scale))), min(longest, max(1, int(height * scale)))
    return Seen(size, _cells(size, 28))


# Rules that round sides to multiples


def multiples(
    width: int,
    height: int,
    *,
    factor: int,
    min_pixels: int,
    max_pixels: int,
    small: str = "none",
    row_breaks: bool = False,
) -> Seen:
    """Qwen's ``smart_resize``: sides are multiples of ``factor``, the area lies in a range.

    Images with a side below ``factor`` are first enlarged if ``small`` is "scale" (GLM) or "round"
    (PaddleOCR). With ``row_breaks`` each row ends with a further token, and the image with two.
    """
    width, height = _enlarge(width, height, factor, small)
    columns, rows = round(width / factor), round(height / factor)
    pixels = columns * rows * factor**2
    if pixels > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        columns, rows = (math.floor(side / shrink / factor) for side in (width, height))
    elif pixels < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        columns, rows = (math.ceil(side * grow / factor) for side in (width, height))
    columns, rows = max(1, columns), max(1, rows)
    tokens = rows * (columns + 1) + 2 if row_breaks else rows * columns
    return Seen((columns * factor, rows * factor), tokens)


def _enlarge(width: int, height: int, factor: int, small: str) -> Size:
    if small == "scale" and min(width, height) < factor:
        scale = max(factor / height, factor / width)
        return int(width * scale), int(height * scale)
    if small == "round":
        if height < factor:
            width, height = round(width * factor / height), factor
        if width < factor:
            width, height = factor, round(height * factor / width)
    return width, height


def grid(width: int, height: int, *, cell: int, budget: int) -> Seen:
    """Gemma 4: scale to a budget of square cells, each a token; sides round down to whole cells."""
    scale = math.sqrt(budget * cell**2 / (width * height))
    columns, rows = (math.floor(scale * side / cell) for side in (width, height))
    if not rows:
        columns, rows = min(max(1, width // height), budget), 1
    elif not columns:
        columns, rows = 1, min(max(1, height // width), budget)
    return Seen((columns * cell, rows * cell), columns * rows)


def padded_grid(width: int, height: int, *, cell: int, least: int, budget: int) -> Seen:
    """GLM-5: pad to whole cells within a budget, after shrinking or enlarging if necessary."""
    columns, rows = _padded_cells(width, height, cell, least, budget)
    scale = min(columns * cell / width, rows * cell / height)
    if width * height >= cell**2 * least:
        scale = min(1.0, scale)
    size = max(1, math.floor(width * scale)), max(1, math.floor(height * scale))
    return Seen((min(columns * cell, size[0]), min(rows * cell, size[1])), columns * rows)


def _padded_cells(width: int, height: int, cell: int, least: int, budget: int) -> Size:
    columns, rows = math.ceil(width / cell), math.ceil(height / cell)
    if columns * rows < least:
        grow = math.sqrt(cell**2 * least / (width * height))
        columns, rows = (math.ceil(math.ceil(side * grow) / cell) for side in (width, height))
    if columns * rows <= budget:
        return columns, rows

    def cells_at(length: int) -> Size:
        return math.ceil(max(1, width * length // height) / cell), math.ceil(length / cell)

    length = bisect_right(range(1, height + 1), budget, key=lambda length: math.prod(cells_at(length)))
    return cells_at(length) if length else (1, 1)


def squeeze(_width: int, _height: int, /, *, width: int, height: int, tokens: int) -> Seen:
    """Stretch to ``width`` × ``height``, regardless of the aspect ratio."""
    return Seen((width, height), tokens)


def _cells(size: Size, cell: int) -> int:
    """Count the cells that cover a size, partial ones included."""
    return math.ceil(size[0] / cell) * math.ceil(size[1] / cell)
