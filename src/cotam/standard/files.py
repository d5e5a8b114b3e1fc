"""JPEG, WebP, AVIF and PNG files for models that open nothing else.

The files follow their standards. Their settings are tuned for vision encoders, and a prefilter smooths
unimportant areas of pages (`cotam.standard.prefilter`).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from cotam.codec.colours import has_more_colours, is_grey
from cotam.codec.contrast import balanced_error, contrast_weights
from cotam.codec.palette import TRIALS, Colours, colour_runs, reduce_colours
from cotam.codec.standard import AVIF_OPTIONS, LOSSLESS_OPTIONS
from cotam.errors import TargetSizeError
from cotam.image.fit import resize
from cotam.image.read import Pixels
from cotam.image.sizes import fit_box
from cotam.image.write import LONGEST_SIDE, check_sides, save_with_options
from cotam.standard import jpeg
from cotam.standard.prefilter import flat_share, smooth, without_tint

__all__ = ["DEFAULT_QUALITY", "FORMATS", "Format", "StandardFile", "make"]

Format = Literal["jpeg", "webp", "avif", "png"]
FORMATS: tuple[Format, ...] = get_args(Format)
DEFAULT_QUALITY: dict[Format, int] = {"jpeg": 75, "webp": 80, "avif": 75, "png": 100}
"""The defaults of Pillow; PNG has no quality."""

_Writer = Callable[[int], bytes]
"""Quality → the bytes of a file."""

_LOWEST: dict[Format, int] = {"jpeg": 3, "webp": 0, "avif": 1, "png": 100}
"""Lowest quality; below it a smaller image shows more."""

_LOWEST_SHRUNK: dict[Format, int] = {"jpeg": 10, "webp": 5, "avif": 12, "png": 100}
"""Lowest quality of an image that is shrunk to fit its budget."""

_SHRINK_STEP = 2**-0.25
"""Factor by which an image is shrunk repeatedly until it fits."""

_MIN_FLAT_SHARE = 0.5
"""Smallest share of pixels equal to their left and upper neighbours of flat graphics."""

_TRIALS = TRIALS[2:]
"""Palettes of at most 16 colours, smoothed, and of at most 64."""


@dataclass(frozen=True)
class StandardFile:
    """A file of a standard format."""

    data: bytes
    # in pixels, those of the image unless it was shrunk to fit the budget
    width: int
    height: int
    quality: int | None  # on the format's own scale; None for lossless files
    notes: tuple[str, ...] = ()  # notes for the user, one line each: that the image was shrunk


def make(
    pixels: Pixels,
    format: Format,
    quality: int | None = None,
    *,
    target_size: int | None = None,
    importance: np.ndarray | None = None,
    page: bool = False,
    prefilter: bool = True,
) -> StandardFile:
    """Encode an image as a standard file.

    Raises InputError if the format cannot hold the image, TargetSizeError if not even one pixel fits
    ``target_size``, and MissingCodecError if Pillow lacks the codec.

    Parameters
    ----------
    pixels : uint8 (H, W, 3), RGB, at the size to be sent (`cotam.image.fit`)
    format : "jpeg", "webp", "avif" or "png"
    quality : 0 … 100 on the format's own scale; None takes Pillow's default. PNG ignores it.
    target_size : bytes; takes the highest quality that fits and ignores ``quality``. An image that does not
        fit at its lowest quality is shrunk.
    importance : importance map (gh, gw), positive, an even grid over the image. Without it nothing is
        smoothed, and no tint is removed.
    page : the image is mostly text: a document, a screen, a chart (`cotam.guide.content.Content.is_page`)
    prefilter : False writes a plain file, with optimal Huffman tables (JPEG), method 6 (WebP) or speed 6
        (AVIF) of Pillow
    """
    writer_of = partial(_writer, format=format, importance=importance, page=page, prefiltered=prefilter)
    if target_size is None:
        height, width = pixels.shape[:2]
        check_sides((width, height), format.upper())
        writer = writer_of(pixels)
        chosen = DEFAULT_QUALITY[format] if quality is None else quality
        return StandardFile(writer(chosen), width, height, None if format == "png" else chosen)
    return _fit_budget(pixels, format, target_size, writer_of)


# Byte budgets


def _fit_budget(
    pixels: Pixels, format: Format, target: int, writer_of: Callable[[Pixels], _Writer]
) -> StandardFile:
    """Make the best file of at most ``target`` bytes, of a smaller image if necessary."""
    height, width = pixels.shape[:2]
    largest = fit_box(width, height, LONGEST_SIDE.get(format.upper()))
    small, step, lowest = resize(pixels, largest), 0, _LOWEST[format]
    while True:
        writer = writer_of(small)
        data = writer(lowest)
        if len(data) <= target:
            break
        if max(small.shape[:2]) == 1:
            raise TargetSizeError(target, len(data))
        # The header does not shrink, so no step is larger than the bytes above it ask for.
        step += max(1, int(2 * np.log2(len(data) / target)) - 1)
        scale, lowest = _SHRINK_STEP**step, _LOWEST_SHRUNK[format]
        small = resize(pixels, (max(1, round(largest[0] * scale)), max(1, round(largest[1] * scale))))
    best, low, high = data, lowest, 101
    while high - low > 1:
        middle = (low + high) // 2
        data = writer(middle)
        if len(data) <= target:
            low, best = middle, data
        else:
            high = middle
    rows, columns = small.shape[:2]
    reason = f" to fit {target} bytes" if step else f", the most that {format} holds"
    note = f"shrunk from {width}×{height} to {columns}×{rows} pixels{reason}"
    notes = () if small is pixels else (note,)
    return StandardFile(best, columns, rows, None if format == "png" else low, notes)


# Formats


def _writer(
    pixels: Pixels, *, format: Format, importance: np.ndarray | None, page: bool, prefiltered: bool
) -> _Writer:
    """Return a function from quality to the bytes of the file; all other work is done once."""
    if not prefiltered:
        return partial(_plain, Image.fromarray(pixels), format)
    if format == "png":
        data = min((_plain(exact, "png") for exact in _exact_images(pixels)), key=len)
        return lambda quality: data
    flat = flat_share(pixels) >= _MIN_FLAT_SHARE
    filtered = pixels
    if page and importance is not None:
        filtered = without_tint(pixels if flat else smooth(pixels, importance))
    if format == "jpeg":
        settings = jpeg.PLAIN if flat else jpeg.PAGE if page else jpeg.PHOTO
        return lambda quality: jpeg.encode(filtered, quality, settings, importance)
    plain = partial(_plain, Image.fromarray(filtered), format)
    if not flat:
        return plain
    if format == "avif":
        return partial(plain, **AVIF_OPTIONS)
    return _or_lossless(plain, pixels)


def _plain(image: Image.Image, format: Format, quality: int = 100, **more: Any) -> bytes:
    options: dict[Format, dict[str, Any]] = {
        "jpeg": {"quality": quality, "subsampling": "4:2:0", "optimize": True, "progressive": True},
        "webp": {"quality": quality, "method": 6},
        "avif": {"quality": quality, "speed": 6},
        "png": {"optimize": True},
    }
    return save_with_options(image, format.upper(), **options[format], **more)


def _or_lossless(write_lossy: _Writer, pixels: Pixels) -> _Writer:
    """Write lossy WebP, or lossless, exact or in few colours, if that is smaller with at most its error."""
    weights = contrast_weights(pixels)
    exact, colours = _lossless(pixels), Colours.of(pixels, weights)

    def write(quality: int) -> bytes:
        lossy = write_lossy(quality)
        with Image.open(io.BytesIO(lossy)) as image:
            error = balanced_error(pixels, np.asarray(image.convert("RGB")), weights)
        few = (_lossless(one.pixels) for one in reduce_colours(colours, error, _TRIALS))
        return min([lossy, exact, *few], key=len)

    return write


def _lossless(pixels: Pixels) -> bytes:
    return save_with_options(Image.fromarray(pixels), "WEBP", **LOSSLESS_OPTIONS)


def _exact_images(pixels: Pixels) -> list[Image.Image]:
    """Return images with exactly these pixels, in the modes that may give small files."""
    image = Image.fromarray(pixels)
    found = [Image.fromarray(np.ascontiguousarray(pixels[..., 0])) if is_grey(pixels) else image]
    if not has_more_colours(pixels, 256):
        colours, runs, lengths = colour_runs(pixels)
        palette = Image.fromarray(runs.astype(np.uint8).repeat(lengths).reshape(pixels.shape[:2]))
        palette.putpalette(colours.astype(np.uint8).tobytes())
        found.append(palette)
    return found
