"""Reduce the images of a request, earlier turns first, until it fits a byte limit.

The choice for an image depends only on the images before it and on the limit. So the next turn of a
conversation, which repeats them all, chooses the same, and the provider's prompt cache stays valid, without
any state here. If a new image does not fit, earlier ones are reduced in one large step, to half of the limit,
so that the next step is some turns away.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby

__all__ = ["BEST", "LATEST", "plan", "quantised_room"]

BEST = -1
"""The rung of the best quality that the API takes."""

LATEST = 3
"""Number of latest images, which are reduced last."""

_AFTER_STEP = (0.5, 0.75, 1.0)
"""Shares of the room to fill after a step; the first that is possible without the latest images is used."""

_SAMPLE = 8
"""Number of images with which a rung is estimated, and which are reduced at a time."""

_ROOM_STEPS = 8
"""Steps into which `quantised_room` divides a limit."""

Total = Callable[[Iterable[tuple[int, int]]], int]
"""(number of an image, its rung), … → bytes of all."""


def plan(turns: Sequence[int], total: Total, rungs: int, room: int) -> list[int] | None:
    """Return the rung of each image; None if they do not fit at the lowest.

    Parameters
    ----------
    turns : turn of each image, ascending; images of a turn are reduced together
    total : bytes of images, each at a rung, `BEST` or 0 to ``rungs`` - 1, roughly decreasing
    room : largest number of bytes of all images
    """
    chosen: list[int] = []
    size = 0
    for start, end in _groups(turns):
        chosen += [BEST] * (end - start)
        size += total((number, BEST) for number in range(start, end))
        if size <= room:
            continue
        steps = (_lower(chosen, *step, total, rungs) for step in _steps(turns, start, end, room))
        lower = next((found for found in steps if found is not None), None)
        if lower is None:
            return None
        chosen = lower
        size = total(enumerate(chosen))
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


def _lower(chosen: Sequence[int], older: int, goal: int, total: Total, rungs: int) -> list[int] | None:
    """Reduce the first ``older`` images until all fit ``goal`` bytes; None if they do not at the lowest rung.

    Each size takes the time to encode an image. So the best rung for all is estimated with some of them, and
    all are then reduced to it, newest first. Where the rest would not fit, it is reduced by one rung more.
    """
    if not older:
        return None
    step = -(-older // _SAMPLE)
    best = [(number, BEST) for number in range(older)]
    share = total(best[::step]) / total(best)
    left = goal - total([*enumerate(chosen)][older:])

    def at(rung: int, lower: int = 0) -> list[tuple[int, int]]:
        return [(number, max(one, rung + (number < lower))) for number, one in enumerate(chosen[:older])]

    def seems_to_fit(rung: int) -> bool:
        return total(at(rung)[::step]) <= left * share

    first = min(bisect_left(range(rungs), True, key=seems_to_fit), rungs - 1)

    def oldest(rung: int) -> int:
        """Return how many of the oldest to reduce by one rung more, estimated while others are encoded."""
        known, weight, done = total(at(rung)[::step]), total(best[::step]), 0
        factor = total(at(rung + 1)[::step]) / known
        for end in range(older, 0, -_SAMPLE):
            start = max(end - _SAMPLE, 0)
            done += total(at(rung)[start:end])
            weight += total(best[start:end])
            if done + (known + done) / weight * factor * total(best[:start]) > left:
                return end
        return 0

    tries = (
        at(rung, lower) for rung in range(first, rungs - 1) for lower in range(oldest(rung), older, _SAMPLE)
    )
    found = next((one for one in chain(tries, [at(rungs - 1)]) if total(one) <= left), None)
    return None if found is None else [rung for _, rung in found] + [*chosen[older:]]


def quantised_room(limit: int, rest: int) -> int:
    """Return the bytes for images in a request of at most ``limit`` with ``rest`` bytes of other data.

    The rest, which grows with each turn, is rounded up in coarse steps, so that the room changes rarely.
    """
    notch = max(limit // _ROOM_STEPS, 1)
    room = limit - -(-rest // notch) * notch
    return room if room > notch else max(limit - rest, 0)
