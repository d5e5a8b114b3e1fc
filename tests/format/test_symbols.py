"""Symbols come back as they were, at the price that the tables say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotam.errors import DamagedError
from cotam.format.symbols import SYMBOL_LIMIT, TOTAL_BITS, Categorical, SymbolReader, SymbolWriter, Tables

TOTAL = 1 << TOTAL_BITS


def make_tables(seed: int, count: int, longest: int) -> Tables:
    """Any tables: peaked, flat, with and without an escape that is likely."""
    rng = np.random.default_rng(seed)
    halves = [np.array([TOTAL])]
    for _ in range(count):
        half = np.empty(int(rng.integers(2, longest + 3)), np.int64)
        weights = rng.dirichlet(np.full(len(half) - 1, rng.choice([0.05, 1, 50])))
        half[1:] = 1 + weights * rng.uniform(0, (TOTAL - 2 * len(half)) // 2)
        half[0] = TOTAL - 2 * half[1:-1].sum() - half[-1]
        halves.append(half)
    return Tables(tuple(halves))


def draw_symbols(tables: Tables, index: np.ndarray, seed: int) -> np.ndarray:
    """Symbols as the tables expect them, escapes anywhere up to ±32767."""
    rng = np.random.default_rng(seed)
    symbols = np.zeros(index.shape, np.int16)
    for number, half in enumerate(tables.halves[1:], 1):
        where = index == number
        last = len(half) - 2
        both = np.concatenate([half[-2:0:-1], half]) / TOTAL
        values = rng.choice(np.arange(-last, last + 2), int(where.sum()), p=both)
        escaped = values == last + 1
        values[escaped] = rng.integers(last + 1, SYMBOL_LIMIT + 1, int(escaped.sum()))
        values[escaped] *= rng.choice([-1, 1], int(escaped.sum()))
        symbols[where] = values
    return symbols


def coded(tables: Tables, symbols: np.ndarray, index: np.ndarray) -> bytes:
    writer = SymbolWriter(tables)
    writer.put(symbols, index)
    return writer.finish()


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 8), longest=st.integers(0, 40), data=st.data())
def test_any_symbols_come_back(seed: int, count: int, longest: int, data: st.DataObject) -> None:
    tables = make_tables(seed, count, longest)
    size = data.draw(st.integers(0, 200))
    index = np.random.default_rng(seed).integers(0, count + 1, size).astype(np.uint8)
    symbols = draw_symbols(tables, index, seed)
    # Also such symbols as no table expects, and the extremes.
    for value in data.draw(st.lists(st.integers(-SYMBOL_LIMIT, SYMBOL_LIMIT), max_size=size)):
        symbols[data.draw(st.integers(0, size - 1))] = value
    symbols[index == 0] = 0
    found = SymbolReader(tables, coded(tables, symbols, index)).get(index)
    assert found.dtype == np.int16
    assert np.array_equal(found, symbols)


def test_bytes_do_not_depend_on_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Symbols are grouped piece by piece, and each group is in the order of its places in all of them."""
    tables = make_tables(3, 6, 20)
    index = np.random.default_rng(0).integers(0, 7, (5, 9, 11)).astype(np.uint8)
    index[3:] = 4  # pieces that lack most tables
    symbols = draw_symbols(tables, index, 1)
    symbols[index == 0] = 0
    expected = coded(tables, symbols, index)
    monkeypatch.setattr("cotam.format.symbols._PIECE", 40)
    assert coded(tables, symbols, index) == expected
    assert np.array_equal(SymbolReader(tables, expected).get(index), symbols)


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["symbols", "checkpoint", "one"]), max_size=12), st.integers(0, 2**32 - 1))
def test_calls_of_all_kinds_mix(calls: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    tables, model = make_tables(seed, 3, 10), Categorical(np.array([0.5, 0.25, 0.25]), perfect=False)
    index = rng.integers(0, 4, (2, 5)).astype(np.uint8)
    values = {
        "symbols": draw_symbols(tables, index, seed),
        "one": np.array(rng.integers(3)),
    }
    writer = SymbolWriter(tables, seed)
    for call in calls:
        if call == "symbols":
            writer.put(values[call], index)
        elif call == "checkpoint":
            writer.put_checkpoint()
        else:
            writer.put_one(int(values[call]), model)
    reader = SymbolReader(tables, writer.finish(), seed)
    for call in calls:
        if call == "checkpoint":
            reader.compare_checkpoint()
        else:
            found = reader.get(index) if call == "symbols" else np.array(reader.get_one(model))
            assert np.array_equal(found, values[call])


@pytest.mark.parametrize("seed", range(4))
def test_estimate_is_within_one_percent_of_the_real_size(seed: int) -> None:
    tables = make_tables(seed, 20, 300)
    index = np.random.default_rng(seed).integers(0, 21, 60_000).astype(np.uint8)
    symbols = draw_symbols(tables, index, seed)
    real = 8 * len(coded(tables, symbols, index))
    assert real == pytest.approx(tables.bits(symbols, index), rel=0.01)


def test_estimate_holds_for_symbols_that_the_tables_do_not_expect() -> None:
    tables = make_tables(1, 5, 20)
    rng = np.random.default_rng(1)
    index = rng.integers(1, 6, 5_000).astype(np.uint8)
    symbols = rng.integers(-60, 61, 5_000).astype(np.int16)
    real = 8 * len(coded(tables, symbols, index))
    assert real == pytest.approx(tables.bits(symbols, index), rel=0.01)


def test_table_zero_costs_nothing() -> None:
    tables = make_tables(0, 2, 5)
    index = np.zeros(100_000, np.uint8)
    symbols = np.zeros(100_000, np.int16)
    assert coded(tables, symbols, index) == b""
    assert tables.bits(symbols, index) == 0
    assert not SymbolReader(tables, b"").get(index).any()


def test_zeros_at_the_end_are_not_stored() -> None:
    tables = Tables((np.array([TOTAL]), np.array([TOTAL - 3, 1, 1])))
    index = np.ones(20_000, np.uint8)
    data = coded(tables, np.zeros(20_000, np.int16), index)
    assert len(data) <= 4
    for seed in range(300):
        assert not coded(tables, np.full(seed % 7, 1 - seed % 3), index[: seed % 7]).endswith(b"\0")


@pytest.mark.parametrize("half", [[TOTAL - 1, 1, 1], [TOTAL, 0, 0], [TOTAL + 1, -1, 1], [1, 1, 1]])
def test_wrong_tables_are_refused(half: list[int]) -> None:
    with pytest.raises(ValueError, match="table 1 does not add up"):
        Tables((np.array([TOTAL]), np.array(half)))


def test_tables_from_flat_arrays() -> None:
    tables = make_tables(3, 4, 9)
    flat = np.concatenate(tables.halves).astype(np.uint32)
    again = Tables.from_flat(flat, np.array([len(h) for h in tables.halves], np.uint32))
    assert [h.tolist() for h in again.halves] == [h.tolist() for h in tables.halves]


@settings(max_examples=150)
@given(st.binary(max_size=60), st.integers(0, 2**32 - 1))
def test_any_bytes_give_symbols_or_one_error(data: bytes, seed: int) -> None:
    rng = np.random.default_rng(seed)
    reader = SymbolReader(make_tables(seed, 3, 5), data)
    try:
        symbols = reader.get(rng.integers(0, 4, 100).astype(np.uint8))
    except DamagedError:
        return
    assert np.abs(symbols.astype(int)).max() <= SYMBOL_LIMIT


def test_golden_words() -> None:
    """Bytes written by constriction 0.5.0; another version must write the same."""
    tables = Tables(
        (np.array([TOTAL]), np.array([60_000, 2_000, 700, 136]), np.array([20_000, 22_000, 1_536]))
    )
    index = np.arange(60, dtype=np.uint8) % 3
    symbols = ((np.arange(60) * 7) % 5 - 2) * (index > 0)
    symbols[[1, 2, 31, 59]] = SYMBOL_LIMIT, -SYMBOL_LIMIT, 3, -2
    assert coded(tables, symbols.astype(np.int16), index).hex() == (
        "4f36feffdd4a5f05397ebd209e874fb8783210b5d3b8e496e1240131419d662397730a2997730a2993730a29002f67a3"
    )
