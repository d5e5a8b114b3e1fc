"""Choose the frames of a video that are visible at regular times."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from cotam.errors import InputError
from cotam.image.read import Pixels

__all__ = ["Note", "read_clip", "sampled", "warn"]

Note = Callable[[str], None]
"""Takes one line on what was left out, repaired or assumed."""

Frame = tuple[float, Callable[[], Any]]
"""Seconds, and a function that returns the image."""

_ROUNDED = 5e-4
"""Seconds that a time in a file may be off: many files count milliseconds."""


def warn(text: str) -> None:
    """Issue a UserWarning: what happens to notes unless a function is passed."""
    warnings.warn(text, stacklevel=3)


class _SampleTimes:
    """Times 0, 1/rate, 2/rate, …; all times where ``rate`` is None."""

    def __init__(self, rate: float | None) -> None:
        self._rate, self._next = rate, 0

    def any_before(self, until: float) -> bool:
        """Whether one that was not counted before is earlier than ``until`` seconds; counts them."""
        if self._rate is None:
            return True
        if self._next / self._rate >= until:
            return False
        if math.isfinite(until):
            self._next = max(self._next + 1, math.ceil(until * self._rate))
        return True


def sampled(
    frames: Iterable[Frame],
    fps: float | None = None,
    most: int | None = None,
    length: float | None = None,
    *,
    advance: Callable[[float], None] = lambda seconds: None,
    note: Note = warn,
) -> Iterator[tuple[float, Any]]:
    """Choose the frames that are visible at regular times, each once, with their own times.

    Parameters
    ----------
    frames : (seconds, function that returns the image) each; seconds rise
    fps : sample times are a multiple of 1 / ``fps`` seconds; None takes each frame, as does a rate above what
        the times in files resolve
    most : at most so many frames. Where ``fps`` would give more and ``length`` is known, so many are spread
        evenly from the first frame to the last; where it is not known, the first so many are taken.
    length : seconds until the last frame ends
    advance : called with the seconds of each frame that is read
    note : called with what is left out: frames that cannot be decoded, and those behind the first ``most``

    Yields
    ------
    (float, image)
    """
    if fps is not None and fps * _ROUNDED > 1:
        fps = None
    spread = most is not None and length and (fps is None or length * fps - 1e-3 > most)
    times = _SampleTimes(max(most - 1, 1) / length if spread else fps)  # type: ignore[operator]
    count = 0
    last_until = partial(_last_until, length=math.inf if spread else length)
    for seconds, get, until in _with_ends(frames, last_until, advance):
        if not times.any_before(until):
            continue
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
    """Each frame, and the time until which it is visible."""
    shown: Frame | None = None
    for frame in frames:
        advance(frame[0])
        if shown:
            yield *shown, frame[0] - _ROUNDED
        shown = frame
    if shown:
        yield *shown, last_until(shown[0])


def _last_until(seconds: float, length: float | None) -> float:
    """Time until which the last frame is visible: the end of the clip, or just its own time."""
    if length is None or length < seconds:
        return seconds + _ROUNDED
    return max(length - 1e-3, 1e-3)


def read_clip(
    clip: Any,
    fps: float | None = None,
    most: int | None = None,
    advance: Callable[[float], None] = lambda seconds: None,
    note: Note = warn,
) -> Iterator[tuple[float, Pixels]]:
    """Seconds and pixels, uint8 (H, W, 3), of the frames of a `Clip` or `Animation`, see `sampled`."""
    length = clip.seconds if most else clip.stated_seconds
    yield from sampled(clip.frames(), fps, most, length, advance=advance, note=note)
    for text in clip.notes:
        note(text)
