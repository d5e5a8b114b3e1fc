"""Choose the frames of a video that are visible at regular times."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, pairwise
from typing import Any

from cotam.errors import InputError
from cotam.image.fit import resize
from cotam.image.read import Pixels

__all__ = ["Note", "read_clip", "sample_frames", "scale_to_first", "warn"]

Note = Callable[[str], None]
"""Takes one line on what was left out, repaired or assumed."""

Frame = tuple[float, Callable[[], Any]]
"""Seconds, and a function that returns the image."""

_ROUNDED = 5e-4
"""Largest rounding error of times in files, in seconds; many files count milliseconds."""


def warn(text: str) -> None:
    """Issue a UserWarning; the default for notes."""
    warnings.warn(text, stacklevel=3)


def sample_frames(
    frames: Iterable[Frame],
    fps: float | None = None,
    max_frames: int | None = None,
    length: float | None = None,
    *,
    end: Callable[[], float | None] = lambda: None,
    note: Note = warn,
) -> Iterator[tuple[float, Any]]:
    """Choose the frames visible at regular times, each once, with their own times.

    Parameters
    ----------
    frames : pairs of increasing seconds and a function that returns the image
    fps : sample at multiples of 1 / ``fps`` seconds; None, or a rate above the resolution of times in files,
        takes every frame
    max_frames : largest number of frames. If ``fps`` would give more, this many are spread evenly from first
        to last if ``length`` is known; else the first ones are taken.
    length : end of the last frame, in seconds
    end : returns the end of the last frame when all were read, for an unknown ``length``
    note : called with what is left out: frames that cannot be decoded, or are too many

    Yields
    ------
    (float, image)
    """
    if fps is not None and fps * _ROUNDED > 1:
        fps = None
    spread = max_frames is not None and length and (fps is None or length * fps - 1e-3 > max_frames)
    rate = max(max_frames - 1, 1) / length if spread else fps  # type: ignore[operator]
    count = 0  # of the frames taken
    sample = 0  # the next time is sample / rate
    for frame, following in pairwise(chain(frames, [None])):
        assert frame
        seconds, get = frame
        if following:
            until = following[0] - _ROUNDED
        elif spread:
            until = math.inf
        else:
            last = end() if length is None else length
            until = seconds + _ROUNDED if last is None or last < seconds else max(last - 1e-3, 1e-3)
        if rate is not None and sample / rate >= until:
            continue
        if rate is not None and math.isfinite(until):
            sample = max(sample + 1, math.ceil(until * rate))
        try:
            image = get()
        except InputError as error:
            note(str(error))
            continue
        yield seconds, image
        count += 1
        if count == max_frames:
            if not length and following:
                first = "the first frame is" if max_frames == 1 else f"the first {max_frames} frames are"
                note(f"{first} taken, up to {seconds:.1f} s: the length is not known")
            return


def scale_to_first(
    frames: Iterable[tuple[float, Pixels]], note: Note = warn
) -> Iterator[tuple[float, Pixels]]:
    """Scale frames, uint8 (H, W, 3), to the size of the first; a note names the first of another size."""
    size = last = None
    for seconds, pixels in frames:
        found = (pixels.shape[1], pixels.shape[0])
        size = size or found
        if found != size and last == size:
            note(f"from {seconds:.1f} s on frames are {found[0]}×{found[1]}: scaled to the first one's size")
        last = found
        yield seconds, resize(pixels, size)


def read_clip(
    clip: Any,
    fps: float | None = None,
    max_frames: int | None = None,
    advance: Callable[[float], None] = lambda seconds: None,
    note: Note = warn,
) -> Iterator[tuple[float, Pixels]]:
    """Sample the frames of a `Clip` or `Animation`, scaled to the size of the first.

    ``advance`` is called with the seconds of each frame that is read; the other parameters are those of
    `sample_frames`. Yields seconds, and pixels uint8 (H, W, 3).
    """

    def frames() -> Iterator[Frame]:
        for seconds, get in clip.frames():
            advance(seconds)
            yield seconds, get

    length = clip.seconds if max_frames else clip.stated_seconds
    sampled = sample_frames(frames(), fps, max_frames, length, end=lambda: clip.stated_seconds, note=note)
    yield from scale_to_first(sampled, note)
    for text in clip.notes:
        note(text)
