"""Open image files with Pillow: read, repair, and notice what is missing."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, cast

import numpy as np
from PIL import Image, ImageFile

from cotam.errors import InputError
from cotam.image.readers import ZEROS, as_input_error, identify, load_image

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import TiffImageFile

__all__ = [
    "ENDS_IN_PIXELS",
    "ZEROS_NOTE",
    "FileBytes",
    "Opened",
    "PathInput",
    "hdr_notes",
    "opened_image",
]

PathInput = str | os.PathLike[str]
FileBytes = bytes | bytearray | memoryview

_MAX_MISSING = 0.5
"""Share of rows of a JPEG that may be missing."""

ENDS_IN_PIXELS = ("AVIF", "HEIF", "WEBP")
"""Formats in which zeros at the end are damage. In BMP and PPM they may as well be black pixels."""

ZEROS_NOTE = f"the last {ZEROS} bytes of the file are zeros: pixels may be missing"

_MAX_REPAIRED = 1 << 30  # bytes of a file


_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273
_SEARCHED = 4096  # bytes in which a file names its colours
_TRANSFER = re.compile(rb"\x00\x00\x00\x04cICP.(.)|colr(?:nclx..\x00(.))?", re.DOTALL)
"""Transfer characteristics in a PNG, or in the first colr box of AVIF and HEIC: a gain map has another."""

_DEPTH = re.compile(rb"\xff\x4f\xff\x51.{38}(.)", re.DOTALL)
"""Bits of the first component of JPEG 2000, less one (ITU-T T.800, A.5.1)."""


@dataclass
class Opened:
    """A Pillow image and notes on opening it."""

    image: Image.Image  # its header was read, and its pixels if requested
    notes: list[str] = field(default_factory=list)  # what was repaired, one line each
    one_frame: bool = False  # whether only the first frame of an animation is whole


@contextmanager
def opened_image(image: Image.Image | PathInput | FileBytes, *, load: bool = False) -> Iterator[Opened]:
    """Open an image for a block: read its header, and with ``load`` its pixels.

    A file that cannot be read but has all pixels is repaired (`cotam.image.repair`). Raises InputError,
    MissingExtraError, OSError as `cotam.image.read.read_image`.
    """
    if isinstance(image, Image.Image):
        with as_input_error(image):
            opened = Opened(image, load_image(image) if load else [])
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

        found = repaired(_contents(file)) if file.seek(0, io.SEEK_END) <= _MAX_REPAIRED else None
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
    image = identify(file)
    _scale_transparent_gray(image)
    notes = hdr_notes(ord(transfer[1] or transfer[2] or b"\0") if transfer else 0)
    if transfer and transfer[1]:
        image.info.pop("gamma", None)  # cICP comes before gAMA
    if image.format == "TIFF":
        from cotam.image.tiff import prepare_tiff

        notes += prepare_tiff(cast("TiffImageFile", image))
    if load:
        notes += load_image(image)
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

            rows, note = jpeg_cut(_contents(file), suspect=suspect)
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

        black = image.format == "WEBP" and not webp_cut(_contents(file))
        return [] if black else [ZEROS_NOTE]
    return []


def hdr_notes(transfer: int, effect: str = "and read as if it were sRGB: its colours look pale") -> list[str]:
    """Return a note on an image or video with one of the transfer characteristics of BT.2100."""
    kind = _HDR.get(transfer)
    return [f"it is HDR ({kind}) {effect}"] if kind else []


def _contents(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _scale_transparent_gray(image: ImageFile.ImageFile) -> None:
    """Scale the transparent gray of a PNG of few bits to 0…255, as Pillow does with the pixels."""
    mode = str(image.tile[0][3]) if image.format == "PNG" and image.tile else ""
    if "transparency" in image.info and (scale := {"1": 255, "L;2": 85, "L;4": 17}.get(mode)):
        image.info["transparency"] = min(image.info["transparency"] * scale, 255)  # Pillow 13 does with 1 bit


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
