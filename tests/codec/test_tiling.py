"""Tiles cover a grid once, and their slices agree with each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotam.codec import tiling
from cotam.codec.tiling import spans, tiles

small = st.integers(1, 60)


@settings(max_examples=100)
@given(rows=small, columns=small, halo=st.integers(0, 5), largest=st.integers(1, 25), scale=st.integers(1, 4))
def test_cores_cover_the_grid_once(rows: int, columns: int, halo: int, largest: int, scale: int) -> None:
    covered = np.zeros((rows * scale, columns * scale), int)
    for row in spans(rows, halo, largest):
        for column in spans(columns, halo, largest):
            covered[row.core(scale), column.core(scale)] += 1
    assert (covered == 1).all()


@settings(max_examples=100)
@given(cells=st.integers(1, 300), halo=st.integers(0, 5), largest=st.integers(1, 25))
def test_pieces_are_nearly_equal_and_not_too_long(cells: int, halo: int, largest: int) -> None:
    lengths = [span.stop - span.start for span in spans(cells, halo, largest)]
    assert max(lengths) <= largest
    assert max(lengths) - min(lengths) <= 1
    assert len(lengths) == -(-cells // largest)


@settings(max_examples=100)
@given(cells=st.integers(1, 100), halo=st.integers(0, 5), largest=st.integers(1, 25), scale=st.integers(1, 4))
def test_slices_name_the_same_elements(cells: int, halo: int, largest: int, scale: int) -> None:
    whole = np.arange(cells * scale)
    for span in spans(cells, halo, largest):
        outer = whole[span.outer(scale)]
        assert np.array_equal(outer[span.inner(scale)], whole[span.core(scale)])
        assert outer[0] == max(0, span.start - halo) * scale
        assert outer[-1] == min(cells, span.stop + halo) * scale - 1


def test_a_small_grid_is_one_tile() -> None:
    for unit in (64, 16):
        ((row, column),) = tiles(tiling.WHOLE // unit, 1, 3, unit)
        assert (row.outer(unit), column.outer(unit)) == (slice(0, tiling.WHOLE), slice(0, unit))
        assert len(list(tiles(tiling.WHOLE // unit + 1, 1, 3, unit))) == 2


def test_tiles_go_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "WHOLE", 3 * 64)
    monkeypatch.setattr(tiling, "TILE", 3 * 64)
    cores = [(row.core(1), column.core(1)) for row, column in tiles(4, 5, 1)]
    across = [slice(0, 2), slice(2, 5)]
    assert cores == [(row, column) for row in (slice(0, 2), slice(2, 4)) for column in across]
