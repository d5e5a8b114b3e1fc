"""Modes of cells: what is coded comes back, and costs little where it is what its neighbours say."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cotam.codec.weights import load
from cotam.format.adaptive import read_map, write_map
from cotam.format.modes import MODES
from cotam.format.symbols import SymbolReader, SymbolWriter

TABLES = load().tables


def coded(modes: np.ndarray) -> bytes:
    writer = SymbolWriter(TABLES)
    write_map(writer, MODES, modes)
    return writer.finish()


@settings(max_examples=50)
@given(height=st.integers(1, 12), width=st.integers(1, 12), seed=st.integers(0, 99), kinds=st.integers(1, 4))
def test_modes_come_back(height: int, width: int, seed: int, kinds: int) -> None:
    modes = np.random.default_rng(seed).integers(0, kinds, (height, width)).astype(np.uint8)
    found = read_map(SymbolReader(TABLES, coded(modes)), MODES, height, width)
    assert np.array_equal(found, modes)


def test_even_modes_cost_next_to_nothing() -> None:
    modes = np.ones((7, 12), np.uint8)
    assert len(coded(modes)) <= 4
    modes[3:5, 4:8] = 0
    assert len(coded(modes)) <= 8
