"""Level maps come back as they were and cost next to nothing where they are smooth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from synthetic import level_map

from cotam.errors import DamagedError
from cotam.format.adaptive import read_map, write_map
from cotam.format.level_map import LEVEL_MAP, LIMIT, fit_levels
from cotam.format.symbols import SymbolReader, SymbolWriter, Tables

NO_TABLES = Tables((np.array([1 << 16]),))


def coded(levels: np.ndarray) -> bytes:
    writer = SymbolWriter(NO_TABLES)
    write_map(writer, LEVEL_MAP, levels)
    return writer.finish()


def read(data: bytes, height: int, width: int) -> np.ndarray:
    return read_map(SymbolReader(NO_TABLES, data), LEVEL_MAP, height, width)


@settings(max_examples=80)
@given(arrays.arrays(np.int8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(-7, 7)))
def test_any_map_comes_back(levels: np.ndarray) -> None:
    found = read(coded(levels), *levels.shape)
    assert found.dtype == np.int8
    assert np.array_equal(found, levels)


@pytest.mark.parametrize("shape", [(1, 400), (400, 1), (70, 90)])
def test_large_maps_come_back_after_the_counts_were_halved(shape: tuple[int, int]) -> None:
    levels = np.random.default_rng(0).integers(-LIMIT, LIMIT + 1, shape)
    assert np.array_equal(read(coded(levels), *shape), levels)


def test_the_coder_goes_on_where_the_map_ends() -> None:
    levels, writer = level_map(300, 500), SymbolWriter(NO_TABLES, 65_535)
    writer.put_checkpoint()
    write_map(writer, LEVEL_MAP, levels)
    writer.put_checkpoint()
    reader = SymbolReader(NO_TABLES, writer.finish(), 65_535)
    reader.compare_checkpoint()
    assert np.array_equal(read_map(reader, LEVEL_MAP, *levels.shape), levels)
    reader.compare_checkpoint()


@pytest.mark.parametrize("level", [-LIMIT, -1, 0, 3, LIMIT])
def test_a_constant_map_costs_a_few_bytes(level: int) -> None:
    assert len(coded(np.full((11, 11), level))) <= 12  # 336×336 pixels
    assert len(coded(np.full((63, 63), level))) <= 32  # 2000×2000


@pytest.mark.parametrize("seed", range(5))
def test_a_smooth_map_costs_little(seed: int) -> None:
    levels = level_map(1024, 1024, seed)
    assert len(np.unique(levels)) > 8
    assert 8 * len(coded(levels)) / levels.size < 1.4


def test_noise_costs_little_more_than_its_entropy() -> None:
    levels = np.random.default_rng(1).integers(-LIMIT, LIMIT + 1, (60, 60))
    assert 8 * len(coded(levels)) / levels.size < 1.2 * np.log2(2 * LIMIT + 1)


@settings(max_examples=150)
@given(st.binary(max_size=40))
def test_any_bytes_give_levels_or_one_error(data: bytes) -> None:
    try:
        levels = read(data, 9, 7)
    except DamagedError:
        return
    assert np.abs(levels).max() <= LIMIT


def test_a_level_out_of_range_is_damage() -> None:
    levels = np.full((1, 4), LIMIT)
    levels[0, 2] = LIMIT + 1
    with pytest.raises(DamagedError, match="level map"):
        read(coded(levels), 1, 4)


def test_golden_bytes() -> None:
    """The counts of `cotam.format.level_map` are part of the format: they never change."""
    assert coded(np.array([[-7, -7, 0, 1], [2, 2, 2, 2]])).hex() == "0faec30512513554"
    jagged = np.arange(36).reshape(6, 6) * 5 % 15 - 7
    assert coded(jagged).hex() == "b90deb05dfb9217b16cd9d8b44fccd04476d0070"


@settings(max_examples=60)
@given(
    arrays.arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(-9, 9)),
    st.floats(0, 100),
)
def test_fitted_levels_are_within_the_limit_and_cost_what_is_said(wanted: np.ndarray, weight: float) -> None:
    levels, bits = fit_levels(wanted, np.full(wanted.shape, weight))
    assert levels.dtype == np.int8
    assert np.abs(levels).max() <= LIMIT
    assert abs(bits - 8 * len(coded(levels))) < 40  # whole words, and two to end with


def test_fitting_trades_misfit_for_bits() -> None:
    wanted = level_map(960, 1280) + np.random.default_rng(0).normal(0, 0.7, (30, 40))
    bits, misfit = [], []
    for weight in (0.0, 1.0, 3.0, 30.0, 1e6):
        levels, cost = fit_levels(wanted, np.full(wanted.shape, weight))
        bits.append(cost)
        misfit.append(((levels - wanted) ** 2).mean())
    assert bits == sorted(bits)
    assert misfit == sorted(misfit, reverse=True)
    assert np.array_equal(levels, np.clip(np.rint(wanted), -LIMIT, LIMIT))
    assert not fit_levels(wanted, np.zeros(wanted.shape))[0].any()
