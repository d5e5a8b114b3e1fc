"""Code gain offset maps, called level maps in the format, with contexts that adapt row by row."""

from __future__ import annotations

from typing import Any

import numpy as np

from cotam.errors import DamagedError, InputError
from cotam.format.symbols import Categorical, SymbolReader, SymbolWriter

__all__ = ["LEVELS_PER_OCTAVE", "LIMIT", "check_levels", "fit_levels", "read_levels", "write_levels"]

LIMIT = 7
"""Largest absolute level, a gain offset in quarter octaves."""

LEVELS_PER_OCTAVE = 4

_SPAN = 2 * LIMIT
_CONTEXTS = 3
_GAIN = 24


def check_levels(levels: np.ndarray, shape: tuple[int, int]) -> np.ndarray | None:
    """Validate levels; return them as int8, or None if all are zero.

    Raises InputError if they are not integers of this shape within ±7.
    """
    levels = np.asarray(levels)
    if levels.shape != shape or not np.issubdtype(levels.dtype, np.integer):
        raise InputError(f"levels must be integers of shape {shape}, got {levels.dtype} {levels.shape}")
    if levels.min() < -LIMIT or levels.max() > LIMIT:
        raise InputError(f"levels must be within ±{LIMIT}, got {levels.min()} to {levels.max()}")
    return levels.astype(np.int8) if levels.any() else None


class _Adaptive:
    """The adaptive model of a level map.

    Differences to a prediction are counted in three contexts, by the activity around it.
    """

    def __init__(self) -> None:
        away = np.abs(np.arange(-_SPAN, _SPAN + 1))
        self.counts = np.stack([1 + (96 * 2**c >> np.minimum(away * (3 - c), 30)) for c in range(_CONTEXTS)])
        self._above: list[int] = []
        self._row: list[int] = []
        self._seen: list[tuple[int, int]] = []  # context, and difference + _SPAN, of this row

    def _parts(self) -> np.ndarray:
        """Return integer weights of the differences in each context, with the sum 2**15."""
        parts = self.counts * ((1 << 15) - self.counts.shape[1]) // self.counts.sum(1, keepdims=True) + 1
        parts[:, _SPAN] += (1 << 15) - parts.sum(1)
        return parts

    def models(self) -> list[Any]:
        return [Categorical(parts / float(1 << 15), perfect=False) for parts in self._parts()]

    def bits(self) -> list[list[float]]:
        return (15 - np.log2(self._parts())).tolist()

    def predict(self) -> tuple[int, int]:
        """Return prediction and context of the next level."""
        left = self._row[-1] if self._row else None
        up = self._above[len(self._row)] if self._above else None
        if left is None or up is None:
            return (left if left is not None else up if up is not None else 0), 1
        return (left + up) // 2, min(abs(left - up), _CONTEXTS - 1)

    def take(self, level: int, prediction: int, context: int) -> None:
        """Add a level."""
        self._row.append(level)
        self._seen.append((context, level - prediction + _SPAN))

    def end_row(self) -> list[int]:
        """Update the counts; return the row."""
        np.add.at(self.counts, tuple(np.transpose(self._seen)), _GAIN)
        for counts in self.counts:
            if counts.sum() > 1 << 14:
                counts[:] = (counts + 1) // 2
        self._above, self._row, self._seen = self._row, [], []
        return self._above


def fit_levels(wanted: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Round levels so that they are cheap to code.

    Chooses, in coding order, the level that minimises weight · (level − wanted)² + bits.

    Parameters
    ----------
    wanted : float (h, w)
    weight : float (h, w), at least 0: bits lost by a level that is off by one

    Returns
    -------
    levels : int8 (h, w) in ±7
    bits : size of the coded map
    """
    adaptive, total = _Adaptive(), 0.0
    levels = np.empty(wanted.shape, np.int8)
    targets, losses = np.clip(wanted, -LIMIT, LIMIT).tolist(), weight.tolist()
    for number, (aims, prices) in enumerate(zip(targets, losses, strict=True)):
        costs = adaptive.bits()
        for aim, price in zip(aims, prices, strict=True):
            prediction, context = adaptive.predict()
            cost, nearest = costs[context], round(aim)
            step = 1 if nearest >= prediction else -1
            best, least = 0, float("inf")
            for level in range(prediction, nearest + step, step):  # from the cheapest to the wanted one
                loss = price * (level - aim) ** 2 + cost[level - prediction + _SPAN]
                if loss < least:
                    best, least = level, loss
            total += cost[best - prediction + _SPAN]
            adaptive.take(best, prediction, context)
        levels[number] = adaptive.end_row()
    return levels, total


def write_levels(writer: SymbolWriter, levels: np.ndarray) -> None:
    """Write a level map, int (h, w) in ±7."""
    adaptive = _Adaptive()
    for values in levels.tolist():
        models = adaptive.models()
        for value in values:
            prediction, context = adaptive.predict()
            writer.put_one(value - prediction + _SPAN, models[context])
            adaptive.take(value, prediction, context)
        adaptive.end_row()


def read_levels(reader: SymbolReader, height: int, width: int) -> np.ndarray:
    """Read a level map, int8 (height, width).

    Raises DamagedError if a level is beyond ±7.
    """
    adaptive = _Adaptive()
    levels = np.empty((height, width), np.int8)
    for number in range(height):
        models = adaptive.models()
        for _ in range(width):
            prediction, context = adaptive.predict()
            level = prediction + reader.get_one(models[context]) - _SPAN
            if abs(level) > LIMIT:
                raise DamagedError(f"the level map is damaged: it has a level of {level}")
            adaptive.take(level, prediction, context)
        levels[number] = adaptive.end_row()
    return levels
