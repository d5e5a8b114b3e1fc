"""Find Pillow's reader of an image file, check the size, and decode the pixels."""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from cotam.errors import InputError, MissingExtraError
from cotam.format.header import MAGIC, MAX_PIXELS, MAX_SIDE

__all__ = [
    "READER_ERRORS",
    "ZEROS",
    "as_input_error",
    "check_size",
    "decode",
    "format_of",
    "identify",
    "load_image",
    "named",
    "one_line",
]

_VIDEO = re.compile(
    rb".{4}ftyp(?!avi|crx|he|j|m[is]f1)|.{4}moov|\x1a\x45\xdf\xa3|FLV\x01|RIFF.{4}AVI ", re.DOTALL
)
_UNKNOWN = "not an image of a known format"
_NOT_MINE = (SyntaxError, IndexError, TypeError, struct.error)  # as in Image.open: the next reader is tried
_PLUGINS = {"png": "Png", "jpeg": "Jpeg", "webp": "WebP", "avif": "Avif"}
"""Common formats → the readers of Pillow."""

_MAGIC = {
    "jpeg": (b"\xff\xd8\xff",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "gif": (b"GIF87a", b"GIF89a"),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # the last two are BigTIFF
}
_BMP_HEADERS = {12, 40, 108, 124}  # bytes
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
"""Brands of ISO/IEC 23008-12. AVIF has mif1 and msf1, too, beside its own."""

_RUNS_OTHER_PROGRAMS = {"EPS"}  # Pillow runs Ghostscript: unsafe for untrusted files

ZEROS = 1024
"""So many at the end of a file come from a download that was cut off."""

# What Pillow's readers raise on damaged files, found by mutating files of every format that Pillow writes.
READER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    RuntimeError,
    AssertionError,
    EOFError,
    LookupError,
    TypeError,
    struct.error,
    Image.DecompressionBombError,
)


def check_size(width: int, height: int) -> None:
    """Raise InputError if an image has no pixels, or more than `MAX_PIXELS`."""
    if width < 1 or height < 1:
        raise InputError(f"no pixels ({width}×{height})")
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise InputError(
            f"{width}×{height} is too large, at most {MAX_PIXELS:,} pixels and {MAX_SIDE:,} a side"
        )


def one_line(error: BaseException) -> str:
    """Return the message of an error in one line; its type if it has no message."""
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def as_input_error(image: object) -> Iterator[None]:
    """Turn Pillow's many errors into an InputError that names the image."""
    try:
        yield
    except MissingExtraError:
        raise
    except InputError as error:
        error.args = (named(image, str(error)),)
        raise
    except READER_ERRORS as error:
        raise InputError(named(image, f"cannot be read: {one_line(error)}")) from error


def named(image: object, text: str) -> str:
    """Return a message that begins with the path of an image, if it has one."""
    path = image if isinstance(image, (str, os.PathLike)) else getattr(image, "filename", "")
    return f"{os.fsdecode(path)}: {text}" if path else text


def decode(data: bytes) -> NDArray[np.uint8]:
    """Decode the pixels as stored in a file. Raises InputError, OSError, ValueError."""
    with as_input_error(None):
        image = identify(io.BytesIO(data))
        load_image(image)
        return np.asarray(image)


def load_image(image: Image.Image) -> list[str]:
    """Check the size, then decode the pixels, and return a note on damage that Pillow ignores."""
    check_size(*image.size)
    if image.format == "TIFF":
        from cotam.image.tiff import load_tiff

        return load_tiff(image)
    image.load()
    return []


def identify(file: IO[bytes]) -> ImageFile.ImageFile:
    """Open an image as Image.open does, without its size check.

    Pillow warns above 89 MP and refuses above 179 MP by a global setting, and before Python 3.14 warnings can
    only be silenced for all threads. So the readers are tried here, in the same order, and `check_size`
    decides. (A few readers have their own check: Pillow still refuses WebP above 179 MP.)
    """
    filename = os.fspath(getattr(file, "name", ""))
    start = file.read(64)
    if not start:
        raise InputError("the file is empty")
    if start.startswith(MAGIC):  # whether or not `cotam.pillow`, which reads it, was imported
        raise InputError("is a .cotam file already: cotam decode reads it")
    form = format_of(start)
    if form == "heic":
        file.seek(0)
        return _heic_reader()(file, filename)
    prefix = start[:16].ljust(16, b"\0")  # some readers rely on 16 bytes
    reason = _UNKNOWN
    tried: set[str] = set()
    if form in _PLUGINS:
        import_module(f"PIL.{_PLUGINS[form]}ImagePlugin")
    # The likely one; the common ones, another 5 ms; then all, another 30 ms.
    for import_readers in (lambda: None, Image.preinit, Image.init):
        import_readers()
        for reader_id in [known for known in Image.ID if known not in tried]:
            tried.add(reader_id)
            reader, accept = Image.OPEN[reader_id]
            answer = accept(prefix) if accept else True
            if isinstance(answer, str):
                reason = answer
            elif answer and reader_id in _RUNS_OTHER_PROGRAMS:
                reason = f"{reader_id} files are not accepted"
            elif answer:
                file.seek(0)
                try:
                    return reader(file, filename)
                except _NOT_MINE as error:
                    if accept:
                        reason = f"cannot be read: {one_line(error)}"
    if reason == _UNKNOWN and _VIDEO.match(prefix):
        reason = "is a video: cotam encode --fps 1 makes a sequence of its frames"
    raise InputError(reason)


def format_of(start: bytes) -> str | None:
    """Return jpeg, png, webp, gif, tiff, bmp, avif or heic, by the first 64 bytes of a file; else None."""
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "webp"
    if start.startswith(b"BM") and int.from_bytes(start[14:18], "little") in _BMP_HEADERS:
        return "bmp"
    if start[4:8] == b"ftyp":
        end = min(int.from_bytes(start[:4], "big"), len(start))
        brands = {start[at : at + 4] for at in (8, *range(16, end, 4))}
        if brands & _AVIF_BRANDS:  # Pillow reads it only with such a major brand, FFmpeg as a video with any
            return "avif" if start[8:12] in _AVIF_BRANDS | {b"mif1", b"msf1"} else None
        return "heic" if brands & _HEIC_BRANDS else None
    return next((form for form, magic in _MAGIC.items() if start.startswith(magic)), None)


def _heic_reader() -> Any:
    """Return pillow-heif's reader. Registering it would change Pillow for the whole process."""
    try:
        from pillow_heif import HeifImageFile
    except ModuleNotFoundError as error:
        if error.name != "pillow_heif":
            raise
        raise MissingExtraError("heic", "it is HEIC, and pillow_heif") from error
    return HeifImageFile
