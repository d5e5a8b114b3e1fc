"""A range coder in plain Python, for platforms without a wheel of `constriction`: Linux on arm64.

It has the interface and writes the bytes of the part of constriction that is used here, but is slower.

Words have 32 bits, the state 64. The interval [lower, lower + range) narrows with each symbol; its upper word
is written when the range falls below 2**32.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
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
        self._left = [*left.tolist(), 1 << _PRECISION]

    def part_of(self, symbol: int) -> tuple[int, int]:
        """Return start and size of the interval of a symbol in 0 … 2**24."""
        return self._left[symbol], self._left[symbol + 1] - self._left[symbol]

    def symbol_at(self, quantile: int) -> int:
        """Return the symbol whose interval holds a quantile."""
        return bisect_right(self._left, quantile) - 1


class Uniform(Categorical):
    """A model of equally likely symbols 0 … size-1; the last one also has the remainder."""

    def __init__(self, size: int) -> None:
        each = (1 << _PRECISION) // size
        self._left = [*range(0, size * each, each), 1 << _PRECISION]


class RangeEncoder:
    """Encodes symbols to words."""

    def __init__(self) -> None:
        self._words: list[int] = []
        self._lower, self._range = 0, _STATE_MASK

    def encode(self, symbols: int | np.ndarray, model: Categorical) -> None:
        """Encode a symbol, or an array of them."""
        rest: Iterable[int] = [symbols] if isinstance(symbols, int) else symbols.tolist()
        for symbol in rest:
            left, size = model.part_of(symbol)
            scale = self._range >> _PRECISION
            self._lower, self._range = self._lower + scale * left, scale * size
            if self._lower > _STATE_MASK:
                self._lower &= _STATE_MASK
                _carry(self._words)
            if self._range < _SMALLEST:
                self._words.append(self._lower >> _WORD)
                self._lower, self._range = self._lower << _WORD & _STATE_MASK, self._range << _WORD

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
        self._words: list[int] = words.tolist()
        self._at = 2
        first, second = [*self._words[:2], 0, 0][:2]
        self._point, self._lower, self._range = first << _WORD | second, 0, _STATE_MASK

    def decode(self, model: Categorical, count: int | None = None) -> Any:
        """Decode one symbol, or an array int32 (count,).

        Raises AssertionError if no encoder writes such words; constriction raises the same error.
        """
        if count is None:
            return self._decode(model)
        return np.array([self._decode(model) for _ in range(count)], np.int32)

    def _decode(self, model: Categorical) -> int:
        scale = self._range >> _PRECISION
        quantile = (self._point - self._lower & _STATE_MASK) // scale
        if quantile >> _PRECISION:
            raise AssertionError("the words are not those of an encoder")
        symbol = model.symbol_at(quantile)
        left, size = model.part_of(symbol)
        self._lower, self._range = self._lower + scale * left & _STATE_MASK, scale * size
        if self._range < _SMALLEST:
            word = self._words[self._at] if self._at < len(self._words) else 0
            self._at += 1
            self._lower, self._range = self._lower << _WORD & _STATE_MASK, self._range << _WORD
            self._point = (self._point << _WORD | word) & _STATE_MASK
        return symbol
