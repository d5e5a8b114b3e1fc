"""The file around the payload: every field comes back, every damage is named."""

from __future__ import annotations

import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import with_boxes, with_header_crc

from cotam.errors import (
    DamagedError,
    FormatError,
    InputError,
    LimitError,
    NotCotamError,
    TruncatedError,
)
from cotam.format.header import (
    MAGIC,
    MAX_SIDE,
    File,
    Header,
    Kind,
    check16,
    kind_of,
    read_file,
    read_header,
    write_file,
)
from cotam.format.metadata import MAX_METADATA
from cotam.format.varint import read_varint, varint

HEADER = Header(width=336, height=336, quality=50, weights=b"\x12\x34", has_levels=True, checksum=0x89ABCDEF)
METADATA = {"exif": b"II*\0" * 30, "icc": b"profile", "xmp": b"<x:xmpmeta/>" * 9}


def with_box(letter: bytes, body: bytes, repeat: int = 1) -> bytes:
    """A file with one metadata box of any content, its checksum right."""
    return with_boxes(File(HEADER, b"payload"), (letter + varint(len(body)) + body) * repeat)


@given(st.integers(0, 2**35 - 1), st.binary(max_size=3))
def test_varints_come_back(value: int, after: bytes) -> None:
    data = varint(value)
    assert len(data) == max(1, -(-value.bit_length() // 7))
    assert read_varint(b"x" + data + after, 1, "number") == (value, 1 + len(data))


@pytest.mark.parametrize("data", [b"\x80\x00", b"\xff\x80\x00", b"\x80\x80\x80\x80\x80\x01", b"\xff" * 9])
def test_a_varint_has_one_form(data: bytes) -> None:
    with pytest.raises(FormatError, match="width is not a valid number") as caught:
        read_varint(data, 0, "width")
    assert not isinstance(caught.value, TruncatedError)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff\xff"])
def test_a_varint_may_be_cut(data: bytes) -> None:
    with pytest.raises(TruncatedError, match="within its width"):
        read_varint(data, 0, "width")


@settings(max_examples=100)
@given(
    width=st.integers(1, MAX_SIDE),
    height=st.integers(1, MAX_SIDE),
    quality=st.integers(0, 100),
    weights=st.binary(min_size=2, max_size=2),
    has_levels=st.booleans(),
    checksum=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=300),
    metadata=st.dictionaries(st.sampled_from(["exif", "icc", "xmp"]), st.binary(max_size=50)),
)
def test_files_come_back(payload: bytes, metadata: dict[str, bytes], **fields: int | bytes | bool) -> None:
    header = Header(**fields)  # type: ignore[arg-type]
    data = write_file(File(header, payload, metadata))
    file = read_file(data)
    assert file.payload == payload
    assert file.metadata == metadata
    # What a reader has seen of a longer file is enough for the header.
    assert read_header(data[:64]) == file.header
    assert file.header == header
    assert file.header.fields() == header.fields()
    assert write_file(file) == data


def test_fixed_cost_of_a_small_picture_is_24_bytes() -> None:
    payload = bytes(1400)  # 0.1 bits per pixel
    assert len(write_file(File(HEADER, payload))) - len(payload) <= 24


@pytest.mark.parametrize("metadata", [{}, METADATA])
def test_every_cut_is_named(metadata: dict[str, bytes]) -> None:
    data = write_file(File(HEADER, b"payload", metadata))
    for length in range(len(data)):
        with pytest.raises(TruncatedError):
            read_file(data[:length])


@pytest.mark.parametrize("metadata", [{}, METADATA])
def test_every_changed_bit_outside_the_payload_is_found(metadata: dict[str, bytes]) -> None:
    data = write_file(File(HEADER, b"", metadata))
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            read_file(bytes(changed))


def test_other_files_are_not_ours() -> None:
    for data in (b"\x89PNG\r\n\x1a\n" + bytes(50), b"GIF89a", bytes(100), b"\x89CTM\n\x1a\n" + bytes(50)):
        with pytest.raises(NotCotamError):
            read_file(data)


def test_bytes_after_the_end_are_refused() -> None:
    for metadata in ({}, METADATA):
        with pytest.raises(FormatError, match="3 bytes after the end"):
            read_file(write_file(File(HEADER, b"payload", metadata)) + b"abc")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "impossible header: 0×336"),
        ({"height": 0}, "impossible header: 336×0"),
        ({"width": MAX_SIDE + 1}, "impossible header"),
        ({"height": MAX_SIDE + 1}, "impossible header"),
        ({"quality": 101}, "at quality 101"),
    ],
)
def test_impossible_headers_are_refused(change: dict[str, int], message: str) -> None:
    data = write_file(File(replace(HEADER, **change), b""))
    with pytest.raises(FormatError, match=message):
        read_header(data)


def test_other_versions_are_named() -> None:
    data = bytearray(write_file(File(HEADER, b"")))
    for byte, message in (
        (0x01, "version 1 was never released"),
        (0xC1, "version 1 was never released"),
        (0x02, "version 2 was never released"),
        (0x04, "version 4 is unknown, this release reads 3"),
        (0x63, "files of kind 6 are unknown"),
    ):
        data[len(MAGIC)] = byte
        assert kind_of(bytes(data)) is None
        with pytest.raises(FormatError, match=message):
            read_header(bytes(data))


def test_lengths_that_lie_are_found() -> None:
    payload = bytes(100)
    data = write_file(File(HEADER, payload))
    at = read_header(data).payload_start - 7
    assert data[at] == len(payload)
    longer, shorter = bytearray(data), bytearray(data)
    longer[at] += 1
    shorter[at] -= 1
    with pytest.raises(TruncatedError):
        read_file(with_header_crc(bytes(longer)))
    with pytest.raises(FormatError, match="1 bytes after"):
        read_file(with_header_crc(bytes(shorter)))


@pytest.mark.parametrize("size", [MAX_METADATA - 1, MAX_METADATA, MAX_METADATA + 1])
def test_the_metadata_limit_is_exact(size: int) -> None:
    data = with_box(b"E", zlib.compress(bytes(size)))
    if size > MAX_METADATA:
        with pytest.raises(LimitError, match="exif metadata inflate to more than the limit of 16 MiB"):
            read_file(data)
        with pytest.raises(InputError, match="more than the limit of 16777216"):
            write_file(File(HEADER, b"", {"exif": bytes(size)}))
    else:
        assert len(read_file(data).metadata["exif"]) == size


def test_metadata_boxes_that_are_not_whole() -> None:
    body = zlib.compress(b"some metadata")
    for wrong in (body[:-1], body[:3], b"", body + b"x", b"not deflated", body[:-4] + bytes(4)):
        with pytest.raises(DamagedError, match="icc metadata are damaged"):
            read_file(with_box(b"I", wrong))
    with pytest.raises(FormatError, match="occurs twice"):
        read_file(with_box(b"I", body, repeat=2))
    with pytest.raises(FormatError, match="unknown"):
        read_file(with_box(b"Q", body))


def test_unknown_metadata_are_not_written() -> None:
    with pytest.raises(InputError, match="unknown metadata iptc"):
        write_file(File(HEADER, b"", {"iptc": b"x"}))


@pytest.mark.parametrize("kind", [Kind.AV1, Kind.LOSSLESS, Kind.PATCH])
def test_payloads_of_other_kinds_are_checked_byte_by_byte(kind: Kind) -> None:
    data = write_file(File(Header(336, 200, 40, kind), b"some payload", METADATA))
    file = read_file(data)
    assert (kind_of(data), file.kind, file.width, file.height) == (kind, kind, 336, 200)
    assert (file.payload, file.metadata, file.header.weights) == (b"some payload", METADATA, b"")
    assert len(data) - len(file.payload) <= 24 + len(data) - data.index(b"some payload") - 12
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            dict(read_file(bytes(changed)).metadata)


def test_flags_that_a_kind_does_not_have_are_refused() -> None:
    data = bytearray(write_file(File(Header(64, 48, 30, Kind.AV1), b"")))
    data[len(MAGIC) + 1] |= 0x80
    end = len(data) - 2
    data[end:] = check16(data[:end])
    with pytest.raises(FormatError, match="a flag is set that kind av1 does not have"):
        read_header(bytes(data))


def test_boxes_in_lower_case_are_skipped() -> None:
    note = b"n" + varint(4) + b"note"
    icc = zlib.compress(b"profile")
    data = with_boxes(File(HEADER, b"payload"), note + b"I" + varint(len(icc)) + icc + note)
    assert read_file(data).metadata == {"icc": b"profile"}
