"""Choose the frames of a video that are visible at regular times."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from cotam.errors import InputError
from cotam.image.fit import resize
from cotam.image.read import Pixels

__all__ = ["Note", "scale_to_first", "read_clip", "sample", "warn"]

Note = Callable[[str], None]
"""Takes one line on what was left out, repaired or assumed."""

Frame = tuple[float, Callable[[], Any]]
"""Seconds, and a function that returns the image."""

_ROUNDED = 5e-4
"""Largest rounding error of times in files, in seconds; many files count milliseconds."""


def warn(text: str) -> None:
    """Issue a UserWarning; the default for notes."""
    warnings.warn(text, stacklevel=3)


def sample(
    frames: Iterable[Frame],
    fps: float | None = None,
    most: int | None = None,
    length: float | None = None,
    *,
    advance: Callable[[float], None] = lambda seconds: None,
    note: Note = warn,
) -> Iterator[tuple[float, Any]]:
    """Choose the frames visible at regular times, each once, with their own times.

    Parameters
    ----------
    frames : pairs of increasing seconds and a function that returns the image
    fps : sample at multiples of 1 / ``fps`` seconds; None, or a rate above the resolution of times in files,
        takes every frame
    most : largest number of frames. If ``fps`` would give more, this many are spread evenly from the first to
        the last frame if ``length`` is known; else the first ones are taken.
    length : end of the last frame, in seconds
    advance : called with the seconds of each frame that is read
    note : called with what is left out: frames that cannot be decoded, and those after the first ``most``

    Yields
    ------
    (float, image)
    """
    if fps is not None and fps * _ROUNDED > 1:
        fps = None
    spread = most is not None and length and (fps is None or length * fps - 1e-3 > most)
    rate = max(most - 1, 1) / length if spread else fps  # type: ignore[operator]
    count = sample = 0  # of the images taken, and of the next time: sample / rate
    last_until = partial(_last_until, length=math.inf if spread else length)
    for seconds, get, until in _with_ends(frames, last_until, advance):
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
        if count == most:
            if not length and until != last_until(seconds):
                note(f"the first {most} frames are taken, up to {seconds:.1f} s: the length is not known")
            return


def _with_ends(
    frames: Iterable[Frame], last_until: Callable[[float], float], advance: Callable[[float], None]
) -> Iterator[tuple[float, Callable[[], Any], float]]:
    """Yield each frame with the time at which it stops being visible."""
    shown: Frame | None = None
    for frame in frames:
        advance(frame[0])
        if shown:
            yield *shown, frame[0] - _ROUNDED
        shown = frame
    if shown:
        yield *shown, last_until(shown[0])


def _last_until(seconds: float, length: float | None) -> float:
    """Return the end of the last frame: that of the clip, or just after its own time."""
    if length is None or length < seconds:
        return seconds + _ROUNDED
    return max(length - 1e-3, 1e-3)


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
    most: int | None = None,
    advance: Callable[[float], None] = lambda seconds: None,
    note: Note = warn,
) -> Iterator[tuple[float, Pixels]]:
    """Yield seconds and pixels, uint8 (H, W, 3), of `sample` frames of a `Clip` or `Animation`.

    They have the size of the first.
    """
    length = clip.seconds if most else clip.stated_seconds
    yield from scale_to_first(sample(clip.frames(), fps, most, length, advance=advance, note=note), note)
    for text in clip.notes:
        note(text)
