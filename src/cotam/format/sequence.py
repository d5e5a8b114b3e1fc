"""Read and write sequences: a header, a chunk for each frame, and an index for random access.

`docs/format.md` specifies the bytes. Sequences can be streamed chunk by chunk.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from cotam.errors import DamagedError, FormatError, InputError, TruncatedError
from cotam.format.header import MAGIC, Header, Kind, check16, read_header
from cotam.format.varint import read_varint, varint

__all__ = ["TICKS", "CodedFrame", "Index", "IndexEntry", "SequenceReader", "SequenceWriter", "read_index"]

TICKS = 1_000_000
"""Ticks per second; times are integers in ticks."""

LONGEST_GAP = (1 << 35) - 1
"""Largest number of ticks between two frames, and of the first one, 9.5 hours: a varint of five bytes."""

_FRAME, _INDEX = 0x40, 0x49
_FLAGS = {0, 2, 3, 4, 6, 7, 16, 19}
"""Flags of frames: a key frame is an intra frame, and pasted frames have no levels and are keys if intra."""


@dataclass(frozen=True)
class CodedFrame:
    """The contents of a frame's chunk."""

    key: bool  # whether decoding can start at this frame
    intra: bool  # whether every cell is coded, none copied; True for key frames
    has_levels: bool  # whether the payload has a gain offset map
    payload: bytes = b""  # range-coded bytes, or changes
    checksum: int = 0  # CRC-32 of all symbols, or changes, since the key frame
    pasted: bool = False  # whether the payload is changes of the previous frame (`cotam.format.changes`)

    @property
    def flags(self) -> int:
        """The low bits of the first byte of the chunk."""
        return self.key | self.intra << 1 | self.has_levels << 2 | self.pasted << 4


@dataclass(frozen=True)
class IndexEntry:
    """A frame in the index."""

    start: int  # offset of its chunk in the file, in bytes
    size: int  # size of the chunk in bytes
    ticks: int  # time of the frame
    key: bool  # as in `CodedFrame`


@dataclass(frozen=True)
class Index:
    """Header and index of a sequence, with at least one entry; the first is a key frame."""

    header: Header
    entries: tuple[IndexEntry, ...]


class _IndexWriter:
    """Builds the bytes of the index, frame by frame."""

    def __init__(self) -> None:
        self.count, self._body = 0, bytearray()

    def add(self, frame: CodedFrame, gap: int, size: int) -> None:
        self.count += 1
        self._body += bytes([frame.key | frame.intra << 1]) + varint(gap) + varint(size)

    def finish(self) -> bytes:
        """Return the index; its last four bytes are its length, to find it from the end of the file."""
        out = bytes([_INDEX]) + varint(self.count) + bytes(self._body)
        out += zlib.crc32(out).to_bytes(4, "little")
        return out + len(out).to_bytes(4, "little")


class SequenceWriter:
    """Builds the bytes of a sequence: `start`, then `fields` and `chunk` for each frame, then `finish`."""

    def __init__(self, header: Header) -> None:
        """``header`` is of `Kind.SEQUENCE`."""
        self.header = header
        self._index, self._ticks = _IndexWriter(), 0

    def start(self) -> bytes:
        """Return the header."""
        data = MAGIC + self.header.fields()
        return data + check16(data)

    def fields(self, ticks: int) -> bytes:
        """Return the header fields and the time that the checksum of a frame covers, besides its symbols.

        Raises InputError if the time is not after that of the previous frame, or more than `LONGEST_GAP`
        after it or, of the first frame, after 0.
        """
        gap = ticks - self._ticks
        if gap < 0 or (self._index.count and gap == 0):
            before = self._ticks / TICKS
            raise InputError(f"frame times must rise: {ticks / TICKS:g} s comes after {before:g} s")
        if gap > LONGEST_GAP:
            since = "the frame before it" if self._index.count else "time 0"
            raise InputError(
                f"frame {self._index.count} is {gap / TICKS:g} s after {since}, more than "
                f"{LONGEST_GAP // TICKS} s"
            )
        return self.header.fields() + varint(gap)

    def chunk(self, ticks: int, frame: CodedFrame) -> bytes:
        """Return the chunk of a frame."""
        gap = ticks - self._ticks
        head = bytes([_FRAME | frame.flags]) + varint(gap) + varint(len(frame.payload))
        head += frame.checksum.to_bytes(4, "little")
        data = head + check16(head) + frame.payload
        self._index.add(frame, gap, len(data))
        self._ticks = ticks
        return data

    def finish(self) -> bytes:
        """Return the index."""
        return self._index.finish()


class SequenceReader:
    """Reads a sequence from a binary stream, which need not be seekable.

    Raises NotCotamError, TruncatedError, DamagedError or FormatError if the stream does not begin with the
    header of a sequence.

    Attributes
    ----------
    header : see `Header`
    count : number of frames read
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source, self._index, self.count = source, _IndexWriter(), 0
        self.header = self._take_header()
        self._read = self.header.payload_start  # bytes
        if self.header.kind is not Kind.SEQUENCE:
            raise FormatError("this is a still image and not a sequence: read it with cotam.decode")

    def frames(self) -> Iterator[tuple[int, bytes, CodedFrame]]:
        """Yield ticks, checksummed fields and chunk of each frame as soon as its bytes have arrived.

        Raises TruncatedError after the last whole frame, if the stream ends before the index does, and
        DamagedError or FormatError if a chunk or the index is not valid.
        """
        ticks = 0
        while (tag := self._take(1, "before its index")[0]) != _INDEX:
            start = self._read - 1
            gap, frame = self._take_frame(tag)
            ticks += gap
            self._index.add(frame, gap, self._read - start)
            yield ticks, self.header.fields() + varint(gap), frame
        if not self.count:
            raise DamagedError("the sequence has no frames")
        expected = self._index.finish()
        if bytes([tag]) + self._take(len(expected) - 1, "within its index") != expected:
            raise DamagedError("the index at the end is damaged, or frames are missing")
        if self._source.read(1):
            raise FormatError("there are bytes after the end of the sequence")

    def frame_at(self, number: int, entries: Sequence[IndexEntry]) -> tuple[bytes, CodedFrame]:
        """Read fields and chunk of a frame of a seekable stream with this index.

        Raises DamagedError or FormatError if the chunk is not valid, or not what the index says.
        """
        entry, before = entries[number], entries[number - 1].ticks if number else 0
        self._source.seek(entry.start)
        self.count, start = number, self._read
        gap, frame = self._take_frame(self._take(1, "before its index")[0])
        if (self._read - start, before + gap, frame.key) != (entry.size, entry.ticks, entry.key):
            raise DamagedError("the index at the end does not fit the frames before it")
        return self.header.fields() + varint(gap), frame

    def _take_header(self) -> Header:
        """Read the header, a byte at a time: only the header itself says where it ends."""
        data = b""
        while True:
            try:
                return read_header(data)
            except TruncatedError:
                byte = self._source.read(1)
                if not byte:
                    raise
                data += byte

    def _take_frame(self, tag: int) -> tuple[int, CodedFrame]:
        """Read the chunk of a frame after its first byte; return its time gap and contents."""
        where = f"within frame {self.count}"
        if tag - _FRAME not in _FLAGS:
            raise DamagedError(f"frame {self.count} is not where it should be")
        numbers = self._take_varint(where), self._take_varint(where)
        gap, length = (read_varint(data, 0, "frame")[0] for data in numbers)
        head = bytes([tag]) + b"".join(numbers) + self._take(4, where)
        if check16(head) != self._take(2, where):
            raise DamagedError(f"the head of frame {self.count} is damaged: its checksum does not match")
        if self.count and not gap:
            raise FormatError(f"frame {self.count} has the time of the frame before it")
        if length > 4096 + 1536 * -(-self.header.width // 16) * -(-self.header.height // 16):
            raise FormatError(f"frame {self.count} has {length} bytes, more than any encoder writes")
        payload, checksum = self._take(length, where), int.from_bytes(head[-4:], "little")
        self.count += 1
        key, intra, has_levels, pasted = (bool(tag & flag) for flag in (1, 2, 4, 16))
        return gap, CodedFrame(key, intra, has_levels, payload, checksum, pasted)

    def _take(self, count: int, where: str) -> bytes:
        parts, missing = [], count
        while missing:
            part = self._source.read(min(missing, 1 << 20))
            if not part:
                whole = "1 whole frame is" if self.count == 1 else f"{self.count} whole frames are"
                raise TruncatedError(f"the sequence ends {where}: {whole} there")
            parts.append(part)
            missing -= len(part)
        self._read += count
        return b"".join(parts)

    def _take_varint(self, where: str) -> bytes:
        data = self._take(1, where)
        while data[-1] & 0x80 and len(data) < 5:
            data += self._take(1, where)
        return data


def read_index(data: bytes) -> Index:
    """Read header and index of a whole sequence, without reading its frames.

    Raises NotCotamError, TruncatedError, DamagedError or FormatError if there is no valid index at its end;
    `SequenceReader` may still read frames.
    """
    header = SequenceReader(BytesIO(data)).header
    first, end = header.payload_start, len(data) - 4
    at = end - int.from_bytes(data[end:], "little")
    if not first <= at < end - 5 or data[at] != _INDEX:
        raise TruncatedError("the sequence has no index at its end: it was cut off or is being written")
    if zlib.crc32(data[at : end - 4]) != int.from_bytes(data[end - 4 : end], "little"):
        raise DamagedError("the index at the end is damaged: its checksum does not match")
    start, ticks = first, 0
    entries: list[IndexEntry] = []
    count, position = read_varint(data, at + 1, "index")
    while len(entries) < count and position < end - 4:
        flags = data[position]
        gap, position = read_varint(data, position + 1, "index")
        size, position = read_varint(data, position, "index")
        ticks += gap
        entries.append(IndexEntry(start, size, ticks, bool(flags & 1)))
        start += size
    if len(entries) < count or start != at or position != end - 4 or not entries or not entries[0].key:
        raise DamagedError("the index at the end does not fit the frames before it")
    return Index(header, tuple(entries))
