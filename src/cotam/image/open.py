"""Open image files with Pillow: find the reader, check the size, load, repair."""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from cotam.errors import InputError, MissingExtraError
from cotam.format.header import MAGIC, MAX_PIXELS, MAX_SIDE

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import TiffImageFile

__all__ = [
    "ENDS_IN_PIXELS",
    "MAX_PIXELS",
    "READER_ERRORS",
    "TIFF_MAGIC",
    "ZEROS",
    "ZEROS_NOTE",
    "FileBytes",
    "Opened",
    "PathInput",
    "as_input_error",
    "check_size",
    "hdr_notes",
    "is_heic",
    "load_pixels",
    "named",
    "one_line",
    "opened_image",
]

PathInput = str | os.PathLike[str]
FileBytes = bytes | bytearray | memoryview

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
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF and, the last two, of BigTIFF."""

_RUNS_OTHER_PROGRAMS = {"EPS"}  # Pillow runs Ghostscript: unsafe for untrusted files
_MAX_MISSING = 0.5
"""Share of rows of a JPEG that may be missing."""

ZEROS = 1024
"""So many at the end of a file come from a download that was cut off."""

ENDS_IN_PIXELS = ("AVIF", "HEIF", "WEBP")
"""Formats in which zeros at the end are damage. In BMP and PPM they may as well be black pixels."""

ZEROS_NOTE = f"the last {ZEROS} bytes of the file are zeros: pixels may be missing"

_MAX_REPAIRED = 1 << 30  # bytes of a file

_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_SEARCHED = 4096  # bytes in which a HEIF file of a generic brand names its codec, and a file its colours

_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273
_TRANSFER = re.compile(rb"\x00\x00\x00\x04cICP.(.)|colr(?:nclx..\x00(.))?", re.DOTALL)
"""Transfer characteristics in a PNG, or in the first colr box of AVIF and HEIC: a gain map has another."""

_DEPTH = re.compile(rb"\xff\x4f\xff\x51.{38}(.)", re.DOTALL)
"""Bits of the first component of JPEG 2000, less one (ITU-T T.800, A.5.1)."""

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


@dataclass
class Opened:
    """A Pillow image and notes on opening it."""

    image: Image.Image  # its header was read, and its pixels if requested
    notes: list[str] = field(default_factory=list)  # what was repaired, one line each
    one_frame: bool = False  # whether only the first frame of an animation is whole


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


@contextmanager
def opened_image(image: Image.Image | PathInput | FileBytes, *, load: bool = False) -> Iterator[Opened]:
    """Open an image for a block: read its header, and with ``load`` its pixels.

    A file that cannot be read but has all pixels is repaired (`cotam.image.repair`). Raises InputError,
    MissingExtraError, OSError as `cotam.image.read.read_image`.
    """
    if isinstance(image, Image.Image):
        with as_input_error(image):
            opened = Opened(image, _load(image) if load else [])
        yield opened
    elif isinstance(image, (bytes, bytearray, memoryview, str, os.PathLike)):
        with open(image, "rb") if isinstance(image, (str, os.PathLike)) else io.BytesIO(image) as source:
            file = source if source.seekable() else io.BytesIO(source.read())  # a pipe
            with as_input_error(image):
                opened = _open_or_repair(file, load)
            with opened.image:
                yield opened
    else:
        raise InputError(f"{type(image).__name__} is not an image: pass a Pillow image, array, path or bytes")


def _open_or_repair(file: IO[bytes], load: bool) -> Opened:
    try:
        with as_input_error(None):
            return _open(file, load)
    except InputError:
        from cotam.image.repair import repaired

        found = repaired(_contents(file), _decode) if file.seek(0, io.SEEK_END) <= _MAX_REPAIRED else None
        if found is None:
            raise
    opened = _open(io.BytesIO(found.data), load)
    opened.notes.append(found.note)
    opened.one_frame = found.one_frame
    if found.icc_profile:
        opened.image.info["icc_profile"] = found.icc_profile
    return opened


def _open(file: IO[bytes], load: bool) -> Opened:
    transfer = _TRANSFER.search(file.read(_SEARCHED))
    file.seek(0)
    image = _identify(file)
    _scale_transparent_gray(image)
    notes = hdr_notes(ord(transfer[1] or transfer[2] or b"\0") if transfer else 0)
    if transfer and transfer[1]:
        image.info.pop("gamma", None)  # cICP comes before gAMA
    if image.format == "TIFF":
        from cotam.image.tiff import prepare_tiff

        notes += prepare_tiff(cast("TiffImageFile", image))
    if load:
        notes += _load(image)
        at = file.tell()
        notes += _missing_pixels(image, file)
        file.seek(at)  # for the frames of an animation
    return Opened(image, notes)


def _missing_pixels(image: ImageFile.ImageFile, file: IO[bytes]) -> list[str]:
    """Return a note on pixels that Pillow filled in. Raises InputError if too many are missing, or wrong."""
    if image.format == "PNG" and image.mode == "P" and not (image.palette and image.palette.palette):
        raise InputError("cannot be read: its palette is missing")  # all would be black
    if image.format == "PNG" and (_last_row_is_zero(image) or _ends_in_zeros(file, 16)):
        from cotam.image.png import pixel_damage

        if damage := pixel_damage(_contents(file)):
            raise InputError(f"cannot be read: image file is {damage}")
    elif image.format in ("JPEG", "MPO"):
        suspect = _last_pixel_is_gray(image) or _ends_in_zeros(file, 16)
        if suspect or "progressive" in image.info:
            from cotam.image.repair import jpeg_cut

            rows, note = jpeg_cut(_contents(file), _decode, suspect=suspect)
            if rows > _MAX_MISSING * image.height:
                raise InputError(f"cannot be read: {note}")
            return [note] if note else []
    elif image.format == "JPEG2000" and image.mode not in ("L", "I;16") and not np.asarray(image).all():
        depth = _DEPTH.search(_contents(file))
        if depth and depth[1][0] & 127 > 7:
            raise InputError(
                "it is JPEG 2000 of more than 8 bits, whose white Pillow reads as black: convert it"
            )
    elif image.format in ENDS_IN_PIXELS and _ends_in_zeros(file, ZEROS):
        from cotam.image.repair import webp_cut

        if image.format != "WEBP" or webp_cut(_contents(file), _decode, ZEROS):  # not of a black area
            return [ZEROS_NOTE]
    return []


def hdr_notes(transfer: int, effect: str = "and read as if it were sRGB: its colours look pale") -> list[str]:
    """Return a note on an image or video with one of the transfer characteristics of BT.2100."""
    kind = _HDR.get(transfer)
    return [f"it is HDR ({kind}) {effect}"] if kind else []


def _contents(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _scale_transparent_gray(image: ImageFile.ImageFile) -> None:
    """Scale the transparent gray of a PNG of 2 or 4 bits a pixel to 0…255, as Pillow does with the pixels."""
    mode = image.tile[0][3] if image.format == "PNG" and image.tile else None
    if mode in ("L;2", "L;4") and "transparency" in image.info:
        image.info["transparency"] *= 85 if mode == "L;2" else 17


def _last_row_is_zero(image: Image.Image) -> bool:
    """Whether the row that comes last in a PNG may be missing: Pillow begins with zeros."""
    last = image.crop((0, image.height - 1, image.width, image.height))
    return "interlace" in image.info or not any(last.tobytes())


def _last_pixel_is_gray(image: Image.Image) -> bool:
    """Whether the last row of a JPEG may be missing: libjpeg makes it gray."""
    last = np.asarray(image.getpixel((image.width - 1, image.height - 1)))
    return bool(np.isin(last, (127, 128)).all())


def _ends_in_zeros(file: IO[bytes], count: int) -> bool:
    file.seek(-min(count, file.seek(0, io.SEEK_END)), io.SEEK_END)
    return not any(file.read())


def _decode(data: bytes) -> NDArray[np.uint8]:
    """Decode the pixels as stored in a file. Raises InputError, OSError, ValueError."""
    with as_input_error(None):
        image = _identify(io.BytesIO(data))
        _load(image)
        return np.asarray(image)


def _load(image: Image.Image) -> list[str]:
    """Check the size, then decode the pixels, and return a note on damage that Pillow ignores."""
    check_size(*image.size)
    return load_pixels(image)


def load_pixels(image: Image.Image) -> list[str]:
    """Decode the pixels of an image, and return a note on damage that Pillow ignores."""
    if image.format == "TIFF":
        from cotam.image.tiff import load_tiff

        return load_tiff(image)
    image.load()
    return []


def _identify(file: IO[bytes]) -> ImageFile.ImageFile:
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
    if is_heic(prefix + file.read(_SEARCHED)):
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
