"""Detect what FFmpeg ignores silently: a second clip in a file, the missing end of a file."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import BinaryIO

__all__ = ["container_notes"]

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_HEAD = 32
_TO_THE_END = 1 << 62
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")

_Step = Callable[[bytes], tuple[bool, int]]
"""From the first bytes of a box to whether a clip begins with it, and its length; below 1 if unknown."""


def container_notes(file: BinaryIO) -> list[str]:
    """Return notes, one line each, on a video file; the seekable stream is at its beginning."""
    head = file.read(_HEAD)
    size = file.seek(0, 2)
    if not size:
        return ["the file is empty"]
    step = _step(head)
    clips, end = _count_clips(file, size, step) if step else (1, 0)
    if head[:4] == _EBML:
        end = _segment_end(file)
    notes = []
    if clips > 1:
        notes.append(f"there are {clips} clips in the file: of those after the first, frames are left out")
    if not clips:
        notes.append("its index, the box moov, is missing: its recording or download was broken off")
    elif size < end < _TO_THE_END:
        notes.append(f"the file is cut: {end - size} bytes are missing at its end")
    return notes


def _count_clips(file: BinaryIO, size: int, step: _Step) -> tuple[int, int]:
    """Count the clips in a file, of which there are several if files were concatenated; and find its end."""
    clips = at = 0
    while at < size:
        file.seek(at)
        begins, length = step(file.read(_HEAD).ljust(_HEAD, b"\0"))
        if length < 1:
            break
        clips, at = clips + begins, at + length
    return clips, at


def _step(head: bytes) -> _Step | None:
    """Return the step of a container format, by its first bytes."""
    if head[4:8] == b"ftyp":
        return _mp4
    known = {b"FLV": _flv, b"DKIF": _ivf, _ASF: _asf}
    return next((step for magic, step in known.items() if head.startswith(magic)), None)


def _mp4(head: bytes) -> tuple[bool, int]:
    """A box (ISO/IEC 14496-12, 4.2); a length of 0 is one that goes on to the end."""
    length, kind, large = struct.unpack_from(">I4sQ", head)
    length = large if length == 1 else length
    return kind == b"moov", length if length >= 8 else _TO_THE_END


def _flv(head: bytes) -> tuple[bool, int]:
    """A header, or a tag of sound, video or data."""
    if head.startswith(b"FLV"):
        return True, 13
    return False, 15 + int.from_bytes(head[1:4], "big") if head[0] & 31 in (8, 9, 18) else 0


def _ivf(head: bytes) -> tuple[bool, int]:
    """A header, or a frame."""
    if head.startswith(b"DKIF"):
        return True, int.from_bytes(head[6:8], "little")
    return False, 12 + int.from_bytes(head[:4], "little")


def _asf(head: bytes) -> tuple[bool, int]:
    """A top-level object of ASF (WMV)."""
    return head.startswith(_ASF), int.from_bytes(head[16:24], "little")


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
