"""Reduce the images of a request, earlier turns first, until it fits a byte limit.

The choice for an image follows from the images before it and from the room alone. So the next turn of a
conversation, which repeats them all, chooses the same, and a provider's cache of the prompt stays valid; no
state is kept for it. Where a new image does not fit, earlier ones go down in one large step, to half of the
room, so that the next step is some turns away.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

__all__ = ["BEST", "KEPT", "plan", "quantised_room"]

BEST = -1
"""The rung at which an image is as good as the API takes it."""

KEPT = 3
"""Images at the end that go down last: what an agent has just seen."""

_AFTER_STEP = (0.5, 0.75, 1.0)
"""Share of the room that is taken after a step: half if that is possible without the images seen last."""

_NOTCHES = 8

Size = Callable[[int, int], int]
"""Number of an image, rung → bytes."""


def plan(turns: Sequence[int], size: Size, rungs: int, room: int) -> list[int] | None:
    """The rung of each image; None if they do not fit at the lowest.

    Parameters
    ----------
    turns : of each image, the number of its turn, ascending: images of one turn go down together
    size : bytes of an image at a rung, `BEST` or 0 to ``rungs`` - 1; falls with the rung by and large
    room : bytes of all images together
    """
    chosen: list[int] = []
    total = 0
    for start, end in _groups(turns):
        chosen += [BEST] * (end - start)
        total += sum(size(number, BEST) for number in range(start, end))
        if total <= room:
            continue
        for older, goal in _steps(turns, start, end, room):
            lower = _lowered(chosen, older, size, rungs, goal)
            if lower is not None:
                chosen = lower
                break
        else:
            return None
        total = sum(size(number, rung) for number, rung in enumerate(chosen))
    return chosen


def _groups(turns: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last image, exclusive, of each turn."""
    start = 0
    for number in range(1, len(turns) + 1):
        if number == len(turns) or turns[number] != turns[start]:
            yield start, number
            start = number


def _steps(turns: Sequence[int], start: int, end: int, room: int) -> Iterator[tuple[int, int]]:
    """How many of the first images may go down, and the bytes to reach: the mildest first."""
    recent = start
    for first, _ in reversed(list(_groups(turns[:start]))):
        if end - first > KEPT:
            break
        recent = first
    for older in (recent, start):
        for share in _AFTER_STEP:
            yield older, int(room * share)
    yield end, room


def _lowered(chosen: Sequence[int], older: int, size: Size, rungs: int, goal: int) -> list[int] | None:
    """The first ``older`` images at the highest rung at which all fit; None if they do not at the lowest."""
    if not older:
        return None

    def at(rung: int) -> list[int]:
        return [max(one, rung) if number < older else one for number, one in enumerate(chosen)]

    def fits(rung: int) -> bool:
        return sum(size(number, one) for number, one in enumerate(at(rung))) <= goal

    found = bisect_left(range(rungs), True, key=fits)
    return at(found) if found < rungs else None


def quantised_room(limit: int, rest: int) -> int:
    """Bytes for images in a request of at most ``limit`` with ``rest`` bytes of other things.

    The rest grows with each turn of a conversation, and is rounded up to notches: the room changes seldom.
    """
    notch = max(limit // _NOTCHES, 1)
    room = limit - -(-rest // notch) * notch
    return room if room > notch else max(limit - rest, 0)
