"""Code maps of small integers row by row, with counts that adapt after each row.

`docs/format.md` specifies the two maps that are coded so: gain offset maps and modes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cotam.errors import DamagedError
from cotam.format.symbols import Categorical, SymbolReader, SymbolWriter

__all__ = ["BITS", "MapModel", "code_rows", "read_map", "write_map"]

BITS = 15
"""The weights of the symbols of a context sum to 2**15."""


@dataclass(frozen=True)
class MapModel:
    """How a map is coded: each value as its difference to a first one, with the model of a context."""

    name: str  # for messages
    counts: np.ndarray  # int64 (contexts, symbols), before the first row
    # left and upper neighbour, None beyond the edge → context, and the value of symbol 0
    predict: Callable[[int | None, int | None], tuple[int, int]]
    limit: int  # largest absolute value
    raised: int  # the symbol whose weight is raised until the sum is 2**15
    gain: int  # what a symbol adds to its count
    largest_sum: int  # of the counts of a context, which are halved beyond it


def code_rows(
    model: MapModel,
    shape: tuple[int, ...],
    prepare: Callable[[np.ndarray], Sequence[Any]],
    choose: Callable[[Any, int], int],
) -> np.ndarray:
    """Return a map, int8 (h, w), whose values are chosen one by one.

    Parameters
    ----------
    shape : (h, w)
    prepare : integer weights (contexts, symbols), which sum to 2**15 in each context → an object per context.
        Called for each row.
    choose : (object of the context, value of symbol 0) → the next value
    """
    values, counts = np.empty(shape, np.int8), model.counts.copy()
    above: list[int] = []
    for number in range(shape[0]):
        weights = counts * ((1 << BITS) - counts.shape[1]) // counts.sum(1, keepdims=True) + 1
        weights[:, model.raised] += (1 << BITS) - weights.sum(1)
        prepared = prepare(weights)
        row: list[int] = []
        seen: list[tuple[int, int]] = []
        for column in range(shape[1]):
            context, first = model.predict(row[-1] if row else None, above[column] if above else None)
            row.append(choose(prepared[context], first))
            seen.append((context, row[-1] - first))
        np.add.at(counts, tuple(np.transpose(seen)), model.gain)
        large = counts.sum(1) > model.largest_sum
        counts[large] = (counts[large] + 1) // 2
        values[number] = above = row
    return values


def write_map(writer: SymbolWriter, model: MapModel, values: np.ndarray) -> None:
    """Write a map of integers (h, w)."""
    rest = iter(values.reshape(-1).tolist())

    def put(coder: Categorical, first: int) -> int:
        value: int = next(rest)
        writer.put_one(value - first, coder)
        return value

    code_rows(model, values.shape, _coders, put)


def read_map(reader: SymbolReader, model: MapModel, height: int, width: int) -> np.ndarray:
    """Read a map, int8 (height, width). Raises DamagedError if a value is beyond the limit of the model."""

    def get(coder: Categorical, first: int) -> int:
        value = first + reader.get_one(coder)
        if abs(value) > model.limit:
            raise DamagedError(f"the {model.name} is damaged: it has a value of {value}")
        return value

    return code_rows(model, (height, width), _coders, get)


def _coders(weights: np.ndarray) -> list[Any]:
    return [Categorical(one / float(1 << BITS), perfect=False) for one in weights]
