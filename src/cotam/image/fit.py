"""What models see: the size to which a model's own preprocessing would bring a picture.

Pixels beyond that size are thrown away before the vision encoder, so they need not be sent. Knows sizes only,
and shrinks pixels to them: nothing of codecs, files or requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Literal, get_args

from cotam.errors import InputError

if TYPE_CHECKING:
    from cotam.image.read import Pixels

__all__ = ["PROFILES", "Fit", "Profile", "fitted", "target_size"]

Fit = Literal[
    "llava-1.5", "llava-next", "qwen2.5-vl", "internvl", "gpt-4o", "claude", "claude-1568", "gemini"
]
Size = tuple[int, int]


@dataclass(frozen=True)
class Profile:
    """One model family.

    Attributes
    ----------
    size : (width, height) of a picture to what is worth sending, not yet capped to the picture itself
    source : where that is written
    """

    size: Callable[[int, int], Size]
    source: str


@dataclass(frozen=True)
class _Box:
    """At most so long, and after that so short; sides are pixels."""

    longest: int | None = None
    shortest: int | None = None

    def __call__(self, width: int, height: int) -> Size:
        scale = 1.0
        if self.longest:
            scale = min(scale, self.longest / max(width, height))
        if self.shortest:
            scale = min(scale, self.shortest / min(width, height))
        return _scaled(width, height, scale)


@dataclass(frozen=True)
class _Patches:
    """At most so long, and at most so many patches: parts of one at the edge count."""

    patch: int
    most: int
    longest: int

    def __call__(self, width: int, height: int) -> Size:
        scale = min(1.0, self.longest / max(width, height))
        size = _scaled(width, height, scale)
        while self._count(size) > self.most:
            scale *= 0.998
            size = _scaled(width, height, scale)
        return size

    def _count(self, size: Size) -> int:
        return math.ceil(size[0] / self.patch) * math.ceil(size[1] / self.patch)


@dataclass(frozen=True)
class _Multiples:
    """Sides that are multiples of a factor, and at most so many pixels in all."""

    factor: int
    most: int

    def __call__(self, width: int, height: int) -> Size:
        rounded = self._round(width), self._round(height)
        if rounded[0] * rounded[1] <= self.most:
            return rounded
        shrink = math.sqrt(width * height / self.most)
        return self._floor(width / shrink), self._floor(height / shrink)

    def _round(self, side: float) -> int:
        return max(self.factor, round(side / self.factor) * self.factor)

    def _floor(self, side: float) -> int:
        return max(self.factor, math.floor(side / self.factor) * self.factor)


@dataclass(frozen=True)
class _Canvases:
    """Fitted, with its proportions, into the canvas that keeps the most of it and wastes the least."""

    canvases: tuple[Size, ...]

    def __call__(self, width: int, height: int) -> Size:
        def merit(canvas: Size) -> tuple[int, int]:
            scale = min(canvas[0] / width, canvas[1] / height)
            kept = min(int(width * scale) * int(height * scale), width * height)
            return kept, kept - canvas[0] * canvas[1]

        best = max(self.canvases, key=merit)
        scale = min(best[0] / width, best[1] / height)
        return min(math.ceil(width * scale), best[0]), min(math.ceil(height * scale), best[1])


@dataclass(frozen=True)
class _Tiles:
    """Stretched to the grid of tiles that has the nearest proportions.

    The size here covers that grid and keeps the picture's own proportions, so that the model chooses the
    same grid.
    """

    tile: int
    most: int

    def __call__(self, width: int, height: int) -> Size:
        columns, rows = self._grid(width, height)
        scale = max(self.tile * columns / width, self.tile * rows / height)
        return math.ceil(width * scale), math.ceil(height * scale)

    def _grid(self, width: int, height: int) -> Size:
        sides = range(1, self.most + 1)
        grids = [(c, r) for c in sides for r in sides if c * r <= self.most]
        best, least = (1, 1), math.inf
        for columns, rows in sorted(grids, key=lambda grid: grid[0] * grid[1]):
            off = abs(width / height - columns / rows)
            large_enough = width * height > 0.5 * self.tile**2 * columns * rows
            if off < least or (off == least and large_enough):
                best, least = (columns, rows), off
        return best


PROFILES: dict[Fit, Profile] = {
    # The shorter side decides: transformers crops the middle of what is longer. (LLaVA's own code pads.)
    "llava-1.5": Profile(
        _Box(shortest=336),
        "preprocessor_config.json of llava-hf/llava-1.5-7b-hf: shortest_edge 336, crop 336×336",
    ),
    "llava-next": Profile(
        _Canvases(((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))),
        "transformers LlavaNextImageProcessor: image_grid_pinpoints, select_best_resolution",
    ),
    "qwen2.5-vl": Profile(
        _Multiples(factor=28, most=12_845_056),
        "preprocessor_config.json of Qwen/Qwen2.5-VL-7B-Instruct: max_pixels; transformers smart_resize",
    ),
    "internvl": Profile(
        _Tiles(tile=448, most=12),
        "transformers GotOcr2ImageProcessor (InternVL's): get_optimal_tiled_canvas, max_patches 12",
    ),
    "gpt-4o": Profile(
        _Box(longest=2048, shortest=768),
        "platform.openai.com/docs/guides/images-vision, detail high: 2048×2048, then shortest side 768",
    ),
    "claude": Profile(
        _Patches(patch=28, most=4784, longest=2576),
        "platform.claude.com/docs/en/build-with-claude/vision: Claude 4.7 and later",
    ),
    "claude-1568": Profile(
        _Patches(patch=28, most=1568, longest=1568),
        "platform.claude.com/docs/en/build-with-claude/vision: before Claude 4.7",
    ),
    "gemini": Profile(
        _Box(longest=3072),
        "docs.cloud.google.com/vertex-ai, image requirements: scaled down to fit 3072×3072",
    ),
}


def target_size(width: int, height: int, fit: Fit | None = None, max_pixels: int | None = None) -> Size:
    """The size worth sending, never above the picture's own on either side.

    Parameters
    ----------
    width, height : of the upright picture, pixels
    fit : a name in `PROFILES`; None leaves the size as it is
    max_pixels : of the result, whatever the model could use

    Raises
    ------
    InputError
        if there is no such profile, or ``max_pixels`` is below 1
    """
    if fit is not None and fit not in PROFILES:
        raise InputError(f"there is no profile {fit!r}; there is: {', '.join(get_args(Fit))}")
    if max_pixels is not None and (not isinstance(max_pixels, Integral) or max_pixels < 1):
        raise InputError(f"max_pixels is a number of pixels above 0, not {max_pixels!r}")
    wanted = PROFILES[fit].size(width, height) if fit else (width, height)
    size = min(wanted[0], width), min(wanted[1], height)
    if max_pixels is not None and size[0] * size[1] > max_pixels:
        scale = math.sqrt(max_pixels / (size[0] * size[1]))
        size = max(1, int(size[0] * scale)), max(1, int(size[1] * scale))
        if size[0] * size[1] > max_pixels:  # a side that is 1 already
            size = min(size[0], max_pixels), min(size[1], max_pixels)
    return size


def fitted(pixels: Pixels, fit: Fit | None = None, max_pixels: int | None = None) -> Pixels:
    """Pixels uint8 (H, W, 3) shrunk to their `target_size`; themselves where that is their size."""
    height, width = pixels.shape[:2]
    size = target_size(width, height, fit, max_pixels)
    if size == (width, height):
        return pixels
    import numpy as np
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))


def _scaled(width: int, height: int, scale: float) -> Size:
    return max(1, round(width * scale)), max(1, round(height * scale))
