"""A range coder in plain Python, for platforms without a wheel of `constriction`: Linux and Windows on arm64.

It has the interface and writes the bytes of the part of constriction that is used here, but is slower.

Words have 32 bits, the state 64. The interval [lower, lower + range) narrows with each symbol; its upper word
is written when the range falls below 2**32.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise, repeat
from typing import Any

import numpy as np

__all__ = ["Categorical", "RangeDecoder", "RangeEncoder", "Uniform"]

_WORD = 32
_STATE_MASK = (1 << 64) - 1
_SMALLEST = 1 << _WORD
_PRECISION = 24
"""Bits of probabilities in the coder."""


class Categorical:
    """A model of symbols 0 … n-1 with probabilities of at least 2**-24 that sum to 1."""

    def __init__(self, probabilities: np.ndarray, perfect: bool = False) -> None:
        count = len(probabilities)
        before = np.concatenate([[0], np.cumsum(probabilities, dtype=np.float64)[:-1]])
        left = (before * ((1 << _PRECISION) - count)).astype(np.int64) + np.arange(count)
        self._set([*left.tolist(), 1 << _PRECISION])

    def _set(self, edges: list[int]) -> None:
        self.edges = edges  # symbol s has the interval from edges[s] to edges[s + 1] of 0 … 2**24
        self.intervals = [(left, right - left) for left, right in pairwise(edges)]  # start and size of each


class Uniform(Categorical):
    """A model of equally likely symbols 0 … size-1; the last one also has the remainder."""

    def __init__(self, size: int) -> None:
        each = (1 << _PRECISION) // size
        self._set([*range(0, size * each, each), 1 << _PRECISION])


class RangeEncoder:
    """Encodes symbols to words."""

    def __init__(self) -> None:
        self._words: list[int] = []
        self._lower, self._range = 0, _STATE_MASK

    def encode(self, symbols: int | np.ndarray, model: Categorical) -> None:
        """Encode a symbol, or an array of them."""
        rest: Iterable[int] = [symbols] if isinstance(symbols, int) else symbols.tolist()
        lower, range_, intervals = self._lower, self._range, model.intervals
        for symbol in rest:
            left, size = intervals[symbol]
            scale = range_ >> _PRECISION
            lower += scale * left
            range_ = scale * size
            if lower > _STATE_MASK:
                lower &= _STATE_MASK
                _carry(self._words)
            if range_ < _SMALLEST:
                self._words.append(lower >> _WORD)
                lower, range_ = lower << _WORD & _STATE_MASK, range_ << _WORD
        self._lower, self._range = lower, range_

    def get_compressed(self) -> np.ndarray:
        """Return the fewest words, uint32, that identify the interval."""
        words = self._words.copy()
        if self._range != _STATE_MASK:
            point = self._lower + _SMALLEST - 1
            if point > _STATE_MASK:
                _carry(words)
            word = (point & _STATE_MASK) >> _WORD
            words.append(word)
            if word == (self._lower + self._range & _STATE_MASK) >> _WORD:
                words.append(0)
        return np.array(words, np.uint32)


def _carry(words: list[int]) -> None:
    """Add 1 to the words, read as one number."""
    at = len(words) - 1
    while words[at] == _SMALLEST - 1:
        words[at] = 0
        at -= 1
    words[at] += 1


class RangeDecoder:
    """Decodes words to symbols; zeros follow the last word."""

    def __init__(self, words: np.ndarray) -> None:
        self._words: Iterator[int] = chain(words.tolist(), repeat(0))
        self._offset = next(self._words) << _WORD | next(self._words)  # of the words in the interval
        self._range = _STATE_MASK

    def decode(self, model: Categorical, count: int | None = None) -> Any:
        """Decode one symbol, or an array int32 (count,).

        Raises AssertionError if no encoder writes such words; constriction raises the same error.
        """
        found = []
        offset, range_, edges, intervals = self._offset, self._range, model.edges, model.intervals
        for _ in range(1 if count is None else count):
            scale = range_ >> _PRECISION
            quantile = offset // scale
            if quantile >> _PRECISION:
                raise AssertionError("the words are not those of an encoder")
            symbol = bisect_right(edges, quantile) - 1
            found.append(symbol)
            left, size = intervals[symbol]
            offset -= scale * left
            range_ = scale * size
            if range_ < _SMALLEST:
                offset, range_ = offset << _WORD | next(self._words), range_ << _WORD
        self._offset, self._range = offset, range_
        return found[0] if count is None else np.array(found, np.int32)
