"""One image of a request: its format, its size, its pixels, and files made of it.

Formats are those of a short list, found by the first bytes: what strangers send is not handed to every reader
that Pillow has.
"""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np
from PIL import Image

import cotam
from cotam.errors import DamagedError, InputError, LimitError
from cotam.format.header import MAGIC, is_sequence, read_header
from cotam.format.sequence import SequenceReader
from cotam.gateway.dataurl import Media
from cotam.image.read import Pixels, outline, to_rgb

__all__ = [
    "COTAM",
    "MEDIA_TYPES",
    "check_size",
    "content_key",
    "count_frames",
    "format_of",
    "is_cotam",
    "pixels_of",
    "png_of",
    "saved",
]

COTAM = "image/vnd.cotam"

MEDIA_TYPES = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "avif": "image/avif",
    "heic": "image/heic",
    "bmp": "image/bmp",
    "tiff": "image/tiff",
}
"""Formats of images that are read, but .cotam."""

_BRANDS = {b"avif": "avif", b"avis": "avif"} | dict.fromkeys(
    [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"], "heic"
)
"""Brands of ISO media files (the bytes 8 to 12) that are images."""

_SAVED_AS: dict[str, dict[str, Any]] = {
    # Level 1 takes a third of the time of Pillow's 6, for a file a tenth larger: it goes to a model nearby.
    "png": {"compress_level": 1},
    "jpeg": {"subsampling": "4:2:0", "optimize": True, "progressive": True},
    "webp": {"method": 4},
}


def is_cotam(data: bytes) -> bool:
    """Whether these are the bytes of a .cotam file, whatever their media type says."""
    return data.startswith(MAGIC)


def format_of(data: bytes) -> str | None:
    """A key of `MEDIA_TYPES`, by the first bytes; None for other data."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data.startswith((b"II*\0", b"MM\0*")):
        return "tiff"
    if data.startswith(b"BM") and data[14:18] in (b"\x0c\0\0\0", b"\x28\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0"):
        return "bmp"
    if data[4:8] == b"ftyp":
        kind = _BRANDS.get(data[8:12])
        # mif1 says no more than "an image": the brands that follow it say of which format.
        return "avif" if kind == "heic" and b"avif" in data[16:64] else kind
    return None


def content_key(data: bytes) -> bytes:
    """Equal for equal content."""
    return hashlib.sha256(data).digest()


def count_frames(data: bytes) -> int:
    """Count the frames of a .cotam file: those of a whole sequence, by their headers; 1 for a still.

    Raises
    ------
    FormatError
        if the sequence was cut off, or is damaged outside of its frames
    """
    if not is_sequence(data):
        return 1
    count = sum(1 for _ in SequenceReader(io.BytesIO(data)).frames())
    if not count:
        raise DamagedError("the sequence has no frames")
    return count


def check_size(data: bytes, limit: int) -> int:
    """Count the pixels of an image, or of one frame of a sequence, by its header.

    Raises
    ------
    LimitError
        if there are more than ``limit``
    CotamError
        if it is damaged, or of another format
    """
    if is_cotam(data):
        header = read_header(data)
        width, height = header.width, header.height
    elif not format_of(data):
        raise InputError(f"not an image of a known format: {', '.join(MEDIA_TYPES)} or .cotam")
    else:
        width, height, _ = outline(data)
    if width * height > limit:
        megapixels = width * height / 1e6
        raise LimitError(
            f"the image is {width}×{height}, {megapixels:.1f} MP: more than the limit of {limit / 1e6:g} MP "
            "(--size-limit)"
        )
    return width * height


def pixels_of(data: bytes) -> Pixels:
    """Upright sRGB of an image of `MEDIA_TYPES` or .cotam, uint8 (H, W, 3); of an animation the first frame.

    Raises
    ------
    CotamError
        if it is damaged
    """
    return np.asarray(cotam.decode(data)) if is_cotam(data) else to_rgb(data)


def png_of(data: bytes) -> Media:
    """Decode a .cotam file to PNG, for a model that does not read .cotam.

    Raises
    ------
    FormatError, LimitError, UnknownWeightsError
        as `cotam.decode`
    """
    return Media(MEDIA_TYPES["png"], saved(cotam.decode(data), "png"))


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    """Write an image file: png, jpeg or webp."""
    buffer = io.BytesIO()
    image.save(buffer, form.upper(), **(_SAVED_AS[form] | options))
    return buffer.getvalue()
