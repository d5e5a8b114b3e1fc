"""Frames and little video files for tests, made from a seed."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from synthetic import picture


def still_scene(count: int, size: tuple[int, int] = (192, 256), noise: float = 2.0) -> list[np.ndarray]:
    """A fixed camera with sensor noise, and a bright box that passes below."""
    scene = picture(*size, seed=4).astype(np.float64)
    frames = []
    for number in range(count):
        frame = scene + np.random.default_rng(number).normal(0, noise, scene.shape)
        left = number * 24 % (size[1] - 40)
        frame[-40:-8, left : left + 40] = (240, 220, 60)
        frames.append(np.rint(np.clip(frame, 0, 255)).astype(np.uint8))
    return frames


def moving_scene(count: int, size: tuple[int, int] = (192, 256)) -> list[np.ndarray]:
    """Each frame shows something else."""
    return [picture(*size, seed=number) for number in range(count)]


def timed(frames: Sequence[np.ndarray], fps: float = 1.0) -> list[tuple[float, np.ndarray]]:
    return [(number / fps, frame) for number, frame in enumerate(frames)]


def clip(
    frames: Sequence[np.ndarray],
    times: Sequence[float],
    form: str = "mp4",
    aspect: Fraction | None = None,
    *,
    codec: str = "libx264",
    rate: int | None = None,
    pixels: str = "yuv444p",
    **options: str,
) -> bytes:
    """A video file with frames at these times, nearly without loss."""
    import av

    file = io.BytesIO()
    clock = Fraction(1, 1000)
    with av.open(file, "w", format=form) as container:
        known = {"crf": "4", "bf": "0", "g": "5", "preset": "ultrafast"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate, options=known | options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rate is None:
            stream.time_base = stream.codec_context.time_base = clock
        for image, seconds in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(seconds / clock), clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def turned(data: bytes, matrix: tuple[int, int, int, int]) -> bytes:
    """An MP4 file with this display matrix a, b, c, d."""
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    packed = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return data[:at] + packed + data[at + len(packed) :]


def with_index_first(data: bytes) -> bytes:
    """The same MP4 file with moov before mdat."""
    boxes: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        boxes[kind] = data[at : at + size]
        at += size
    moov = boxes[b"moov"]
    entries = moov.index(b"stco") + 8
    (count,) = struct.unpack_from(">I", moov, entries)
    offsets = struct.unpack_from(f">{count}I", moov, entries + 4)
    shifted = struct.pack(f">{count}I", *(offset + len(moov) for offset in offsets))
    boxes[b"moov"] = moov[: entries + 4] + shifted + moov[entries + 4 + 4 * count :]
    return boxes.pop(b"ftyp") + boxes.pop(b"moov") + b"".join(boxes.values())


def sound() -> bytes:
    """A file without any video."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
