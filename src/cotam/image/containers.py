"""Detect what FFmpeg ignores silently: a second clip in MP4 and FLV, the missing end of a Matroska file."""

from __future__ import annotations

import struct
from typing import BinaryIO

__all__ = ["container_notes"]

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def container_notes(file: BinaryIO) -> list[str]:
    """Return notes, one line each, on a video file; the seekable stream is at its beginning."""
    head = file.read(16)
    size = file.seek(0, 2)
    if head[4:8] == b"ftyp" or head[:3] == b"FLV":
        clips = _flv_headers(file, size) if head[:3] == b"FLV" else _moov_boxes(file, size)
        return [f"the first of {clips} clips in the file is read"] if clips > 1 else []
    if head[:4] == _EBML:
        end = _segment_end(file)
        return [f"the file is cut: {end - size} bytes are missing at its end"] if end > size else []
    return []


def _moov_boxes(file: BinaryIO, size: int) -> int:
    """Count movies: there are several if files were concatenated (ISO/IEC 14496-12, 4.2)."""
    found = at = 0
    while at + 8 <= size:
        file.seek(at)
        length, kind, large = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        length = large if length == 1 else length
        found += kind == b"moov"
        if length < 8:  # 0 is a box up to the end of the file
            break
        at += length
    return found


def _flv_headers(file: BinaryIO, size: int) -> int:
    """Count the headers in an FLV file, each followed by tags of sound, video and data."""
    found = at = 0
    while at < size:
        file.seek(at)
        head = file.read(11)
        if head[:3] == b"FLV":
            found, at = found + 1, at + 13
        elif head[0] & 31 in (8, 9, 18):
            at += 15 + int.from_bytes(head[1:4], "big")
        else:
            break
    return found


def _segment_end(file: BinaryIO) -> int:
    """Return where the Matroska segment ends; 0 if its length is not stated (RFC 8794, 6)."""
    file.seek(4)
    file.seek(_length(file) or 0, 1)
    if file.read(4) != _SEGMENT:
        return 0
    length = _length(file)
    return file.tell() + length if length else 0


def _length(file: BinaryIO) -> int | None:
    """Read the length of an EBML element; None if it is unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    count = 8 - first[0].bit_length()
    bits = 7 * (count + 1)
    value = int.from_bytes(first + file.read(count), "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else value
