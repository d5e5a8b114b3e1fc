"""Colours of videos that do not say how their YUV was made, and of those that are written."""

from __future__ import annotations

import io
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from cotam.image.video import Clip, write_mp4

av = pytest.importorskip("av")

COLOURS = np.array([(192, 64, 32), (40, 160, 60), (60, 50, 200), (230, 210, 40)], np.uint8)
UNTAGGED = 2


def stripes(width: int, height: int) -> np.ndarray:
    return np.repeat(COLOURS[None], width // 4, 1).repeat(height, 0)


def h264(pixels: np.ndarray, matrix: str, tag: int = UNTAGGED, form: str = "yuv420p") -> bytes:
    """An MP4 file with one frame, converted to YUV with a matrix of PyAV."""
    file, colour_range = io.BytesIO(), 2 if form.startswith("yuvj") else 1
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", 5, options={"crf": "4", "preset": "ultrafast"})
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt, stream.codec_context.colorspace = form, tag
        stream.codec_context.color_range = colour_range
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        yuv = frame.reformat(format=form, dst_colorspace=matrix, dst_color_range=colour_range)
        container.mux(stream.encode(yuv))
        container.mux(stream.encode(None))
    return file.getvalue()


def colours(data: bytes) -> np.ndarray:
    """The colours in the middle of the four stripes of the first frame."""
    with closing(Clip(io.BytesIO(data), "clip")) as clip:
        ((_, pixels),) = [(seconds, read()) for seconds, read in clip.frames()]
    height, width = pixels.shape[:2]
    return pixels[height // 2, width // 8 :: width // 4].astype(int)


def stated(data: bytes) -> int:
    with av.open(io.BytesIO(data)) as container:
        return next(container.decode(video=0)).colorspace


@pytest.mark.parametrize(
    ("width", "height", "matrix"),
    [
        (1280, 720, "ITU709"),
        (960, 720, "ITU709"),
        (1280, 640, "ITU709"),
        (720, 1280, "ITU709"),
        (1272, 718, "ITU601"),
        (720, 576, "ITU601"),
        (320, 240, "ITU601"),
    ],
)
def test_untagged_video_has_the_matrix_of_its_size(width: int, height: int, matrix: str) -> None:
    data = h264(stripes(width, height), matrix)
    assert stated(data) == UNTAGGED
    assert np.abs(colours(data) - COLOURS).max() <= 4


@pytest.mark.parametrize(("matrix", "tag"), [("ITU709", 1), ("ITU601", 6), ("ITU601", 5)])
@pytest.mark.parametrize("size", [(1280, 720), (320, 240)])
def test_a_tag_comes_before_the_size(size: tuple[int, int], matrix: str, tag: int) -> None:
    data = h264(stripes(*size), matrix, tag)
    assert stated(data) == tag
    assert np.abs(colours(data) - COLOURS).max() <= 4


@pytest.mark.parametrize("form", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize(("matrix", "tag"), [("ITU709", 1), ("ITU601", 6)])
def test_forms_and_ranges_of_yuv(form: str, matrix: str, tag: int) -> None:
    """PyAV before 17 took the range of one frame for that of another."""
    assert np.abs(colours(h264(stripes(128, 64), matrix, tag, form)) - COLOURS).max() <= 4


@pytest.mark.parametrize(("width", "height", "tag"), [(1280, 720, 1), (320, 240, 6)])
def test_written_video_states_its_matrix(width: int, height: int, tag: int) -> None:
    file = io.BytesIO()
    write_mp4(file, [(0.0, Image.fromarray(stripes(width, height)))])
    assert stated(file.getvalue()) == tag
    assert np.abs(colours(file.getvalue()) - COLOURS).max() <= 4
