"""An in-memory cache: each request repeats the images of earlier turns."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, Generic, TypeVar

__all__ = ["OVERHEAD", "Cache"]

Result = TypeVar("Result")

OVERHEAD = 1000
"""Bytes counted for each result in addition to its own, for its key and Python's overhead."""


class Cache(Generic[Result]):
    """A cache of the most recently used results, safe to share by threads.

    ``limit`` bounds the sum of their sizes, by default their bytes plus `OVERHEAD`.
    """

    def __init__(
        self, limit: int, size: Callable[[Any], int] = lambda result: len(result) + OVERHEAD
    ) -> None:
        self._limit, self._size, self._held = limit, size, 0
        self._lock = Lock()
        self._results: OrderedDict[Hashable, Result] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Result]) -> tuple[Result, bool]:
        """Return the result of a key, made if it is not cached, and whether it was cached.

        Two threads may both make the result of one key; both get the one that was ready first.
        """
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                return self._results[key], True
        result = make()
        with self._lock:
            if key in self._results:
                return self._results[key], False
            if self._size(result) <= self._limit:
                self._results[key] = result
                self._held += self._size(result)
            while self._held > self._limit:
                self._held -= self._size(self._results.popitem(last=False)[1])
        return result, False
