"""Code flat graphics: few colours or AV1, whichever is smaller at equal contrast-weighted error.

::

    pixels ─┬─▸ palette ─▸ lossless ───────────────┐
            ├─▸ lossless, if colours are few ──────┼─▸ fewest bytes for the error
            └─▸ AV1 ───────────────────────────────┘
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from cotam.codec.av1 import can_encode_av1, decode_av1, encode_av1
from cotam.codec.contrast import contrast_error, contrast_weights
from cotam.codec.lossless import can_encode_lossless, encode_lossless
from cotam.codec.palette import Colours, reduce_colours
from cotam.codec.scale import av1_quality_for, error_at
from cotam.errors import MissingCodecError, TargetSizeError
from cotam.format.header import MAX_QUALITY, File, Header, Kind

__all__ = ["Coded", "FlatCoder", "better", "can_encode_flat"]

EXACT_COLOURS = 32
"""Images of so few colours are also coded as they are, and not as AV1."""

_PALETTE_PIXELS = 16_000_000
"""Larger images are not reduced to a palette, which takes some 50 bytes a pixel."""

_SLOPE = 0.5
"""Bytes times the error to this power are about equal along a rate curve, of either payload."""

_TRIES = 4
"""Qualities that are tried to fit a number of bytes, before the lowest."""

_GROWTH = 0.02
"""Growth of the logarithm of a file's bytes with quality, about."""

_FULL = 0.94
"""Files that take this share of the bytes that they may are large enough."""

_SPEEDS: dict[str, int | None] = {"fast": None, "default": 6, "best": 4}
"""Speed of libaom for each effort. None: `_FAST_SPEED`, and AV1 only where a palette does not suffice."""

_FAST_SPEED = 8


def can_encode_flat(width: int, height: int) -> bool:
    """Whether Pillow has what an image of this size takes: lossless WebP or AVIF."""
    return _can_reduce(width, height) or can_encode_av1(width, height)


@dataclass(frozen=True)
class Coded:
    """A file and the contrast-weighted error of its image."""

    file: File
    error: float

    def cost(self, target: float) -> float:
        """Estimated bytes at the error ``target``; an error below half of it counts as half."""
        return len(self.file.payload) * (max(self.error, target / 2) / target) ** _SLOPE


def better(first: Coded, second: Coded, quality: int | None) -> Coded:
    """Return the one with fewer bytes at equal error; with less error if both were made to fit a size.

    Parameters
    ----------
    first, second : two codings of one image
    quality : 0 … 100 that both were coded at; None if they were made to fit a size
    """
    if quality is None:
        return first if first.error <= second.error else second
    target = error_at(quality)
    return first if first.cost(target) <= second.cost(target) else second


class FlatCoder:
    """Codes one image as files of kind AV1 or LOSSLESS; what is known of its colours is kept.

    Parameters
    ----------
    pixels : uint8 (H, W, 3), sRGB
    metadata : of all files, any of ``exif``, ``icc``, ``xmp`` → bytes
    palette : try few colours; no use for photographs and scans
    effort : "fast": AV1 only if a palette does not keep the error, and then quickly; "best": a slower AV1
    """

    def __init__(
        self,
        pixels: np.ndarray,
        metadata: Mapping[str, bytes] | None = None,
        *,
        palette: bool = True,
        effort: Literal["fast", "default", "best"] = "default",
    ) -> None:
        self._pixels, self._metadata, self._speed = pixels, metadata or {}, _SPEEDS[effort]
        self._height, self._width = pixels.shape[:2]
        self._has_palette = palette and _can_reduce(self._width, self._height)
        self._has_av1 = can_encode_av1(self._width, self._height)
        self._known_av1: dict[int, tuple[bytes, float]] = {}

    def encode(self, quality: int, size: int | None = None) -> Coded:
        """Code the image with the error that ``quality`` 0 … 100 stands for.

        With ``size``, payloads that make the file larger than so many bytes are not taken, if others do not.

        Raises
        ------
        MissingCodecError
            If Pillow can code none of the payloads; see `can_encode_flat`.
        """
        target = error_at(quality)
        found = [
            self._coded(Kind.LOSSLESS, quality, *payload)
            for payload in (self._few_colours(target) if self._has_palette else [])
        ]
        is_enough = found and (self._speed is None or self._exact is not None)
        if self._has_av1 and not is_enough:
            found.append(self._coded(Kind.AV1, quality, *self._av1(av1_quality_for(target))))
        if not found:
            raise MissingCodecError("encode", "AVIF, or so many colours as WebP")
        fitting = [coded for coded in found if size is None or len(coded.file.data) <= size]
        if not fitting:
            return min(found, key=lambda coded: len(coded.file.payload))
        return min(fitting, key=lambda coded: coded.cost(target))

    def encode_within(self, size: int) -> Coded:
        """Code the image at a high quality, found with few tries, whose file has at most ``size`` bytes.

        Raises
        ------
        TargetSizeError
            If the file of quality 0 is larger.
        """
        best: Coded | None = None
        low, high, quality = -1, MAX_QUALITY + 1, MAX_QUALITY // 2
        for _ in range(_TRIES):
            coded = self.encode(quality, size)
            length = len(coded.file.data)
            if length <= size:
                best, low = coded, quality
            else:
                high = quality
            if high - low <= 1 or (low == quality and length >= _FULL * size):
                break
            step = math.log(size / length) / _GROWTH
            quality = min(max(round(quality + step), low + 1), high - 1)
        if best is None:
            best = self.encode(0, size)
        if len(best.file.data) > size:
            raise TargetSizeError(size, len(best.file.data))
        return best

    def measure(self, file: File, decoded: np.ndarray) -> Coded:
        """Return a file of another codec with its error."""
        return Coded(file, contrast_error(self._pixels, decoded, self._weights))

    def _coded(self, kind: Kind, quality: int, payload: bytes, error: float) -> Coded:
        return Coded(File(Header(self._width, self._height, quality, kind), payload, self._metadata), error)

    @cached_property
    def _weights(self) -> np.ndarray:
        return contrast_weights(self._pixels)

    @cached_property
    def _colours(self) -> Colours:
        return Colours.of(self._pixels, self._weights)

    @cached_property
    def _exact(self) -> tuple[bytes, float] | None:
        """Payload and error, 0, of the image as it is, if its colours are few."""
        return (encode_lossless(self._pixels), 0.0) if self._colours.exact <= EXACT_COLOURS else None

    def _few_colours(self, target: float) -> list[tuple[bytes, float]]:
        """Payloads and errors of the image reduced to palettes, and as it is if its colours are few."""
        reduced = reduce_colours(self._colours, target, smooth=self._speed is not None)
        found = [(encode_lossless(one.pixels), one.error) for one in reduced]
        return [*found, self._exact] if self._exact else found

    def _av1(self, quality: int) -> tuple[bytes, float]:
        if quality not in self._known_av1:
            payload = encode_av1(self._pixels, quality, speed=self._speed or _FAST_SPEED)
            decoded = decode_av1(payload, self._width, self._height)
            self._known_av1[quality] = payload, contrast_error(self._pixels, decoded, self._weights)
        return self._known_av1[quality]


def _can_reduce(width: int, height: int) -> bool:
    return can_encode_lossless(width, height) and width * height <= _PALETTE_PIXELS
