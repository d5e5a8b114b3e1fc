"""Code flat graphics with a palette, losslessly or as AV1, whichever is smallest at equal error.

::

    sample of pixels ─▸ palette, AV1 at draft speed ─▸ which of them to make, or both
    pixels ─┬─▸ palette ─▸ lossless ───────────────┐
            ├─▸ lossless, if colours are few ──────┼─▸ fewest bytes for the error
            └─▸ AV1 ───────────────────────────────┘

Pillow's encoders run in threads beside the search for palettes. Threads only save time: files are the same
for any number of cores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from cotam.codec.colours import has_more_colours
from cotam.codec.contrast import balanced_error, contrast_weights
from cotam.codec.palette import TRIALS, Colours, Trial, can_reduce, reduce_colours
from cotam.codec.rate import SizeCurve
from cotam.codec.standard import (
    DRAFT_SPEED,
    can_encode_av1,
    can_encode_lossless,
    decode_av1,
    encode_av1,
    encode_lossless,
    speed_for,
)
from cotam.errors import MissingCodecError, TargetSizeError
from cotam.format.header import MAX_QUALITY, File, Header, Kind
from cotam.runtime import Beside

if TYPE_CHECKING:
    from cotam.options import Effort

__all__ = ["Coded", "FlatCoder", "av1_quality_for", "better", "can_encode_flat", "error_at"]

_QUALITIES = (0, 20, 50, 80, 100)
_LOG_ERRORS = np.log([691.0, 265.0, 81.0, 30.0, 14.0])
"""Logarithms of the errors at `_QUALITIES`, in squared grey levels; between them it is linear. Up to 80 they
are those of the learned codec with the weight set `page`, medians over training screens
(lab/docs/screens.md); above 80 they are lower."""

_AV1_QUALITIES = (0, 2, 12, 30, 60, 80, 100)
_AV1_LOG_ERRORS = np.log([556.4, 492.0, 266.0, 132.0, 27.3, 17.4, 11.09])
"""The same of AV1 as coded by `cotam.codec.standard`, at `_AV1_QUALITIES` of AVIF. The first and last are
extrapolated."""

EXACT_COLOURS = 256
"""Images of at most this many colours are also coded exactly."""

_TINY = 1000
"""Images whose exact payload has at most this many bytes are coded exactly: a palette would save little."""

_FAR = 4.0
"""Above this ratio of the error to that of the quality, the exact image is coded, too: AV1 halves the
resolution of chroma, and so loses small areas of many colours."""

_FAST_COLOURS = 512
"""With effort "fast", images of more colours are not reduced to a palette."""

_FAST_TRIALS = ((16, 1.0), (64, 1.0))

_PALETTE_PIXELS = 16_000_000
"""Larger images are not reduced to a palette, which takes some 65 bytes of memory per pixel beside AV1."""

_SLOPE = 0.5
"""Bytes times error to this power is about constant along the rate curve of either payload."""

_MAX_DRAFTS = 3
"""Largest number of drafts to find a quality for a file size."""

_MAX_PALETTES = 6
"""Largest number of qualities at which palettes are tried for a byte budget."""

_BUDGET_SHARES = (0.92, 0.97, 0.93, 0.8)
"""Shares of a byte budget to aim at, one after the other, until a file fills it well."""

_WELL_FILLED = 0.8
"""A file that fills this share of its budget is accepted."""

_SAMPLE_PIXELS = 1 << 18
"""Approximate pixels of the sample on which the payload of larger images is chosen."""

_SAMPLE_BAND = 64
"""Rows of the bands of a sample: a few lines of text, whose repetitions lossless coding exploits."""

_CLEAR_LEAD = 0.12
"""From this difference of log costs on the sample, only the cheaper payload is made of the whole image."""

_DRAFT_RATIO = {8: 1.0, 7: 1.1, 6: 1.2, 4: 1.4}
"""Speed → bytes of AV1 at `DRAFT_SPEED` relative to those at this speed (lab/docs/screens.md)."""


def error_at(quality: float) -> float:
    """Return the balanced error, in squared grey levels, that a quality 0 … 100 stands for."""
    return math.exp(np.interp(quality, _QUALITIES, _LOG_ERRORS))


def av1_quality_for(error: float) -> int:
    """Return the quality of AVIF, 0 … 100, with this balanced error."""
    return round(np.interp(-math.log(error), -_AV1_LOG_ERRORS, _AV1_QUALITIES))


def can_encode_flat(width: int, height: int) -> bool:
    """Whether Pillow can code an image of this size as lossless WebP or AVIF."""
    return _can_reduce(width, height) or can_encode_av1(width, height)


@dataclass(frozen=True)
class Coded:
    """A file and its error, which is measured at the first access."""

    file: File
    measure: Callable[[], float]

    @cached_property
    def error(self) -> float:
        """`cotam.codec.contrast.balanced_error` of the image."""
        return self.measure()

    def cost(self, target: float) -> float:
        """Return the estimated bytes at the error ``target``; an error below half of it counts as half."""
        return _cost(len(self.file.payload), self.error, target)


def _cost(size: float, error: float, target: float) -> float:
    return size * (max(error, target / 2) / target) ** _SLOPE


def better(first: Coded, second: Coded, quality: int | None) -> Coded:
    """Return the file with fewer bytes at equal error, or with less error if both were made to fit a size.

    ``quality`` is that of both files, 0 … 100; None if they were made to fit a size.
    """
    if quality is None:
        return first if first.error <= second.error else second
    target = error_at(quality)
    return first if first.cost(target) <= second.cost(target) else second


class FlatCoder:
    """Codes one image as files of kind AV1 or LOSSLESS; its colours are analysed once.

    Parameters
    ----------
    pixels : uint8 (H, W, 3), sRGB
    metadata : metadata of the files: any of "exif", "icc", "xmp" → bytes
    palette : whether to try palettes, which are useless where no two neighbours are equal
    effort : "fast" codes AV1 at a high speed, and palettes only if colours are few; "best" codes AV1 at a low
        speed, and always tries both
    """

    def __init__(
        self,
        pixels: np.ndarray,
        metadata: Mapping[str, bytes] = {},
        *,
        palette: bool = True,
        effort: Effort = "default",
    ) -> None:
        self._pixels, self._metadata, self._effort = pixels, metadata, effort
        self._height, self._width = pixels.shape[:2]
        self._speed = speed_for(effort, self._width, self._height)
        self._has_palette = palette and _can_reduce(self._width, self._height)
        self._has_av1 = can_encode_av1(self._width, self._height)
        self._known_av1: dict[tuple[int, int], bytes] = {}

    def encode(self, quality: int) -> Coded:
        """Code the image with approximately the error of ``quality``, 0 … 100 (`error_at`).

        Raises MissingCodecError if Pillow can code none of the payloads; see `can_encode_flat`.
        """
        coded = self._palette_or_av1(quality)
        if not self._has_palette or self._effort == "fast" or coded.error <= _FAR * error_at(quality):
            return coded
        exact = self._exact or encode_lossless(self._pixels)
        return better(coded, Coded(self._file(Kind.LOSSLESS, quality, exact), lambda: 0.0), quality)

    def _palette_or_av1(self, quality: int) -> Coded:
        """Code the image in few colours, as AV1, or as the better of both, as `_choose` says."""
        target = error_at(quality)
        trials, with_av1 = self._choose(quality)
        if not self._has_av1:
            if palette := self._palette(quality, trials) if trials else None:
                return self._exact_if_tiny(quality) or palette
            raise MissingCodecError("encode", "AVIF, or so many colours as WebP")
        if trials and not with_av1:
            found = self._few_colours(quality, trials)
            if exact := self._exact_if_tiny(quality):
                return exact
            if found and found[0].error <= target:
                return found[0]
            trials = TRIALS[-2:]  # the whole image has more colours than its sample
        if not trials:
            return self._av1(quality, self._speed)
        with Beside(1) as beside:
            av1 = beside.submit(self._av1, quality, self._speed)
            palette = self._palette(quality, trials)
            if exact := self._exact_if_tiny(quality):
                return exact
            if palette is None:  # none is near the error
                return av1.result()
            palette.cost(target)  # measures the error before waiting for AV1
            return better(palette, av1.result(), quality)

    def encode_within(self, size: int) -> Coded:
        """Code the image to at most ``size`` bytes, at nearly the highest quality, in few tries.

        Raises TargetSizeError if the file of quality 0 is larger.
        """
        curve = self._draft_curve(_BUDGET_SHARES[0] * size)
        quality = curve.quality_for(_BUDGET_SHARES[0] * size)
        trials, with_av1 = self._choose(quality)
        start = max(quality, MAX_QUALITY // 2)  # at low qualities palettes do not become smaller
        palette = self._palette_within(size, start, trials) if trials else None
        found = [palette] if palette else []
        if with_av1 or not palette or len(palette.file.data) > size:
            found += [self._av1_within(size, curve)] if self._has_av1 else []
        if not found:
            raise MissingCodecError("encode", "AVIF, or so many colours as WebP")
        fits = [one for one in found if len(one.file.data) <= size]
        if not fits:
            raise TargetSizeError(size, min(len(one.file.data) for one in found))
        return min(fits, key=lambda one: one.error)

    def _palette_within(self, size: int, quality: int, trials: Sequence[Trial]) -> Coded | None:
        """Search from a quality for the best palette whose file fits; else return the file of quality 0."""
        best: Coded | None = None
        low, high = -1, MAX_QUALITY + 1
        for _ in range(_MAX_PALETTES):
            coded = self._palette(quality, trials)
            if coded and len(coded.file.data) <= size:
                best, low = coded, quality
            else:
                high = quality
            if high - low <= 1 or (best and len(best.file.data) >= _WELL_FILLED * size):
                break
            quality = (low + high) // 2
        return best or self._palette(0, trials)

    def _av1_within(self, size: int, curve: SizeCurve) -> Coded:
        """Search for the best AV1 whose file fits; if none does, return the file of quality 0."""
        best: Coded | None = None
        known: dict[int, float] = {}
        low, high = -1, MAX_QUALITY + 1
        for aim in _BUDGET_SHARES:
            quality = min(max(curve.quality_for(aim * size), low + 1), high - 1)
            coded = self._av1(quality, self._speed)
            length = len(coded.file.data)
            if length <= size:
                best, low = coded, quality
            else:
                high = quality
            if high - low <= 1 or _WELL_FILLED * size <= length <= size:
                break
            known[quality] = math.log(length)
            curve = SizeCurve(known) if best and high <= MAX_QUALITY else curve.through(quality, length)
        return best or self._av1(0, self._speed)

    def measure(self, file: File, decoded: np.ndarray, factor: float = 1.0) -> Coded:
        """Wrap a file of another codec, and the pixels decoded from it, for `better`; scale its error."""
        return Coded(file, lambda: factor * self._error_of(decoded))

    # Choice

    def _choose(self, quality: int) -> tuple[Sequence[Trial], bool]:
        """Choose the palettes, of `TRIALS`, that may be best at a quality, and whether AV1 may be."""
        if not self._has_palette:
            return (), True
        fast = self._effort == "fast"
        if not self._has_av1:
            return _FAST_TRIALS if fast else TRIALS, False
        if fast:
            return () if has_more_colours(self._pixels, _FAST_COLOURS) else _FAST_TRIALS, True
        if self._sample is self:
            return TRIALS, True
        return self._sample._choose_for_whole(quality, self._speed)

    def _choose_for_whole(self, quality: int, speed: int) -> tuple[Sequence[Trial], bool]:
        """Choose for the image of which this is a sample; ``speed`` is that of its AV1."""
        target = error_at(quality)
        if self._colours.exact > EXACT_COLOURS and not can_reduce(self._colours, target):
            return (), True
        with Beside(1) as beside:
            drafted = beside.submit(lambda: self._av1(quality, DRAFT_SPEED).cost(target))
            found = self._few_colours(quality, TRIALS)
            if found is None:
                return (), True
            palette, trial = found
            cost = palette.cost(target)  # before waiting for the draft
            lead = math.log(drafted.result() / _DRAFT_RATIO[speed] / cost)
        return (trial,) if lead > -_CLEAR_LEAD else (), lead < _CLEAR_LEAD

    def _draft_curve(self, size: float) -> SizeCurve:
        """Estimate file sizes near ``size`` bytes by drafts of the sample as AV1."""
        quality = MAX_QUALITY // 2
        if not self._has_av1:
            return SizeCurve({quality: math.log(size)})
        scale = self._pixels.size / self._sample._pixels.size / _DRAFT_RATIO[self._speed]
        container = len(self._file(Kind.AV1, 0, b"").data)
        points: dict[int, float] = {}
        while quality not in points and len(points) < _MAX_DRAFTS:
            drafted = len(self._sample._av1(quality, DRAFT_SPEED).file.payload)
            points[quality] = math.log(drafted * scale + container)
            quality = SizeCurve(points).quality_for(size)
        return SizeCurve(points)

    @cached_property
    def _sample(self) -> FlatCoder:
        """A coder of evenly spaced bands of the image; this coder itself if the image is small."""
        step = self._height * self._width // _SAMPLE_PIXELS
        if step < 2 or self._effort == "best":
            return self
        bands = [
            self._pixels[top : top + _SAMPLE_BAND] for top in range(0, self._height, step * _SAMPLE_BAND)
        ]
        return FlatCoder(np.concatenate(bands), effort=self._effort)

    # Coding

    def _palette(self, quality: int, trials: Sequence[Trial]) -> Coded | None:
        """Code the image in few colours; if no trial is near the error, in the largest palettes."""
        found = self._few_colours(quality, trials)
        larger = [trial for trial in TRIALS[-2:] if trial not in trials]
        if found is None and larger:  # the whole image has more colours than its sample
            found = self._few_colours(quality, larger)
        return found[0] if found else None

    def _exact_if_tiny(self, quality: int) -> Coded | None:
        if self._exact is None or len(self._exact) > _TINY:
            return None
        return Coded(self._file(Kind.LOSSLESS, quality, self._exact), lambda: 0.0)

    def _file(self, kind: Kind, quality: int, payload: bytes) -> File:
        return File(Header(self._width, self._height, quality, kind), payload, self._metadata)

    @cached_property
    def _weights(self) -> np.ndarray:
        return contrast_weights(self._pixels)

    @cached_property
    def _colours(self) -> Colours:
        return Colours.of(self._pixels, self._weights)

    @cached_property
    def _exact(self) -> bytes | None:
        """The lossless payload of the exact image, if it has few colours."""
        return encode_lossless(self._pixels) if self._colours.exact <= EXACT_COLOURS else None

    def _few_colours(self, quality: int, trials: Sequence[Trial]) -> tuple[Coded, Trial] | None:
        """Code the image in its best palette, or exactly, with the trial; None if neither is possible."""
        target, colours = error_at(quality), self._colours
        with Beside(2) as beside:
            exact = beside.submit(lambda: self._exact)
            coding = [
                (beside.submit(encode_lossless, one.pixels), one)
                for one in reduce_colours(colours, target, trials)
            ]
            reduced = [(payload.result(), one) for payload, one in coding]
        found = []
        if reduced:
            payload, one = min(reduced, key=lambda pair: _cost(len(pair[0]), pair[1].error, target))
            file = self._file(Kind.LOSSLESS, quality, payload)
            found.append((Coded(file, partial(self._error_of, one.pixels)), one.trial))
        if (same := exact.result()) is not None:
            found.append((Coded(self._file(Kind.LOSSLESS, quality, same), lambda: 0.0), TRIALS[-1]))
        return min(found, key=lambda one: one[0].cost(target), default=None)

    def _av1(self, quality: int, speed: int) -> Coded:
        """Code the image as AV1 with approximately the error of ``quality``."""
        value = av1_quality_for(error_at(quality))
        if (value, speed) not in self._known_av1:
            self._known_av1[value, speed] = encode_av1(self._pixels, value, speed=speed)
        payload = self._known_av1[value, speed]
        return Coded(
            self._file(Kind.AV1, quality, payload),
            lambda: self._error_of(decode_av1(payload, self._width, self._height)),
        )

    def _error_of(self, decoded: np.ndarray) -> float:
        return balanced_error(self._pixels, decoded, self._weights)


def _can_reduce(width: int, height: int) -> bool:
    return can_encode_lossless(width, height) and width * height <= _PALETTE_PIXELS
