"""Threads in which images are processed, as many as ``--jobs`` allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["Threads"]

Item = TypeVar("Item")


class Threads(ThreadPoolExecutor):
    """A pool of ``count`` threads. A request in one of them may spread its work over those that are idle."""

    def __init__(self, count: int, name: str) -> None:
        super().__init__(count, thread_name_prefix=name)
        self._others = count - 1

    def each(self, work: Callable[[Item], object], items: Iterable[Item]) -> None:
        """Run ``work`` for each item, in this thread of the pool and in idle ones.

        Other requests do not wait for all of it: few items are in the queue at a time. What no thread has
        taken when all others are done is done here, so threads never wait for each other in a circle.
        """
        left = deque(items)
        given: list[tuple[Item, Future[object]]] = []
        while left or given:
            for _, future in given:
                if future.done():
                    future.result()  # raises its error
            given = [one for one in given if not one[1].done()]
            while left and len(given) < 2 * self._others:
                given.append((left[0], self.submit(work, left.popleft())))
            if left:
                work(left.popleft())
            elif given:
                item, future = given.pop()
                if future.cancel():
                    work(item)
                else:
                    future.result()
