"""The chunks of PNG files: read, check and write them."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from typing import NamedTuple

__all__ = [
    "MAX_METADATA_BYTES",
    "SIGNATURE",
    "Chunk",
    "damaged_frame",
    "inflated",
    "join_chunks",
    "pixel_damage",
    "raw_size",
    "split_chunks",
    "whole_stream",
]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_METADATA_BYTES = 16 << 20
"""Larger ICC profiles and XMP packets are left out of a rebuilt PNG."""

_INFLATE_STEP = 1 << 20
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # PNG colour type → samples a pixel
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


class Chunk(NamedTuple):
    """A chunk."""

    kind: bytes
    body: bytes
    valid: bool  # the checksum is right


def split_chunks(data: bytes) -> tuple[list[Chunk], bool]:
    """Return the chunks, a truncated one of pixels included, and whether the last is IEND."""
    found: list[Chunk] = []
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if not kind.isalpha():
            break
        body, checksum = data[at + 8 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        if kind == b"IEND":
            return found, True
        cut = len(checksum) < 4
        if not cut or kind in (b"IDAT", b"fdAT"):
            found.append(Chunk(kind, body, cut or struct.pack(">I", zlib.crc32(kind + body)) == checksum))
        at += 12 + length
    return found, False


def join_chunks(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Return a PNG of these (kind, body), and IEND."""
    parts = [SIGNATURE]
    for kind, body in [*chunks, (b"IEND", b"")]:
        parts += [struct.pack(">I", len(body)), kind, body, struct.pack(">I", zlib.crc32(kind + body))]
    return b"".join(parts)


def raw_size(chunks: list[Chunk]) -> int:
    """Return the bytes of all filtered rows; 0 if there is no valid header."""
    header = next((chunk.body for chunk in chunks if chunk.kind == b"IHDR" and len(chunk.body) == 13), None)
    if header is None:
        return 0
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * _CHANNELS.get(colour, 0)
    if not interlaced:
        return height * (1 + (width * bits + 7) // 8) if bits else 0
    size = 0
    for left, top, across, down in _ADAM7:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            size += rows * (1 + (columns * bits + 7) // 8)
    return size


def pixel_damage(data: bytes) -> str:
    """Return what is wrong with the pixel stream of a PNG that Pillow reads; empty if nothing is.

    Pillow does not check its checksums, and leaves missing rows zero.
    """
    chunks, _ = split_chunks(data)
    if any(chunk.kind == b"IDAT" and not chunk.valid for chunk in chunks):
        return "damaged: wrong checksum in IDAT"
    return "" if whole_stream(chunks, trusted=True) else "truncated: rows are missing"


def damaged_frame(data: bytes) -> int | None:
    """Return the number of the first frame of an APNG with a wrong checksum, counted as in Pillow."""
    frame = -1
    for chunk in split_chunks(data)[0]:
        if chunk.kind == b"fcTL" or (chunk.kind == b"IDAT" and frame < 0):
            frame += 1
        if chunk.kind in (b"fcTL", b"fdAT") and not chunk.valid:
            return frame
    return None


def whole_stream(chunks: list[Chunk], *, trusted: bool) -> bytes | None:
    """Return the zlib stream of the pixels with a correct checksum; None if rows are missing.

    If the checksums of its chunks are wrong, that is unless ``trusted``, its own must be right. A stream that
    gives more is not inflated to its end: it is returned as it is, if ``trusted``.
    """
    stream, size = b"".join(chunk.body for chunk in chunks if chunk.kind == b"IDAT"), raw_size(chunks)
    if not size:
        return None
    inflater, checksum, count, rest = zlib.decompressobj(-15), 1, 0, stream[2:]
    with suppress(zlib.error):
        while rest and count <= size and not inflater.eof:
            part = inflater.decompress(rest, min(_INFLATE_STEP, size + 1 - count))
            checksum, count, rest = zlib.adler32(part, checksum), count + len(part), inflater.unconsumed_tail
    stated = inflater.unused_data[:4]
    if count < size or not (trusted or (inflater.eof and stated == struct.pack(">I", checksum))):
        return None
    end = len(stream) - len(inflater.unused_data)
    return stream[:end] + (struct.pack(">I", checksum) if inflater.eof else b"")


def inflated(stream: bytes) -> bytes | None:
    """Inflate a zlib stream; None if it is not whole, or too large."""
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(stream, MAX_METADATA_BYTES)
    except zlib.error:
        return None
    return content if inflater.eof else None
