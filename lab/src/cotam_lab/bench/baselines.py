"""Codecs behind one interface: uint8 RGB and a quality → bytes → uint8 RGB.

Settings are those that a careful user of today's Pillow would choose to make files small, the slow ones
included (a 6 of 6 for WebP; for AVIF its default speed), without metadata.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from types import ModuleType
from typing import Any

import numpy as np
from PIL import AvifImagePlugin, Image, features

from cotam.errors import InputError, MissingExtraError, UnknownWeightsError
from cotam.image.read import Pixels
from cotam.standard.files import Format

__all__ = ["NAMES", "Codec", "available", "codec", "ladder"]


@dataclass(frozen=True)
class Codec:
    """A codec with the settings of its rates.

    Attributes
    ----------
    name : str
        Short, as in tables.
    encode : callable
        (uint8 (height, width, 3) RGB, quality) to the bytes of a whole file.
    decode : callable
        The bytes of such a file to uint8 (height, width, 3) RGB.
    qualities : tuple of int
        Rising; about 0.1 to 1.5 bits per pixel on the Kodak images, from the lowest rate the codec has.
    text_qualities : tuple of int
        Rising; about 0.06 to 0.35 bits per pixel on scanned receipts: from a third of the words lost to none.
    version : str
        Of the library, settings that change the bytes included.
    """

    name: str
    encode: Callable[[Pixels, int], bytes]
    decode: Callable[[bytes], Pixels]
    qualities: tuple[int, ...]
    text_qualities: tuple[int, ...]
    version: str


def codec(name: str, threads: int = 1) -> Codec:
    """Make a codec.

    Parameters
    ----------
    name : str
        One of `NAMES`, or ours with options, such as ``cotam:view=human`` (`cotam_lab.bench.ours.ours`).
    threads : int
        What AVIF and JPEG XL may use; JPEG and WebP have one thread in Pillow, and ``cotam`` takes those of
        its run time. AVIF cuts images of several megapixels into tiles for more threads, at a small cost
        in bytes: take 1 where rate is measured.

    Raises
    ------
    InputError
        If there is no such codec, or it has no such options.
    MissingExtraError
        If its package is not installed.
    """
    plain, colon, options = name.partition(":")
    if plain not in _MAKERS:
        raise InputError(f"unknown codec {plain!r}: choose from {', '.join(NAMES)}")
    if colon and plain != "cotam":
        raise InputError(f"{name}: of the codecs only cotam takes options")
    return _cotam(threads, options) if colon else _MAKERS[name](threads)


def ladder(spec: str) -> tuple[str, tuple[int, ...]]:
    """Split a codec with its qualities, such as ``jpeg@5,20,60``, into the name and the qualities.

    One quality may also stand among the options: ``jpeg:q=20``, ``cotam:view=human,q=20``.

    Returns
    -------
    name : str
        As `codec` takes it.
    qualities : tuple of int
        Rising; empty if none are given.

    Raises
    ------
    InputError
        If a quality is not a whole number from 0 to 100.
    """
    name, at, listed = spec.rpartition("@")
    if not at:
        plain, colon, options = spec.partition(":")
        own = options.split(",") if colon else []
        rest = [option for option in own if not option.startswith("q=")]
        if len(rest) == len(own):
            return spec, ()
        name = f"{plain}:{','.join(rest)}" if rest else plain
        listed = ",".join(option[2:] for option in own if option not in rest)
    numbers = listed.split(",")
    if not all(number.isdecimal() and int(number) <= 100 for number in numbers):
        raise InputError(f"{spec}: qualities are whole numbers from 0 to 100, such as {name}@10,40,80")
    return name, tuple(sorted({int(number) for number in numbers}))


def available(names: Iterable[str], threads: int = 1) -> tuple[list[Codec], list[str]]:
    """Make those codecs whose packages, and weights, are installed.

    Returns
    -------
    codecs : list of Codec
        In the order of the names.
    left_out : list of str
        For each of the others, a line that names it and says what is missing.
    """
    codecs, left_out = [], []
    for name in names:
        try:
            codecs.append(codec(name, threads))
        except (ImportError, UnknownWeightsError) as error:
            left_out.append(f"{name} is left out: {error}")
    return codecs, left_out


def _pillow_encode(pixels: Pixels, quality: int, *, format: str, **settings: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format, quality=quality, **settings)
    return buffer.getvalue()


def _pillow_decode(data: bytes, *, format: str) -> Pixels:
    with Image.open(BytesIO(data), formats=[format]) as image:
        return np.array(image.convert("RGB"))


def _jpeg(threads: int) -> Codec:
    # 4:2:0 is what cameras and web tools write and the best at these rates; optimised and progressive
    # coding of the same coefficients saves up to a tenth of the bytes for nothing that a user would notice.
    encode = functools.partial(
        _pillow_encode, format="JPEG", subsampling="4:2:0", optimize=True, progressive=True
    )
    return Codec(
        name="jpeg",
        encode=encode,
        decode=functools.partial(_pillow_decode, format="JPEG"),
        qualities=(2, 5, 9, 15, 24, 37, 52, 67, 79),
        text_qualities=(3, 6, 10, 16, 26),
        version=f"libjpeg-turbo {features.version('libjpeg_turbo')}, 4:2:0, optimised, progressive",
    )


def _webp(threads: int) -> Codec:
    return Codec(
        name="webp",
        encode=functools.partial(_pillow_encode, format="WEBP", method=6),
        decode=functools.partial(_pillow_decode, format="WEBP"),
        qualities=(0, 2, 6, 13, 26, 42, 59, 74, 81),
        text_qualities=(0, 3, 8, 18, 35),
        version=f"libwebp {features.version('webp')}, method 6",
    )


def _avif(threads: int) -> Codec:
    # What users get. From libavif 1.4 on it tunes still images for how they look ("iq").
    ladders = (1, 6, 13, 21, 30, 39, 49, 59, 70), (2, 10, 20, 32, 45)
    return _aom("avif", threads, {}, *ladders)


def _avif_psnr(threads: int) -> Codec:
    # The stronger opponent wherever squared error is the measure.
    ladders = (1, 5, 10, 17, 25, 34, 43, 53, 65), (2, 8, 16, 26, 38)
    return _aom("avif-psnr", threads, {"tune": "psnr"}, *ladders)


def _aom(
    name: str, threads: int, advanced: dict[str, str], qualities: tuple[int, ...], text: tuple[int, ...]
) -> Codec:
    if not features.check("avif"):
        raise MissingExtraError("bench", "AVIF support of Pillow")
    encode = functools.partial(
        _pillow_encode, format="AVIF", codec="aom", speed=6, max_threads=threads, advanced=advanced
    )
    tune = advanced.get("tune", "default")
    return Codec(
        name=name,
        encode=encode,
        decode=functools.partial(_avif_decode, threads=threads),
        qualities=qualities,
        text_qualities=text,
        version=f"libavif {features.version('avif')}, libaom, 4:2:0, speed 6, tune {tune}",
    )


def _avif_decode(data: bytes, *, threads: int) -> Pixels:
    AvifImagePlugin.DEFAULT_MAX_THREADS = threads  # the only way to tell Pillow's decoder
    return _pillow_decode(data, format="AVIF")


def _jxl(threads: int) -> Codec:
    _jxl_plugin()
    return Codec(
        name="jxl",
        encode=functools.partial(_jxl_encode, threads=threads),
        decode=functools.partial(_jxl_decode, threads=threads),
        qualities=(0, 6, 13, 22, 32, 44, 58, 70, 80),
        text_qualities=(0, 8, 18, 30, 45),
        version=f"pillow-jxl-plugin {importlib.metadata.version('pillow-jxl-plugin')}, effort 7",
    )


def _jxl_encode(pixels: Pixels, quality: int, *, threads: int) -> bytes:
    _jxl_plugin()
    return _pillow_encode(pixels, quality, format="JXL", effort=7, num_threads=threads)


def _jxl_decode(data: bytes, *, threads: int) -> Pixels:
    _jxl_plugin().JpegXLImagePlugin.DECODE_THREADS = threads  # the only way to tell its decoder
    return _pillow_decode(data, format="JXL")


def _jxl_plugin() -> ModuleType:
    """Register the plugin with Pillow, once in each process."""
    try:
        import pillow_jxl.JpegXLImagePlugin
    except ImportError as error:
        raise MissingExtraError("jxl", "pillow-jxl-plugin") from error
    return pillow_jxl


def _heic(threads: int) -> Codec:
    pillow_heif = _heif_plugin()
    return Codec(
        name="heic",
        encode=_heic_encode,
        decode=_heic_decode,
        qualities=(0, 9, 16, 23, 30, 36, 42, 48, 54),
        text_qualities=(10, 22, 33, 42, 50),
        version=f"libheif {pillow_heif.libheif_version()}, x265, 4:2:0, its default preset",
    )


def _heic_encode(pixels: Pixels, quality: int) -> bytes:
    _heif_plugin()
    return _pillow_encode(pixels, quality, format="HEIF", chroma=420)


def _heic_decode(data: bytes) -> Pixels:
    _heif_plugin()
    return _pillow_decode(data, format="HEIF")


def _heif_plugin() -> ModuleType:
    """Register the plugin with Pillow, once in each process."""
    try:
        import pillow_heif.HeifImagePlugin
    except ImportError as error:
        raise MissingExtraError("heic", "pillow-heif") from error
    return pillow_heif


def _tailored(threads: int, *, plain: Callable[[int], Codec], format: Format) -> Codec:
    from cotam_lab.bench.tailored import tailored

    return tailored(plain(threads), format)


def _cotam(threads: int, options: str = "") -> Codec:
    from cotam_lab.bench.ours import ours

    return ours(options)


_MAKERS: dict[str, Callable[[int], Codec]] = {
    "jpeg": _jpeg,
    "webp": _webp,
    "avif": _avif,
    "avif-psnr": _avif_psnr,
    "jpeg-tailored": functools.partial(_tailored, plain=_jpeg, format="jpeg"),
    "webp-tailored": functools.partial(_tailored, plain=_webp, format="webp"),
    "avif-tailored": functools.partial(_tailored, plain=_avif, format="avif"),
    "jxl": _jxl,
    "heic": _heic,
    "cotam": _cotam,
}
NAMES = tuple(_MAKERS)
