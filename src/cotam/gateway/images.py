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
from cotam.gateway.cache import Facts
from cotam.gateway.dataurl import Media
from cotam.image.read import Pixels, outline, to_rgb

__all__ = [
    "COTAM",
    "MEDIA_TYPES",
    "Outlines",
    "check_size",
    "content_key",
    "count_frames",
    "format_of",
    "is_cotam",
    "outline_of",
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


def outline_of(data: bytes) -> tuple[int, int, bool]:
    """Width and height of the upright image, or of a sequence's frames, and whether it is stored upright.

    Raises
    ------
    CotamError
        if it is damaged, or of another format
    """
    if is_cotam(data):
        header = read_header(data)
        return header.width, header.height, True
    if not format_of(data):
        raise InputError(f"not an image of a known format: {', '.join(MEDIA_TYPES)} or .cotam")
    return outline(data)


def check_size(data: bytes, limit: int) -> int:
    """Count the pixels of an image, or of one frame of a sequence, by its header.

    Raises
    ------
    LimitError
        if there are more than ``limit``
    CotamError
        if it is damaged, or of another format
    """
    width, height, _ = outline_of(data)
    return _within(width, height, limit)


class Outlines:
    """Outlines of images seen last: of a PNG all is read to find the orientation.

    Parameters
    ----------
    limit : pixels of an image
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: Facts[tuple[int, int, bool]] = Facts()

    def get(self, data: bytes) -> tuple[bytes, tuple[int, int, bool]]:
        """The `content_key` of an image, and its `outline_of`. Raises as `check_size`."""
        key = content_key(data)
        found = self._known.get(key, lambda: outline_of(data))
        _within(*found[:2], self._limit)
        return key, found


def _within(width: int, height: int, limit: int) -> int:
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
    settings = _SAVED_AS[form] | options
    buffer = io.BytesIO()
    try:
        image.save(buffer, form.upper(), **settings)
    except OSError:
        if form != "jpeg":
            raise
        # Pillow gives up where an optimised or progressive JPEG takes more than a byte for a pixel: noise.
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", **(settings | {"optimize": False, "progressive": False}))
    return buffer.getvalue()
