"""One request's images in the threads of a server that are idle."""

from __future__ import annotations

import threading
from threading import Barrier, Event

import pytest

from cotam.gateway.threads import Threads


@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_item_is_done_once(count: int) -> None:
    done: list[int] = []
    with Threads(count, "test") as threads:
        threads.submit(threads.each, done.append, range(100)).result(20)
    assert sorted(done) == list(range(100))


def test_idle_threads_help() -> None:
    barrier = Barrier(3)
    with Threads(3, "test") as threads:
        threads.submit(threads.each, lambda _: barrier.wait(20), range(3)).result(20)


def test_no_thread_waits_for_one_that_has_not_begun() -> None:
    """Both threads have a request of their own."""
    barrier, done = Barrier(2), []

    def request(first: int) -> None:
        barrier.wait(20)
        threads.each(done.append, range(first, first + 50))

    with Threads(2, "test") as threads:
        for future in [threads.submit(request, first) for first in (0, 50)]:
            future.result(20)
    assert sorted(done) == list(range(100))


def test_another_request_waits_for_few_items() -> None:
    begun, done, counts = Event(), [], []

    def work(item: int) -> None:
        begun.set()
        threading.Event().wait(0.005)
        done.append(item)

    with Threads(2, "test") as threads:
        large = threads.submit(threads.each, work, range(100))
        assert begun.wait(20)
        threads.submit(lambda: counts.append(len(done))).result(20)
        large.result(20)
    assert counts[0] < 20


@pytest.mark.parametrize("wrong", [0, 1, 99])
def test_an_error_is_raised(wrong: int) -> None:
    def work(item: int) -> None:
        if item == wrong:
            raise ValueError(item)

    with Threads(3, "test") as threads, pytest.raises(ValueError, match=str(wrong)):
        threads.submit(threads.each, work, range(100)).result(20)
