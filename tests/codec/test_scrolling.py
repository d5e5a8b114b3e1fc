"""`cotam.codec.scrolling`: distances of parts that moved."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import page

from cotam.codec.changed_areas import changed_cells
from cotam.codec.scrolling import scrolls

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


@pytest.mark.parametrize("size", [(1, 1), (2, 40), (17, 16)])
def test_any_size(size: tuple[int, int]) -> None:
    new, old = np.zeros((*size, 3), np.uint8), np.full((*size, 3), 255, np.uint8)
    assert all(abs(by) < 2 * size[0] for by in scrolls(new, old, changed_cells(new, old)))
