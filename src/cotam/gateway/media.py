"""Media of requests: data URLs and base64, formats and sizes of images, and files made of them.

Only a short list of formats is accepted, by their first bytes, so that untrusted data do not reach every
reader of Pillow and FFmpeg.
"""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from urllib.parse import unquote

import numpy as np
from PIL import Image

import cotam
from cotam.errors import InputError, LimitError
from cotam.format.header import MAGIC, is_sequence, read_header
from cotam.format.sequence import SequenceReader
from cotam.gateway.cache import Cache
from cotam.gateway.store import digest_of
from cotam.image.read import Pixels, outline, to_rgb
from cotam.image.readers import format_of
from cotam.image.repair import has_end
from cotam.image.write import save_with_options

__all__ = [
    "COTAM",
    "MEDIA_TYPES",
    "Media",
    "Outlines",
    "check_size",
    "count_frames",
    "data_url",
    "decode_base64",
    "format_of",
    "head_of",
    "is_cotam",
    "is_data_url",
    "pixels_of",
    "read_data_url",
    "save_png",
    "url_length",
    "video_format",
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
"""Formats of images that are read, except .cotam."""

_DATA_URL = re.compile(r"[\0- ]*data:", re.IGNORECASE)  # as the URL Standard ignores leading spaces
_BASE64 = re.compile(r"; *base64 *\Z", re.IGNORECASE)  # as in browsers (WHATWG Fetch, data: URL processor)
_STANDARD = str.maketrans("-_", "+/")


# Data URLs and base64


@dataclass(frozen=True)
class Media:
    """The bytes of an image, video, sound or file, and their media type in lower case."""

    media_type: str
    data: bytes


def decode_base64(text: str) -> bytes:
    """Decode base64, in the standard or the URL-safe alphabet, with or without padding and line breaks.

    Raises InputError if it is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        pass
    plain = "".join(text.split()).translate(_STANDARD).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError as error:
        raise InputError(f"the data is not base64: {error}") from error


def is_data_url(url: str) -> bool:
    """Whether the scheme of a URL is ``data``."""
    return bool(_DATA_URL.match(url))


def read_data_url(url: str) -> Media | None:
    """Decode a base64 data URL; None for another address. Raises as `decode_base64`."""
    head, comma, text = url.partition(",")
    if not comma or not is_data_url(head) or not _BASE64.search(head):
        return None
    return Media(head.partition(":")[2].partition(";")[0].strip().lower(), decode_base64(unquote(text)))


def head_of(text: str) -> tuple[str, str]:
    """Return media type and first characters of a data URL; of bare base64 the type is empty."""
    head, data = "", text[:400]
    if is_data_url(text):
        head, _, data = data.partition(":")[2].partition(",")
    return head.partition(";")[0].strip().lower(), data.lstrip()


def url_length(media_type: str, size: int) -> int:
    """Return the length of the `data_url` of so many bytes, in characters."""
    return len("data:;base64,") + len(media_type) + -(-size // 3) * 4


def data_url(media: Media) -> str:
    """Return ``data:…;base64,…``."""
    return f"data:{media.media_type};base64,{base64.b64encode(media.data).decode()}"


# Formats


def is_cotam(data: bytes) -> bool:
    """Whether these are the bytes of a .cotam file, whatever their media type says."""
    return data.startswith(MAGIC)


def video_format(data: bytes) -> str | None:
    """Return mp4 (MOV too), webm (Matroska too), avi or gif, by the first bytes; None for other data."""
    if data[4:8] == b"ftyp" and not format_of(data):
        return "mp4"
    if data.startswith(b"\x1a\x45\xdf\xa3"):
        return "webm"
    if data.startswith(b"RIFF") and data[8:12] == b"AVI ":
        return "avi"
    return "gif" if format_of(data) == "gif" else None


# Images


def count_frames(data: bytes) -> int:
    """Count the frames of a .cotam file: those of a whole sequence, by their headers; 1 for a still.

    Raises FormatError if the sequence was cut off, or is damaged outside of its frames.
    """
    if not is_sequence(data):
        return 1
    return sum(1 for _ in SequenceReader(io.BytesIO(data)).frames())


Outline = tuple[int, int, bool]
"""Width and height of the upright image or of frames, and whether all readers show the file as it is stored.

See `outline`; besides, some do not open a JPEG without its end marker.
"""


def check_size(data: bytes, limit: int) -> Outline:
    """Return the outline of an image, by its header.

    Raises LimitError if it has more than ``limit`` pixels; CotamError if it is damaged, or of another format.
    """
    if is_cotam(data):
        header = read_header(data)
        width, height, as_shown = header.width, header.height, True
    elif kind := format_of(data):
        width, height, as_shown = outline(data, limit)
        as_shown = as_shown and (kind != "jpeg" or has_end(data))
    else:
        raise InputError(f"not an image of a known format: {', '.join(MEDIA_TYPES)} or .cotam")
    if width * height > limit:
        raise LimitError(
            f"the image is {width}×{height}, {width * height / 1e6:.1f} MP: more than the limit of "
            f"{limit / 1e6:g} MP (--size-limit)"
        )
    return width, height, as_shown


class Outlines:
    """Outlines of the images seen last: a PNG is decoded to find its orientation."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: Cache[Outline] = Cache(20_000, size=lambda _: 1)

    def get(self, data: bytes) -> tuple[bytes, Outline]:
        """Return the SHA-256 of an image, and its outline. Raises as `check_size`."""
        key = digest_of(data)
        return key, self._known.get(key, lambda: check_size(data, self._limit))[0]


def pixels_of(data: bytes) -> Pixels:
    """Decode an image of `MEDIA_TYPES` or .cotam, or the first frame of an animation, to upright sRGB pixels.

    Returns uint8 (H, W, 3). Raises CotamError if it is damaged.
    """
    return np.asarray(cotam.decode(data)) if is_cotam(data) else to_rgb(data)


def save_png(image: Image.Image | Pixels) -> bytes:
    """Write a PNG file.

    Level 1 takes a third of the time of Pillow's 6, for a file a tenth larger: it goes to a model nearby.
    """
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    return save_with_options(image, "PNG", compress_level=1)
