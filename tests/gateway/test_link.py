"""`cotam.gateway.link`: bodies come out as they went in."""

from __future__ import annotations

import base64
import json
import os
import struct
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cotam.format.header import MAGIC
from cotam.gateway.link import LinkBody, pack, split, unpack
from cotam.gateway.refusal import RefusedError
from cotam.gateway.store import digest_of

A, B = os.urandom(600), os.urandom(2000)


def body_of(*files: bytes) -> bytes:
    """A request with files in the ways of three APIs."""
    text = [base64.b64encode(file).decode() for file in files]
    openai = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{one}"}} for one in text]
    anthropic = [{"source": {"type": "base64", "media_type": "image/png", "data": one}} for one in text]
    return json.dumps({"messages": [openai, anthropic, "what is ü?"]}, ensure_ascii=False).encode()


def joined(body: LinkBody, files: Mapping[bytes, bytes]) -> bytes:
    return b"".join(body.join(files))


def test_files_cross_once_and_as_they_are() -> None:
    body = body_of(A, B)
    parts = split(body, "application/json")
    assert parts.files == {digest_of(A): A, digest_of(B): B}
    assert len(parts.digests) == 4
    packed = pack(parts, [A, B])
    assert len(packed) < len(A) + len(B) + 500 < len(body)
    got = unpack(packed, 10**6)
    assert got.files == parts.files
    assert joined(got, got.files) == body
    assert len(got.join(got.files)) == len(body)
    assert got.media_type == "application/json"


def test_what_is_held_crosses_as_its_sha256() -> None:
    parts = split(body_of(A, B), "application/json")
    got = unpack(pack(parts, [B]), 10**6)
    assert list(got.files) == [digest_of(B)]
    assert got.digests == (digest_of(A), digest_of(B)) * 2
    assert joined(got, {digest_of(A): A} | got.files) == body_of(A, B)


def test_files_beside_those_of_the_body() -> None:
    parts = split(body_of(A), "application/json")
    got = unpack(pack(parts, [A, B]), 10**6)
    assert got.files == {digest_of(A): A, digest_of(B): B}
    assert joined(got, got.files) == body_of(A)


_runs = st.tuples(
    st.sampled_from(["", '"', ",", "="]),
    st.sampled_from([0, 511, 512, 513, 514, 515, 516, 1024]),
    st.sampled_from(["A", "/", "B"]),
    st.sampled_from(["", "=", "==", "===", '"', '="', '=="', "\\/", "é"]),
).map(lambda row: row[0] + row[2] * row[1] + row[3])


@given(st.lists(_runs, max_size=8))
@example(['"' + "A" * 513 + '=="', '"' + "B" * 514 + '=="'])
def test_any_body_comes_out_as_it_went_in(runs: list[str]) -> None:
    body = "".join(runs).encode()
    parts = split(body, "text/plain")
    got = unpack(pack(parts, parts.files.values()), 10**6)
    assert joined(got, got.files) == body


@given(st.binary(max_size=60), st.integers(0, 400))
def test_damage_is_an_error(noise: bytes, at: int) -> None:
    packed = pack(split(body_of(A), "application/json"), [A])
    damaged = packed[:at] + noise + packed[at + len(noise) :]
    try:
        got = unpack(damaged, 10**6)
    except RefusedError:
        return
    assert all(digest_of(data) == digest for digest, data in got.files.items())


def test_what_is_cut_off_is_refused() -> None:
    packed = pack(split(body_of(A), "application/json"), [A])
    for end in range(len(packed)):
        with pytest.raises(RefusedError):
            unpack(packed[:end], 10**6)
    with pytest.raises(RefusedError, match="1 bytes behind its end"):
        unpack(packed + b"\0", 10**6)


def test_a_media_type_carries_no_header_with_it() -> None:
    data = pack(split(b"{}", "text/plain\r\nX-Other: 1"), [])
    with pytest.raises(RefusedError, match="which no header can have"):
        unpack(data, 100)


def test_what_inflates_too_far_is_refused() -> None:
    packed = pack(split(b" " * 10**6, "application/json"), ())
    assert len(packed) < 2000
    with pytest.raises(RefusedError, match="larger than 500,000 bytes"):
        unpack(packed, 500_000)
    many = struct.pack(">4sBIII", b"CTL1", 0, 0, 10**9, 0)
    with pytest.raises(RefusedError, match="1,000,000,000 files"):
        unpack(many, 500_000)


def test_a_small_cotam_file_is_a_file_too() -> None:
    patch = MAGIC + bytes(50)
    parts = split(body_of(patch, A[:100]), "application/json")
    assert list(parts.files) == [digest_of(patch)]
