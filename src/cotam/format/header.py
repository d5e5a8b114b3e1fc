"""Read and write files around a payload: magic, header and metadata boxes.

`docs/format.md` specifies the bytes.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from numbers import Real
from typing import Any

from cotam.errors import DamagedError, FormatError, InputError, LimitError, NotCotamError, TruncatedError
from cotam.format.metadata import read_boxes, write_boxes
from cotam.format.varint import read_varint, varint

__all__ = [
    "HEADER_BYTES",
    "KIND_BYTES",
    "MAGIC",
    "MAX_PIXELS",
    "MAX_QUALITY",
    "MAX_SIDE",
    "VERSION",
    "File",
    "Header",
    "Kind",
    "check16",
    "check_size",
    "is_sequence",
    "kind_of",
    "read_file",
    "read_header",
    "read_kind",
    "require_bytes",
    "write_file",
]

MAGIC = b"\x89CTM\r\n\x1a\n"
VERSION = 3
KIND_BYTES = len(MAGIC) + 1
"""Length of the prefix that holds the kind of a file."""
HEADER_BYTES = 64
"""Length of a prefix that always holds the whole header."""

MAX_QUALITY = 100
MAX_SIDE = 1 << 20
"""Largest side in pixels."""
MAX_PIXELS = 200_000_000
"""Default limit of the pixels of an image."""
_HAS_METADATA = 0x80
_HAS_LEVELS = 0x80


class Kind(IntEnum):
    """The kind of payload of a file."""

    LEARNED = 0
    """A still image of the learned codec."""
    AV1 = 1
    """A still image coded as an AV1 intra frame."""
    LOSSLESS = 2
    """A still image coded without loss."""
    SEQUENCE = 3
    """Frames with times."""
    PATCH = 4
    """Rectangles that replace parts of an earlier image."""


@dataclass(frozen=True)
class Header:
    """The fields in front of a payload."""

    width: int  # in pixels, 1 … 2**20
    height: int  # in pixels, 1 … 2**20
    quality: int  # 0 … 100
    kind: Kind = Kind.LEARNED
    # for `Kind.LEARNED` and `Kind.SEQUENCE` the first two bytes of the hash of the weight set, else empty
    weights: bytes = b""
    has_levels: bool = False  # whether the payload of a learned still has a gain offset map
    # CRC-32: of the symbols for a learned still, else of header fields and payload; 0 for a sequence, which
    # has one for each frame
    checksum: int = 0
    # Set by `read_header`:
    has_metadata: bool = field(default=False, compare=False)
    payload_start: int = field(default=0, compare=False)  # in bytes
    payload_length: int = field(default=0, compare=False)  # in bytes

    def fields(self) -> bytes:
        """Return the bytes of the header that the checksum covers."""
        option = _HAS_LEVELS if self.has_levels else 0
        head = bytes([VERSION | self.kind << 4, self.quality | option]) + self.weights
        return head + varint(self.width) + varint(self.height)


@dataclass(frozen=True)
class File:
    """A parsed file of any kind but `Kind.SEQUENCE`."""

    header: Header
    payload: bytes
    metadata: Mapping[str, bytes] = field(default_factory=dict)  # "exif", "icc", "xmp" → bytes

    @property
    def kind(self) -> Kind:
        """The kind of payload."""
        return self.header.kind

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.header.width

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.header.height

    @cached_property
    def data(self) -> bytes:
        """The bytes of the whole file, see `write_file`."""
        return write_file(self)


def require_bytes(data: Any) -> bytes:
    """Return bytes-like ``data`` as bytes.

    Raises InputError if ``data`` is not bytes-like, for example a path.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InputError(f"expected the bytes of a .cotam file, got {type(data).__name__}")
    return bytes(data)


def check_size(width: int, height: int, limit: int | None = None) -> None:
    """Raise LimitError if an image has more than ``limit`` pixels; None is `MAX_PIXELS`.

    Raises InputError if ``limit`` is not a number.
    """
    limit = MAX_PIXELS if limit is None else limit
    if isinstance(limit, bool) or not isinstance(limit, Real):
        raise InputError(f"size_limit must be a number of pixels, got {limit!r}")
    if width * height > limit:
        raise LimitError(f"the image has {width}×{height} pixels, more than the limit of {limit / 1e6:g} MP")


# Writing


def write_file(file: File) -> bytes:
    """Return the bytes of a file. Computes the checksum, except that of a learned still.

    Raises InputError if a kind of metadata is unknown, or larger than `cotam.format.metadata.MAX_METADATA`
    bytes.
    """
    header = file.header
    checksum = header.checksum if header.kind is Kind.LEARNED else _checksum(header, file.payload)
    head = bytearray(MAGIC + header.fields())
    if file.metadata:
        head[len(MAGIC)] |= _HAS_METADATA
    head += varint(len(file.payload)) + checksum.to_bytes(4, "little")
    return bytes(head) + check16(head) + file.payload + write_boxes(file.metadata)


def check16(data: bytes | bytearray) -> bytes:
    """Return the CRC-16 (CCITT) of a header, two bytes."""
    return binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "little")


def _checksum(header: Header, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(header.fields()))


# Reading


def kind_of(data: bytes) -> Kind | None:
    """Return the kind of a file from its first `KIND_BYTES`; None if it is not a known kind."""
    try:
        return read_kind(data)
    except FormatError:
        return None


def is_sequence(data: bytes) -> bool:
    """Whether a file is a sequence, by its first `KIND_BYTES`."""
    return kind_of(data) is Kind.SEQUENCE


def read_header(data: bytes) -> Header:
    """Parse the header of a file of any kind; its first `HEADER_BYTES` suffice.

    Raises NotCotamError, TruncatedError, DamagedError or FormatError if the header is not valid; the message
    names the field.
    """
    kind = read_kind(data)
    if len(data) < len(MAGIC) + 4:
        raise TruncatedError(f"the file ends within its header, after {len(data)} bytes")
    at = len(MAGIC) + 2
    weights = b""
    if kind in (Kind.LEARNED, Kind.SEQUENCE):
        weights, at = bytes(data[at : at + 2]), at + 2
    width, at = read_varint(data, at, "width")
    height, at = read_varint(data, at, "height")
    length = checksum = 0
    if kind is not Kind.SEQUENCE:
        length, at = read_varint(data, at, "payload length")
        checksum, at = int.from_bytes(data[at : at + 4], "little"), at + 4
    if len(data) < at + 2:
        raise TruncatedError(f"the file ends within its header, after {len(data)} bytes")
    if check16(data[:at]) != data[at : at + 2]:
        raise DamagedError("the header is damaged: its checksum does not match")
    quality, option = data[len(MAGIC) + 1] & 0x7F, bool(data[len(MAGIC) + 1] & _HAS_LEVELS)
    has_metadata = bool(data[len(MAGIC)] & _HAS_METADATA)
    if not 0 < width <= MAX_SIDE or not 0 < height <= MAX_SIDE or quality > MAX_QUALITY:
        raise FormatError(f"impossible header: {width}×{height} pixels at quality {quality}")
    if (option and kind is not Kind.LEARNED) or (has_metadata and kind is Kind.SEQUENCE):
        raise FormatError(f"impossible header: a flag is set that kind {kind.name.lower()} does not have")
    return Header(
        width=width,
        height=height,
        quality=quality,
        kind=kind,
        weights=weights,
        has_levels=option,
        checksum=checksum,
        has_metadata=has_metadata,
        payload_start=at + 2,
        payload_length=length,
    )


def read_kind(data: bytes) -> Kind:
    """Check magic and version of a file and return its kind; its first `KIND_BYTES` suffice.

    Raises NotCotamError, TruncatedError or FormatError if the magic or the kind is missing, or this release
    does not know the version or kind.
    """
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise NotCotamError("not a .cotam file: the magic bytes are missing")
    if not data:
        raise TruncatedError("the file is empty")
    if len(data) < KIND_BYTES:
        raise TruncatedError(f"the file ends within its header, after {len(data)} bytes")
    version, number = data[len(MAGIC)] & 0x0F, data[len(MAGIC)] >> 4 & 0x07
    if version in (1, 2):
        raise FormatError(f"format version {version} was never released: encode the image again")
    if version != VERSION:
        raise FormatError(f"format version {version} is unknown, this release reads {VERSION}: upgrade cotam")
    if number >= len(Kind):
        raise FormatError(f"files of kind {number} are unknown to this release: upgrade cotam")
    return Kind(number)


def read_file(data: bytes) -> File:
    """Parse a whole file of any kind but `Kind.SEQUENCE`, without decoding its payload.

    Raises NotCotamError, TruncatedError, DamagedError or FormatError if the file is not valid, is a sequence,
    or has bytes after its end, and LimitError if its metadata are too large.
    """
    header = read_header(data)
    if header.kind is Kind.SEQUENCE:
        raise FormatError("this is a sequence of frames: read it with cotam.decode_frames")
    end = header.payload_start + header.payload_length
    if len(data) < end:
        raise TruncatedError(f"the file ends after {len(data)} of at least {end} bytes")
    metadata, after = read_boxes(data, end) if header.has_metadata else ({}, end)
    if len(data) > after:
        raise FormatError(f"{len(data) - after} bytes after the end of the file")
    file = File(header, bytes(data[header.payload_start : end]), metadata)
    if header.kind is not Kind.LEARNED and _checksum(header, file.payload) != header.checksum:
        raise DamagedError("the payload is damaged: its checksum does not match")
    return file
