"""The file: magic, header, payload, metadata boxes. `docs/format.md` is its specification.

Knows bytes and header fields only: nothing of what the payload means.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cotam.errors import DamagedError, FormatError, InputError, LimitError, NotCotamError, TruncatedError

__all__ = [
    "BOX_KINDS",
    "HEADER_BYTES",
    "KIND_BYTES",
    "MAGIC",
    "MAX_BOX",
    "MAX_SIDE",
    "SEQUENCE",
    "VERSION",
    "File",
    "Header",
    "is_sequence",
    "read_file",
    "read_header",
    "read_varint",
    "varint",
    "whole_bytes",
    "write_file",
]

MAGIC = b"\x89CTM\r\n\x1a\n"
VERSION = 1
SEQUENCE = 2
"""In place of the version: what follows are frames of a sequence (``sequence``)."""
KIND_BYTES = len(MAGIC) + 1
"""Enough of a file to tell a sequence from a still picture."""
HEADER_BYTES = 64
"""Enough of a file for its whole header."""
MAX_SIDE = 1 << 20
MAX_BOX = 16 << 20
BOX_KINDS = {b"E": "exif", b"I": "icc", b"X": "xmp"}

_HAS_BOXES = 0x80
_HAS_LEVELS = 0x40


@dataclass(frozen=True)
class Header:
    """What a file says before its payload.

    Attributes
    ----------
    width, height : pixels, 1 … 2**20
    quality : 0 … 100
    weights : first two bytes of the SHA-256 of the weight set
    has_levels : a level map is at the start of the payload
    checksum : CRC-32 of all symbols, of the weight set's hash and of the header fields
    payload_start, payload_length : where the range-coded bytes are, in bytes
    has_boxes : metadata boxes follow the payload
    """

    width: int
    height: int
    quality: int
    weights: bytes
    has_levels: bool
    checksum: int
    payload_start: int = 0
    payload_length: int = 0
    has_boxes: bool = False

    def fields(self) -> bytes:
        """The bytes that the symbols' checksum covers: all that changes what symbols mean."""
        flags = VERSION | (_HAS_LEVELS if self.has_levels else 0)
        return bytes([flags, self.quality]) + self.weights + varint(self.width) + varint(self.height)


@dataclass(frozen=True)
class File:
    """A whole file: header, range-coded payload and metadata (``exif``, ``icc``, ``xmp`` → bytes)."""

    header: Header
    payload: bytes
    metadata: Mapping[str, bytes] = field(default_factory=dict)


def varint(value: int) -> bytes:
    """Non-negative integer, seven bits a byte, least first, the top bit set on all but the last."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, at: int, what: str) -> tuple[int, int]:
    """The integer at ``at`` and the position after it; at most five bytes, the shortest form only."""
    value = 0
    for count in range(5):
        if at + count >= len(data):
            raise TruncatedError(f"the file ends within its {what}")
        byte = data[at + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            if byte == 0 and count:
                break
            return value, at + count + 1
    raise FormatError(f"the {what} is not a valid number")


def write_file(file: File) -> bytes:
    """Bytes of a file; ``payload_*`` and ``has_boxes`` of the header are worked out here.

    Raises
    ------
    InputError
        if metadata are of a kind that files do not have, or larger than 16 MiB
    """
    for kind, body in file.metadata.items():
        if kind not in BOX_KINDS.values():
            raise InputError(f"metadata {kind!r} are not known; there are: {', '.join(BOX_KINDS.values())}")
        if len(body) > MAX_BOX:
            raise InputError(f"the {kind} metadata are larger than {MAX_BOX >> 20} MiB")
    head = bytearray(MAGIC + file.header.fields())
    if file.metadata:
        head[len(MAGIC)] |= _HAS_BOXES
    head += varint(len(file.payload)) + file.header.checksum.to_bytes(4, "little")
    head += binascii.crc_hqx(head, 0xFFFF).to_bytes(2, "little")
    boxes = b""
    for letter, kind in BOX_KINDS.items():
        if kind in file.metadata:
            body = zlib.compress(file.metadata[kind], 9)
            boxes += letter + varint(len(body)) + body
    if boxes:
        boxes += b"\0" + zlib.crc32(boxes).to_bytes(4, "little")
    return bytes(head) + file.payload + boxes


def whole_bytes(data: Any) -> bytes:
    """The bytes of a file, held by any type of Python's. Raises InputError for what is none, as a path."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InputError(f"a .cotam file is given as its bytes, not as {type(data).__name__}")
    return bytes(data)


def is_sequence(data: bytes) -> bool:
    """Whether these are the first bytes, `KIND_BYTES` at least, of a sequence."""
    return data[: len(MAGIC)] == MAGIC and len(data) > len(MAGIC) and data[len(MAGIC)] & 0x3F == SEQUENCE


def read_header(data: bytes) -> Header:
    """Header of a file of which the first `HEADER_BYTES` suffice.

    Raises
    ------
    NotCotamError, TruncatedError, DamagedError, FormatError
        with a message that says which field is wrong
    """
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise NotCotamError("not a .cotam file: it does not begin with the magic bytes")
    at = len(MAGIC)
    if len(data) < at + 4:
        raise TruncatedError(f"the file ends within its header, after {len(data)} bytes")
    flags, quality, weights = data[at], data[at + 1], bytes(data[at + 2 : at + 4])
    if flags & 0x3F == SEQUENCE:
        raise FormatError(
            "this is a sequence of frames and no still picture: see cotam.decode_frames and sequence_info"
        )
    if flags & 0x3F != VERSION:
        raise FormatError(
            f"format version {flags & 0x3F} is not known to this release, which reads version {VERSION}"
        )
    width, at = read_varint(data, at + 4, "width")
    height, at = read_varint(data, at, "height")
    length, at = read_varint(data, at, "payload length")
    if len(data) < at + 6:
        raise TruncatedError("the file ends within its header")
    if binascii.crc_hqx(data[: at + 4], 0xFFFF) != int.from_bytes(data[at + 4 : at + 6], "little"):
        raise DamagedError("the header is damaged: its checksum does not agree")
    if not 0 < width <= MAX_SIDE or not 0 < height <= MAX_SIDE or quality > 100:
        raise FormatError(f"impossible header: {width}×{height} pixels at quality {quality}")
    return Header(
        width=width,
        height=height,
        quality=quality,
        weights=weights,
        has_levels=bool(flags & _HAS_LEVELS),
        checksum=int.from_bytes(data[at : at + 4], "little"),
        payload_start=at + 6,
        payload_length=length,
        has_boxes=bool(flags & _HAS_BOXES),
    )


def read_file(data: bytes) -> File:
    """Header, payload and metadata of a whole file.

    Raises
    ------
    LimitError
        if a metadata box is larger than 16 MiB
    NotCotamError, TruncatedError, DamagedError, FormatError
        as `read_header`, and for boxes or bytes after the end that do not belong there
    """
    header = read_header(data)
    end = header.payload_start + header.payload_length
    if len(data) < end:
        raise TruncatedError(f"the file ends after {len(data)} of at least {end} bytes")
    metadata, after = _read_boxes(data, end) if header.has_boxes else ({}, end)
    if len(data) > after:
        raise FormatError(f"{len(data) - after} bytes after the end of the file")
    return File(header, data[header.payload_start : end], metadata)


def _read_boxes(data: bytes, start: int) -> tuple[dict[str, bytes], int]:
    metadata: dict[str, bytes] = {}
    at = start
    while True:
        letter = data[at : at + 1]
        if not letter:
            raise TruncatedError("the file ends within its metadata")
        if letter == b"\0":
            break
        if letter not in BOX_KINDS or BOX_KINDS[letter] in metadata:
            raise FormatError(f"metadata box {letter!r} is not known or there twice")
        length, at = read_varint(data, at + 1, "metadata length")
        if len(data) < at + length:
            raise TruncatedError("the file ends within its metadata")
        metadata[BOX_KINDS[letter]] = data[at : at + length]
        at += length
    if len(data) < at + 5:
        raise TruncatedError("the file ends within its metadata")
    if zlib.crc32(data[start:at]) != int.from_bytes(data[at + 1 : at + 5], "little"):
        raise DamagedError("the metadata are damaged: their checksum does not agree")
    return {kind: _inflate(kind, body) for kind, body in metadata.items()}, at + 5


def _inflate(kind: str, body: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        out = inflater.decompress(body, MAX_BOX + 1)
    except zlib.error as error:
        raise DamagedError(f"the {kind} metadata are damaged: {error}") from error
    if len(out) > MAX_BOX:
        raise LimitError(f"the {kind} metadata are larger than {MAX_BOX >> 20} MiB")
    if not inflater.eof or inflater.unused_data:
        raise DamagedError(f"the {kind} metadata are damaged: they do not end where they should")
    return out
