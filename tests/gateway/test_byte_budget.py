"""Which images of a request are reduced, and how far, so that it keeps to a number of bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cotam.gateway.byte_budget import BEST, plan, quantised_room


def total_of(size: Callable[[int, int], int]) -> Callable[[Iterable[tuple[int, int]]], int]:
    return lambda rungs: sum(size(number, rung) for number, rung in rungs)


def test_plans() -> None:
    def size(number: int, rung: int) -> int:
        return 100 >> (rung + 1)

    total = total_of(size)
    assert plan([], total, 4, 10) == []
    assert plan([0, 1, 2], total, 4, 300) == [BEST] * 3
    for count in range(1, 40):
        chosen = plan(range(count), total, 6, 599)
        if chosen is None:
            break
        assert sum(size(number, rung) for number, rung in enumerate(chosen)) <= 599
    assert plan([0] * 1000, total, 6, 599) is None


def test_few_images_are_encoded_to_find_a_rung_for_many() -> None:
    asked: set[tuple[int, int]] = set()

    def size(number: int, rung: int) -> int:
        if rung != BEST:
            asked.add((number, rung))
        return round((200 + number % 60) * 0.7 ** (rung + 1))

    assert plan(range(110), total_of(size), 9, 24_000)
    assert len(asked) < 1.5 * 110


def test_a_rung_that_was_estimated_wrong_costs_few_more_images() -> None:
    """The images that are sampled are half as large as the others when they are reduced."""
    asked: set[tuple[int, int]] = set()

    def size(number: int, rung: int) -> int:
        asked.add((number, rung))
        return 200 if rung == BEST else round(100 * 0.7**rung * (0.95 if number % 10 == 0 else 1))

    room = 15_999
    chosen = plan(range(80), total_of(size), 9, room)
    assert chosen
    assert total_of(size)(enumerate(chosen)) <= room
    assert chosen[:77] == sorted(chosen[:77], reverse=True)  # the oldest are reduced most
    assert len(set(chosen[:77])) == 2
    assert len({one for one in asked if one[1] != BEST}) < 130


def test_what_was_seen_last_stays_where_there_is_room_for_it() -> None:
    """Sizes in kB of a session's screenshots, two of them much larger than the others."""
    sizes = [268, 279, 257, 440, 228, 279, 282, 278, 1141, 175, 199, 246, 1141, 230, 132, 130, 132, 1015]

    def size(number: int, rung: int) -> int:
        return round(sizes[number] * 0.7 ** (rung + 1))

    before: list[int] = []
    changes = 0
    for count in range(1, len(sizes) + 1):
        chosen = plan(range(count), total_of(size), 9, 3500)
        assert chosen
        assert chosen[-3:] == [BEST] * min(count, 3)
        changes += chosen[: len(before)] != before
        before = chosen
    assert changes <= 3


def test_the_room_changes_seldom() -> None:
    rooms = [quantised_room(8000, rest) for rest in range(0, 6000, 10)]
    assert len(set(rooms)) <= 7
    assert all(room <= 8000 - rest for room, rest in zip(rooms, range(0, 6000, 10), strict=True))
    assert quantised_room(8000, 7500) == 500
    assert quantised_room(8000, 9000) == 0
