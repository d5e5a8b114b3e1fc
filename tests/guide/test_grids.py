"""Maps on other grids: constants stay, means stay, nothing is invented."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotam.guide.resize import resample

sides = st.integers(1, 40)


@settings(max_examples=60)
@given(sides, sides, sides, sides, st.floats(1, 3), st.floats(1, 3))
def test_a_constant_stays_and_values_stay_within_their_range(
    gh: int, gw: int, h: int, w: int, down: float, across: float
) -> None:
    assert resample(np.full((gh, gw), 0.7), (h, w), (down, across)) == pytest.approx(np.full((h, w), 0.7))
    noise = np.random.default_rng(gh * 41 + gw).uniform(1, 2, (gh, gw))
    found = resample(noise, (h, w), (down, across))
    assert found.min() >= noise.min() - 1e-9
    assert found.max() <= noise.max() + 1e-9


def test_the_same_grid_is_the_same_map() -> None:
    grid = np.random.default_rng(0).uniform(1, 2, (7, 5))
    assert np.allclose(resample(grid, (7, 5)), grid)


def test_a_ramp_stays_a_ramp() -> None:
    ramp = np.arange(24.0)[:, None]
    assert np.allclose(resample(ramp, (12, 1))[1:-1, 0], np.arange(12)[1:-1] * 2 + 0.5)
    assert np.allclose(resample(ramp, (48, 1))[2:-2, 0], np.arange(48)[2:-2] / 2 - 0.25)


def test_a_peak_stays_in_its_place() -> None:
    grid = np.full((30, 40), 0.1)
    grid[20, 10] = 100
    for shape in ((15, 20), (60, 80), (7, 9)):
        row, column = np.unravel_index(resample(grid, shape).argmax(), shape)
        assert abs((row + 0.5) / shape[0] - 20.5 / 30) <= 0.501 / shape[0]
        assert abs((column + 0.5) / shape[1] - 10.5 / 40) <= 0.501 / shape[1]


def test_cells_beyond_the_edge_repeat_it() -> None:
    ramp = np.arange(10.0)[None]
    found = resample(ramp, (1, 8), (1.0, 1.6))  # eight cells of two: three lie beyond
    assert np.allclose(found[0, 1:4], [2.5, 4.5, 6.5])
    assert found[0, 5:] == pytest.approx(found[0, 7])
    assert found[0, 7] > 8.3
