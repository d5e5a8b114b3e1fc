"""Still images in standard codecs, AV1 and WebP's lossless format (VP8L), through Pillow.

The container of an AVIF file, 280 bytes, is removed from payloads and restored for decoding
(`cotam.format.av1`). A lossless payload is the VP8L bitstream (RFC 9649, section 3) without its header of
five bytes: width and height are those of the file's header.
"""

from __future__ import annotations

from io import BytesIO
from typing import Literal

import numpy as np
from PIL import AvifImagePlugin, Image, ImageFile, WebPImagePlugin, features

from cotam.codec.colours import is_grey
from cotam.errors import DamagedError, FormatError, LimitError, MissingCodecError, TruncatedError
from cotam.format.av1 import MAX_AV1_SIDE, read_sequence_header, restore_container, strip_container

__all__ = [
    "AVIF_OPTIONS",
    "DRAFT_SPEED",
    "LOSSLESS_OPTIONS",
    "SPEED",
    "can_encode_av1",
    "can_encode_lossless",
    "decode_av1",
    "decode_lossless",
    "encode_av1",
    "encode_lossless",
    "speed_for",
]

SPEED = 6
"""Speed of libaom, 0 (slow) … 10."""

DRAFT_SPEED = 8
"""Takes a sixth of the time of speed 6, for a nearly constant multiple of its bytes (lab/docs/screens.md)."""

_LARGE = 3 << 19
"""Images of more pixels are coded at speed 7 instead of 6, in half the time and a tenth more bytes."""

AVIF_OPTIONS = {
    "codec": "aom",
    "max_threads": 2,  # the bytes are the same for any number above one, and differ for one
    "autotiling": False,
    "advanced": {"enable-paeth-intra": "0", "disable-trellis-quant": "1", "enable-restoration": "0"},
}
"""Options of Pillow that need fewer bytes on screens than its defaults (lab/docs/screens.md)."""

LOSSLESS_OPTIONS = {"lossless": True, "quality": 75, "method": 4}
"""Options of Pillow for lossless WebP."""


def can_encode_av1(width: int, height: int) -> bool:
    """Whether Pillow can code an image of this size: it has AVIF with libaom, and no side is above 2¹⁵."""
    if max(width, height) > MAX_AV1_SIDE or not features.check("avif"):
        return False
    from PIL import _avif

    return bool(_avif.encoder_codec_available("aom"))


def speed_for(effort: Literal["fast", "default", "best"], width: int, height: int) -> int:
    """Return the speed of libaom that suits an effort and a size."""
    if effort == "default":
        return SPEED if width * height <= _LARGE else SPEED + 1
    return DRAFT_SPEED if effort == "fast" else 4


def encode_av1(pixels: np.ndarray, quality: int, *, speed: int = SPEED) -> bytes:
    """Encode an image as an AV1 payload.

    Raises MissingCodecError if Pillow has no AVIF encoder with libaom.

    Parameters
    ----------
    pixels : uint8 (H, W, 3), sRGB; coded as 4:2:0, or as 4:0:0 if all pixels are grey
    quality : 0 … 100, on the scale of AVIF (see `cotam.codec.flat.av1_quality_for`)
    speed : speed of libaom, 0 … 10
    """
    height, width = pixels.shape[:2]
    if not can_encode_av1(width, height):
        raise MissingCodecError("encode", "AVIF")
    grey = is_grey(pixels)
    buffer = BytesIO()
    options = AVIF_OPTIONS | {"quality": quality, "speed": speed, "subsampling": "4:0:0" if grey else "4:2:0"}
    Image.fromarray(pixels[..., 0] if grey else pixels).save(buffer, "AVIF", **options)
    return strip_container(buffer.getvalue())


def decode_av1(payload: bytes, width: int, height: int) -> np.ndarray:
    """Decode an AV1 payload to pixels uint8 (H, W, 3), sRGB.

    The size in the payload is checked before a decoder allocates memory. Raises FormatError if the payload is
    not one 8-bit still image of ``width`` × ``height`` pixels, DamagedError if it cannot be decoded, and
    MissingCodecError if Pillow has no AVIF decoder.
    """
    found = read_sequence_header(payload)
    if (found.width, found.height) != (width, height):
        raise FormatError(f"the AV1 image is {found.width}×{found.height}, the file says {width}×{height}")
    if not features.check("avif"):
        raise MissingCodecError("decode", "AVIF")
    reader = AvifImagePlugin.AvifImageFile
    return _decode(reader, restore_container(payload), width, height, "the AV1 image")


# Lossless

_MAX_VP8L_SIDE = 1 << 14
_MAX_ENCODED_SIDE = _MAX_VP8L_SIDE - 1  # of libwebp's encoder


def can_encode_lossless(width: int, height: int) -> bool:
    """Whether Pillow can code an image of this size: it has WebP, and no side is above 2¹⁴ − 1."""
    return max(width, height) <= _MAX_ENCODED_SIDE and bool(features.check("webp"))


def encode_lossless(pixels: np.ndarray) -> bytes:
    """Encode pixels uint8 (H, W, 3) without loss.

    Raises MissingCodecError if Pillow has no WebP encoder, or a side is above 2¹⁴ − 1 pixels.
    """
    height, width = pixels.shape[:2]
    if not can_encode_lossless(width, height):
        raise MissingCodecError("encode", "WebP")
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", **LOSSLESS_OPTIONS)
    data, header = buffer.getvalue(), _vp8l_header(width, height)
    body = data[20 : 20 + int.from_bytes(data[16:20], "little")]
    if data[12:16] != b"VP8L" or not body.startswith(header):
        raise MissingCodecError("encode", "plain lossless WebP")
    return body.removeprefix(header)


def decode_lossless(payload: bytes, width: int, height: int) -> np.ndarray:
    """Decode a payload to pixels uint8 (H, W, 3).

    Raises TruncatedError or DamagedError if the payload cannot be decoded, FormatError if a side is longer
    than 2¹⁴, LimitError if Pillow allows fewer pixels, and MissingCodecError if it has no WebP decoder.
    """
    if not features.check("webp"):
        raise MissingCodecError("decode", "WebP")
    if max(width, height) > _MAX_VP8L_SIDE:
        raise FormatError(f"sides of a lossless image are at most {_MAX_VP8L_SIDE}, not {width}×{height}")
    if not payload:
        raise TruncatedError("the lossless image is empty")
    body = _vp8l_header(width, height) + payload
    chunk = b"VP8L" + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)
    data = b"RIFF" + (len(chunk) + 4).to_bytes(4, "little") + b"WEBP" + chunk
    return _decode(WebPImagePlugin.WebPImageFile, data, width, height, "the lossless image")


def _decode(reader: type[ImageFile.ImageFile], data: bytes, width: int, height: int, what: str) -> np.ndarray:
    """Decode a file, in messages ``what``, of an expected size, to read-only pixels; raises DamagedError."""
    try:
        # Not Image.open, whose limit of pixels is below ours. The reader of WebP has twice that.
        with reader(BytesIO(data)) as image:
            pixels = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except Image.DecompressionBombError as error:
        raise LimitError(f"{what} is too large for Pillow: {error}") from error
    except (OSError, RuntimeError, SyntaxError, ValueError) as error:
        raise DamagedError(f"{what} is damaged: {error}") from error
    if pixels.shape != (height, width, 3):
        raise DamagedError(f"{what} came out as {pixels.shape[1]}×{pixels.shape[0]} pixels")
    return pixels


def _vp8l_header(width: int, height: int) -> bytes:
    """Return the header of VP8L: signature, width − 1 and height − 1 in 14 bits each, no alpha, version 0."""
    return b"\x2f" + (width - 1 | height - 1 << 14).to_bytes(4, "little")
