"""Clips and pipes: what is sampled, upright, and said of what is no video; the command line on them."""

from __future__ import annotations

import io
import json
import math
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from clips import clip, moving_scene, sound, still_scene
from PIL import Image
from synthetic import picture

import cotam
from cotam.cli.main import main
from cotam.errors import InputError
from cotam.format.sequence import read_index
from cotam.image.pipes import PipeFormat, read_pipe
from cotam.image.psnr import psnr
from cotam.image.sampling import read_clip, sample_frames
from cotam.image.video import Clip, write_mp4

pytest.importorskip("av")

FRAMES = still_scene(6, (96, 128))
TIMES = [number / 2 for number in range(6)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a clip of three seconds."""
    monkeypatch.chdir(tmp_path)
    Path("clip.mp4").write_bytes(clip(FRAMES, TIMES))
    return tmp_path


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], prog_name="cotam", catch_exceptions=False)


def run(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-W", "error", "-m", "cotam", *arguments]
    return subprocess.run(command, input=data, capture_output=True, timeout=300)


def error_of(result: Result) -> str:
    """The one line of an error that is no usage error."""
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("cotam: error: ").rstrip()


def seen(data: bytes, fps: float | None = None, most: int | None = None) -> list[tuple[float, np.ndarray]]:
    return list(read_clip(Clip(io.BytesIO(data), "clip"), fps, most))


# Sampling


def at(*times: float) -> list[tuple[float, Callable[[], float]]]:
    return [(seconds, lambda seconds=seconds: seconds) for seconds in times]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("times", "fps", "most", "length", "expected"),
    [
        ((0, 1, 2, 3), None, None, 4.0, [0, 1, 2, 3]),
        ((0, 0.5, 1, 1.5, 2), 1.0, None, 2.5, [0, 1, 2]),
        ((0, 0.48, 0.98, 1.49, 2.02), 1.0, None, 2.5, [0, 0.98, 1.49]),  # what is seen at 0, 1 and 2 s
        ((0, 0.04, 0.9, 1.1, 5, 5.1), 1.0, None, 5.5, [0, 0.9, 1.1, 5]),  # a long frame is taken once
        ((0, 0.04, 0.9), 1.0, None, 9.0, [0, 0.9]),
        ((0, 0.5, 1), 1.0, None, 1.0, [0]),  # the last has no length: nobody sees it
        (tuple(range(11)), 1.0, 5, 11.0, [0, 2, 5, 8, 10]),  # uniform, from the first to the last
        (tuple(range(11)), None, 3, 11.0, [0, 5, 10]),
        (tuple(range(11)), 0.5, 6, 11.0, [0, 2, 4, 6, 8, 10]),  # so few that no limit applies
        (tuple(range(11)), 1.0, 4, None, [0, 1, 2, 3]),  # a pipe: nobody knows where it ends
        (tuple(range(11)), 1.0, 1, 11.0, [0]),
        ((0,), 1.0, 8, 1.0, [0]),
        ((0, 1), 1.0, None, None, [0, 1]),
        ((), 1.0, None, None, []),
        ((0, 1, 1e9, 1e9 + 1), 1000.0, None, None, [0, 1, 1e9, 1e9 + 1]),  # soon, whatever the times
        ((0, 1, 1e9), 9999.0, None, None, [0, 1, 1e9]),
        ((0, 1, 2), math.inf, 2, 3.0, [0, 2]),
        ((0, 1, 2), 1e308, None, 3.0, [0, 1, 2]),
    ],
)
def test_sampling(
    times: tuple[float, ...], fps: float | None, most: int | None, length: float | None, expected: list[float]
) -> None:
    notes: list[str] = []
    found = list(sample_frames(at(*times), fps, most, length, note=notes.append))
    assert len(notes) == (most == 4)
    assert [seconds for seconds, _ in found] == expected
    assert all(value == seconds for seconds, value in found)


def test_images_are_made_of_sampled_frames_only() -> None:
    made = []
    frames = [(float(n), lambda n=n: made.append(n)) for n in range(10)]  # type: ignore[misc]
    assert len(list(sample_frames(frames, 0.25, None, 10.0))) == 3
    assert made == [0, 4, 8]


# Clips


def test_frames_and_times_of_a_clip() -> None:
    found = seen(Path("clip.mp4").read_bytes())
    assert [seconds for seconds, _ in found] == pytest.approx(TIMES, abs=1e-3)
    for (_, pixels), frame in zip(found, FRAMES, strict=True):
        assert psnr(pixels, frame) > 35


def test_variable_frame_rate_is_sampled_by_time() -> None:
    times = [0, 0.04, 0.08, 2.2, 2.24, 4.1]
    data = clip(FRAMES, times)
    assert [s for s, _ in seen(data)] == pytest.approx(times, abs=1e-3)
    assert [s for s, _ in seen(data, 1.0)][:3] == pytest.approx([0, 0.08, 2.24], abs=1e-3)
    assert [s for s, _ in seen(data, None, 3)] == pytest.approx([0, 0.08, 4.1], abs=1e-3)


def test_odd_sizes() -> None:
    frames = moving_scene(2, (33, 51))
    found = seen(clip(frames, [0, 1], "matroska"))
    assert [pixels.shape for _, pixels in found] == [(33, 51, 3)] * 2


def test_pixels_that_are_not_square() -> None:
    ((_, pixels),) = seen(clip(moving_scene(1, (48, 64)), [0.0], aspect=Fraction(3, 2)))
    assert pixels.shape == (48, 96, 3)


def test_pixels_that_are_too_wide_are_refused() -> None:
    data = bytearray(clip(moving_scene(1, (48, 64)), [0.0], aspect=Fraction(3, 2)))
    place = data.index(b"pasp") + 4
    data[place : place + 8] = struct.pack(">II", 2_000_000_000, 1)
    with closing(Clip(io.BytesIO(bytes(data)), "clip")) as opened:
        ((_, pixels),) = opened.frames()
        with pytest.raises(InputError, match="128000000000×48 is too large"):
            pixels()


def test_an_address_is_a_clip(folder: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    Path("clip.mkv").write_bytes(clip(FRAMES, TIMES, "matroska"))  # it needs no seeking, as MP4 does
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        result = invoke("encode", f"http://127.0.0.1:{server.server_port}/clip.mkv", "-o", "a.cotam")
        server.shutdown()
        thread.join()
    assert (result.exit_code, result.output) == (0, "")
    assert len(cotam.open_sequence(Path("a.cotam").read_bytes()).info.times) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (sound, "there is no video in it"),
        (lambda: cotam.encode(FRAMES[0]), "is a .cotam file already: cotam decode reads it"),
        (lambda: b"", "the file is empty"),
        (lambda: b"hello" * 100, "cannot be read as video"),
        (lambda: clip(FRAMES, TIMES)[:200], "cannot be read as video"),
    ],
)
def test_what_is_no_video(make: Callable[[], bytes], message: str) -> None:
    Path("bad.mp4").write_bytes(make())
    result = invoke("encode", "bad.mp4")
    assert error_of(result).startswith(f"bad.mp4: {message}")
    assert not Path("bad.cotam").exists()


def test_written_clips_keep_times() -> None:
    out = io.BytesIO()
    times = [0.0, 0.04, 1.5, 4.0]
    frames = still_scene(4, (65, 97))
    write_mp4(out, [(t, Image.fromarray(f)) for t, f in zip(times, frames, strict=True)])
    found = seen(out.getvalue())
    assert [seconds for seconds, _ in found] == pytest.approx(times, abs=1e-4)
    for (_, pixels), frame in zip(found, frames, strict=True):
        assert pixels.shape == (66, 98, 3)  # even sides
        assert psnr(pixels[:65, :97], frame) > 25  # of halved colours


def test_frames_that_no_mp4_holds() -> None:
    Path("wide.cotam").write_bytes(b"".join(cotam.encode_frames([(0, np.zeros((2, 17000, 3), np.uint8))])))
    error = error_of(invoke("decode", "wide.cotam", "-o", "wide.mp4"))
    assert error.startswith("wide.cotam: frames of 17000×2 cannot be written as MP4: ")
    assert not Path("wide.mp4").exists()


# Pipes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mjpeg", PipeFormat(None, None)),
        ("mjpeg@12.5", PipeFormat(None, 12.5)),
        ("raw:640x480@30", PipeFormat((640, 480), 30.0)),
    ],
)
def test_forms_of_pipes(text: str, expected: PipeFormat) -> None:
    assert PipeFormat.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("jpeg", "raw", "raw:640x480", "raw:0x480@5", "raw:99999x99999@5", "raw:640x480@x"),
        *("mjpeg@0", f"raw:{'9' * 30}x9@1"),
    ],
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"mjpeg@FPS|no pixels|is too large"):
        PipeFormat.parse(text)


def test_a_pipe_of_raw_frames() -> None:
    data = b"".join(frame.tobytes() for frame in FRAMES)
    found = [(s, get()) for s, get in read_pipe(io.BytesIO(data), PipeFormat((128, 96), 4.0))]
    assert [s for s, _ in found] == [n / 4 for n in range(6)]
    assert all(np.array_equal(pixels, frame) for (_, pixels), frame in zip(found, FRAMES, strict=True))
    notes: list[str] = []
    cut = io.BytesIO(data[: 96 * 128 * 3 + 100])
    assert len(list(read_pipe(cut, PipeFormat((128, 96), 4.0), note=notes.append))) == 1
    assert notes == ["the pipe ends within frame 1, which is left out: 100 of 36864 bytes"]


def jpegs() -> bytes:
    out = io.BytesIO()
    for frame in FRAMES:
        Image.fromarray(frame).save(out, "JPEG", quality=95)
    return out.getvalue()


def test_a_pipe_of_jpeg_images() -> None:
    clock = iter(range(100, 200))
    found = [
        (s, get()) for s, get in read_pipe(io.BytesIO(jpegs()), PipeFormat(None, None), lambda: next(clock))
    ]
    assert [s for s, _ in found] == list(range(6))
    for (_, pixels), frame in zip(found, FRAMES, strict=True):
        assert psnr(pixels, frame) > 28
    with pytest.raises(InputError, match="frame 0 of the pipe"):
        [get() for _, get in read_pipe(io.BytesIO(b"\xff\xd8hello\xff\xd9"), PipeFormat(None, 1.0))]


@pytest.mark.parametrize("start", [b"--frame\r\nContent-Type: image/jpeg\r\n\r\n", b"end of a frame\xff\xd9"])
def test_what_is_in_front_of_the_first_jpeg_image_is_left_out(start: bytes) -> None:
    """A multipart stream of a camera begins with a header, and one that was joined late within a frame."""
    found = [get() for _, get in read_pipe(io.BytesIO(start + jpegs()), PipeFormat(None, 1.0))]
    assert len(found) == len(FRAMES)
    assert psnr(found[0], FRAMES[0]) > 28


# Command line


def test_a_clip_there_and_back() -> None:
    result = invoke("encode", "clip.mp4", "--fps", 2, "-q", 40)
    assert (result.exit_code, result.output) == (0, "")
    times = cotam.open_sequence(Path("clip.cotam").read_bytes()).info.times
    assert times == pytest.approx(TIMES, abs=1e-3)
    assert invoke("decode", "clip.cotam").exit_code == 0
    names = sorted(path.name for path in Path("clip.cotam.frames").iterdir())
    assert names == ["00000.000000.png", "00000.500000.png", "00001.000000.png"] + [
        f"0000{t}00000.png" for t in ("1.5", "2.0", "2.5")
    ]
    expected = [np.asarray(image) for _, image in cotam.decode_frames(Path("clip.cotam").read_bytes())]
    for name, pixels in zip(names, expected, strict=True):
        with Image.open(Path("clip.cotam.frames", name)) as image:
            assert np.array_equal(np.asarray(image), pixels)
    assert invoke("decode", "clip.cotam", "-o", "out.mp4").exit_code == 0
    assert [s for s, _ in seen(Path("out.mp4").read_bytes())] == pytest.approx(TIMES, abs=1e-3)


def test_one_frame_a_second_unless_told_otherwise() -> None:
    assert invoke("encode", "clip.mp4", "-o", "a.cotam").exit_code == 0
    assert cotam.open_sequence(Path("a.cotam").read_bytes()).info.times == pytest.approx((0, 1, 2), abs=1e-3)
    assert invoke("encode", "clip.mp4", "-o", "a.cotam", "--max-frames", 2).exit_code == 0
    assert cotam.open_sequence(Path("a.cotam").read_bytes()).info.times == pytest.approx((0, 2.5), abs=1e-3)


def test_info_of_a_sequence() -> None:
    invoke("encode", "clip.mp4")
    result = invoke("info", "clip.cotam")
    assert "  frames    3 of 128 x 96, 0 to 2 s\n" in result.output
    assert "  keyframes 1\n" in result.output
    assert "--map is for still images" in error_of(invoke("info", "clip.cotam", "--map"))
    found: dict[str, Any] = json.loads(invoke("info", "clip.cotam", "--json").output)
    assert (found["width"], found["keys"], len(found["sizes"])) == (128, [0], 3)


def test_pipes_of_the_command_line() -> None:
    coded = run("encode", "-", "--fps", "1", "-o", "-", data=clip(FRAMES, TIMES, "matroska"))
    assert (coded.returncode, coded.stderr) == (0, b"")
    assert len(list(cotam.decode_frames(coded.stdout))) == 3
    result = run("decode", "-", "-o", "frames/", data=coded.stdout)
    assert (result.returncode, result.stderr) == (0, b"")
    assert len(list(Path("frames").iterdir())) == 3
    live = run("encode", "-", "--frames", "mjpeg@2", "--fps", "1", "-o", "-", data=jpegs())
    assert (live.returncode, live.stderr) == (0, b"")
    assert cotam.open_sequence(live.stdout).info.times == (0, 1, 2)


def test_a_cut_sequence_leaves_its_whole_frames_and_says_so() -> None:
    invoke("encode", "clip.mp4")
    data = Path("clip.cotam").read_bytes()
    entries = read_index(data).entries
    Path("cut.cotam").write_bytes(data[: entries[2].start + 3])
    result = invoke("decode", "cut.cotam")
    assert error_of(result) == "cut.cotam: the sequence ends within frame 2: 2 whole frames are there"
    assert len(list(Path("cut.cotam.frames").iterdir())) == 2
    assert "no index at its end" in error_of(invoke("info", "cut.cotam"))
    assert error_of(invoke("decode", "cut.cotam", "-o", "cut.mp4"))
    assert not Path("cut.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["encode", "clip.mp4", "--target-size", "5k"], "--target-size is for images"),
        (["encode", "clip.mp4", "--fps", "nan"], "nan is not a finite number"),
        (["encode", "photo.png", "--key-every", "4"], "--key-every is for videos: these are images"),
        (["encode", "photo.png", "--low-delay"], "--low-delay is for videos: these are images"),
        (["encode", "clip.mp4", "--key-at", "nan"], "nan is not a finite number"),
        (["encode", "clip.mp4", "--metadata", "all"], "--metadata is for images"),
        (["encode", "http://127.0.0.1:9/clip.mkv"], "http://127.0.0.1:9/clip.mkv is not in a folder"),
        (["encode", "/dev/video99"], "/dev/video99 is not in a folder: give an output"),
        (["encode", "-", "--frames", "raw", "-o", "x"], "'raw' is not mjpeg, mjpeg@FPS or raw:WxH@FPS"),
        (["decode", "clip.cotam", "-o", "-"], "frames need a folder"),
        (["decode", "clip.cotam", "-o", "one.png"], "frames need a folder"),
        (["decode", "clip.cotam", "-o", "clip.avi"], "frames need a folder"),
        (["decode", "clip.cotam", "-o", "a.mp4", "--format", "jpg"], "a.mp4: its suffix and --format jpg"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    Path("clip.cotam").write_bytes(b"".join(cotam.encode_frames([(0, picture(16, 16))])))
    before = sorted(Path().iterdir())
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert sorted(Path().iterdir()) == before


def test_a_sequence_among_images_gets_a_folder_of_its_own() -> None:
    Path("clip.cotam").write_bytes(b"".join(cotam.encode_frames([(0, picture(16, 16))])))
    Path("still.cotam").write_bytes(cotam.encode(picture(16, 16)))
    assert invoke("decode", "clip.cotam", "still.cotam").exit_code == 0
    assert [path.name for path in Path("clip.cotam.frames").iterdir()] == ["00000.000000.png"]
    assert Path("still.cotam.png").exists()
    again = invoke("decode", "clip.cotam", "clip.cotam.frames", "still.cotam")
    assert again.exit_code == 0
    assert "clip.cotam.frames: is the output of another input: skipped" in again.stderr


def test_files_are_not_replaced_where_that_is_asked() -> None:
    Path("clip.cotam").write_bytes(b"old")
    assert "exists already" in error_of(invoke("encode", "clip.mp4", "--no-overwrite"))
    assert Path("clip.cotam").read_bytes() == b"old"


def test_without_the_extra_the_command_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert "pip install '.[video]'" in error_of(invoke("encode", "clip.mp4"))
