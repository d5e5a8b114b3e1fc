"""Find Pillow's reader of an image file, check the size, and decode the pixels."""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from cotam.errors import InputError, MissingExtraError
from cotam.format.header import MAGIC, MAX_PIXELS, MAX_SIDE

__all__ = [
    "READER_ERRORS",
    "SEARCHED",
    "ZEROS",
    "as_input_error",
    "check_size",
    "decode",
    "identify",
    "is_heic",
    "load_image",
    "named",
    "one_line",
]

_VIDEO = re.compile(
    rb".{4}ftyp(?!avi|crx|he|j|m[is]f1)|.{4}moov|\x1a\x45\xdf\xa3|FLV\x01|RIFF.{4}AVI ", re.DOTALL
)
_UNKNOWN = "not an image of a known format"
_NOT_MINE = (SyntaxError, IndexError, TypeError, struct.error)  # as in Image.open: the next reader is tried
_PLUGINS = {  # place and magic bytes → the module of Pillow that reads them
    (0, b"\x89PNG"): "PngImagePlugin",
    (0, b"\xff\xd8\xff"): "JpegImagePlugin",
    (8, b"WEBP"): "WebPImagePlugin",
    (4, b"ftypavif"): "AvifImagePlugin",
}

_RUNS_OTHER_PROGRAMS = {"EPS"}  # Pillow runs Ghostscript: unsafe for untrusted files

_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
SEARCHED = 4096
"""Bytes in which a HEIF file of a generic brand names its codec, and a file its colours."""

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
    prefix = file.read(16)
    if not prefix:
        raise InputError("the file is empty")
    if prefix.startswith(MAGIC):  # whether or not `cotam.pillow`, which reads it, was imported
        raise InputError("is a .cotam file already: cotam decode reads it")
    if is_heic(prefix + file.read(SEARCHED)):
        file.seek(0)
        return _heic_reader()(file, filename)
    prefix = prefix.ljust(16, b"\0")  # some readers rely on 16 bytes
    reason = _UNKNOWN
    tried: set[str] = set()
    # The likely one; the common ones, another 5 ms; then all, another 30 ms.
    for import_readers in (partial(_import_likely, prefix), Image.preinit, Image.init):
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


def _import_likely(prefix: bytes) -> None:
    for (place, magic), plugin in _PLUGINS.items():
        if prefix.startswith(magic, place):
            import_module(f"PIL.{plugin}")


def is_heic(start: bytes) -> bool:
    """Whether a file is HEIC (ISO/IEC 23008-12), by its first 4 kB."""
    if start[4:8] != b"ftyp":
        return False
    size = int.from_bytes(start[:4], "big")
    brands = {start[at : at + 4] for at in (8, *range(16, min(size, len(start)) - 3, 4))}
    generic = brands & {b"mif1", b"msf1"} and b"hvc1" in start
    return not brands & {b"avif", b"avis"} and bool(brands & _HEIC_BRANDS or generic)


def _heic_reader() -> Any:
    """Return pillow-heif's reader. Registering it would change Pillow for the whole process."""
    try:
        from pillow_heif import HeifImageFile
    except ModuleNotFoundError as error:
        if error.name != "pillow_heif":
            raise
        raise MissingExtraError("heic", "it is HEIC, and pillow_heif") from error
    return HeifImageFile
