"""`cotam.codec.changed_areas`: which cells differ, and few rectangles around them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import page, picture

from cotam.codec.changed_areas import cell_hashes, changed_cells, rectangles, shared_share


def test_a_changed_pixel_changes_its_cell() -> None:
    old = picture(100, 150)
    new = old.copy()
    new[99, 149, 2] ^= 1
    new[0, 16] += 1
    cells = changed_cells(new, old)
    assert cells.shape == (7, 10)
    assert [tuple(map(int, place)) for place in np.argwhere(cells)] == [(0, 1), (6, 9)]
    assert not changed_cells(old, old).any()


@pytest.mark.parametrize("size", [(100, 150), (96, 144), (97, 160), (120, 100)])
def test_sizes_may_differ(size: tuple[int, int]) -> None:
    old, large = picture(100, 150), picture(130, 170, 1)
    large[:100, :150] = old
    new = large[: size[0], : size[1]]
    cells = changed_cells(new, old)
    for row, column in np.ndindex(cells.shape):
        bottom, right = min(row * 16 + 16, size[0]), min(column * 16 + 16, size[1])
        assert cells[row, column] == (bottom > 100 or right > 150)


def test_cells_that_are_shared_are_counted() -> None:
    old = page(160, 320)
    new = old.copy()
    new[:80] = picture(80, 320)
    assert shared_share(cell_hashes(old), cell_hashes(old)) == 1
    assert shared_share(cell_hashes(new), cell_hashes(old)) == 0.5
    assert shared_share(cell_hashes(new[:10]), cell_hashes(old)) == 0  # not one whole cell


def area(found: list[tuple[slice, slice]]) -> int:
    return sum((rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in found)


def covered(shape: tuple[int, int], found: list[tuple[slice, slice]]) -> np.ndarray:
    times = np.zeros(shape, int)
    for place in found:
        times[place] += 1
    return times


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 12), st.integers(0, 10**6))
def test_rectangles_cover_what_is_set_and_do_not_overlap(
    rows: int, columns: int, count: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    cells = np.zeros((rows, columns), bool)
    for _ in range(count):
        top, left = rng.integers(rows), rng.integers(columns)
        cells[top : top + rng.integers(1, 9), left : left + rng.integers(1, 9)] = True
    times = covered(cells.shape, rectangles(cells))
    assert times.max(initial=0) <= 1
    assert times[cells].all()


def test_what_is_far_apart_is_in_rectangles_of_its_own() -> None:
    cells = np.zeros((60, 100), bool)
    cells[3:6, 5:30] = cells[50:58, 60:90] = True
    cells[20, 95] = True
    assert area(rectangles(cells)) == cells.sum()
    assert len(rectangles(cells)) == 3


def test_a_frame_leaves_out_what_it_surrounds() -> None:
    cells = np.zeros((40, 40), bool)
    cells[2:38, 2:38] = True
    cells[4:36, 4:36] = False
    found = rectangles(cells)
    assert area(found) == cells.sum()
    assert len(found) == 4


def test_a_few_clear_cells_are_no_reason_for_another_rectangle() -> None:
    cells = np.ones((10, 10), bool)
    cells[5, 2:8] = False
    assert rectangles(cells) == [(slice(0, 10), slice(0, 10))]
    assert rectangles(np.zeros((4, 4), bool)) == []


def test_noise_does_not_become_many_stills() -> None:
    cells = np.random.default_rng(0).random((70, 120)) < 0.05
    assert len(rectangles(cells)) <= 64
