"""Read frames from a pipe: concatenated JPEG images, or raw RGB frames of one size."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from typing import Any, BinaryIO

import numpy as np

from cotam.errors import InputError
from cotam.image.read import Pixels, read_image
from cotam.image.readers import check_size
from cotam.image.sampling import Note, warn
from cotam.image.video import import_av

__all__ = ["PipeFormat", "read_pipe"]


@dataclass(frozen=True)
class PipeFormat:
    """The format of a pipe."""

    size: tuple[int, int] | None  # (width, height) of raw RGB frames; None for JPEG images
    fps: float | None  # frames per second; None times frames by the clock, starting with the first

    @classmethod
    def parse(cls, text: str) -> PipeFormat:
        """Parse ``mjpeg``, ``mjpeg@FPS`` or ``raw:WxH@FPS``. Raises ValueError for other text and sizes."""
        found = re.fullmatch(r"(?:mjpeg|raw:(\d{1,7})x(\d{1,7}))(?:@(\d{1,7}(?:\.\d+)?))?", text)
        if not found or (found[1] and not found[3]) or (found[3] and float(found[3]) <= 0):
            raise ValueError(f"{text!r} is not mjpeg, mjpeg@FPS or raw:WxH@FPS")
        size = (int(found[1]), int(found[2])) if found[1] else None
        if size:
            check_size(*size)
        return cls(size, float(found[3]) if found[3] else None)


def read_pipe(
    pipe: BinaryIO, form: PipeFormat, clock: Callable[[], float] = time.monotonic, note: Note = warn
) -> Iterator[tuple[float, Callable[[], Pixels]]]:
    """Yield the seconds of each frame, as soon as its bytes have arrived, and a function that decodes it.

    The function returns pixels, uint8 (H, W, 3), or raises InputError. ``clock`` returns seconds, for formats
    without ``fps``; ``note`` is called if the pipe ends within a raw frame, which is left out.
    """
    started: float | None = None
    for number, get in enumerate(_raw_frames(pipe, *form.size, note) if form.size else _jpegs(pipe)):
        now = clock()
        started = now if started is None else started
        yield (number / form.fps if form.fps else now - started), get


def _raw_frames(pipe: BinaryIO, width: int, height: int, note: Note) -> Iterator[Callable[[], Pixels]]:
    size = width * height * 3
    for number in count():
        data = bytearray()
        while len(data) < size:
            part = pipe.read(size - len(data))
            if not part and data:
                note(f"the pipe ends within frame {number}, which is left out: {len(data)} of {size} bytes")
            if not part:
                return
            data += part
        pixels = np.frombuffer(bytes(data), np.uint8).reshape(height, width, 3)
        yield lambda pixels=pixels: pixels  # type: ignore[misc]


def _jpegs(pipe: BinaryIO) -> Iterator[Callable[[], Pixels]]:
    """Split JPEG images with FFmpeg's parser, which ends an image where other data begin."""
    parser: Any = import_av().CodecContext.create("mjpeg", "r")
    read = getattr(pipe, "read1", pipe.read)  # read1 does not wait for more
    parts = chain(iter(partial(read, 1 << 16), b""), [None])  # None flushes the parser
    packets = (packet for part in parts for packet in parser.parse(part))
    for number, packet in enumerate(packets):
        yield partial(_jpeg, bytes(packet), number)


def _jpeg(data: bytes, number: int) -> Pixels:
    try:
        return read_image(data[max(data.find(b"\xff\xd8"), 0) :]).pixels  # behind a header of multipart data
    except InputError as error:
        raise InputError(f"frame {number} of the pipe: {error}") from error
