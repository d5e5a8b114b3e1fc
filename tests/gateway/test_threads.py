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
        threads.submit(threads.each, done.append, range(100)).result(60)
    assert sorted(done) == list(range(100))


def test_idle_threads_help() -> None:
    barrier = Barrier(3)
    with Threads(3, "test") as threads:
        threads.submit(threads.each, lambda _: barrier.wait(60), range(3)).result(60)


def test_no_thread_waits_for_one_that_has_not_begun() -> None:
    """Both threads have a request of their own."""
    barrier, done = Barrier(2), []

    def request(first: int) -> None:
        barrier.wait(60)
        threads.each(done.append, range(first, first + 50))

    with Threads(2, "test") as threads:
        for future in [threads.submit(request, first) for first in (0, 50)]:
            future.result(60)
    assert sorted(done) == list(range(100))


def test_another_request_waits_for_few_items() -> None:
    """Even if the thread of the large request does no more of them."""
    both, asked, answered = Barrier(3), Event(), Event()
    own: list[int] = []
    done: list[int] = []

    def request() -> None:
        own.append(threading.get_ident())
        threads.each(work, range(100))

    def work(item: int) -> None:
        if not asked.is_set():
            both.wait(60)  # both threads have begun an item
            assert asked.wait(60)
        if threading.get_ident() in own:
            assert answered.wait(60)
        done.append(item)

    with Threads(2, "test") as threads:
        large = threads.submit(request)
        both.wait(60)
        other = threads.submit(lambda: len(done))
        asked.set()
        assert other.result(60) < 20
        answered.set()
        large.result(60)
    assert sorted(done) == list(range(100))


@pytest.mark.parametrize("wrong", [0, 1, 99])
def test_an_error_is_raised(wrong: int) -> None:
    def work(item: int) -> None:
        if item == wrong:
            raise ValueError(item)

    with Threads(3, "test") as threads, pytest.raises(ValueError, match=str(wrong)):
        threads.submit(threads.each, work, range(100)).result(60)
