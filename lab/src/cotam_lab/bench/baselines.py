"""Codecs behind one interface: uint8 RGB and a quality → bytes → uint8 RGB.

Settings are those that a careful user of today's Pillow would choose to make files small, the slow ones
included (a 6 of 6 for WebP; for AVIF its default speed), without metadata.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
from PIL import AvifImagePlugin, Image, features

from cotam.errors import InputError
from cotam.image.read import Pixels
from cotam_lab.bench.specs import NAMES, TAILORED, parse_options

__all__ = ["Codec", "codec", "pillow_decode", "pillow_encode"]


@dataclass(frozen=True)
class Codec:
    """A codec with the settings of its rates. Its functions can be pickled.

    ``encode`` makes the bytes of a whole file of uint8 (height, width, 3) RGB and a quality, ``decode`` the
    image of these. ``qualities`` rise, about 0.1 to 1.5 bits per pixel on Kodak, from the lowest rate of the
    codec. ``version`` is the library's, with settings that change the bytes.
    """

    name: str
    encode: Callable[[Pixels, int], bytes]
    decode: Callable[[bytes], Pixels]
    qualities: tuple[int, ...]
    version: str


_AOM = {"format": "AVIF", "codec": "aom", "speed": 6}
_STANDARD: dict[str, tuple[dict[str, Any], tuple[int, ...], str]] = {
    # 4:2:0 is what cameras and web tools write and the best at these rates; optimised and progressive
    # coding of the same coefficients saves up to a tenth of the bytes for nothing that a user would notice.
    "jpeg": (
        {"format": "JPEG", "subsampling": "4:2:0", "optimize": True, "progressive": True},
        (2, 5, 9, 15, 24, 37, 52, 67, 79),
        f"libjpeg-turbo {features.version('libjpeg_turbo')}, 4:2:0, optimised, progressive",
    ),
    "webp": (
        {"format": "WEBP", "method": 6},
        (0, 2, 6, 13, 26, 42, 59, 74, 81),
        f"libwebp {features.version('webp')}, method 6",
    ),
    # What users get. From libavif 1.4 on it tunes still images for how they look ("iq").
    "avif": (
        _AOM,
        (1, 6, 13, 21, 30, 39, 49, 59, 70),
        f"libavif {features.version('avif')}, libaom, 4:2:0, speed 6, tune default",
    ),
    # The stronger opponent wherever squared error is the measure.
    "avif-psnr": (
        _AOM | {"advanced": {"tune": "psnr"}},
        (1, 5, 10, 17, 25, 34, 43, 53, 65),
        f"libavif {features.version('avif')}, libaom, 4:2:0, speed 6, tune psnr",
    ),
}
_AVIF_OPTIONS = {"speed", "subsampling", "autotiling", "max_threads", "range", "tile_rows", "tile_cols"}


def codec(name: str, threads: int = 1) -> Codec:
    """Make a codec: one of `NAMES`, or ours with options, such as ``cotam:view=human``.

    AVIF takes those of Pillow and of libaom, such as ``avif:speed=8,deltaq-mode=0``.

    ``threads`` are for AVIF, which cuts images of several megapixels into tiles for more threads, at a small
    cost in bytes: take 1 where rate is measured.

    Raises InputError if there is no such codec, or it has no such options.
    """
    from cotam_lab.bench.ours import ours
    from cotam_lab.bench.tailored import tailored

    plain, colon, options = name.partition(":")
    if plain not in NAMES:
        raise InputError(f"unknown codec {plain!r}: choose from {', '.join(NAMES)}")
    if plain == "cotam":
        return ours(options)
    if colon and plain != "avif":
        raise InputError(f"{name}: only cotam and avif take options")
    base = plain.removesuffix("-tailored")
    settings, qualities, version = _STANDARD[base]
    if settings["format"] == "AVIF":
        settings = {"max_threads": threads} | settings
    if options:
        settings, version = settings | _avif_settings(name, options), f"{version}; {options}"
    decode = partial(pillow_decode, format=settings["format"], threads=threads)
    made = Codec(name if options else base, partial(pillow_encode, **settings), decode, qualities, version)
    return tailored(made, base) if plain in TAILORED else made  # type: ignore[arg-type]


def _avif_settings(name: str, options: str) -> dict[str, Any]:
    """Sort options into Pillow's and libaom's. Raises InputError if one is invalid."""
    given = parse_options(options)
    settings = {key: value for key, value in given.items() if key in _AVIF_OPTIONS}
    settings["advanced"] = {key: str(value) for key, value in given.items() if key not in _AVIF_OPTIONS}
    try:
        pillow_encode(np.zeros((32, 32, 3), np.uint8), 50, **_AOM | settings)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {error}") from error
    return settings


def pillow_encode(pixels: Pixels, quality: int, **settings: Any) -> bytes:
    """Write an image with Pillow; ``settings`` are those of ``Image.save``."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, quality=quality, **settings)
    return buffer.getvalue()


def pillow_decode(data: bytes, *, format: str, threads: int = 1) -> Pixels:
    """Read an image of one format with Pillow."""
    AvifImagePlugin.DEFAULT_MAX_THREADS = threads  # the only way to tell Pillow's decoder
    with Image.open(BytesIO(data), formats=[format]) as image:
        return np.array(image.convert("RGB"))
