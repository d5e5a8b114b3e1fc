"""A cache of results in memory: earlier turns of a conversation come again with each request."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["OVERHEAD", "Cache", "Facts"]

Fact = TypeVar("Fact")

OVERHEAD = 1000
"""Bytes that a result takes beside its own: key, place in the order, and what Python adds to them."""


class Cache:
    """The results used last, within a number of bytes. Safe to use from several threads.

    A result counts as its bytes and `OVERHEAD`, or many small ones would fill the memory.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0
        self._lock = Lock()
        self._results: OrderedDict[Hashable, bytes] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], bytes]) -> tuple[bytes, bool]:
        """The result of this key, made now if it is not here, and whether it was here.

        Two threads that ask for the same at once may both make it; both get that which was ready first.
        """
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                return self._results[key], True
        result = make()
        with self._lock:
            if key in self._results:
                return self._results[key], False
            if _size(result) <= self._limit:
                self._results[key] = result
                self._held += _size(result)
            while self._held > self._limit:
                self._held -= _size(self._results.popitem(last=False)[1])
        return result, False


class Facts(Generic[Fact]):
    """Small values used last, at most so many: sizes of images. Safe to use from several threads."""

    def __init__(self, most: int = 20_000) -> None:
        self._most, self._lock = most, Lock()
        self._known: OrderedDict[Hashable, Fact] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Fact]) -> Fact:
        """The value of this key, made now if it is not known."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        value = make()
        with self._lock:
            self._known[key] = value
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        return value


def _size(result: bytes) -> int:
    return len(result) + OVERHEAD
