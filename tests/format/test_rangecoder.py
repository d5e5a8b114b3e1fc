"""The range coder in plain Python writes and reads what constriction does, bit by bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from constriction import stream
from synthetic import level_map, picture

import cotam
from cotam.codec.weights import load
from cotam.format import rangecoder

TABLES = [half for half in load().tables.halves if len(half) > 1]


def models(numbers: list[int]) -> list[tuple[Any, Any, int]]:
    """Pairs of models, ours and constriction's, and their number of symbols: tables and uniform ones."""
    found: list[tuple[Any, Any, int]] = []
    for number in numbers:
        if number < len(TABLES):
            half = TABLES[number]
            both = np.concatenate([half[-2:0:-1], half]) / 65536.0
            theirs = stream.model.Categorical(both, perfect=False)
            found.append((rangecoder.Categorical(both), theirs, len(both)))
        else:
            size = (2, 3, 65_535, 65_536)[number % 4]
            found.append((rangecoder.Uniform(size), stream.model.Uniform(size), size))
    return found


@pytest.mark.parametrize("seed", range(60))
def test_the_same_words(seed: int) -> None:
    """Of none, few and many symbols; those of a seed that is a multiple of 5 are the least likely ones."""
    rng = np.random.default_rng(seed)
    ours, theirs = rangecoder.RangeEncoder(), stream.queue.RangeEncoder()
    coded = []
    for mine, other, size in models(rng.integers(0, len(TABLES) + 4, seed % 20).tolist()):
        symbols = rng.integers(0, size, rng.integers(1, 60)).astype(np.int32)
        if seed % 5 == 0:
            symbols[:] = size - 1
        ours.encode(symbols, mine)
        theirs.encode(symbols, other)
        coded.append((mine, symbols))
        assert np.array_equal(ours.get_compressed(), theirs.get_compressed())
    decoder = rangecoder.RangeDecoder(theirs.get_compressed())
    for mine, symbols in coded:
        assert np.array_equal(decoder.decode(mine, len(symbols)), symbols)


@pytest.mark.parametrize("seed", range(40))
def test_the_same_symbols_of_any_words(seed: int) -> None:
    """Words that no encoder writes too: both refuse at the same place."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 1 << 32, rng.integers(0, 200), dtype=np.uint32)
    if seed % 3 == 0:
        words[:] = 0xFFFFFFFF
    ours, theirs = rangecoder.RangeDecoder(words), stream.queue.RangeDecoder(words)
    for mine, other, _ in models(rng.integers(0, len(TABLES) + 4, 40).tolist()):
        try:
            expected = theirs.decode(other, 9)
        except AssertionError:
            with pytest.raises(AssertionError, match="not those of an encoder"):
                ours.decode(mine, 9)
            return
        assert np.array_equal(ours.decode(mine, 9), expected)


def test_a_carry_runs_through_words() -> None:
    """Symbols that keep the interval across a boundary for several words."""
    mine, other, _ = models([0])[0]
    for length in range(1, 40):
        ours, theirs = rangecoder.RangeEncoder(), stream.queue.RangeEncoder()
        third = rangecoder.Uniform(3), stream.model.Uniform(3)
        symbols = np.array([1] * length + [2, 0, 2], np.int32)
        ours.encode(symbols, third[0])
        theirs.encode(symbols, third[1])
        ours.encode(0, mine)
        theirs.encode(0, other)
        assert np.array_equal(ours.get_compressed(), theirs.get_compressed())


def test_pictures_without_constriction() -> None:
    """In a process that cannot import it: the same file, and the same picture."""
    code = """
import sys
sys.modules["constriction"] = None
import numpy as np
from synthetic import level_map, picture
import cotam
from cotam.format.symbols import RangeEncoder
assert RangeEncoder.__module__ == "cotam.format.rangecoder"
data = cotam.encode(picture(96, 140), quality=60, levels=level_map(96, 140) | 1)
sys.stdout.buffer.write(data + np.asarray(cotam.decode(data)).tobytes())
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, cwd=Path(__file__).parents[1], check=True
    )
    data = cotam.encode(picture(96, 140), quality=60, levels=level_map(96, 140) | 1)
    assert result.stdout == data + np.asarray(cotam.decode(data)).tobytes()
