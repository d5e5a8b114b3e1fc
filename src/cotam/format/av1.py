"""AV1 still images without their container.

::

    AVIF file  ── strip_container ──▸  payload  ── restore_container ──▸  AVIF file

A payload is one temporal unit of AV1 in its low-overhead format (AV1 specification, 5.2) without the parts
that can be restored: the AVIF boxes, the temporal delimiter and the size field of the last OBU. It has
exactly two OBUs, a sequence header with ``reduced_still_picture_header`` and a frame, so it is one image of a
known size. The sequence header determines how much memory a decoder takes; `read_sequence_header` checks it
first.
"""

from __future__ import annotations

from dataclasses import dataclass

from cotam.errors import FormatError, TruncatedError
from cotam.format.varint import read_varint, varint

__all__ = ["MAX_AV1_SIDE", "SequenceHeader", "read_sequence_header", "restore_container", "strip_container"]

MAX_AV1_SIDE = 1 << 15
"""Largest side in pixels that libavif opens."""

_SEQUENCE_HEADER, _TEMPORAL_DELIMITER, _FRAME = 1, 2, 6
_OBU_NAMES = {_SEQUENCE_HEADER: "sequence header", _TEMPORAL_DELIMITER: "temporal delimiter", _FRAME: "frame"}
_HAS_SIZE = 0x02
_DELIMITER = bytes([_TEMPORAL_DELIMITER << 3 | _HAS_SIZE, 0])
_SRGB = 1, 13, 6
"""Colour of images whose sequence header does not describe it; libavif 1.3 leaves this one out."""


@dataclass(frozen=True)
class SequenceHeader:
    """The fields of an AV1 sequence header that a container repeats."""

    width: int
    height: int
    profile: int  # 0 (4:2:0 and 4:0:0) or 1 (4:4:4)
    level: int  # ``seq_level_idx``
    monochrome: bool  # whether there are no chroma planes
    chroma_position: int  # ``chroma_sample_position``, 0 unless 4:2:0
    # colour primaries, transfer characteristics and matrix coefficients (ITU-T H.273)
    colour: tuple[int, int, int]
    full_range: bool  # whether samples are 0 … 255 rather than 16 … 235


class _Bits:
    """Reads bits, most significant first."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, count: int) -> int:
        if count > self._left:
            raise TruncatedError("the AV1 sequence header ends too early")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def end(self) -> None:
        """Raise FormatError unless the rest is a one bit and at most seven zero bits."""
        left = self._left
        if not 0 < left <= 8 or self.read(left) != 1 << left - 1:
            raise FormatError("the AV1 sequence header does not end where it should")


def strip_container(avif: bytes) -> bytes:
    """Return the payload of an AVIF file with one opaque still image, as Pillow and libaom write it.

    Raises FormatError if the file is anything else.
    """
    bodies = dict(_boxes(avif))
    if bodies.keys() != {b"ftyp", b"meta", b"mdat"}:
        raise FormatError(f"an AVIF file has the boxes ftyp, meta and mdat, not {sorted(bodies)}")
    *before, (frame, body) = _obus(bodies[b"mdat"].removeprefix(_DELIMITER))
    payload = b"".join(whole for whole, _ in before) + bytes([frame[0] & ~_HAS_SIZE]) + body
    read_sequence_header(payload)
    return payload


def read_sequence_header(payload: bytes) -> SequenceHeader:
    """Check a payload's OBUs and read its sequence header.

    Raises FormatError if the payload is not a sequence header and a frame, or not an 8-bit 4:2:0, 4:4:4 or
    4:0:0 still image, TruncatedError if it ends too early.
    """
    obus = _obus(payload)
    kinds = [whole[0] >> 3 for whole, _ in obus]
    if kinds != [_SEQUENCE_HEADER, _FRAME]:
        named = ", ".join(_OBU_NAMES.get(kind, f"type {kind}") for kind in kinds)
        raise FormatError(f"an AV1 payload has a sequence header and a frame, not: {named}")
    return _parse_sequence_header(obus[0][1])


def restore_container(payload: bytes) -> bytes:
    """Return the AVIF file of a payload, byte for byte as libavif writes it.

    Raises as `read_sequence_header`.
    """
    header = read_sequence_header(payload)
    (sequence, _), (frame, body) = _obus(payload)
    data = _DELIMITER + sequence + bytes([frame[0] | _HAS_SIZE]) + varint(len(body)) + body
    kind = b"MA1A" if header.profile == 1 else b"" if header.monochrome else b"MA1B"
    brands = b"ftypavif\0\0\0\0avifmif1miaf" + kind
    start = len(brands) + 4
    offset = start + len(_meta(header, 0, 0)) + 8  # the size of the box does not depend on the numbers
    meta = _meta(header, offset, len(data))
    return start.to_bytes(4, "big") + brands + meta + _box(b"mdat", data)


def _parse_sequence_header(body: bytes) -> SequenceHeader:
    """Parse section 5.5 of the AV1 specification, in the short form for still images."""
    bits = _Bits(body)
    profile, still, reduced, level = bits.read(3), bits.read(1), bits.read(1), bits.read(5)
    if profile > 1 or not still or not reduced:
        raise FormatError("the AV1 image is not an 8-bit still image with a reduced header")
    wide, high = bits.read(4) + 1, bits.read(4) + 1
    width, height = bits.read(wide) + 1, bits.read(high) + 1
    bits.read(3)  # 128×128 superblocks, filter-intra, intra edge filter
    bits.read(3)  # superres, CDEF, loop restoration
    if bits.read(1):
        raise FormatError("the AV1 image has more than 8 bits")
    monochrome = profile == 0 and bool(bits.read(1))
    colour = (bits.read(8), bits.read(8), bits.read(8)) if bits.read(1) else _SRGB
    if colour[2] == 0:
        raise FormatError("the AV1 image codes RGB planes, which is not supported")
    full_range = bool(bits.read(1))
    position = bits.read(2) if profile == 0 and not monochrome else 0
    if not monochrome:
        bits.read(1)  # separate delta q of the chroma planes
    if bits.read(1):
        raise FormatError("the AV1 image has film grain, which is not supported")
    bits.end()
    return SequenceHeader(width, height, profile, level, monochrome, position, colour, full_range)


def _obus(data: bytes) -> list[tuple[bytes, bytes]]:
    """Split a temporal unit into OBUs, each as (whole OBU, its body); the last may lack its size.

    Raises FormatError if a header is not a plain one or a size is wrong, TruncatedError if data are missing.
    """
    found, at = [], 0
    while at < len(data):
        first = data[at]
        if first & 0x85:  # forbidden bit, extension, reserved bit
            raise FormatError(f"the AV1 data have an OBU header of {first:#04x}, which is not supported")
        if first & _HAS_SIZE:
            size, start = read_varint(data, at + 1, "AV1 data")
            if start + size > len(data):
                raise TruncatedError(f"the AV1 data end {start + size - len(data)} bytes too early")
        else:
            start, size = at + 1, len(data) - at - 1
        if not size:
            raise FormatError("the AV1 data have an empty OBU")
        found.append((data[at : start + size], data[start : start + size]))
        at = start + size
    if not found:
        raise TruncatedError("the AV1 data are empty")
    return found


def _boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the top-level boxes of a file, each as (four letters, body)."""
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8 or at + size > len(data):
            raise FormatError(f"the AVIF file has a box of {size} bytes, {len(data) - at} are left")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + size]))
        at += size
    return found


def _box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return (len(body) + 8).to_bytes(4, "big") + name + body


def _full_box(name: bytes, *parts: bytes, flags: int = 0) -> bytes:
    return _box(name, flags.to_bytes(4, "big"), *parts)


def _meta(header: SequenceHeader, offset: int, length: int) -> bytes:
    """Return the metadata box (ISO/IEC 23008-12) of one AV1 item at ``offset`` of the file."""
    item = b"\0\x01"
    planes = 1 if header.monochrome else 3
    subsampling = 0b11 if header.profile == 0 else 0
    layout = header.monochrome << 4 | subsampling << 2 | header.chroma_position
    properties = _box(
        b"ipco",
        _full_box(b"ispe", header.width.to_bytes(4, "big"), header.height.to_bytes(4, "big")),
        _full_box(b"pixi", bytes([planes, *[8] * planes])),
        _box(b"av1C", bytes([0x81, header.profile << 5 | header.level, layout, 0])),
        _box(
            b"colr",
            b"nclx",
            *(number.to_bytes(2, "big") for number in header.colour),
            bytes([header.full_range << 7]),
        ),
    )
    essential = 0x80
    associated = item + bytes([4, 1, 2, essential | 3, 4])
    extent = offset.to_bytes(4, "big") + length.to_bytes(4, "big")
    return _full_box(
        b"meta",
        _full_box(b"hdlr", b"\0\0\0\0pict", bytes(13)),
        _full_box(b"pitm", item),
        _full_box(b"iloc", b"\x44\0\0\x01" + item + b"\0\0\0\x01" + extent),
        _full_box(b"iinf", b"\0\x01", _full_box(b"infe", item + b"\0\0av01Color\0", flags=2 << 24)),
        _box(b"iprp", properties, _full_box(b"ipma", b"\0\0\0\x01" + associated)),
    )
