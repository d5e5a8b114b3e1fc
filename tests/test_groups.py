"""Sequences of screens: what changes is pasted, and groups of both kinds follow one another."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from clips import still_scene, timed
from hypothesis import given
from hypothesis import strategies as st
from synthetic import page

import cotam
from cotam.codec.contrast import balanced_error
from cotam.codec.flat import error_at
from cotam.errors import CotamError, DamagedError, FormatError, LimitError
from cotam.format.changes import Changes, Copy, Rectangle, write_changes
from cotam.format.sequence import TICKS, CodedFrame, SequenceReader, SequenceWriter
from cotam.pasted import checksum_of


def session(count: int, size: tuple[int, int] = (192, 320)) -> list[np.ndarray]:
    """A screen on which lines of text appear, one in each frame."""
    text = page(16 * count, size[1] // 2, 10)
    frames = []
    for number in range(count):
        frame = np.full((*size, 3), 250, np.uint8)
        frame[:32] = 30, 60, 120
        frame[:64, 160:] = page(64, size[1] - 160)
        frame[64 : 64 + 16 * number, : size[1] // 2] = text[: 16 * number]
        frames.append(frame)
    return frames


def encoded(frames: list[np.ndarray], **options: object) -> bytes:
    return b"".join(cotam.encode_frames(timed(frames), **options))  # type: ignore[arg-type]


def decoded(data: bytes) -> list[np.ndarray]:
    return [np.asarray(image) for _, image in cotam.decode_frames(data)]


def chunks(data: bytes) -> list[CodedFrame]:
    return [frame for _, _, frame in SequenceReader(io.BytesIO(data)).frames()]


SESSION = session(6)
CODED = encoded(SESSION)
MIXED = [*session(2), *still_scene(2, (192, 320)), *session(2)]


def test_what_changes_on_a_screen_is_coded() -> None:
    alone = [cotam.encode(frame) for frame in SESSION]
    assert len(CODED) < 0.6 * sum(map(len, alone))
    assert cotam.open_sequence(CODED).info.keys == (0,)
    found = decoded(CODED)
    assert np.array_equal(found[0], np.asarray(cotam.decode(alone[0])))
    for before, after, number in zip(found[:-1], found[1:], range(5), strict=True):
        changed = slice(64 + 16 * number, 64 + 16 * (number + 1))
        assert not np.array_equal(before[changed], after[changed])
        assert np.array_equal(np.delete(before, changed, 0), np.delete(after, changed, 0))
    for pixels, frame in zip(found, SESSION, strict=True):
        assert balanced_error(frame, pixels) < 2 * error_at(50)


def test_a_screen_that_stays_the_same_costs_hardly_anything() -> None:
    assert cotam.open_sequence(encoded([SESSION[0]] * 4)).info.sizes[1:] == (13, 13, 13)


@pytest.mark.parametrize("by", [24, -33])
def test_a_page_that_is_scrolled_is_copied(by: int) -> None:
    tall = np.full((960, 640, 3), 250, np.uint8)
    tall[:, :200] = page(960, 200, 10)
    frames = [tall[100:612].copy(), tall[100 + by : 612 + by].copy()]
    for frame in frames:
        frame[:48] = 30, 60, 120  # the bar of the browser stays
    first, second = cotam.open_sequence(encoded(frames)).info.sizes
    assert second < first / 2
    for pixels, frame in zip(decoded(encoded(frames)), frames, strict=True):
        assert balanced_error(frame, pixels) < 2 * error_at(50)


def test_small_changes_add_up() -> None:
    """A background that darkens by less than the tolerance in each frame."""
    frames = [np.clip(SESSION[0].astype(int) - number, 0, 255).astype(np.uint8) for number in range(12)]
    found = decoded(encoded(frames))
    assert len({pixels.tobytes() for pixels in found}) < 12
    for pixels, frame in zip(found, frames, strict=True):
        assert balanced_error(frame, pixels) < 3 * error_at(50)


@pytest.mark.parametrize("key_every", [1, 3])
def test_random_access(key_every: int) -> None:
    data = encoded(SESSION, key_every=key_every)
    expected, sequence = decoded(data), cotam.open_sequence(data)
    assert sequence.info.keys == tuple(range(0, 6, key_every))
    for number in (5, 2, 3, 0, 4):
        assert np.array_equal(np.asarray(sequence[number][1]), expected[number])


def test_a_screen_that_changes_as_a_whole_is_a_key_frame() -> None:
    frames = [SESSION[0], page(192, 320), page(192, 320)]
    assert cotam.open_sequence(encoded(frames)).info.keys == (0, 1)


def test_many_small_changes_take_no_more_than_the_whole_image() -> None:
    """Marks far from each other that all change, on plain ground."""
    frames = []
    for colour in (20, 90, 160):
        frame = np.full((480, 640, 3), 250, np.uint8)
        for top in range(40, 480, 96):
            for left in range(40, 640, 96):
                frame[top : top + 12, left : left + 12] = colour
        frames.append(frame)
    sequence = cotam.open_sequence(encoded(frames)).info
    assert sequence.keys == (0, 1, 2)
    assert max(sequence.sizes) <= 1.2 * max(len(cotam.encode(frame)) for frame in frames)


@pytest.mark.parametrize("low_delay", [False, True])
def test_screens_and_photographs_in_one_sequence(low_delay: bool) -> None:
    data = encoded(MIXED, low_delay=low_delay)
    assert [frame.pasted for frame in chunks(data)] == [True, True, False, False, True, True]
    info = cotam.open_sequence(data).info
    assert info.weights == "mllm"
    assert {0, 2, 4} <= {*info.keys}
    expected = decoded(data)
    for pixels, frame in zip(expected, MIXED, strict=True):
        assert balanced_error(frame, pixels) < 4 * error_at(50)
    sequence = cotam.open_sequence(data)
    for number in (3, 1, 5, 2):
        assert np.array_equal(np.asarray(sequence[number][1]), expected[number])


@pytest.mark.parametrize("options", [{"profile": "page"}, {"guide": "lite"}])
def test_a_profile_or_guide_is_for_the_learned_codec(options: dict[str, str]) -> None:
    assert not any(frame.pasted for frame in chunks(encoded(SESSION[:2], **options)))


def rewritten(data: bytes, kept: list[CodedFrame]) -> bytes:
    """A sequence with the header of ``data`` and these frames."""
    writer = SequenceWriter(SequenceReader(io.BytesIO(data)).header)
    parts = [writer.start()]
    parts += [writer.chunk(number * TICKS, frame) for number, frame in enumerate(kept)]
    return b"".join([*parts, writer.finish()])


def test_a_frame_of_another_group_is_damage() -> None:
    pasted, learned = chunks(CODED), chunks(encoded(still_scene(3, (192, 320))))
    for frames in ([learned[0], pasted[1]], [pasted[0], learned[1]]):
        with pytest.raises(DamagedError, match="frame 1: no key frame of its group is before it"):
            decoded(rewritten(CODED, frames))


def test_a_sequence_begins_with_a_key_frame() -> None:
    with pytest.raises(DamagedError, match="frame 0: no key frame is before it"):
        decoded(rewritten(CODED, chunks(CODED)[1:]))


def test_areas_have_a_limit() -> None:
    copies = write_changes(Changes([Copy(0, 0, 320, 192, 0, 0)] * 3))
    writer = SequenceWriter(SequenceReader(io.BytesIO(CODED)).header)
    frame = CodedFrame(True, True, False, copies, pasted=True)
    frame = replace(frame, checksum=checksum_of(frame, writer.fields(0), 0))
    with pytest.raises(LimitError, match=r"^frame 0: the areas have 184320 pixels"):
        decoded(writer.start() + writer.chunk(0, frame) + writer.finish())


def test_a_frame_that_is_left_out_is_damage() -> None:
    entries = chunks(CODED)
    with pytest.raises(DamagedError, match="the checksum of its changes does not match"):
        decoded(rewritten(CODED, [entries[0], *entries[2:]]))


def test_a_key_frame_covers_the_whole_image() -> None:
    still = cotam.encode(SESSION[0][:96])
    frame = CodedFrame(
        True, True, False, write_changes(Changes(rectangles=[Rectangle(0, 0, still)])), 0, pasted=True
    )
    writer = SequenceWriter(SequenceReader(io.BytesIO(CODED)).header)
    frame = replace(frame, checksum=checksum_of(frame, writer.fields(0), 0))
    data = writer.start() + writer.chunk(0, frame) + writer.finish()
    with pytest.raises(FormatError, match=r"frame 0: changes of 0×0 pixels leave 30720 of 320×192 open"):
        decoded(data)


@given(st.integers(0, len(CODED) - 1), st.integers(1, 255))
def test_a_changed_byte_is_damage(at: int, flip: int) -> None:
    changed = bytearray(CODED)
    changed[at] ^= flip
    with pytest.raises(CotamError):
        decoded(bytes(changed))
