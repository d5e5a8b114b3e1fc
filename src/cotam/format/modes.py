"""Code the modes of a frame's cells with adaptive contexts. `docs/format.md` specifies them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cotam.format.symbols import Categorical, SymbolReader, SymbolWriter

__all__ = ["CODED", "INTRA", "KEY", "PREVIOUS", "read_modes", "write_modes"]

CODED, PREVIOUS, INTRA, KEY = range(4)
"""Modes of a cell: coded, or copied from the previous frame, the last intra frame or the last key frame."""


class _ModeModels:
    """Counts of modes by context and likely mode; they adapt row by row."""

    def __init__(self) -> None:
        self.counts = np.ones((3, 4, 4), np.int64)
        for mode in range(4):
            self.counts[:, mode, mode] = 4, 8, 32

    def models(self) -> list[list[Any]]:
        parts = self.counts * ((1 << 15) - 4) // self.counts.sum(2, keepdims=True) + 1
        parts[..., 0] += (1 << 15) - parts.sum(2)
        return [[Categorical(part / float(1 << 15), perfect=False) for part in likely] for likely in parts]


def _predict(row: list[int], above: list[int] | None) -> tuple[int, int]:
    """Return context (0 … 2) and likely mode of the next cell of ``row``."""
    left = row[-1] if row else None
    up = above[len(row)] if above else None
    if left is None or up is None:
        return 1, left if left is not None else up if up is not None else PREVIOUS
    return (2 if left == up else 0), left


def write_modes(writer: SymbolWriter, modes: np.ndarray) -> None:
    """Write modes, uint8 (h, w) in 0 … 3."""
    values = iter(modes.reshape(-1).tolist())

    def put(model: Categorical) -> int:
        value: int = next(values)
        writer.put_one(value, model)
        return value

    _code_modes(modes.shape[0], modes.shape[1], put)


def read_modes(reader: SymbolReader, height: int, width: int) -> np.ndarray:
    """Read modes, uint8 (height, width) in 0 … 3."""
    return _code_modes(height, width, reader.get_one)


def _code_modes(height: int, width: int, code: Callable[[Categorical], int]) -> np.ndarray:
    """Code modes, uint8 (height, width), by a function that codes one mode with a model."""
    adaptive, above = _ModeModels(), None
    modes = np.empty((height, width), np.uint8)
    for number in range(height):
        models = adaptive.models()
        row: list[int] = []
        places: list[tuple[int, int, int]] = []
        for _ in range(width):
            context, likely = _predict(row, above)
            row.append(code(models[context][likely]))
            places.append((context, likely, row[-1]))
        for place in places:
            adaptive.counts[place] += 4
        modes[number] = above = row
    return modes
