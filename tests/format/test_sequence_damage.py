"""Sequences that were cut, changed or made up: all whole frames, then an error; never a wrong frame."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from clips import timed
from synthetic import picture

import cotam
from cotam.errors import DamagedError, FormatError, TruncatedError
from cotam.format.header import check16
from cotam.format.sequence import SequenceReader, read_index
from cotam.format.varint import read_varint, varint

CODED = b"".join(cotam.encode_frames(timed([picture(70, 90, seed=number // 2) for number in range(5)])))
PICTURES = [(seconds, np.asarray(image)) for seconds, image in cotam.decode_frames(CODED)]


def until_error(data: bytes) -> tuple[list[np.ndarray], FormatError]:
    """The frames that come before the error, and the error."""
    found: list[np.ndarray] = []
    try:
        for _, image in cotam.decode_frames(data):
            found.append(np.asarray(image))
    except FormatError as error:
        return found, error
    raise AssertionError("no error")


def test_a_cut_sequence_gives_all_whole_frames_and_then_an_error() -> None:
    entries = read_index(CODED).entries
    for entry in entries:
        for within in (0, 1, entry.size // 2, entry.size - 1):
            at = entry.start + within
            whole = [e for e in entries if e.start + e.size <= at]
            found, error = until_error(CODED[:at])
            assert isinstance(error, TruncatedError)
            frames = "1 whole frame is" if len(whole) == 1 else f"{len(whole)} whole frames are"
            assert f"{frames} there" in str(error)
            assert len(found) == len(whole)
            for pixels, (_, expected) in zip(found, PICTURES, strict=False):
                assert np.array_equal(pixels, expected)


def with_index(frames: bytes, count: int, entries: bytes) -> bytes:
    """A sequence with this index, its checksum right."""
    index = b"\x49" + varint(count) + entries
    index += zlib.crc32(index).to_bytes(4, "little")
    return frames + index + len(index).to_bytes(4, "little")


def test_an_index_that_counts_wrongly() -> None:
    entry = read_index(CODED).entries[0]
    frames = CODED[: entry.start + entry.size]
    for count in (0, *range(2, 20)):
        for more in (b"", b"\x01", b"\x01\x05"):
            with pytest.raises(FormatError):
                read_index(with_index(frames, count, b"\x03\0" + varint(entry.size) + more))


def test_a_sequence_without_frames() -> None:
    start = read_index(CODED).entries[0].start
    empty = with_index(CODED[:start], 0, b"")
    for read in (cotam.decode, lambda data: list(cotam.decode_frames(data)), cotam.open_sequence):
        with pytest.raises(DamagedError):
            read(empty)


def test_times_rise() -> None:
    """A frame at the time of the frame before it, rightly coded: no encoder writes it."""
    start = read_index(CODED).entries[0].start
    head = b"\x43" + varint(0) + varint(0) + bytes(4)
    frames = CODED[:start] + 2 * (head + check16(head))
    with pytest.raises(FormatError, match="frame 1 has the time of the frame before it"):
        list(SequenceReader(io.BytesIO(frames)).frames())


def test_an_index_with_other_times() -> None:
    entries = read_index(CODED).entries
    body = b"".join(
        bytes([3 if entry.key else 0]) + varint(2_000_000 * (number > 0)) + varint(entry.size)
        for number, entry in enumerate(entries)
    )
    data = with_index(CODED[: entries[-1].start + entries[-1].size], len(entries), body)
    sequence = cotam.open_sequence(data)
    assert sequence[0][0] == 0
    with pytest.raises(DamagedError, match="does not fit the frames before it"):
        sequence[1]


def test_an_index_in_the_place_of_a_frame() -> None:
    start = read_index(CODED).entries[0].start
    empty = with_index(b"", 0, b"")
    data = with_index(CODED[:start] + empty, 1, b"\x03\0" + varint(len(empty)))
    with pytest.raises(DamagedError, match="frame 0 is not where it should be"):
        cotam.open_sequence(data)[0]


def test_a_cut_index_is_an_error_after_all_frames() -> None:
    end = read_index(CODED).entries[-1].start + read_index(CODED).entries[-1].size
    for at in range(end, len(CODED)):
        reader = SequenceReader(io.BytesIO(CODED[:at]))
        with pytest.raises(TruncatedError, match="5 whole frames"):
            list(reader.frames())
        with pytest.raises(FormatError):
            cotam.open_sequence(CODED[:at])


def test_cut_within_the_header() -> None:
    for at in range(read_index(CODED).entries[0].start):
        with pytest.raises(TruncatedError, match=r"ends within its (header|width|height)|is empty"):
            list(cotam.decode_frames(CODED[:at]))


def test_no_changed_byte_gives_a_wrong_frame() -> None:
    entries = read_index(CODED).entries
    places = {*range(entries[0].start), *range(entries[-1].start + entries[-1].size, len(CODED))}
    for entry in entries:  # what a frame begins and ends with, and some of its payload
        frame = range(entry.start, entry.start + entry.size)
        places |= {*frame[:12:2], *frame[-12::2], *frame[::37]}
    whole = 0
    for at in sorted(places):
        changed = bytearray(CODED)
        changed[at] ^= 0x21
        found = []
        try:
            for _, image in cotam.decode_frames(bytes(changed)):
                found.append(np.asarray(image))
        except FormatError:
            pass
        else:
            whole += 1  # the last bits of a payload may be any: its symbols are what they were
            assert len(found) == len(PICTURES)
        for pixels, (_, expected) in zip(found, PICTURES, strict=False):
            assert np.array_equal(pixels, expected)
    assert whole <= len(PICTURES)


def test_chunks_that_were_moved_left_out_or_doubled_are_found() -> None:
    entries = read_index(CODED).entries
    head, end = CODED[: entries[0].start], CODED[entries[-1].start + entries[-1].size :]
    chunks = [CODED[entry.start : entry.start + entry.size] for entry in entries]
    assert not entries[1].key
    for order in ([0, 2, 3, 4], [0, 1, 1, 2, 3, 4], [0, 2, 1, 3, 4], [1, 2, 3, 4]):
        with pytest.raises(FormatError):
            list(cotam.decode_frames(head + b"".join(chunks[number] for number in order) + end))
    with pytest.raises(FormatError, match="bytes after the end"):
        list(cotam.decode_frames(CODED + b"\0"))


@pytest.mark.parametrize("at", ["flags", "microseconds", "length", "checksum"])
def test_forged_fields_of_a_chunk_are_found(at: str) -> None:
    """A head that was changed with care, its own checksum right."""
    entry = read_index(CODED).entries[2]
    _, length_at = read_varint(CODED, entry.start + 1, "microseconds")
    _, checksum_at = read_varint(CODED, length_at, "length")
    places = {
        "flags": entry.start,
        "microseconds": entry.start + 1,
        "length": length_at,
        "checksum": checksum_at,
    }
    for bit in range(7):
        changed = bytearray(CODED)
        changed[places[at]] ^= 1 << bit
        head = changed[entry.start : checksum_at + 4]
        changed[checksum_at + 4 : checksum_at + 6] = check16(head)
        found, _ = until_error(bytes(changed))
        assert 2 <= len(found) <= 3  # the last byte of a payload may be any
        for pixels, (_, expected) in zip(found, PICTURES, strict=False):
            assert np.array_equal(pixels, expected)


def test_a_sequence_begins_with_a_key_frame() -> None:
    entries = read_index(CODED).entries
    with pytest.raises(DamagedError, match="frame 0: no key frame is before it"):
        next(cotam.decode_frames(CODED[: entries[0].start] + CODED[entries[1].start :]))


def test_damage_names_the_frame() -> None:
    entry = read_index(CODED).entries[2]
    changed = bytearray(CODED)
    changed[entry.start + entry.size - 6] ^= 1
    with pytest.raises(DamagedError, match="frame 2: "):
        list(cotam.decode_frames(bytes(changed)))
