"""`cotam.codec.scrolling`: parts that moved, and what is left to code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import page, picture

from cotam.codec.changed_areas import area_size, changed_cells, in_pixels
from cotam.codec.scrolling import apply_copies, find_changes, scrolls

TALL = page(1200, 480, 12)


@given(st.integers(1, 150), st.booleans(), st.integers(0, 2))
def test_the_distance_comes_first(by: int, up: bool, noise: int) -> None:
    """Beside a part that stays, and with the noise of a video. The text repeats itself after 384 rows."""
    by = by if up else -by
    rng = np.random.default_rng(abs(by) + noise)
    old, new = TALL[300:760].astype(int), TALL[300 + by : 760 + by].astype(int)
    images = []
    for image in (old, new):
        image = image + rng.integers(-noise, noise + 1, image.shape)
        image[:, :160] = 200
        images.append(np.clip(image, 0, 255).astype(np.uint8))
    assert scrolls(images[1], images[0], changed_cells(images[1], images[0]))[0] == by


@pytest.mark.parametrize("size", [(1, 1), (2, 40), (16, 600), (17, 16)])
def test_any_size(size: tuple[int, int]) -> None:
    new, old = np.zeros((*size, 3), np.uint8), np.full((*size, 3), 255, np.uint8)
    assert all(abs(by) < 2 * size[0] for by in scrolls(new, old, changed_cells(new, old)))


@pytest.mark.parametrize("by", [1, 37, -150])
def test_what_was_scrolled_is_found(by: int) -> None:
    tall = page(800, 400, 12)
    earlier, pixels = tall[200:600].copy(), tall[200 + by : 600 + by].copy()
    earlier[:64] = pixels[:64] = 30, 60, 120  # the bar of the browser stays
    copies, areas, copied = find_changes(pixels, earlier)
    assert {copy.from_top - copy.top for copy in copies} == {by}
    np.testing.assert_array_equal(apply_copies(earlier.copy(), earlier, copies), copied)
    for area in map(in_pixels, areas):
        copied[area] = pixels[area]
    np.testing.assert_array_equal(copied, pixels)
    assert sum(map(area_size, areas)) <= 25 * (2 + abs(by) // 16)


def test_nothing_is_copied_where_nothing_moved() -> None:
    earlier, pixels = page(320, 320), picture(320, 320)
    copies, areas, copied = find_changes(pixels, earlier)
    assert not copies
    assert copied is earlier
    assert sum(map(area_size, areas)) == 400
