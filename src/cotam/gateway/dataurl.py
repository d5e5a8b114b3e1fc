"""Media in JSON: bytes and their type, as data URLs and as base64."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from cotam.errors import InputError

__all__ = ["Media", "data_url", "decode_base64", "encode_base64", "read_data_url", "url_length"]

_STANDARD = str.maketrans("-_", "+/")


@dataclass(frozen=True)
class Media:
    """The bytes of an image, a video, a sound or a file, and their media type in small letters."""

    media_type: str
    data: bytes


def decode_base64(text: str) -> bytes:
    """The bytes of base64, in the standard or the URL-safe alphabet, with or without padding and line breaks.

    Raises
    ------
    InputError
        if it is not base64
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    plain = "".join(text.split()).translate(_STANDARD).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"the data is not base64: {error}") from error


def encode_base64(data: bytes) -> str:
    """Base64 in the standard alphabet."""
    return base64.b64encode(data).decode("ascii")


def read_data_url(url: str) -> Media | None:
    """Type and bytes of a base64 data URL; None for another address.

    Raises
    ------
    InputError
        if the data is not base64
    """
    head, comma, text = url.partition(",")
    if not comma or head[:5].lower() != "data:" or not head.lower().endswith(";base64"):
        return None
    return Media(head[5:].partition(";")[0].strip().lower(), decode_base64(text))


def url_length(media: Media) -> int:
    """Characters of `data_url`, without making it."""
    return len("data:;base64,") + len(media.media_type) + -(-len(media.data) // 3) * 4


def data_url(media: Media) -> str:
    """``data:…;base64,…``"""
    return f"data:{media.media_type};base64,{encode_base64(media.data)}"
