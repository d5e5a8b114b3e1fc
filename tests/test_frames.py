"""Frames in, a sequence out, frames back: rates, random access, and what is taken when."""

from __future__ import annotations

import io
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import moving_scene, still_scene, timed
from synthetic import page, picture
from unoptimised import UnoptimisedRunner

import cotam
from cotam.codec import temporal
from cotam.codec.shared import codec
from cotam.errors import DamagedError, FormatError, InputError, LimitError
from cotam.format.sequence import SequenceReader, read_index
from cotam.guide.guidance import Guidance, SmoothedGuidance
from cotam.image.psnr import psnr

SMALL = [picture(70, 90, seed=number // 2) for number in range(5)]


def encoded(frames: list[np.ndarray], **options: object) -> bytes:
    return b"".join(cotam.encode_frames(timed(frames), **options))  # type: ignore[arg-type]


def decoded(data: bytes) -> list[tuple[float, np.ndarray]]:
    return [(seconds, np.asarray(image)) for seconds, image in cotam.decode_frames(data)]


def stills(frames: list[np.ndarray], quality: int = 50) -> list[bytes]:
    return [cotam.encode(frame, quality=quality) for frame in frames]


CODED = encoded(SMALL)
IMAGES = decoded(CODED)


def test_frames_and_times_come_back() -> None:
    times = [0.0, 0.040001, 2.5, 7200.125]
    frames = still_scene(4)
    data = b"".join(cotam.encode_frames(zip(times, frames, strict=True), quality=60))
    found = decoded(data)
    assert [seconds for seconds, _ in found] == times
    for (_, pixels), frame in zip(found, frames, strict=True):
        assert pixels.shape == frame.shape
        assert psnr(pixels, frame) > 26


@pytest.mark.parametrize("low_delay", [False, True])
def test_a_fixed_camera_takes_far_fewer_bytes(low_delay: bool) -> None:
    frames = still_scene(8)
    alone = stills(frames, 40)
    data = encoded(frames, quality=40, low_delay=low_delay)
    assert len(data) < 0.5 * sum(map(len, alone))
    ours = np.mean([psnr(pixels, frame) for (_, pixels), frame in zip(decoded(data), frames, strict=True)])
    theirs = [psnr(np.asarray(cotam.decode(s)), frame) for s, frame in zip(alone, frames, strict=True)]
    assert ours > np.mean(theirs) - 1.0


def test_what_does_not_change_costs_next_to_nothing() -> None:
    info = cotam.open_sequence(encoded([picture(192, 256)] * 4)).info
    assert max(info.sizes[1:]) < 24


@pytest.mark.parametrize("low_delay", [False, True])
def test_a_moving_clip_takes_no_more_than_its_frames_alone(low_delay: bool) -> None:
    frames = moving_scene(5)
    data = encoded(frames, low_delay=low_delay)
    assert len(data) <= 1.02 * sum(map(len, stills(frames)))
    assert cotam.open_sequence(data).info.keys == (0, 1, 2, 3, 4)


def test_a_scene_that_comes_back_is_copied() -> None:
    here, there = picture(192, 256, seed=1), picture(192, 256, seed=2)
    sizes = cotam.open_sequence(encoded([here, here, there, here, here])).info.sizes
    assert sizes[2] > 10 * max(sizes[1], sizes[3], sizes[4])


def test_slow_changes_do_not_add_up() -> None:
    """Copies are weighed against the frame itself, so a scene that fades is not left behind."""
    scene = picture(128, 128).astype(float)
    frames = [np.rint(scene * (1 - number / 24)).astype(np.uint8) for number in range(12)]
    last = decoded(encoded(frames, quality=60))[-1][1]
    alone = np.asarray(cotam.decode(cotam.encode(frames[-1], quality=60)))
    assert psnr(last, frames[-1]) > psnr(alone, frames[-1]) - 5


def test_an_open_sequence_is_a_sequence(tmp_path: Path) -> None:
    data = encoded(still_scene(7), key_every=3)
    (tmp_path / "clip.cotam").write_bytes(data)
    sequence, expected = cotam.open_sequence(tmp_path / "clip.cotam"), decoded(data)
    assert len(sequence) == 7
    assert sequence.info.keys == (0, 3, 6)
    for (seconds, image), (known, pixels) in zip(sequence, expected, strict=True):
        assert seconds == known
        assert np.array_equal(np.asarray(image), pixels)
    for number in (-1, 2, 6, 5, 0, 1):  # in any order, going on or starting anew
        assert np.array_equal(np.asarray(sequence[number][1]), expected[number][1])
    for number in (7, -8):
        with pytest.raises(IndexError, match=f"no frame {number}: the sequence has 0 to 6"):
            sequence[number]
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        sequence["a"]  # type: ignore[index]


def test_frames_in_order_are_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(still_scene(6), key_every=6)
    count, decode = 0, temporal.FrameDecoder.decode

    def counting(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        return decode(*arguments)

    monkeypatch.setattr(temporal.FrameDecoder, "decode", counting)
    assert len(list(cotam.open_sequence(data))) == count == 6


def test_random_access_needs_nothing_before_the_key_frame() -> None:
    data = encoded(still_scene(6), key_every=3)
    expected = np.asarray(cotam.open_sequence(data)[5][1])
    entries = read_index(data).entries
    blank = bytearray(data)
    blank[entries[0].start : entries[3].start] = bytes(entries[3].start - entries[0].start)
    assert np.array_equal(np.asarray(cotam.open_sequence(bytes(blank))[5][1]), expected)
    with pytest.raises(DamagedError):
        cotam.open_sequence(bytes(blank))[2]


def test_key_frames_on_request() -> None:
    frames = still_scene(6)
    assert cotam.open_sequence(encoded(frames, key_at=[1.5, 4.0])).info.keys == (0, 2, 4)
    assert cotam.open_sequence(encoded(frames, key_every=1)).info.keys == tuple(range(6))


def test_a_key_frame_is_not_missed_by_rounding() -> None:
    """4.03 s are 4030000.0000000005 µs in floats."""
    frames = zip((0, 4.03, 5), still_scene(3), strict=True)
    data = b"".join(cotam.encode_frames(frames, key_at=[4.03]))
    assert cotam.open_sequence(data).info.keys == (0, 1)


def test_noise_in_a_narrow_clip_at_the_highest_quality() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, 4000, 3), np.uint8)
    data = b"".join(cotam.encode_frames(timed([noise, noise]), quality=100, profile="mllm"))
    assert len(list(cotam.decode_frames(data))) == 2


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (65, 63), (1, 300)])
def test_any_size(size: tuple[int, int]) -> None:
    frames = [picture(*size, seed=number) for number in (1, 1, 2)]
    assert [pixels.shape for _, pixels in decoded(encoded(frames))] == [(*size, 3)] * 3


# Streams


class Taken:
    """Counts the frames that were taken."""

    def __init__(self, frames: list[np.ndarray]) -> None:
        self.count, self._frames = 0, frames

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        for frame in self._frames:
            self.count += 1
            yield float(self.count), frame


@pytest.mark.parametrize(("low_delay", "ahead"), [(True, 0), (False, 1)])
def test_frames_are_taken_when_bytes_are_asked_for(low_delay: bool, ahead: int) -> None:
    frames = Taken(SMALL)
    parts = cotam.encode_frames(frames, low_delay=low_delay)
    assert frames.count == 0
    next(parts)
    for number in range(1, 6):
        next(parts)
        assert frames.count == min(number + ahead, 5)


def test_a_frame_is_decoded_as_soon_as_its_bytes_are_there() -> None:
    class Slow(io.RawIOBase):
        given = 0

        def read(self, count: int = -1) -> bytes:
            part = CODED[self.given : self.given + min(count, 10)]
            self.given += len(part)
            return part

    source = Slow()
    for entry, (seconds, image) in zip(read_index(CODED).entries, cotam.decode_frames(source), strict=False):  # type: ignore[arg-type]
        assert source.given == entry.start + entry.size
        assert seconds == entry.ticks / 1e6
        image.close()


def test_few_frames_are_held_at_a_time() -> None:
    held: list[weakref.ref[np.ndarray]] = []
    most = 0

    def frames() -> Iterator[tuple[float, np.ndarray]]:
        nonlocal most
        for number, pixels in enumerate(still_scene(12, (64, 64))):
            copy = pixels.copy()
            held.append(weakref.ref(copy))
            most = max(most, sum(one() is not None for one in held))
            yield float(number), copy
            del copy

    for _ in cotam.encode_frames(frames()):
        pass
    assert most <= 4


# Arguments


def test_wrong_frames_are_refused() -> None:
    def error(frames: list[tuple[float, np.ndarray]]) -> str:
        with pytest.raises(InputError) as caught:
            list(cotam.encode_frames(frames))
        return str(caught.value)

    a, b = SMALL[0], picture(50, 60)
    assert error([]) == "there are no frames to encode"
    assert error([(0, a), (1, b)]) == "frame 1 is 60×50, the first is 90×70"
    assert error([(1, a), (1, a)]) == "frame times must rise: 1 s comes after 1 s"
    assert "0.5 s comes after 1 s" in error([(1, a), (0.5, a)])
    for seconds in (-1.0, float("nan"), float("inf")):
        assert "seconds from 0 on" in error([(seconds, a)])
    assert "frame 1 is 40000 s after the frame before it" in error([(0, a), (40_000, a)])
    assert "frame 0 is 1.7e+09 s after time 0" in error([(1.7e9, a)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": 101}, "quality must be a whole number from 0 to 100"),
        ({"profile": "x"}, "unknown profile 'x'"),
        ({"key_every": 0}, "key_every must be a whole number above 0"),
        ({"guide": "magic"}, "unknown guide 'magic'"),
    ],
)
def test_wrong_arguments_are_refused_at_once(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        cotam.encode_frames([], **options)  # type: ignore[arg-type]


def test_frames_shrink_to_what_the_model_sees() -> None:
    data = encoded([picture(400, 500)] * 2, fit="llava-1.5")
    assert cotam.decode(data).size == (420, 336)


# Beside still images


def test_a_sequence_as_a_still_is_its_first_frame() -> None:
    assert np.array_equal(np.asarray(cotam.decode(CODED)), IMAGES[0][1])


def test_stills_and_sequences_are_not_mixed_up() -> None:
    still = cotam.encode(SMALL[0])
    with pytest.raises(FormatError, match="sequence of frames: read it with"):
        cotam.info(CODED)
    with pytest.raises(FormatError, match=r"still image and not a sequence: read it with cotam\.decode"):
        list(cotam.decode_frames(still))
    with pytest.raises(FormatError, match="not a sequence"):
        cotam.open_sequence(still)
    with pytest.raises(FormatError, match="magic bytes are missing"):
        list(cotam.decode_frames(b"\x89PNG\r\n\x1a\n" + bytes(30)))


def test_info() -> None:
    info = cotam.open_sequence(CODED).info
    assert (info.width, info.height, info.quality, info.weights) == (90, 70, 50, "mllm")
    assert info.times == (0, 1, 2, 3, 4)
    assert info.bytes == len(CODED)
    assert info.bpp == pytest.approx(8 * len(CODED) / (5 * 90 * 70))
    assert 0 < info.bytes - sum(info.sizes) < 80


def test_size_limit_comes_before_the_work() -> None:
    with pytest.raises(LimitError, match="the image has 90×70 pixels"):
        next(cotam.decode_frames(CODED[:40], size_limit=6299))
    assert len(list(cotam.decode_frames(CODED, size_limit=6300))) == 5


# Guides


class Flicker:
    """Now the left half counts more, now the right one."""

    def __init__(self) -> None:
        self.turn = 0

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        self.turn += 1
        return np.array([[16, 1] if self.turn % 2 else [1, 16]], np.float32) / 8.5


def test_importance_is_smoothed_over_time() -> None:
    def contrast(levels: np.ndarray, change: int) -> float:
        """Of the lower half, which is coded in each frame."""
        return change * float(levels[4:, :4].mean() - levels[4:, 4:].mean())

    frames = [picture(256, 256, seed=1).copy() for _ in range(3)]
    for number, frame in enumerate(frames):
        frame[128:] = picture(128, 256, seed=10 + number)
    from cotam.codec.temporal import FrameEncoder

    allocate = SmoothedGuidance(Guidance(Flicker()))
    encoder = FrameEncoder(codec(), (256, 256), 50, key_every=32, allocate=allocate)
    found = []
    for frame in frames:
        coded = encoder.encode(encoder.prepare(frame), None, b"")
        found.append((coded.intra, encoder._sources[0].levels.astype(float)))
    assert [whole for whole, _ in found] == [True, False, False]
    first, second, third = (
        contrast(levels, sign) for (_, levels), sign in zip(found, (1, -1, 1), strict=True)
    )
    assert first > 2
    assert abs(second) < first / 2
    assert 0 < third < first


def test_frames_of_a_page_are_coded_as_pages() -> None:
    """The first frame settles it, and what the guide does."""
    noise = np.random.default_rng(1).integers(-9, 10, (90, 140, 3))
    scan = np.clip(page(90, 140) + noise, 0, 255).astype(np.uint8)
    frames = [(0.0, scan), (1.0, picture(90, 140))]
    data = b"".join(cotam.encode_frames(frames))
    assert cotam.open_sequence(data).info.weights == "page"
    assert data == b"".join(cotam.encode_frames(frames, profile="page", guide="none"))
    guided = b"".join(cotam.encode_frames(frames, guide=Flicker()))
    assert guided == b"".join(cotam.encode_frames(frames, guide=Flicker(), profile="page"))
    photograph_first = [(0.0, frames[1][1]), (1.0, frames[0][1])]
    assert cotam.open_sequence(b"".join(cotam.encode_frames(photograph_first))).info.weights == "mllm"


# The same on every machine


def test_frames_decode_whatever_runs_the_graphs() -> None:
    from cotam.codec.still import Codec
    from cotam.codec.temporal import FrameDecoder
    from cotam.runtime import OnnxRunner, Runner

    weights = codec().weights
    runners: list[Runner] = [UnoptimisedRunner(weights.folder, 2), OnnxRunner(weights.folder, 1)]
    for runner in runners:
        reader = SequenceReader(io.BytesIO(CODED))
        decoder = FrameDecoder(Codec(weights, runner), (70, 90), reader.header.quality)
        for (_, fields, frame), (_, expected) in zip(reader.frames(), IMAGES, strict=True):
            pixels = decoder.codec.synthesise(decoder.decode(frame, fields))
            assert np.abs(pixels.astype(int) - expected).max() <= 4  # see test_runtime


@pytest.mark.parametrize("frame", [picture(16, 16), (picture(16, 16),), 3.0])
def test_a_frame_without_its_time_is_refused(frame: Any) -> None:
    with pytest.raises(InputError, match=r"frame 0: expected \(seconds, image\), got "):
        list(cotam.encode_frames([frame]))


def test_a_time_is_a_number() -> None:
    with pytest.raises(InputError, match="frame 0: time must be a number of seconds"):
        list(cotam.encode_frames([("0", picture(16, 16))]))  # type: ignore[list-item]


def test_times_in_short_floats() -> None:
    times = [np.float16(1), np.float32(7200.125)]
    data = b"".join(cotam.encode_frames(zip(times, SMALL, strict=False)))
    assert cotam.open_sequence(data).info.times == (1.0, 7200.125)


@pytest.mark.parametrize("wrong", [3, None, "1.5", [None], [1, "x"], [float("nan")]])
def test_seconds_of_key_frames_are_numbers(wrong: Any) -> None:
    with pytest.raises(InputError, match="key_at must be numbers of seconds, got "):
        cotam.encode_frames([(0, SMALL[0])], key_at=wrong)


@pytest.mark.parametrize("wrong", [3, None])
def test_frames_are_pairs(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"frames must be \(seconds, image\) pairs, got "):
        cotam.encode_frames(wrong)
