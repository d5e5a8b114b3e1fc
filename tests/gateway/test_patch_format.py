"""`cotam.gateway.patch_format`: the file, and what it makes of its base."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import page

import cotam
from cotam.errors import CotamError, FormatError, LimitError, TruncatedError
from cotam.format.changes import Changes, Copy, Rectangle
from cotam.format.header import read_file
from cotam.gateway.patch_format import Patch, base_of, depth_of, is_patch, read_patch, write_patch

STILL = cotam.encode(page(32, 48))
PATCH = Patch(
    120,
    80,
    bytes(range(32)),
    2,
    Changes([Copy(0, 8, 9, 10, 11, 12)], [Rectangle(16, 32, STILL), Rectangle(72, 0, STILL)]),
)
DATA = write_patch(PATCH, 50)


def test_a_patch_is_read_as_it_was_written() -> None:
    assert is_patch(DATA)
    assert not is_patch(STILL)
    assert read_patch(DATA) == PATCH
    assert base_of(DATA) == bytes(range(32))
    assert (depth_of(DATA), depth_of(STILL), depth_of(b"")) == (2, 0, 0)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (
            Patch(120, 80, bytes(32), 1, Changes(rectangles=[Rectangle(80, 0, STILL)])),
            "beyond the 120×80 pixels",
        ),
        (
            Patch(120, 80, bytes(32), 1, Changes(rectangles=[Rectangle(0, 49, STILL)])),
            "beyond the 120×80 pixels",
        ),
        (Patch(120, 80, bytes(32), 1, Changes(rectangles=[Rectangle(0, 0, DATA)])), "not a still"),
        (Patch(120, 80, bytes(32), 1, Changes([Copy(0, 71, 9, 10, 0, 0)])), "beyond the 120×80 pixels"),
        (Patch(120, 80, bytes(32), 1, Changes([Copy(0, 0, 1, 1, 0, 0)] * 65)), "there are 65 copies"),
        (Patch(120, 80, bytes(32), 9, Changes()), "number 9 of its chain"),
        (Patch(0, 80, bytes(32), 1, Changes()), "0×80 pixels"),
        (
            Patch(120, 80, bytes(32), 1, Changes(rectangles=[Rectangle(0, 0, STILL)] * 65)),
            "there are 65 rectangles",
        ),
    ],
)
def test_what_cannot_be_is_refused(patch: Patch, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_patch(write_patch(patch, 50))


def test_rectangles_one_upon_another_are_limited() -> None:
    with pytest.raises(LimitError, match="more than twice"):
        read_patch(
            write_patch(Patch(48, 32, bytes(32), 1, Changes(rectangles=[Rectangle(0, 0, STILL)] * 3)), 50)
        )


def test_a_patch_that_was_cut_off_is_refused() -> None:
    for end in range(len(DATA)):
        with pytest.raises(FormatError):
            read_patch(DATA[:end])
    with pytest.raises(TruncatedError):
        read_patch(DATA[:-1])


@pytest.mark.parametrize("payload", [read_file(DATA).payload[:-1], read_file(DATA).payload + b"x"])
def test_lengths_of_rectangles_that_do_not_add_up(payload: bytes) -> None:
    """All of the file is there, its checksum right: nothing was truncated."""
    with pytest.raises(FormatError, match="bytes by their lengths") as error:
        read_patch(replace(read_file(DATA), payload=payload).data)
    assert error.type is FormatError


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_a_changed_byte_is_damage(at: int, flip: int) -> None:
    changed = bytearray(DATA)
    changed[at] ^= flip
    with pytest.raises(CotamError):
        read_patch(bytes(changed))
