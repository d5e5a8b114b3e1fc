"""Classify images as photographs, pages of text or flat graphics.

`cotam.options.Options.resolve` chooses the coding of an image by its class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from cotam.guide import multiscale
from cotam.guide.base import load

if TYPE_CHECKING:
    from cotam.guide.onnx import GraphGuide

__all__ = [
    "MIN_FLATNESS",
    "MIXED_FLATNESS",
    "MIXED_PIXELS",
    "SCAN_FLATNESS",
    "Content",
    "examine",
    "flatness",
]

MIN_PAGE_TEXT = 0.4
"""Smallest share of text of a page (docs/guide.md)."""

MIN_FLATNESS = 0.5
"""Smallest flatness of flat graphics: all training screens have more than 0.6, 98 % of training photographs
less than 0.5 (lab/docs/screens.md)."""

MIXED_FLATNESS = 0.3
"""Smallest flatness of images that mix photographs with flat areas (lab/docs/screens.md)."""

MIXED_PIXELS = 1 << 22
"""Largest such image, as large as a screen: trying AV1 on a larger photograph takes seconds."""

SCAN_FLATNESS = 0.8
"""Flat graphics that are pages and less flat than this may be scans, whose white paper has no noise
(lab/docs/screens.md)."""

_ROWS = 512
"""Rows of pixels that `flatness` samples, evenly spaced."""


@dataclass(frozen=True)
class Content:
    """Text and importance of an image, by the built-in guide."""

    # share of text, 0 … 1: mean over cells of 32×32 pixels, weighted by the standard deviation of luma, so
    # that blank paper and plain sky do not count
    text: float
    importance: np.ndarray  # float32 (gh, gw), positive and of mean 1

    @property
    def is_page(self) -> bool:
        """Whether the image is mostly text, such as a receipt or a form, rather than a photograph."""
        return self.text >= MIN_PAGE_TEXT

    @property
    def profile(self) -> Literal["page", "mllm"]:
        """Name of the weight set that suits the image."""
        return "page" if self.is_page else "mllm"


def flatness(pixels: np.ndarray) -> float:
    """Return the share of pixels uint8 (H, W, 3) that equal their left neighbour, 0 … 1.

    Screenshots, charts and other drawings have long runs of one colour; photographs and scans have noise.
    """
    height, width = pixels.shape[:2]
    if width < 2:
        return 0.0
    rows = np.ascontiguousarray(pixels[:: max(1, height // _ROWS)]).reshape(-1, 3 * width)
    equal = rows[:, 3:] == rows[:, :-3]
    count = np.count_nonzero(equal[:, ::3] & equal[:, 1::3] & equal[:, 2::3])
    return count / (equal.size // 3)


def examine(
    pixels: np.ndarray, *, guide: Literal["lite", "text"] = "lite", fusion: float = multiscale.FUSION
) -> Content:
    """Compute text and importance of an image of any size.

    Parameters
    ----------
    pixels : uint8 (H, W, 3)
    guide : name of the guide whose importance map is computed
    fusion : weight of the tiles of large images, see `cotam.guide.multiscale.FUSION`
    """
    meter = _TextMeter(cast("GraphGuide", load(guide)))
    found = multiscale.importance(meter, pixels, fusion=fusion)
    return Content(meter.near_text / meter.everywhere, found)


class _TextMeter:
    """Wraps the built-in guide, and sums the text of all images that it sees."""

    def __init__(self, guide: GraphGuide) -> None:
        self.guide, self.side = guide, guide.side
        self.near_text = self.everywhere = 0.0

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        found, (near_text, everywhere) = self.guide.look(pixels)
        self.near_text += float(near_text)
        self.everywhere += float(everywhere)
        return found
