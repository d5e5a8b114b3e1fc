"""The level map in the stream: small signed integers, coded with adaptive contexts.

Knows one grid of integers and the range coder: nothing of how levels came about (``importance``) or of
what they do to latents (``codec``). Contexts adapt row by row, by integers only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from constriction import stream

from cotam.entropy import SymbolReader, SymbolWriter
from cotam.errors import DamagedError

LIMIT = 7
"""Levels are within ±7: quarter octaves of gain."""

LEVELS_PER_OCTAVE = 4

_SPAN = 2 * LIMIT
_CONTEXTS = 3
_GAIN = 24


class _Adaptive:
    """Counts of the difference to the prediction, for each of three activities around it."""

    def __init__(self) -> None:
        away = np.abs(np.arange(-_SPAN, _SPAN + 1))
        self.counts = np.stack([1 + (96 * 2**c >> np.minimum(away * (3 - c), 30)) for c in range(_CONTEXTS)])

    def models(self) -> list[Any]:
        models = []
        for counts in self.counts:
            parts = counts * ((1 << 15) - counts.size) // counts.sum() + 1
            parts[_SPAN] += (1 << 15) - parts.sum()
            models.append(stream.model.Categorical(parts / float(1 << 15), perfect=False))
        return models

    def learn(self, contexts: list[int], differences: list[int]) -> None:
        np.add.at(self.counts, (np.asarray(contexts), np.asarray(differences) + _SPAN), _GAIN)
        for counts in self.counts:
            if counts.sum() > 1 << 14:
                counts[:] = (counts + 1) // 2


def _predict(row: list[int], above: list[int] | None) -> tuple[int, int]:
    """Prediction and context of the next value of ``row``."""
    column = len(row)
    left = row[-1] if row else None
    up = above[column] if above else None
    if left is None or up is None:
        return (left if left is not None else up if up is not None else 0), 1
    return (left + up) // 2, min(abs(left - up), _CONTEXTS - 1)


def write_levels(writer: SymbolWriter, levels: np.ndarray) -> None:
    """Code a level map, int (h, w) in ±7."""
    adaptive, above = _Adaptive(), None
    for values in levels.tolist():
        models = adaptive.models()
        row: list[int] = []
        contexts: list[int] = []
        differences: list[int] = []
        for value in values:
            prediction, context = _predict(row, above)
            writer.put_one(value - prediction + _SPAN, models[context])
            row.append(value)
            contexts.append(context)
            differences.append(value - prediction)
        adaptive.learn(contexts, differences)
        above = row


def read_levels(reader: SymbolReader, height: int, width: int) -> np.ndarray:
    """Level map int8 (height, width).

    Raises
    ------
    DamagedError
        if a level leaves ±7, which no encoder writes
    """
    adaptive, above = _Adaptive(), None
    levels = np.empty((height, width), np.int8)
    for number in range(height):
        models = adaptive.models()
        row: list[int] = []
        contexts: list[int] = []
        differences: list[int] = []
        for _ in range(width):
            prediction, context = _predict(row, above)
            difference = reader.get_one(models[context]) - _SPAN
            if abs(prediction + difference) > LIMIT:
                raise DamagedError("the level map is damaged: no encoder writes this")
            row.append(prediction + difference)
            contexts.append(context)
            differences.append(difference)
        adaptive.learn(contexts, differences)
        levels[number] = above = row
    return levels
