"""One video of a request: the .cotam sequence made of it, and the frames of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from typing import Any

import cotam
from cotam.errors import LimitError
from cotam.gateway.media import saved

__all__ = ["frames_of", "sequence_of"]


def sequence_of(
    data: bytes,
    fps: float,
    most: int,
    size_limit: int,
    check: Callable[[], None],
    note: Callable[[str], None],
    **coding: Any,
) -> bytes:
    """Encode a video file as a .cotam sequence.

    Raises MissingExtraError without the extra ``video``; InputError, LimitError if it cannot be read, or is
    larger than the limit.

    Parameters
    ----------
    fps, most : frames a second, and at most so many, see `cotam.image.sampling.sampled`
    size_limit : pixels of a frame
    check : called before each frame
    note : called with each line on what was left out, repaired or assumed
    coding : arguments of `cotam.encode_frames`
    """
    from cotam.image.sampling import read_clip
    from cotam.image.video import Clip

    def checked(frames: Iterator[tuple[float, Any]]) -> Iterator[tuple[float, Any]]:
        for seconds, pixels in frames:
            height, width = pixels.shape[:2]
            if width * height > size_limit:
                raise LimitError(
                    f"frames are {width}×{height}: more than the limit of {size_limit / 1e6:g} MP"
                )
            yield seconds, pixels

    with closing(Clip(BytesIO(data), "the video")) as clip:
        frames = read_clip(clip, fps, most, advance=lambda seconds: check(), note=note)
        return b"".join(cotam.encode_frames(checked(frames), **coding))


def frames_of(data: bytes, check: Callable[[], None]) -> list[tuple[str, bytes]]:
    """Seconds, as text, and PNG of each frame of a sequence. Raises as `cotam.decode_frames`."""
    found = []
    for seconds, image in cotam.decode_frames(data):
        check()
        found.append((f"{seconds:.1f}", saved(image)))
    return found
