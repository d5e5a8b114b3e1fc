"""Rules of models that resize an image as a whole.

Each class is a kind of rule, with its parameters as fields and a method ``see``: (width, height) → `Seen`.
All sizes are (width, height) in pixels. Several rules rely on Python's ``round``, half to even.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

__all__ = [
    "Area",
    "Box",
    "ClaudePatches",
    "GeminiCrops",
    "GptPatches",
    "GptTiles",
    "Grid",
    "Keep",
    "Multiples",
    "NativePatches",
    "PaddedGrid",
    "PatchRows",
    "Seen",
    "Size",
    "Squeeze",
]

Size = tuple[int, int]
"""(width, height) in pixels."""


class Seen(NamedTuple):
    """What a model sees of an image."""

    size: Size  # (width, height) of the resized image, without padding, in pixels
    tokens: int | None  # number of visual tokens; None if the rule is unknown


# Rules that keep the aspect ratio


@dataclass(frozen=True)
class Keep:
    """No resizing is known."""

    def see(self, width: int, height: int) -> Seen:
        return Seen((width, height), None)


@dataclass(frozen=True)
class Box:
    """Limit the longer side, the shorter side, or both; ``tokens`` do not depend on the size."""

    longest: int | None = None
    shortest: int | None = None
    tokens: int | None = None

    def see(self, width: int, height: int) -> Seen:
        return Seen(_fit_box(width, height, self.longest, self.shortest), self.tokens)


@dataclass(frozen=True)
class Area:
    """No resizing is known; approximately one token per ``pixels_per_token``."""

    pixels_per_token: int

    def see(self, width: int, height: int) -> Seen:
        return Seen((width, height), math.ceil(width * height / self.pixels_per_token))


@dataclass(frozen=True)
class GptTiles:
    """OpenAI's tiles: limit both sides, then ``base`` tokens plus ``each`` per tile of 512 pixels."""

    base: int
    each: int

    def see(self, width: int, height: int) -> Seen:
        size = _fit_box(width, height, 2048, 768)
        return Seen(size, self.base + self.each * _cells(size, 512))


@dataclass(frozen=True)
class GptPatches:
    """OpenAI's patches of 32 pixels: limit the longer side and the patches; ``times`` tokens per patch."""

    longest: int
    budget: int
    times: float

    def see(self, width: int, height: int) -> Seen:
        patch = 32
        size = width, height = _fit_box(width, height, self.longest)
        if _cells(size, patch) > self.budget:
            shrink = patch * math.sqrt(self.budget / (width * height))
            across, down = width * shrink / patch, height * shrink / patch
            shrink *= min(max(1, math.floor(across)) / across, max(1, math.floor(down)) / down)
            size = max(1, math.floor(width * shrink + 1e-6)), max(1, math.floor(height * shrink + 1e-6))
        return Seen(size, math.ceil(_cells(size, patch) * self.times - 1e-6))


@dataclass(frozen=True)
class ClaudePatches:
    """Anthropic's patches of 28 pixels: the largest size within limits of longer side and patches."""

    longest: int
    budget: int

    def see(self, width: int, height: int) -> Seen:
        long, short = max(width, height), min(width, height)

        def sized(length: int) -> Size:
            return length, max(1, round(length * short / long))

        low, high = 1, min(long, self.longest)
        while low < high:
            middle = (low + high + 1) // 2
            if _cells(sized(middle), 28) <= self.budget:
                low = middle
            else:
                high = middle - 1
        size = sized(low) if low < long else (long, short)
        tokens = _cells(size, 28)
        return Seen(size if width >= height else (size[1], size[0]), tokens)


@dataclass(frozen=True)
class GeminiCrops:
    """Gemini up to 2.5: ``each`` tokens for a small image, or per crop of 256 to 768 pixels."""

    longest: int
    each: int

    def see(self, width: int, height: int) -> Seen:
        size = width, height = _fit_box(width, height, self.longest)
        if max(size) <= 384:
            return Seen(size, self.each)
        crop = min(768, max(256, math.floor(min(size) / 1.5)))
        return Seen(size, self.each * _cells(size, crop))


@dataclass(frozen=True)
class PatchRows:
    """Limit the longer side and round up to patches; each row of patches ends with a further token."""

    longest: int
    patch: int

    def see(self, width: int, height: int) -> Seen:
        ratio = max(width, height) / self.longest
        if ratio > 1:
            width, height = math.floor(width / ratio), math.floor(height / ratio)
        columns, rows = (max(1, math.ceil(side / self.patch)) for side in (width, height))
        return Seen((columns * self.patch, rows * self.patch), (columns + 1) * rows)


@dataclass(frozen=True)
class NativePatches:
    """Kimi: shrink to a budget of patches of 14 pixels, and pad to blocks of 2 × 2, each a token."""

    budget: int

    def see(self, width: int, height: int) -> Seen:
        longest = 512 * 14  # at most 512 patches a side
        patches = max(1, width // 14) * max(1, height // 14)
        scale = min(1.0, math.sqrt(self.budget / patches), longest / height, longest / width)
        size = min(longest, max(1, int(width * scale))), min(longest, max(1, int(height * scale)))
        return Seen(size, _cells(size, 28))


# Rules that round sides to multiples


@dataclass(frozen=True)
class Multiples:
    """Qwen's ``smart_resize``: sides are multiples of ``factor``, the area lies in a range.

    Images with a side below ``factor`` are first enlarged if ``small`` is "scale" (GLM) or "round"
    (PaddleOCR). With ``row_breaks`` each row ends with a further token, and the image with two.
    """

    factor: int
    min_pixels: int
    max_pixels: int
    small: str = "none"
    row_breaks: bool = False

    def see(self, width: int, height: int) -> Seen:
        size = self._size(*self._enlarge(width, height))
        columns, rows = size[0] // self.factor, size[1] // self.factor
        return Seen(size, rows * (columns + 1) + 2 if self.row_breaks else rows * columns)

    def _enlarge(self, width: int, height: int) -> Size:
        factor = self.factor
        if self.small == "scale" and min(width, height) < factor:
            scale = max(factor / height, factor / width)
            return int(width * scale), int(height * scale)
        if self.small == "round":
            if height < factor:
                width, height = round(width * factor / height), factor
            if width < factor:
                width, height = factor, round(height * factor / width)
        return width, height

    def _size(self, width: int, height: int) -> Size:
        across, down = round(width / self.factor), round(height / self.factor)
        area = across * down * self.factor**2
        if area > self.max_pixels:
            shrink = math.sqrt(width * height / self.max_pixels)
            across, down = (math.floor(side / shrink / self.factor) for side in (width, height))
        elif area < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (width * height))
            across, down = (math.ceil(side * grow / self.factor) for side in (width, height))
        return max(1, across) * self.factor, max(1, down) * self.factor


@dataclass(frozen=True)
class Grid:
    """Gemma 4: scale to a budget of square cells, each a token; sides round down to whole cells."""

    cell: int
    budget: int

    def see(self, width: int, height: int) -> Seen:
        scale = math.sqrt(self.budget * self.cell**2 / (width * height))
        columns, rows = (math.floor(scale * side / self.cell) for side in (width, height))
        if not rows:
            columns, rows = min(max(1, width // height), self.budget), 1
        elif not columns:
            columns, rows = 1, min(max(1, height // width), self.budget)
        return Seen((columns * self.cell, rows * self.cell), columns * rows)


@dataclass(frozen=True)
class PaddedGrid:
    """GLM-5: pad to whole cells within a budget, after shrinking or enlarging if necessary."""

    cell: int
    least: int
    budget: int

    def see(self, width: int, height: int) -> Seen:
        columns, rows = self._cells(width, height)
        scale = min(columns * self.cell / width, rows * self.cell / height)
        if width * height >= self.cell**2 * self.least:
            scale = min(1.0, scale)
        size = max(1, math.floor(width * scale)), max(1, math.floor(height * scale))
        return Seen((min(columns * self.cell, size[0]), min(rows * self.cell, size[1])), columns * rows)

    def _cells(self, width: int, height: int) -> Size:
        columns, rows = math.ceil(width / self.cell), math.ceil(height / self.cell)
        if columns * rows < self.least:
            grow = math.sqrt(self.cell**2 * self.least / (width * height))
            columns, rows = (math.ceil(math.ceil(side * grow) / self.cell) for side in (width, height))
        if columns * rows <= self.budget:
            return columns, rows
        best, low, high = (1, 1), 1, height
        while low <= high:
            middle = (low + high) // 2
            columns = math.ceil(max(1, width * middle // height) / self.cell)
            rows = math.ceil(middle / self.cell)
            if columns * rows <= self.budget:
                best, low = (columns, rows), middle + 1
            else:
                high = middle - 1
        return best


@dataclass(frozen=True)
class Squeeze:
    """Stretch to one size, regardless of the aspect ratio."""

    width: int
    height: int
    tokens: int

    def see(self, width: int, height: int) -> Seen:
        return Seen((self.width, self.height), self.tokens)


def _fit_box(width: int, height: int, longest: int | None, shortest: int | None = None) -> Size:
    """Limit the longer, then the shorter side; the other side rounds down. Never enlarges."""
    if longest and max(width, height) > longest:
        width, height = (max(1, side * longest // max(width, height)) for side in (width, height))
    if shortest and min(width, height) > shortest:
        width, height = (max(1, side * shortest // min(width, height)) for side in (width, height))
    return width, height


def _cells(size: Size, cell: int) -> int:
    """Count the cells that cover a size, partial ones included."""
    return math.ceil(size[0] / cell) * math.ceil(size[1] / cell)
