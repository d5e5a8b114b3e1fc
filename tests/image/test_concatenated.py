"""Files of the same format, one behind the other, are read as one clip, or the rest is noted."""

from __future__ import annotations

import io
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
from clips import clip, still_scene
from picture_files import saved
from PIL import Image

from cotam.errors import InputError
from cotam.image.animation import Animation, open_clip
from cotam.image.containers import inspect_container
from cotam.image.open import ZEROS_NOTE
from cotam.image.sampling import read_clip

av = pytest.importorskip("av")

FRAMES = still_scene(20, (96, 128))
TIMES = [number / 10 for number in range(20)]


def seen(data: bytes) -> tuple[list[float], list[str]]:
    """Times of the frames sampled once a second, and notes."""
    notes: list[str] = []
    with closing(open_clip(io.BytesIO(data), "clip")) as opened:
        found = list(read_clip(opened, 1.0, None, note=notes.append))
    return [seconds for seconds, _ in found], notes


@pytest.mark.parametrize(
    ("form", "codec"), [("mp4", "libx264"), ("flv", "libx264"), ("asf", "wmv2"), ("ivf", "libvpx")]
)
def test_a_second_clip_that_ffmpeg_does_not_read_is_not_silent(form: str, codec: str) -> None:
    data = clip(FRAMES, TIMES, form, codec=codec, rate=10, pixels="yuv420p")
    assert seen(data)[1] == []
    note = "there are 2 clips in the file: of those after the first, frames are left out"
    assert seen(data + data)[1] == [note]
    if form != "mp4":
        assert re.fullmatch(
            r"the file is cut: at least \d+ bytes are missing at its end", seen(data[:-40])[1][0]
        )


def test_a_file_without_its_index_says_so() -> None:
    data = clip(FRAMES, TIMES)
    for cut, reason in ((data[: data.index(b"moov") - 4], "moov, is missing"), (b"", "the file is empty")):
        with pytest.raises(InputError, match=reason):
            seen(cut)


def test_a_second_mxf_clip_whose_timestamps_stand_still() -> None:
    frames = still_scene(50, (96, 128))
    data = clip(frames, [n / 25 for n in range(50)], "mxf", codec="mpeg2video", rate=25, pixels="yuv420p")
    assert seen(data)[1] == []
    times, notes = seen(data + data)
    assert times == pytest.approx([0, 1, 2, 3], abs=0.1)
    (note,) = notes
    assert note.startswith("timestamps stand still at 2.0 s")


def test_an_mxf_file_that_is_cut() -> None:
    data = clip(FRAMES, TIMES, "mxf", codec="mpeg2video", rate=25, pixels="yuv420p")
    for end in (-1, -1000, len(data) // 2):
        assert inspect_container(io.BytesIO(data[:end]))[1][0].startswith("the file is cut: at least")


@pytest.mark.parametrize("code", [b"", bytes(4)])
def test_a_transport_stream_that_is_cut_within_a_packet(code: bytes) -> None:
    packets = clip(FRAMES, TIMES, "mpegts", codec="mpeg2video", rate=25, pixels="yuv420p")
    data = b"".join(code + packets[at : at + 188] for at in range(0, len(packets), 188))
    cut = ["the file is cut: at least 60 bytes are missing at its end"]
    assert inspect_container(io.BytesIO(data)) == ([], [])
    assert inspect_container(io.BytesIO(data[:-60])) == ([], cut)
    assert inspect_container(io.BytesIO(data + b"something else")) == ([], [])


def transport_stream(**options: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts", options=options) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        for frame in FRAMES:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def test_a_stream_that_begins_within_a_file_is_noted() -> None:
    """As in a broadcast, behind what FFmpeg reads to find the streams."""
    other = transport_stream(mpegts_start_pid="512", mpegts_pmt_start_pid="4097")
    times, notes = seen(transport_stream() * 8 + other)
    assert len(times) == 16
    assert notes[0] == "another stream begins within the file: it is left out"


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_animations_that_are_concatenated_are_all_read(form: str) -> None:
    first, second = (
        [Image.fromarray(np.full((64, 96, 3), level + 20 * n, np.uint8)) for n in range(3)]
        for level in (0, 150)
    )
    parts = [
        saved(frames[0], form, save_all=True, append_images=frames[1:], duration=500)
        for frames in (first, second)
    ]
    source = io.BytesIO(b"".join(parts))
    with closing(open_clip(source, "two")) as opened:
        assert opened.seconds == 3
        found = [(seconds, pixels().mean()) for seconds, pixels in opened.frames()]
        assert opened.notes == []
    assert [seconds for seconds, _ in found] == [0, 0.5, 1, 1.5, 2, 2.5]
    assert [mean for _, mean in found] == pytest.approx([0, 20, 40, 150, 170, 190], abs=4)


def test_what_is_behind_an_animation_and_no_image_is_noted() -> None:
    frames = [Image.fromarray(np.full((64, 96, 3), 90 * n, np.uint8)) for n in range(3)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    times, notes = seen(data + data[:15])
    assert times == [0]
    (note,) = notes
    assert note.startswith("a file concatenated to it is left out")


@pytest.mark.parametrize("kind", [b"fcTL", b"fdAT"])
def test_a_damaged_frame_ends_an_animated_png(kind: bytes) -> None:
    frames = [Image.fromarray(np.full((64, 96, 3), 40 * n, np.uint8)) for n in range(5)]
    data = bytearray(saved(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=1000))
    places = [match.start() for match in re.finditer(kind, data)]
    at = places[3 if kind == b"fcTL" else 2]
    data[at + 4 + int.from_bytes(data[at - 4 : at], "big")] ^= 1  # of the checksum
    times, notes = seen(bytes(data))
    assert times == [0, 1, 2]
    assert notes == ["damaged after frame 2, the rest is left out: wrong checksum"]


def test_a_gif_cut_within_a_frame() -> None:
    frames = [Image.fromarray(np.full((64, 96, 3), 40 * n, np.uint8)) for n in range(5)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=1000)
    third = [match.start() for match in re.finditer(rb"\x21\xf9\x04", data)][3]
    for end in range(third, len(data)):
        times, notes = seen(data[:end])
        assert times == [0, 1, 2, 3, 4][: len(times)]
        assert len(times) >= 3
        assert notes, end


@pytest.mark.parametrize("inner", [0, 24])
def test_a_frame_of_a_webp_whose_chunk_is_damaged_is_noted(inner: int) -> None:
    frames = [Image.fromarray(np.full((64, 96, 3), 40 * n, np.uint8)) for n in range(5)]
    data = bytearray(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=1000))
    assert seen(bytes(data))[1] == []
    third = [match.start() for match in re.finditer(b"ANMF", data)][2]
    data[third + inner] ^= 1
    assert seen(bytes(data)) == ([0, 1, 2, 3], ["at least 1 frame is missing, with damaged chunks"])


@pytest.mark.parametrize("inner", [4, 8, 24, 28])
def test_a_webp_that_ends_in_zeros_gives_the_frames_before_them(inner: int) -> None:
    frames = [Image.fromarray(np.full((64, 96, 3), 40 * n, np.uint8)) for n in range(5)]
    data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=1000)
    third = [match.start() for match in re.finditer(b"ANMF", data)][2] + inner
    times, notes = seen(data[:third] + bytes(len(data) - third))
    assert times[:2] == [0, 1]
    assert notes


def test_a_webp_that_was_cut_does_not_claim_that_all_is_there() -> None:
    frames = [Image.fromarray(np.full((64, 96, 3), 40 * n, np.uint8)) for n in range(5)]
    data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=1000)
    assert seen(data[: len(data) // 2]) == (
        [0, 1],
        [
            "the file is cut or damaged: read without ANMF; the first frame is there",
            "at least 1 frame is missing, with damaged chunks",
        ],
    )


def test_zeros_in_the_last_frame_are_noted() -> None:
    """libwebp shows it nevertheless."""
    noise = np.random.default_rng(0).integers(0, 256, (5, 96, 128, 3), np.uint8)
    frames = [Image.fromarray(pixels) for pixels in noise]
    data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=1000)
    assert seen(data) == ([0, 1, 2, 3, 4], [])
    assert ZEROS_NOTE in seen(data[:-1100] + bytes(1100))[1]


def test_frames_that_are_too_large_are_not_decoded() -> None:
    data = bytearray(saved(Image.new("P", (8, 8)), "GIF"))
    data[6:10] = b"\xff\xff\xff\xff"
    with pytest.raises(InputError, match="clip: cannot be read: 65535×65535 is too large"):
        seen(bytes(data))


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_a_last_frame_that_is_held_is_seen(form: str) -> None:
    frames = [Image.fromarray(np.full((64, 96, 3), 80 * n, np.uint8)) for n in range(3)]
    data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=[100, 200, 3000])
    assert seen(data) == ([0, pytest.approx(0.3)], [])


def test_every_page_of_a_tiff_is_a_frame() -> None:
    pages = [Image.fromarray(np.full((64, 96, 3), 40 * n, np.uint8)) for n in range(5)]
    assert seen(saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])) == ([0, 1, 2, 3, 4], [])


def test_a_tiff_cut_within_its_pages() -> None:
    pages = [Image.fromarray(np.full((64, 96, 3), 40 * n, np.uint8)) for n in range(5)]
    data = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    times, notes = seen(data[: len(data) // 2])
    assert len(times) < 4
    assert notes[0].startswith("damaged after frame")


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
def test_a_pipe_may_begin_with_a_few_bytes(form: str) -> None:
    frames = [Image.fromarray(frame) for frame in still_scene(3, (64, 96))]
    data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    reading, writing = os.pipe()

    def write() -> None:
        with open(writing, "wb", buffering=0) as pipe:
            pipe.write(data[:3])
            time.sleep(0.1)
            pipe.write(data[3:])

    with ThreadPoolExecutor(1) as pool, open(reading, "rb") as source:
        pool.submit(write)
        with closing(open_clip(source, "clip")) as opened:
            assert isinstance(opened, Animation)
            assert len(list(opened.frames())) == 3


def test_later_frames_of_a_cut_avif_are_left_out() -> None:
    frames = [Image.fromarray(frame) for frame in still_scene(5, (96, 128), noise=20)]
    data = saved(frames[0], "AVIF", save_all=True, append_images=frames[1:], duration=1000)
    times, notes = seen(data[: len(data) * 2 // 3])
    assert times == [0]
    assert notes[1] == "damaged after frame 0, the rest is left out: the end of the file is missing"


def test_the_length_of_a_cut_avif_is_that_of_the_frames_read() -> None:
    frames = [Image.fromarray(frame) for frame in still_scene(5, (96, 128), noise=20)]
    data = saved(frames[0], "AVIF", save_all=True, append_images=frames[1:], duration=1000)
    cut = io.BytesIO(data[: len(data) * 2 // 3])
    with closing(open_clip(cut, "cut")) as opened:
        assert opened.seconds == 1
