"""Metadata boxes after a payload. `docs/format.md` specifies the bytes."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Literal

from cotam.errors import DamagedError, FormatError, InputError, LimitError, TruncatedError
from cotam.format.varint import read_varint, varint

__all__ = ["MAX_METADATA", "METADATA", "Metadata", "read_boxes", "write_boxes"]

MAX_METADATA = 16 << 20
"""Largest inflated box in bytes."""

Metadata = Literal["exif", "icc", "xmp"]
METADATA: dict[bytes, Metadata] = {b"E": "exif", b"I": "icc", b"X": "xmp"}
"""Letter of a box → kind of metadata."""


def write_boxes(metadata: Mapping[str, bytes]) -> bytes:
    """Return the boxes of metadata, empty if there are none.

    Raises InputError if a kind of metadata is unknown, or larger than `MAX_METADATA` bytes.
    """
    if unknown := set(metadata) - set(METADATA.values()):
        raise InputError(f"unknown metadata {', '.join(sorted(unknown))}: choose from exif, icc, xmp")
    boxes = b""
    for letter, kind in METADATA.items():
        if kind in metadata:
            if len(metadata[kind]) > MAX_METADATA:
                size, limit = len(metadata[kind]), MAX_METADATA
                raise InputError(f"the {kind} metadata have {size} bytes, more than the limit of {limit}")
            body = zlib.compress(metadata[kind], 9)
            boxes += letter + varint(len(body)) + body
    return boxes + b"\0" + zlib.crc32(boxes).to_bytes(4, "little") if boxes else b""


def read_boxes(data: bytes, start: int) -> tuple[dict[str, bytes], int]:
    """Return the metadata whose boxes begin at ``start``, and the position after them.

    Raises TruncatedError, DamagedError or FormatError if the boxes are not valid, and LimitError if one
    inflates to more than `MAX_METADATA` bytes.
    """
    bodies: dict[Metadata, bytes] = {}
    at = start
    while (letter := data[at : at + 1]) != b"\0":
        if not letter:
            raise TruncatedError("the file ends within its metadata")
        length, body = read_varint(data, at + 1, "metadata length")
        at = body + length
        if len(data) < at:
            raise TruncatedError("the file ends within its metadata")
        if letter in METADATA and METADATA[letter] not in bodies:
            bodies[METADATA[letter]] = data[body:at]
        elif not letter.isalpha() or letter.isupper():  # a reader may skip lower-case letters
            raise FormatError(f"metadata box {letter!r} is unknown or occurs twice")
    if len(data) < at + 5:
        raise TruncatedError("the file ends within its metadata")
    if zlib.crc32(data[start:at]) != int.from_bytes(data[at + 1 : at + 5], "little"):
        raise DamagedError("the metadata are damaged: their checksum does not match")
    return {kind: _inflate(kind, body) for kind, body in bodies.items()}, at + 5


def _inflate(kind: str, body: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        out = inflater.decompress(body, MAX_METADATA + 1)
    except zlib.error as error:
        raise DamagedError(f"the {kind} metadata are damaged: {error}") from error
    if len(out) > MAX_METADATA:
        raise LimitError(f"the {kind} metadata inflate to more than the limit of {MAX_METADATA >> 20} MiB")
    if not inflater.eof or inflater.unused_data:
        raise DamagedError(f"the {kind} metadata are damaged: the zlib stream does not end where it should")
    return out
