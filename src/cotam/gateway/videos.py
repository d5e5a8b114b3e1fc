"""One video of a request: its format, the .cotam sequence made of it, and the frames of a sequence.

Only files of a few formats are handed to FFmpeg: it reads playlists, too, and opens what they name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from typing import Any

import cotam
from cotam.errors import LimitError
from cotam.gateway.dataurl import Media
from cotam.gateway.images import MEDIA_TYPES, format_of, saved

__all__ = ["packed_frames", "sequence_of", "unpacked_frames", "video_format"]


def video_format(data: bytes) -> str | None:
    """mp4 (MOV too), webm (Matroska too), avi or gif, by the first bytes; None for other data."""
    if data[4:8] == b"ftyp" and not format_of(data):
        return "mp4"
    if data.startswith(b"\x1a\x45\xdf\xa3"):
        return "webm"
    if data.startswith(b"RIFF") and data[8:12] == b"AVI ":
        return "avi"
    return "gif" if data.startswith((b"GIF87a", b"GIF89a")) else None


def sequence_of(
    data: bytes, fps: float, most: int, size_limit: int, check: Callable[[], None], **coding: Any
) -> bytes:
    """Encode a video file as a .cotam sequence.

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


def packed_frames(data: bytes, check: Callable[[], None]) -> bytes:
    """Decode all frames of a sequence, as one value for a cache: seconds, length and PNG of each.

    Raises
    ------
    FormatError, LimitError, UnknownWeightsError
        as `cotam.decode_frames`
    """
    pieces = []
    for seconds, image in cotam.decode_frames(data):
        check()
        png = saved(image, "png")
        pieces += [f"{seconds:.1f} {len(png)}\n".encode(), png]
    return b"".join(pieces)


def unpacked_frames(packed: bytes) -> list[tuple[str, Media]]:
    """Seconds, as text, and PNG of each frame in what `packed_frames` gave."""
    found, at = [], 0
    while at < len(packed):
        end = packed.index(b"\n", at)
        seconds, size = packed[at:end].decode().split(" ")
        at = end + 1 + int(size)
        found.append((seconds, Media(MEDIA_TYPES["png"], packed[end + 1 : at])))
    return found
