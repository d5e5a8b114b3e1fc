"""Streams as cameras, broadcasts and editors write them: covers, raw streams, restarts, damage, mirrors."""

from __future__ import annotations

import io
import re
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from clips import clip, moving_scene, sound, still_scene, turned, with_index_first
from picture_files import saved
from PIL import Image
from synthetic import picture

from cotam import open_sequence
from cotam.cli.main import main
from cotam.errors import InputError
from cotam.image.animation import Animation, open_clip
from cotam.image.psnr import psnr
from cotam.image.read import to_rgb
from cotam.image.sampling import read_clip
from cotam.image.timeline import Damage, Timeline
from cotam.image.video import Clip

av = pytest.importorskip("av")

FRAMES = still_scene(20, (96, 128))
TIMES = [number / 10 for number in range(20)]
ATTACHED = 0x400  # AV_DISPOSITION_ATTACHED_PIC


def seen(
    data: bytes, fps: float | None = 1.0, most: int | None = None
) -> tuple[list[float], list[np.ndarray], list[str]]:
    """Times and pixels of the sampled frames, and notes."""
    notes: list[str] = []
    with closing(Clip(io.BytesIO(data), "clip")) as opened:
        found = list(read_clip(opened, fps, most, note=notes.append))
    return [round(seconds, 3) for seconds, _ in found], [pixels for _, pixels in found], notes


# Covers


def with_cover(form: str, *, attached: bool = True, first: bool = True) -> bytes:
    """A clip with a cover image in a stream of its own."""
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        streams = {}
        for kind in ("cover", "video") if first else ("video", "cover"):
            streams[kind] = container.add_stream("mjpeg" if kind == "cover" else "libx264", rate=10)
            streams[kind].height, streams[kind].width = (64, 64) if kind == "cover" else (96, 128)
            streams[kind].pix_fmt = "yuvj420p" if kind == "cover" else "yuv420p"
        if attached:
            streams["cover"].disposition = ATTACHED
        cover = av.VideoFrame.from_ndarray(picture(64, 64), format="rgb24")
        for kind, frames in (("cover", [cover]), ("video", FRAMES)):
            for number, frame in enumerate(frames):
                if not isinstance(frame, av.VideoFrame):
                    frame = av.VideoFrame.from_ndarray(frame, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 10)
                container.mux(streams[kind].encode(frame))
            container.mux(streams[kind].encode(None))
    return file.getvalue()


@pytest.mark.parametrize("form", ["mp4", "mov", "matroska"])
@pytest.mark.parametrize("attached", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_a_cover_is_not_the_video(form: str, attached: bool, first: bool) -> None:
    times, frames, notes = seen(with_cover(form, attached=attached, first=first))
    assert times == [0, 1]
    assert frames[0].shape == (96, 128, 3)
    assert notes == []


def test_a_cover_alone_is_no_video() -> None:
    with pytest.raises(InputError, match=r"there is no video in it$"):
        seen(sound())
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width = stream.height = 64
        stream.pix_fmt, stream.disposition = "yuvj420p", ATTACHED
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(64, 64), format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="no video in it, only a cover image"):
        seen(file.getvalue())


def test_a_codec_that_ffmpeg_does_not_know() -> None:
    data = clip(FRAMES[:2], [0, 1], "matroska").replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XYZ")
    with pytest.raises(InputError, match="clip: its video is in a codec that this FFmpeg does not know"):
        Clip(io.BytesIO(data), "clip")


def test_of_two_videos_one_is_read_and_said() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        streams = [container.add_stream("libx264", rate=10) for _ in range(2)]
        for stream in streams:
            stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        for number, pixels in enumerate(FRAMES):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 10)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    times, _, notes = seen(file.getvalue())
    assert times == [0, 1]
    assert notes == ["one of 2 videos in it is read: stream 0, 128×96"]


# Timestamps

RAW = {
    "h264": ("h264", "libx264", "yuv420p"),
    "hevc": ("hevc", "libx265", "yuv420p"),
    "mpeg2": ("mpeg2video", "mpeg2video", "yuv420p"),
    "mpeg4": ("m4v", "mpeg4", "yuv420p"),
    "ivf": ("ivf", "libvpx", "yuv420p"),
}


@pytest.mark.parametrize("name", RAW)
def test_raw_streams_are_timed_by_their_rate(name: str) -> None:
    form, codec, pixels = RAW[name]
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    rate = 25 if name == "mpeg2" else 10
    frames = still_scene(3 * rate, (96, 128))
    data = clip(
        frames, [n / rate for n in range(3 * rate)], form, codec=codec, rate=rate, pixels=pixels, **quiet
    )
    assert seen(data)[0] == pytest.approx([0, 1, 2], abs=0.05)
    assert seen(data, 1.0, 2)[0] == pytest.approx([0, 3 - 1 / rate], abs=0.05)


def test_a_raw_stream_without_a_rate_is_noted() -> None:
    timeline = Timeline(Fraction(1, 1_200_000), None, None)
    assert [timeline.place(None, 0) for _ in range(3)] == pytest.approx([0, 0.04, 0.08])
    assert timeline.notes == ["it states neither times nor a frame rate: taken as 25 frames a second"]
    camera = b"".join(saved(Image.fromarray(frame), "JPEG") for frame in FRAMES)
    coded = clip(FRAMES, TIMES, "obu", codec="libsvtav1", rate=10, pixels="yuv420p", preset="12")
    for data in (camera, coded):
        assert seen(data)[2] == ["it states no frame rate: taken as 25 frames a second"]
    for form in ("JPEG", "PNG"):
        assert seen(saved(Image.fromarray(FRAMES[0]), form))[2] == []


@pytest.mark.parametrize("form", ["mpegts", "mpeg", "flv"])
@pytest.mark.parametrize("offset", [0, 5000])
def test_time_goes_on_where_timestamps_start_anew(form: str, offset: float) -> None:
    codec = {"mpeg": "mpeg2video"}.get(form, "libx264")
    rate = 25 if form == "mpeg" else 10
    frames = still_scene(2 * rate, (96, 128))
    times = [n / rate for n in range(2 * rate)]
    first = clip(frames, [offset + t for t in times], form, codec=codec, rate=rate, pixels="yuv420p")
    second = clip(frames, times, form, codec=codec, rate=rate, pixels="yuv420p")
    data = first + (second[13:] if form == "flv" else second)
    times, _, notes = seen(data)
    assert times == pytest.approx([0, 1, 2, 3], abs=0.1)
    assert len(notes) == 1
    assert "timestamps jump at 2.0 s: time goes on from there" in notes[0]
    assert seen(data, 1.0, 2)[0][-1] > 3.5


def test_a_jump_of_a_broadcast_is_closed() -> None:
    first, second = (
        clip(FRAMES, [start + t for t in TIMES], "mpegts", rate=10, pixels="yuv420p") for start in (0, 7200)
    )
    assert seen(first + second)[0] == pytest.approx([0, 1, 2, 3], abs=0.1)
    long_frame = clip(FRAMES, [*TIMES[:10], *(7200 + t for t in TIMES[:10])], "matroska")
    assert seen(long_frame)[0] == pytest.approx([0, 0.9, 7200], abs=0.1)


@pytest.mark.parametrize(
    ("timestamps", "expected"),
    [
        ([0, 10, 20, 0, 10, 20], [0, 0.1, 0.2, 0.3, 0.4, 0.5]),  # short parts, put together
        ([0, 10, 20, 20, 30], [0, 0.1, 0.2, 0.201, 0.3]),  # twice the same time
        ([0, 30, 10, 20, 40], [0, 0.3, 0.301, 0.302, 0.4]),  # late
        ([500, 510, 0, 10], [0, 0.1, 0.2, 0.3]),
        ([0, 10, None, None, 40], [0, 0.1, 0.2, 0.3, 0.4]),
        ([None, None], [0, 0.1]),
        ([0, 0, 10], [0, 0.001, 0.1]),
        ([0, 10, 10, 10, 10], [0, 0.1, 0.101, 0.201, 0.301]),  # the clock stands still
    ],
)
def test_timeline(timestamps: list[int | None], expected: list[float]) -> None:
    timeline = Timeline(Fraction(1, 100), None, 10)
    assert [timeline.place(timestamp, 10) for timestamp in timestamps] == pytest.approx(expected)


# Orientation

CORNERS = np.zeros((64, 96, 3), np.uint8)
CORNERS[:32, :48], CORNERS[:32, 48:], CORNERS[32:, :48] = (250, 40, 40), (40, 250, 40), (40, 40, 250)
DISPLAYED: dict[tuple[int, int, int, int], Any] = {
    (1, 0, 0, 1): lambda p: p,
    (-1, 0, 0, 1): lambda p: p[:, ::-1],
    (1, 0, 0, -1): lambda p: p[::-1],
    (-1, 0, 0, -1): lambda p: p[::-1, ::-1],
    (0, 1, 1, 0): lambda p: p.transpose(1, 0, 2),
    (0, 1, -1, 0): lambda p: np.rot90(p, -1),
    (0, -1, 1, 0): lambda p: np.rot90(p),
    (0, -1, -1, 0): lambda p: p[::-1, ::-1].transpose(1, 0, 2),
}


@pytest.mark.parametrize("matrix", DISPLAYED)
def test_all_eight_orientations(matrix: tuple[int, int, int, int]) -> None:
    _, (pixels,), _ = seen(turned(clip([CORNERS], [0.0]), matrix))
    expected = DISPLAYED[matrix](CORNERS)
    assert pixels.shape == expected.shape
    assert psnr(pixels, expected) > 25


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_images_as_videos_are_upright(form: str, copies: int, orientation: int) -> None:
    """PyAV 18 does not know FFmpeg's side data for EXIF."""
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(picture(48, 64)).save(file, form, exif=exif)
    _, found, _ = seen(file.getvalue() * copies, None)
    assert len(found) == copies
    assert all(np.array_equal(pixels, to_rgb(file.getvalue())) for pixels in found)


def test_an_image_as_a_video_lies_on_the_background() -> None:
    file = io.BytesIO()
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(file, "PNG")
    with closing(open_clip(io.BytesIO(file.getvalue()), "image", "red")) as found:
        ((_, pixels),) = read_clip(found)
    assert np.array_equal(pixels, np.full((8, 8, 3), (255, 0, 0)))


# Names


@pytest.mark.parametrize("name", ["cam-12:30:05.mp4", "a:b", "http:x.mp4", "%03d.mp4", "concat:a|b.mp4"])
def test_a_file_is_a_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(clip(FRAMES, TIMES))
    result = CliRunner().invoke(main, ["encode", name, "--fps", "1", "-o", "out.cotam"])
    assert (result.exit_code, result.output) == (0, "")
    assert open_sequence("out.cotam").info.times == (0, 1)


def test_a_list_of_files_does_not_open_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request to the gateway could read files of its machine, or its network."""
    monkeypatch.chdir(tmp_path)
    Path("clip.mp4").write_bytes(clip(FRAMES, TIMES))
    for text in (b"ffconcat version 1.0\nfile clip.mp4\n", b"#EXTM3U\nclip.mp4\n", b"<?xml?>\n<MPD>"):
        with pytest.raises(InputError, match=r"cannot be read as video: .*; it is a playlist"):
            seen(text)


# Damage

LONG = still_scene(60, (96, 128), noise=6)


def long_clip(form: str, codec: str = "libx264") -> bytes:
    times = [n / 10 for n in range(60)]
    return clip(LONG, times, form, codec=codec, rate=10, pixels="yuv420p", preset="medium")


@pytest.mark.parametrize("form", ["mp4", "matroska", "mpegts", "avi", "h264"])
def test_damage_in_the_middle_leaves_the_rest(form: str) -> None:
    data = long_clip(form)
    damaged = bytearray(data)
    middle = len(data) // 2
    damaged[middle : middle + 2000] = np.random.default_rng(1).bytes(2000)
    times, frames, notes = seen(bytes(damaged), None)
    whole = dict(zip(*seen(data, None)[:2], strict=True))
    assert 40 <= len(times) < 60
    assert any(text.startswith("damaged at ") or "missing" in text for text in notes)
    if form != "h264":  # without timestamps, frames after the gap come sooner
        for seconds, pixels in zip(times, frames, strict=True):
            assert np.abs(pixels.astype(int) - whole[seconds]).mean() < 2


@pytest.mark.parametrize("form", ["mp4", "avi", "matroska"])
def test_a_cut_file_says_what_is_missing(form: str) -> None:
    data = long_clip(form)
    if form == "mp4":
        data = with_index_first(data)
    times, _, notes = seen(data[: len(data) * 3 // 4], None)
    assert 35 <= len(times) < 60
    assert any("missing" in text for text in notes)


def test_an_end_before_the_stated_length_is_noted() -> None:
    data = clip(FRAMES + FRAMES, [number / 10 for number in range(40)], "matroska")
    notes = seen(data[: len(data) // 2].ljust(len(data), b"\0"))[2]
    stated = "frames may be missing: the last one ends at .+ s, the file states 3.9 s"
    assert any(re.fullmatch(stated, note) for note in notes)
    assert seen(clip(FRAMES[:4], [5, 7, 9, 11], "matroska"))[0::2] == ([0, 2, 4, 6], [])
    (note,) = seen(data[: len(data) // 2])[2]
    assert note.startswith("the file is cut")


def test_frames_that_damage_spoils() -> None:
    damage = Damage()
    assert not damage.spoils(0.0, key=True, corrupt=False)
    damage.found(ValueError("first"))
    assert [damage.spoils(s, key=False, corrupt=False) for s in (0.1, 0.2)] == [True, True]
    assert not damage.spoils(0.3, key=True, corrupt=False)
    assert not damage.spoils(0.4, key=False, corrupt=False)
    assert damage.spoils(0.5, key=False, corrupt=True)
    assert damage.spoils(2.4, key=False, corrupt=False)
    assert not damage.spoils(2.6, key=False, corrupt=False)  # no key frame came for 2 s
    assert damage.notes == [
        "damaged at 0.0, 0.5 s: 5 frames are left out, those from 2.6 s on may show traces of it"
    ]


def test_frames_of_another_size_are_scaled() -> None:
    small = moving_scene(10, (48, 64))
    first, second = (
        clip(frames, TIMES[:10], "mpegts", rate=10, pixels="yuv420p") for frames in (FRAMES[:10], small)
    )
    times, frames, notes = seen(first + second, None)
    assert len(times) == 20
    assert {pixels.shape for pixels in frames} == {(96, 128, 3)}
    assert any("frames are 64×48: scaled to the first one's size" in text for text in notes)
    scaled = np.asarray(Image.fromarray(small[-1]).resize((128, 96), Image.Resampling.BICUBIC))
    assert psnr(frames[-1], scaled) > 25


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "AVIF"])
def test_frames_of_animations_that_state_no_duration(form: str) -> None:
    """Browsers show frames of 10 ms or less for 100 ms."""
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "green", "blue")]
    for durations, expected in (([0, 0, 0], [0, 0.1, 0.2]), ([10, 20, 20], [0, 0.1, 0.12])):
        file = io.BytesIO()
        frames[0].save(file, form, save_all=True, append_images=frames[1:], duration=durations)
        with closing(Animation(file.getvalue(), form)) as opened:
            assert [seconds for seconds, _ in opened.frames()] == pytest.approx(expected, abs=0.002)


def test_one_frame_that_is_left_out_is_singular() -> None:
    damage = Damage()
    damage.spoils(0.0, key=True, corrupt=True)
    assert damage.notes == ["damaged at 0.0 s: 1 frame is left out"]
