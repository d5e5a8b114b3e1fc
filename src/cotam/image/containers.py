"""Detect live sources, and what FFmpeg ignores: a second clip in a file, the missing end of a file."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import BinaryIO

__all__ = ["Pipe", "inspect_container", "is_live"]

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_PLAYLISTS = b"#EXTM3U", b"ffconcat version"
_HEAD = 384
_LONGEST_PACKET = 192  # of MPEG-TS
_TO_THE_END = 1 << 62
_MXF = b"\x06\x0e\x2b\x34"
_MXF_HEADER = _MXF + bytes.fromhex("020501010d0102010102")
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")

_Step = Callable[[bytes], tuple[bool, int]]
"""From the first bytes of a box to whether a clip begins with it, and its length; below 1 if unknown."""


def is_live(name: str) -> bool:
    """Whether a name is an address or a camera. The name of an existing file is neither."""
    return name.startswith("/dev/video") or ("://" in name and not os.path.exists(name))


def inspect_container(file: BinaryIO) -> tuple[list[str], list[str]]:
    """Return notes on a video file, a seekable stream, and one more if its end is missing."""
    file.seek(0)
    head = file.read(_HEAD)
    size = file.seek(0, 2)
    step = _step(head)
    clips, end = _count_clips(file, size, step) if step else (1, 0)
    if head[:4] == _EBML:
        end = _segment_end(file)
    elif head[:4] == _MXF:
        end = _mxf_end(file, size)
    elif length := _ts_packet(head):
        end = _ts_end(file, size, length)
    notes = []
    if clips > 1:
        notes.append(f"there are {clips} clips in the file: of those after the first, frames are left out")
    if head.startswith(_PLAYLISTS) or b"<MPD" in head:
        notes.append("it is a playlist, which is only read from an address: encode the files that it lists")
    if not clips:
        notes.append("its index, the box moov, is missing: its recording or download was broken off")
    return notes, _cut(end - size if clips and end < _TO_THE_END else 0)


class Pipe:
    """A stream that is read once, for which `cut` has a note at its end if MPEG-TS was cut.

    ``unread`` was read from ``file`` already; ``head`` are its first bytes.
    """

    def __init__(self, file: BinaryIO, unread: bytes) -> None:
        self._file, self._unread = file, unread
        self.head = self._tail = b""
        self._size = 0

    def read(self, count: int) -> bytes:
        data, self._unread = self._unread[:count], self._unread[count:]
        data = data or self._file.read(count)
        self._size += len(data)
        if len(self.head) < _HEAD:
            self.head = (self.head + data)[:_HEAD]
        self._tail = (self._tail + data)[-_LONGEST_PACKET:]
        return data

    @property
    def cut(self) -> list[str]:
        length = _ts_packet(self.head)
        cut = self._size % length if length else 0
        sync = length - 188  # within the packet
        if cut <= sync or self._tail[len(self._tail) - cut + sync] != 0x47:
            return []
        return _cut(length - cut)


def _cut(missing: int) -> list[str]:
    bytes_are = "1 byte is" if missing == 1 else f"{missing} bytes are"
    return [f"the file is cut: at least {bytes_are} missing at its end"] if missing > 0 else []


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


def _ts_packet(head: bytes) -> int:
    """Return the bytes of a packet of MPEG-TS, 192 with times as in .m2ts; 0 if it is something else."""
    return next((n for n in (188, 192) if head[n - 188 : 2 * n - 187 : n] == b"\x47\x47"), 0)


def _ts_end(file: BinaryIO, size: int, length: int) -> int:
    """Return the end of the last packet of a transport stream; 0 if it does not begin where it should."""
    start = size - size % length
    file.seek(start + length - 188)
    return start + length if file.read(1) == b"\x47" else 0


def _mxf_end(file: BinaryIO, size: int) -> int:
    """Return where the last item of an MXF file ends, or its footer begins if that is later (SMPTE 377-1)."""
    at = footer = 0
    while at < size:
        file.seek(at)
        head = file.read(64).ljust(64, b"\0")
        count = head[16] & 127 if head[16] > 127 else 0  # of the bytes of the length
        length = int.from_bytes(head[17 : 17 + count], "big") if count else head[16]
        if head[:4] != _MXF:
            return 0
        if head.startswith(_MXF_HEADER):
            footer = at + int.from_bytes(head[17 + count + 24 :][:8], "big")
        at += 17 + count + length
    return max(at, footer)


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
