"""One video of a request: its kind, the sequence that is made of it, and the frames that a model gets.

Knows bytes, clips and sequences: nothing of requests. What is no video file of a few kinds is not handed to
FFmpeg, which reads playlists, too, and opens what they name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from typing import Any

import cotam
from cotam.errors import LimitError
from cotam.gateway.pictures import MEDIA_TYPES, saved
from cotam.gateway.rewrite import data_url

__all__ = ["frame_urls", "read_frame_urls", "sequence_of", "video_kind"]


def video_kind(data: bytes) -> str | None:
    """mp4 (MOV too), webm (Matroska too), avi or gif, by the first bytes; None for other data."""
    if data[4:8] == b"ftyp":
        return "mp4"
    if data.startswith(b"\x1a\x45\xdf\xa3"):
        return "webm"
    if data.startswith(b"RIFF") and data[8:12] == b"AVI ":
        return "avi"
    return "gif" if data.startswith((b"GIF87a", b"GIF89a")) else None


def sequence_of(
    data: bytes, fps: float, most: int, size_limit: int, check: Callable[[], None], **coding: Any
) -> bytes:
    """A video file as a .cotam sequence.

    Parameters
    ----------
    fps, most : frames a second, and at most so many, see `cotam.image.video.sampled`
    size_limit : pixels of a frame
    check : called before each frame
    coding : arguments of `cotam.encode_frames`

    Raises
    ------
    MissingExtraError
        without the extra ``video``
    InputError, LimitError
        if it cannot be read, or is larger than the limit
    """
    from cotam.image.sampling import sampled
    from cotam.image.video import Clip

    def frames(clip: Clip) -> Iterator[tuple[float, Callable[[], Any]]]:
        for seconds, pixels in clip.frames():
            check()
            yield seconds, pixels

    def small(frame: tuple[float, Any]) -> tuple[float, Any]:
        height, width = frame[1].shape[:2]
        if width * height > size_limit:
            raise LimitError(f"frames are {width}×{height}: more than the limit of {size_limit / 1e6:g} MP")
        return frame

    with closing(Clip(BytesIO(data), "the video")) as clip:
        chosen = sampled(frames(clip), fps, most, clip.seconds)
        return b"".join(cotam.encode_frames(map(small, chosen), **coding))


def frame_urls(data: bytes, check: Callable[[], None]) -> bytes:
    """All frames of a sequence for a model, as a cache holds them: lines of seconds and PNG address.

    Raises
    ------
    FormatError, LimitError, UnknownWeightsError
        as `cotam.decode_frames`
    """
    lines = []
    for seconds, image in cotam.decode_frames(data):
        check()
        lines.append(f"{seconds:.1f} {data_url(MEDIA_TYPES['png'], saved(image, 'png'))}")
    return "\n".join(lines).encode()


def read_frame_urls(lines: bytes) -> list[tuple[str, str]]:
    """Seconds, as text, and address of each frame in what `frame_urls` gave."""
    found = (line.partition(" ") for line in lines.decode().split("\n"))
    return [(seconds, url) for seconds, _, url in found]
