"""What levels cost is foretold from tables alone, near to what files then have; the largest that fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from default_codec import CODEC
from hypothesis import given
from hypothesis import strategies as st
from synthetic import picture

from cotam.codec.planes import Grid
from cotam.codec.rate import SizeCurve, largest_within, level_costs
from cotam.errors import TargetSizeError
from cotam.format.header import File, Header
from cotam.format.level_map import LIMIT
from cotam.image.read import to_rgb

HEADER = Header(64, 64, 50, weights=b"ab")
TABLES = CODEC.weights.tables
SAMPLE = Path(__file__).parents[2] / "samples" / "kodim23.webp"


def test_costs_are_entropies_of_shifted_tables() -> None:
    index = np.random.default_rng(0).integers(0, 48, (5, 3, 4)).astype(np.uint8)
    costs = level_costs(TABLES, index)
    assert costs.shape == (15, 2, 2)
    entropies = np.maximum.accumulate(TABLES.entropies)
    for level in range(-LIMIT, LIMIT + 1):
        moved = np.maximum(index[:, 2:, 2:].astype(int) - LIMIT + level, 0)
        assert costs[level + LIMIT, 1, 1] == pytest.approx(entropies[moved].sum(), rel=1e-5)


def test_costs_rise_with_the_level_and_zeros_cost_nothing() -> None:
    index = np.random.default_rng(1).integers(0, 48, (8, 6, 6)).astype(np.uint8)
    assert (np.diff(level_costs(TABLES, index), axis=0) >= 0).all()
    assert not level_costs(TABLES, np.zeros((8, 6, 6), np.uint8)).any()


@pytest.mark.parametrize("quality", [5, 40])
def test_costs_foretell_how_sizes_change(quality: int) -> None:
    pixels = to_rgb(SAMPLE)[:256, :384]
    grid = Grid(256, 384)
    symbols, index = CODEC.quantise(pixels, quality)
    costs = CODEC.level_costs(symbols)
    assert costs.shape == (15, 8, 12)
    plain = TABLES.bits(symbols.y, index)
    for level in (-4, -2, 2, 4):
        moved, index = CODEC.quantise(pixels, quality, np.full(grid.levels, level))
        foretold = costs[level + LIMIT].sum() / costs[LIMIT].sum()
        assert foretold == pytest.approx(TABLES.bits(moved.y, index) / plain, rel=0.25)


@given(
    st.dictionaries(st.integers(0, 100), st.floats(3, 14), min_size=1, max_size=4),
    st.integers(0, 100),
    st.integers(20, 1_000_000),
)
def test_size_curves_go_through_a_file_that_was_made(
    points: dict[int, float], quality: int, size: int
) -> None:
    curve = SizeCurve(points).through(quality, size)
    if len(points) < 3:  # else the curve need not increase
        assert curve.quality_for(size) == quality
        assert curve.quality_for(size / 1.5) < quality or quality == 0


def test_size_curves_follow_their_points() -> None:
    curve = SizeCurve({20: np.log(1000), 40: np.log(1500), 60: np.log(2250)})
    assert [curve.quality_for(size) for size in (1000, 1500, 2250)] == [20, 40, 60]
    assert curve.quality_for(1225) == 30
    assert (curve.quality_for(1), curve.quality_for(1e9)) == (0, 100)


def test_costs_do_not_depend_on_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = picture(300, 200, seed=8)
    symbols, _ = CODEC.quantise(pixels, 30)
    whole = CODEC.level_costs(symbols)
    monkeypatch.setattr("cotam.codec.tiling.WHOLE", 128)
    monkeypatch.setattr("cotam.codec.tiling.TILE", 128)
    assert np.array_equal(CODEC.level_costs(symbols), whole)


def test_entropies_are_those_of_the_tables() -> None:
    assert TABLES.entropies[0] == 0
    half = TABLES.halves[20] / 2.0**16
    p = np.concatenate([half[:1], half[1:-1], half[1:-1], half[-1:]])
    assert p.sum() == pytest.approx(1)
    assert TABLES.entropies[20] == pytest.approx(-(p * np.log2(p)).sum() + 16 * half[-1])


@pytest.mark.parametrize("error", [0.8, 1.0, 1.3])
@pytest.mark.parametrize("slope", [0.0, 0.004, -0.004])
def test_the_largest_that_fits(error: float, slope: float) -> None:
    """Whatever estimates are wrong by, and with few files encoded."""
    tried: list[int] = []

    def size_of(quality: int) -> int:
        return round(60 * 1.06**quality)

    def encode_at(quality: int) -> File:
        tried.append(quality)
        empty = len(File(HEADER, b"").data)
        return File(HEADER, bytes(size_of(quality) - empty))

    def estimate_at(quality: int) -> float:
        return size_of(quality) * (error + slope * quality)

    for target in (75, 200, 309, 1000, 20_000, 10**6):
        tried.clear()
        found = len(largest_within(encode_at, estimate_at, target).data)
        best = max(quality for quality in range(101) if size_of(quality) <= target)
        assert abs(found - size_of(best)) <= 3  # a payload's length is a varint
        assert len(tried) <= 6
        assert len(tried) == len(set(tried))


def test_a_target_below_the_lowest_quality() -> None:
    with pytest.raises(TargetSizeError, match="about 100 bytes, more than 30"):
        largest_within(lambda quality: File(HEADER, bytes(100)), lambda quality: 100.0, 30)
    with pytest.raises(TargetSizeError, match="more than 99") as caught:
        largest_within(lambda quality: File(HEADER, bytes(100)), lambda quality: 90.0, 99)
    assert caught.value.smallest == len(File(HEADER, bytes(100)).data)
