"""Lossless still images, as WebP's lossless format (VP8L), through Pillow.

A payload is the VP8L bitstream (RFC 9649, section 3) without its header of five bytes: width and height are
those of the file's header.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, WebPImagePlugin, features

from cotam.errors import DamagedError, FormatError, MissingCodecError, TruncatedError

__all__ = ["MAX_VP8L_SIDE", "can_encode_lossless", "decode_lossless", "encode_lossless"]

MAX_VP8L_SIDE = 1 << 14
_MAX_ENCODED_SIDE = MAX_VP8L_SIDE - 1  # of libwebp's encoder

_SIGNATURE = 0x2F
_HEADER_BYTES = 5
_RIFF_BYTES = 20


def can_encode_lossless(width: int, height: int) -> bool:
    """Whether Pillow can code an image of this size: it has WebP, and no side is above 2¹⁴ − 1."""
    return max(width, height) <= _MAX_ENCODED_SIDE and bool(features.check("webp"))


def encode_lossless(pixels: np.ndarray) -> bytes:
    """Encode pixels uint8 (H, W, 3) without loss.

    Raises
    ------
    MissingCodecError
        If Pillow has no WebP encoder, or a side is above 2¹⁴ − 1 pixels.
    """
    height, width = pixels.shape[:2]
    if not can_encode_lossless(width, height):
        raise MissingCodecError("encode", "WebP")
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True, quality=75, method=4)
    data = buffer.getvalue()
    length = int.from_bytes(data[16:20], "little")
    if data[12:16] != b"VP8L" or data[_RIFF_BYTES : _RIFF_BYTES + _HEADER_BYTES] != _header(width, height):
        raise MissingCodecError("encode", "plain lossless WebP")
    return data[_RIFF_BYTES + _HEADER_BYTES : _RIFF_BYTES + length]


def decode_lossless(payload: bytes, width: int, height: int) -> np.ndarray:
    """Decode a payload to pixels uint8 (H, W, 3).

    Raises TruncatedError or DamagedError if the payload cannot be decoded, FormatError if a side is longer
    than 2¹⁴, and MissingCodecError if Pillow has no WebP decoder.
    """
    if not features.check("webp"):
        raise MissingCodecError("decode", "WebP")
    if max(width, height) > MAX_VP8L_SIDE:
        raise FormatError(f"sides of a lossless image are at most {MAX_VP8L_SIDE}, not {width}×{height}")
    if not payload:
        raise TruncatedError("the lossless image is empty")
    body = _header(width, height) + payload
    chunk = b"VP8L" + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)
    data = b"RIFF" + (len(chunk) + 4).to_bytes(4, "little") + b"WEBP" + chunk
    try:
        # Not Image.open, which has its own limit of pixels; the caller has checked ours.
        with WebPImagePlugin.WebPImageFile(BytesIO(data)) as image:
            pixels = np.array(image.convert("RGB"))
    except (OSError, RuntimeError, SyntaxError, ValueError) as error:
        raise DamagedError(f"the lossless image is damaged: {error}") from error
    if pixels.shape != (height, width, 3):
        raise DamagedError(f"the lossless image came out as {pixels.shape[1]}×{pixels.shape[0]} pixels")
    return pixels


def _header(width: int, height: int) -> bytes:
    """Return the header: signature, width − 1 and height − 1 in 14 bits each, no alpha, version 0."""
    return bytes([_SIGNATURE]) + (width - 1 | height - 1 << 14).to_bytes(4, "little")
