"""Video files, devices and pipes: frames with times out of them, and back into an MP4 file.

Knows PyAV, clocks, rotation and what to sample: nothing of codecs of ours. Needs the extra ``video``.
"""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from cotam.errors import InputError, MissingExtraError
from cotam.image.read import Pixels

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Clip", "Raw", "read_clip", "read_pipe", "sampled", "write_mp4"]

Timed = tuple[float, Any]

_ROUNDED = 5e-4
"""Seconds that a time in a file may be off: many files count milliseconds."""


@dataclass(frozen=True)
class Raw:
    """What a pipe carries: JPEG pictures after one another, or raw RGB frames of one size.

    Attributes
    ----------
    size : (width, height) of raw frames; None is JPEG
    fps : frames a second; None is by the clock, from the first frame on
    """

    size: tuple[int, int] | None
    fps: float | None

    @classmethod
    def parse(cls, text: str) -> Raw:
        """Of ``mjpeg``, ``mjpeg@FPS`` or ``raw:WxH@FPS``. Raises ValueError if it is none of these."""
        found = re.fullmatch(r"(?:mjpeg|raw:(\d{1,7})x(\d{1,7}))(?:@(\d{1,7}(?:\.\d+)?))?", text)
        if not found or (found[1] and not found[3]) or (found[3] and float(found[3]) <= 0):
            raise ValueError(f"{text!r} is not mjpeg, mjpeg@FPS or raw:WxH@FPS")
        size = (int(found[1]), int(found[2])) if found[1] else None
        if size and 0 in size:
            raise ValueError(f"{text!r}: frames have at least one pixel")
        return cls(size, float(found[3]) if found[3] else None)


def _av() -> Any:
    try:
        import av
    except ModuleNotFoundError as error:
        raise MissingExtraError("video", error.name or "av") from error
    av.logging.set_level(av.logging.PANIC)  # what goes wrong is raised, too
    return av


def _reason(error: Exception) -> str:
    """What FFmpeg says, in one line."""
    return " ".join((getattr(error, "strerror", None) or str(error)).split())


class Clip:
    """The video of a file, an address or a device, as PyAV opens it.

    Attributes
    ----------
    seconds : from its first frame to its end, None where it does not say
    """

    def __init__(self, source: str | BinaryIO, name: str) -> None:
        av = _av()
        self._name, self._errors = name, av.error.FFmpegError
        options = {"container_options": {"fflags": "nobuffer"}} if name.startswith("/dev/") else {}
        form = "v4l2" if name.startswith("/dev/video") and sys.platform == "linux" else None
        try:
            self._container = av.open(source, format=form, metadata_errors="ignore", **options)
        except (self._errors, OSError, ValueError) as error:
            raise self._error(error) from error
        if not self._container.streams.video:
            self._container.close()
            raise InputError(f"{name}: there is no video in it")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._start = self._stream.start_time or 0
        self.seconds = self._length()

    def _error(self, error: Exception) -> InputError:
        return InputError(f"{self._name}: cannot be read as video: {_reason(error)}")

    def _length(self) -> float | None:
        if self._stream.duration:
            return float(self._stream.duration * self._stream.time_base)
        return self._container.duration / 1e6 if self._container.duration else None

    def frames(self) -> Iterator[tuple[float, Callable[[], Pixels]]]:
        """Seconds of each frame, rising from about 0, and what gives its upright pixels.

        Raises
        ------
        InputError
            where the file is damaged, or if there is no frame in it
        """
        before = -1.0
        try:
            for number, frame in enumerate(self._container.decode(self._stream)):
                seconds = before + 1e-3
                if frame.pts is not None:
                    seconds = float((frame.pts - self._start) * frame.time_base)
                elif number == 0:
                    seconds = 0.0
                if seconds > before:  # a frame that comes late again is one that nobody would see
                    before = max(seconds, 0.0)
                    yield before, lambda frame=frame: self._pixels(frame)  # type: ignore[misc]
        except (self._errors, OSError, ValueError) as error:
            raise self._error(error) from error
        if before < 0:
            raise InputError(f"{self._name}: there is no frame in it that can be decoded")

    def _pixels(self, frame: Any) -> Pixels:
        aspect = self._stream.sample_aspect_ratio
        width = frame.width
        if aspect and aspect > 0:
            width = max(1, round(width * float(aspect)))  # pixels that are not square
        pixels = frame.to_ndarray(format="rgb24", width=width, height=frame.height)
        return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4))

    def close(self) -> None:
        # PyAV frees a decoder while it holds the interpreter's lock, and waits there for its threads, which
        # may wait for the lock. This waits for them without it.
        self._stream.codec_context.flush_buffers()
        self._container.close()


def sampled(
    frames: Iterable[tuple[float, Callable[[], Any]]],
    fps: float | None = None,
    most: int | None = None,
    length: float | None = None,
    *,
    advance: Callable[[float], None] = lambda seconds: None,
) -> Iterator[Timed]:
    """The frames that are seen at chosen times, each once, with their own times.

    Parameters
    ----------
    frames : seconds, rising, and what gives the picture
    fps : one every 1 / ``fps`` seconds; None takes each frame, as does more than times are told apart
    most : at most so many. Where ``length`` is known and ``fps`` would give more, so many evenly from the
        first to the last; where it is not known, the first so many.
    length : seconds until the last frame is over
    advance : is told how far it has come, in seconds
    """
    if fps is not None and fps * _ROUNDED > 1:
        fps = None
    rate, number = fps, math.inf  # wanted is what is seen at k / rate seconds, for k below the number
    if most is not None and length and (fps is None or length * fps - 1e-3 > most):
        rate, number = max(most - 1, 1) / length, most
    elif fps is not None and length is not None:
        number = max(length - 1e-3, 1e-3) * fps
    given = k = 0
    shown: tuple[float, Callable[[], Any]] | None = None
    for frame in frames:
        advance(frame[0])
        until = frame[0] - _ROUNDED
        if shown and (k / rate if rate else shown[0]) < until:
            yield shown[0], shown[1]()
            given += 1
            if rate:
                k = max(k + 1, math.ceil(until * rate))
            if given == most or k >= number:
                return
        shown = frame
    if shown and (not rate or length is not None or k / rate < shown[0] + _ROUNDED):
        yield shown[0], shown[1]()


def read_clip(
    clip: Clip,
    fps: float | None = None,
    most: int | None = None,
    advance: Callable[[float], None] = lambda seconds: None,
) -> Iterator[Timed]:
    """Seconds and pixels uint8 (H, W, 3) of the sampled frames of a clip, see `sampled`."""
    return sampled(clip.frames(), fps, most, clip.seconds, advance=advance)


def read_pipe(
    pipe: BinaryIO, raw: Raw, clock: Callable[[], float] = time.monotonic
) -> Iterator[tuple[float, Callable[[], Pixels]]]:
    """Each frame as soon as its bytes are there: seconds, and what gives its pixels.

    Raises
    ------
    InputError
        if the pipe ends within a frame, or carries something else
    """
    started: float | None = None
    for number, get in enumerate(_raw(pipe, *raw.size) if raw.size else _jpegs(pipe)):
        now = clock()
        started = now if started is None else started
        yield (number / raw.fps if raw.fps else now - started), get


def _raw(pipe: BinaryIO, width: int, height: int) -> Iterator[Callable[[], Pixels]]:
    for number in count():
        data = bytearray()
        while len(data) < width * height * 3:
            part = pipe.read(width * height * 3 - len(data))
            if not part and data:
                raise InputError(f"the pipe ends within frame {number}: after {len(data)} bytes of it")
            if not part:
                return
            data += part
        pixels = np.frombuffer(bytes(data), np.uint8).reshape(height, width, 3)
        yield lambda pixels=pixels: pixels  # type: ignore[misc]


def _jpegs(pipe: BinaryIO) -> Iterator[Callable[[], Pixels]]:
    """FFmpeg's parser says where pictures end: at the beginning of the next, or of what is no JPEG."""
    av = _av()
    parser = av.CodecContext.create("mjpeg", "r")
    read = getattr(pipe, "read1", pipe.read)  # what is there, without waiting for more
    number = 0
    while True:
        part = read(1 << 16)
        for packet in parser.parse(part or None):
            yield _jpeg(bytes(packet), number)
            number += 1
        if not part:
            return


def _jpeg(data: bytes, number: int) -> Callable[[], Pixels]:
    from cotam.image.read import to_rgb

    def pixels() -> Pixels:
        try:
            return to_rgb(data)
        except InputError as error:
            raise InputError(f"frame {number} of the pipe: {error}") from error

    return pixels


def write_mp4(target: BinaryIO, frames: Iterable[tuple[float, Image.Image]]) -> None:
    """Write an MP4 file (H.264, nearly without loss) with the times of the frames to a seekable stream.

    Raises
    ------
    InputError
        if H.264 cannot hold such frames
    """
    av = _av()
    clock = Fraction(1, 90_000)
    stream = None
    try:
        with av.open(target, "w", format="mp4") as container:
            for seconds, image in frames:
                pixels = np.asarray(image)
                # H.264 with halved colours has even sides.
                pixels = np.pad(pixels, [(0, n % 2) for n in pixels.shape[:2]] + [(0, 0)], mode="edge")
                if stream is None:
                    stream = container.add_stream("libx264", options={"crf": "12", "preset": "medium"})
                    stream.height, stream.width = pixels.shape[:2]
                    stream.pix_fmt, stream.time_base = "yuv420p", clock
                    stream.codec_context.time_base = clock
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                frame.pts, frame.time_base = round(seconds / clock), clock
                container.mux(stream.encode(frame))
            if stream is not None:
                container.mux(stream.encode(None))
    except av.error.FFmpegError as error:
        size = "" if stream is None else f" of {stream.width}×{stream.height}"
        raise InputError(f"frames{size} cannot be written as MP4: {_reason(error)}") from error
