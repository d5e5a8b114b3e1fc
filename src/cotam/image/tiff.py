"""Decode TIFF files: correct what Pillow reads wrongly, and notice damage that it ignores."""

from __future__ import annotations

import ctypes
from threading import Lock, local
from typing import TYPE_CHECKING

from PIL import ExifTags, Image, _imaging

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import TiffImageFile

__all__ = ["load_tiff", "prepare_tiff"]

_errors = local()
_handling = Lock()


def _count(module: bytes | None, *_: object) -> None:
    """Count an error of libtiff in this thread, unless it may be that of another page's directory."""
    if b"Directory" not in (module or b""):
        _errors.count = getattr(_errors, "count", 0) + 1


_handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)(_count)


def prepare_tiff(image: TiffImageFile) -> list[str]:
    """Correct how Pillow reads a TIFF, and return notes.

    Uncompressed planes of 16 bits, one for each channel, are taken by Pillow for planes of 8.
    """
    tags = image.tag_v2
    bits = tags.get(ExifTags.Base.BitsPerSample, ())
    if tags.get(ExifTags.Base.PlanarConfiguration) == 2 and {*bits} == {16}:
        order = "L" if tags.prefix == b"II" else "B"
        image.tile = [
            tile._replace(args=(f"{tile.args[0]};16{order}", *tile.args[1:]))
            if tile.codec_name == "raw" and isinstance(tile.args, tuple)
            else tile
            for tile in image.tile
        ]
    kind = tags.get(ExifTags.Base.NewSubfileType)
    if isinstance(kind, int) and kind & 1:  # as in raw files of cameras
        return [f"the first image in it is a preview of another, and has {image.width}×{image.height} pixels"]
    return []


def load_tiff(image: Image.Image) -> list[str]:
    """Decode the pixels, and return a note if libtiff finds damage, which Pillow ignores in fax images.

    libtiff gives its errors to one function for the whole process; by default it prints them. Pillow's wheels
    for Windows do not export the setter of this function: there damage goes unnoticed.
    """
    set_handler = getattr(ctypes.CDLL(_imaging.__file__), "TIFFSetErrorHandler", None)
    if set_handler is None:
        image.load()
        return []
    set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
    _errors.count = 0
    with _handling:
        before = set_handler(_handler)
        try:
            image.load()
        finally:
            set_handler(before)
    return ["damaged: libtiff reports errors in its pixels"] if _errors.count else []
