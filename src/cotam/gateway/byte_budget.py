"""Reduce the images of a request, earlier turns first, until it fits a byte limit.

The choice for an image depends only on the images before it and on the limit. So the next turn of a
conversation, which repeats them all, chooses the same, and the provider's prompt cache stays valid, without
any state here. If a new image does not fit, earlier ones are reduced in one large step, to half of the limit,
so that the next step is some turns away.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

__all__ = ["BEST", "LATEST", "plan", "quantised_room"]

BEST = -1
"""The rung of the best quality that the API takes."""

LATEST = 3
"""Number of latest images, which are reduced last."""

_AFTER_STEP = (0.5, 0.75, 1.0)
"""Shares of the room to fill after a step; the first that is possible without the latest images is used."""

_SAMPLE = 12
"""Number of images with which a rung is estimated."""

_ROOM_STEPS = 8
"""Steps into which `quantised_room` divides a limit."""

SizeAt = Callable[[int, int], int]
"""(number of an image, rung) → bytes."""


def plan(turns: Sequence[int], size: SizeAt, rungs: int, room: int) -> list[int] | None:
    """Return the rung of each image; None if they do not fit at the lowest.

    Parameters
    ----------
    turns : turn of each image, ascending; images of a turn are reduced together
    size : bytes of an image at a rung, `BEST` or 0 to ``rungs`` - 1, roughly decreasing
    room : largest number of bytes of all images
    """
    chosen: list[int] = []
    total = 0
    for start, end in _groups(turns):
        chosen += [BEST] * (end - start)
        total += sum(size(number, BEST) for number in range(start, end))
        if total <= room:
            continue
        steps = (_lower(chosen, *step, size, rungs) for step in _steps(turns, start, end, room))
        lower = next((found for found in steps if found is not None), None)
        if lower is None:
            return None
        chosen = lower
        total = sum(size(number, rung) for number, rung in enumerate(chosen))
    return chosen


def _groups(turns: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last image, exclusive, of each turn."""
    end = 0
    for _, group in groupby(turns):
        start, end = end, end + len(list(group))
        yield start, end


def _steps(turns: Sequence[int], start: int, end: int, room: int) -> Iterator[tuple[int, int]]:
    """Yield how many of the first images to reduce, and the bytes of all to reach, mildest step first."""
    recent = start
    for first, _ in reversed(list(_groups(turns[:start]))):
        if end - first > LATEST:
            break
        recent = first
    for older in (recent, start):
        for share in _AFTER_STEP:
            yield older, int(room * share)
    yield end, room


def _lower(chosen: Sequence[int], older: int, goal: int, size: SizeAt, rungs: int) -> list[int] | None:
    """Reduce the first ``older`` images to the best rung at which all fit ``goal`` bytes, if there is one.

    The rung is estimated with some of them, since each size takes the time to encode an image, and then
    checked with all: for very different images it may be one lower than the best.
    """
    if not older:
        return None
    some = range(0, older, -(-older // _SAMPLE))
    share = sum(size(number, BEST) for number in some) / sum(size(number, BEST) for number in range(older))

    def at(rung: int) -> list[int]:
        return [max(one, rung) if number < older else one for number, one in enumerate(chosen)]

    def total(rungs: Sequence[int], numbers: Iterable[int]) -> int:
        return sum(size(number, rungs[number]) for number in numbers)

    left = goal - total(chosen, range(older, len(chosen)))

    def seems_to_fit(rung: int) -> bool:
        return total(at(rung), some) <= left * share

    first = min(bisect_left(range(rungs), True, key=seems_to_fit), rungs - 1)
    fitting = (at(rung) for rung in range(first, rungs))
    return next((found for found in fitting if total(found, range(older)) <= left), None)


def quantised_room(limit: int, rest: int) -> int:
    """Return the bytes for images in a request of at most ``limit`` with ``rest`` bytes of other data.

    The rest, which grows with each turn, is rounded up in coarse steps, so that the room changes rarely.
    """
    notch = max(limit // _ROOM_STEPS, 1)
    room = limit - -(-rest // notch) * notch
    return room if room > notch else max(limit - rest, 0)
