"""Compare formats on one image: scores at equal bytes, and bytes at equal features."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial

import numpy as np

import cotam
from cotam.compare import features, words
from cotam.compare.formats import COTAM, Format, installed_formats
from cotam.image.fit import resize
from cotam.image.psnr import psnr
from cotam.image.read import Pixels

__all__ = ["Meter", "Row", "compare"]


@dataclass(frozen=True)
class Row:
    """One format at one quality."""

    format: Format
    data: bytes
    # uint8 (H, W, 3), decoded, and enlarged to the size of the original if the file is smaller
    pixels: Pixels
    # distance of DINOv2-S features to those of the original, 0 is equal; None if not measured
    features: float | None
    words: float | None  # share of the words of the original that are read here, 0 … 1; None without words
    psnr: float  # dB, at most 100
    # bytes of the smallest file of this format that is as near in features as CoTAM's; None if not
    # measured, or if no file is as near
    equal_features: int | None = None


def compare(pixels: Pixels, *, quality: int = 50, target_size: int | None = None) -> list[Row]:
    """Compare CoTAM with JPEG, WebP and AVIF of at most its size, on pixels uint8 (H, W, 3).

    Features and words are measured if their packages are installed. CoTAM comes first; its quality and size
    are as for `cotam.encode`. A format whose lowest quality is larger is shown at that.
    """
    meter = Meter(pixels)
    data = cotam.encode(pixels, quality=quality, target_size=target_size)
    ours = _measure(meter, COTAM, data)
    rows = [replace(ours, equal_features=None if ours.features is None else len(data))]
    return rows + [_compare_format(meter, other, ours) for other in installed_formats()]


def _measure(meter: Meter, format: Format, data: bytes) -> Row:
    height, width = meter.pixels.shape[:2]
    decoded = resize(format.decode(data), (width, height))  # smaller if shrunk for a target size
    distance = meter.features(decoded) if features.available() else None
    return Row(format, data, decoded, distance, meter.words(decoded), meter.psnr(decoded))


def _compare_format(meter: Meter, other: Format, ours: Row) -> Row:
    """Make the file of another format within our size, and find its size at equal feature distance."""
    make = cache(partial(other.encode, meter.pixels))
    best = bisect_right(other.qualities, len(ours.data), key=lambda q: len(make(q)))
    row = _measure(meter, other, make(other.qualities[max(0, best - 1)]))
    limit = ours.features
    if limit is None:
        return row
    # Features are taken to come nearer with quality.
    near = bisect_left(other.qualities, True, key=lambda q: meter.features(other.decode(make(q))) <= limit)
    if near == len(other.qualities):
        return row
    return replace(row, equal_features=len(make(other.qualities[near])))


class Meter:
    """Measures decoded images, uint8 (H, W, 3), against the original ``pixels``."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels

    @cached_property
    def tokens(self) -> np.ndarray:
        """The features of the original."""
        return features.tokens(self.pixels)

    @cached_property
    def lines(self) -> list[str]:
        """The lines of text in the original; none if RapidOCR is not installed."""
        return words.read(self.pixels) if words.available() else []

    def features(self, decoded: Pixels) -> float:
        """Return the mean squared difference of features."""
        return float(np.mean(np.square(features.tokens(decoded) - self.tokens), dtype=np.float64))

    def words(self, decoded: Pixels) -> float | None:
        """Return the share of words that is read, 0 … 1; None if the original has none."""
        return words.share_read(self.lines, words.read(decoded)) if self.lines else None

    def psnr(self, decoded: Pixels) -> float:
        """Return the PSNR in dB, see `cotam.image.psnr`."""
        return psnr(self.pixels, decoded)
