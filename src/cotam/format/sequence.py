"""The container of a sequence: header, a chunk for each frame, index. `docs/format.md` is its specification.

Knows bytes, times and flags: nothing of what is in a frame (``temporal``). It is written and read from its
beginning to its end, one chunk at a time; what has an end also has an index, for random access.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from cotam.codec.temporal import CodedFrame
from cotam.errors import DamagedError, FormatError, InputError, NotCotamError, TruncatedError
from cotam.format.header import MAGIC, MAX_SIDE, SEQUENCE, is_sequence, read_varint, varint

__all__ = ["Entry", "SequenceHeader", "SequenceReader", "SequenceWriter", "read_index"]

TICKS = 1_000_000
"""Times are whole microseconds."""

LONGEST_GAP = (1 << 35) - 1
"""Microseconds between two frames, 9.5 hours: a varint of five bytes."""

_FRAME, _INDEX = 0x40, 0x49


@dataclass(frozen=True)
class SequenceHeader:
    """What holds for all frames: width and height in pixels, quality 0 … 100, hash of the weight set."""

    width: int
    height: int
    quality: int
    weights: bytes

    def fields(self) -> bytes:
        """Its bytes after the magic, without their check: each frame's checksum covers them."""
        return bytes([SEQUENCE, self.quality]) + self.weights + varint(self.width) + varint(self.height)


@dataclass(frozen=True)
class Entry:
    """Where a frame is.

    Attributes
    ----------
    start, size : of its chunk, in bytes from the beginning of the file
    ticks : its time in microseconds
    key, whole : as in `CodedFrame`
    """

    start: int
    size: int
    ticks: int
    key: bool
    whole: bool


def _check16(data: bytes) -> bytes:
    return binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "little")


class _Index:
    """The index as it grows, in a few bytes a frame."""

    def __init__(self) -> None:
        self.count, self._body = 0, bytearray()

    def add(self, frame: CodedFrame, gap: int, size: int) -> None:
        self.count += 1
        self._body += bytes([frame.key | frame.whole << 1]) + varint(gap) + varint(size)

    def finish(self) -> bytes:
        """Its bytes, with what finds them from the end of the file: their length in the last four."""
        out = bytes([_INDEX]) + varint(self.count) + bytes(self._body)
        out += zlib.crc32(out).to_bytes(4, "little")
        return out + len(out).to_bytes(4, "little")


class SequenceWriter:
    """Bytes of a sequence, part by part: `start`, `fields` and `chunk` for each frame, `finish`."""

    def __init__(self, header: SequenceHeader) -> None:
        self.header = header
        self._index, self._ticks = _Index(), 0

    def start(self) -> bytes:
        data = MAGIC + self.header.fields()
        return data + _check16(data)

    def fields(self, ticks: int) -> bytes:
        """What the checksum of a frame at this time, in microseconds, covers beside its symbols.

        Raises
        ------
        InputError
            if the time is not after that of the frame before, or is too long after it
        """
        gap = ticks - self._ticks
        if gap < 0 or (self._index.count and gap == 0):
            raise InputError(
                f"frames come in the order of their times: {ticks / TICKS:g} s is not after "
                f"{self._ticks / TICKS:g} s"
            )
        if gap > LONGEST_GAP:
            raise InputError(f"no frame for {gap / TICKS:g} s: at most {LONGEST_GAP // TICKS} s are allowed")
        return self.header.fields() + varint(gap)

    def chunk(self, ticks: int, frame: CodedFrame) -> bytes:
        gap = ticks - self._ticks
        head = bytes([_FRAME | frame.flags]) + varint(gap) + varint(len(frame.payload))
        head += frame.checksum.to_bytes(4, "little")
        data = head + _check16(head) + frame.payload
        self._index.add(frame, gap, len(data))
        self._ticks = ticks
        return data

    def finish(self) -> bytes:
        return self._index.finish()


class SequenceReader:
    """Reads a sequence from a binary stream, which need not be seekable.

    Raises
    ------
    NotCotamError, TruncatedError, DamagedError, FormatError
        if the stream does not begin with the header of a sequence
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source, self._read, self._index = source, 0, _Index()
        data = self._take(len(MAGIC) + 4, "header")
        if data[: len(MAGIC)] != MAGIC:
            raise NotCotamError("not a .cotam file: it does not begin with the magic bytes")
        if not is_sequence(data):
            raise FormatError("this is no sequence of frames: cotam.decode reads still pictures")
        data, (width, height) = self._take_numbers(data, 2, "header")
        if _check16(data) != self._take(2, "header"):
            raise DamagedError("the header is damaged: its checksum does not agree")
        quality, weights = data[len(MAGIC) + 1], data[len(MAGIC) + 2 : len(MAGIC) + 4]
        if not 0 < width <= MAX_SIDE or not 0 < height <= MAX_SIDE or quality > 100:
            raise FormatError(f"impossible header: {width}×{height} pixels at quality {quality}")
        self.header = SequenceHeader(width, height, quality, weights)

    @property
    def count(self) -> int:
        """Frames that were read."""
        return self._index.count

    def frames(self) -> Iterator[tuple[int, bytes, CodedFrame]]:
        """Each frame as soon as its bytes are there: time in microseconds, checked fields, chunk.

        Raises
        ------
        TruncatedError
            after the last whole frame, if the stream ends before the index does
        DamagedError, FormatError
            where a chunk or the index is not as it was written
        """
        ticks = 0
        while (tag := self._take(1, "frames, after the last whole one,")[0]) != _INDEX:
            start = self._read - 1
            if tag & ~0x07 != _FRAME or (tag & 1 and not tag & 2):
                raise DamagedError(f"after {self.count} frames comes neither a frame nor the index")
            head, (gap, length) = self._take_numbers(bytes([tag]), 2, "next frame")
            head += self._take(4, "next frame")
            if _check16(head) != self._take(2, "next frame"):
                raise DamagedError("the head of the next frame is damaged: its checksum does not agree")
            if length > 4096 + 6 * self.header.width * self.header.height:
                raise FormatError(f"a frame of {length} bytes: no encoder writes this")
            payload = self._take(length, "next frame")
            ticks += gap
            checksum = int.from_bytes(head[-4:], "little")
            frame = CodedFrame(bool(tag & 1), bool(tag & 2), bool(tag & 4), payload, checksum)
            self._index.add(frame, gap, self._read - start)
            yield ticks, self.header.fields() + varint(gap), frame
        expected = self._index.finish()
        if bytes([tag]) + self._take(len(expected) - 1, "index") != expected:
            raise DamagedError("the index at the end is damaged, or frames are missing")
        if self._source.read(1):
            raise FormatError("there are bytes after the end of the sequence")

    def _take(self, count: int, what: str) -> bytes:
        parts, missing = [], count
        while missing:
            part = self._source.read(min(missing, 1 << 20))
            if not part:
                number = f": {self.count} whole frames are there" if hasattr(self, "header") else ""
                raise TruncatedError(f"the sequence ends within its {what}{number}".replace(",:", ":"))
            parts.append(part)
            missing -= len(part)
        self._read += count
        return b"".join(parts)

    def _take_numbers(self, data: bytes, count: int, what: str) -> tuple[bytes, list[int]]:
        """``data`` with so many varints more, and their values."""
        numbers = []
        for _ in range(count):
            start = len(data)
            data += self._take(1, what)
            while data[-1] & 0x80 and len(data) < start + 5:
                data += self._take(1, what)
            numbers.append(read_varint(data, start, what)[0])
        return data, numbers


def read_index(data: bytes) -> tuple[SequenceHeader, tuple[Entry, ...]]:
    """Header and index of a whole sequence; its frames are not looked at.

    Raises
    ------
    NotCotamError, TruncatedError, DamagedError, FormatError
        if there is no index at its end: `SequenceReader` may still find frames
    """
    reader = SequenceReader(BytesIO(data))
    lost = TruncatedError("the sequence has no index at its end: it was cut off, or is still being written")
    end = len(data) - 4
    at = end - int.from_bytes(data[end:], "little")
    first = reader._read
    if not first <= at < end - 5 or data[at] != _INDEX:
        raise lost
    if zlib.crc32(data[at : end - 4]) != int.from_bytes(data[end - 4 : end], "little"):
        raise DamagedError("the index at the end is damaged: its checksum does not agree")
    start, ticks = first, 0
    entries: list[Entry] = []
    count, position = read_varint(data, at + 1, "index")
    while len(entries) < count and position < end - 4:
        flags = data[position]
        gap, position = read_varint(data, position + 1, "index")
        size, position = read_varint(data, position, "index")
        ticks += gap
        entries.append(Entry(start, size, ticks, bool(flags & 1), bool(flags & 2)))
        start += size
    if len(entries) < count or start != at or position != end - 4 or not entries or not entries[0].key:
        raise DamagedError("the index at the end does not fit the frames before it")
    return reader.header, tuple(entries)
