"""What levels cost is foretold from tables alone, near to what files then have; the largest that fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic import picture

import cotam
from cotam.codec.planes import Grid
from cotam.codec.rate import largest_within, level_costs
from cotam.codec.still import Codec
from cotam.codec.weights import load
from cotam.errors import TargetSizeError
from cotam.format.level_map import LIMIT
from cotam.image.read import to_rgb
from cotam.runtime import OnnxRunner

CODEC = Codec(load(), OnnxRunner(load().folder, threads=1))
TABLES = CODEC.weights.tables
SAMPLE = Path(cotam.__file__).parent / "samples" / "kodim23.webp"


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
    costs = CODEC.level_costs(symbols, grid)
    assert costs.shape == (15, 8, 12)
    plain = TABLES.bits(symbols.y, index)
    for level in (-4, -2, 2, 4):
        moved, index = CODEC.quantise(pixels, quality, np.full(grid.levels, level))
        foretold = costs[level + LIMIT].sum() / costs[LIMIT].sum()
        assert foretold == pytest.approx(TABLES.bits(moved.y, index) / plain, rel=0.25)


def test_costs_do_not_depend_on_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = picture(300, 200, seed=8)
    symbols, _ = CODEC.quantise(pixels, 30)
    whole = CODEC.level_costs(symbols, Grid(300, 200))
    monkeypatch.setattr("cotam.codec.tiling.WHOLE", 128)
    monkeypatch.setattr("cotam.codec.tiling.TILE", 128)
    assert np.array_equal(CODEC.level_costs(symbols, Grid(300, 200)), whole)


def test_entropies_are_those_of_the_tables() -> None:
    assert TABLES.entropies[0] == 0
    half = TABLES.halves[20] / 2.0**16
    p = np.concatenate([half[:1], half[1:-1], half[1:-1], half[-1:]])
    assert p.sum() == pytest.approx(1)
    assert TABLES.entropies[20] == pytest.approx(-(p * np.log2(p)).sum() + 16 * half[-1])


def test_the_largest_that_fits() -> None:
    tried: list[int] = []

    def encode_at(quality: int) -> bytes:
        tried.append(quality)
        return bytes(10 + quality * 3)

    for target in (10, 11, 200, 309, 310, 10_000):
        tried.clear()
        assert len(largest_within(encode_at, target)) == min(10 + (target - 10) // 3 * 3, 310)
        assert len(tried) <= 8
    with pytest.raises(TargetSizeError, match="has 10 bytes, not 9 or less"):
        largest_within(encode_at, 9)
