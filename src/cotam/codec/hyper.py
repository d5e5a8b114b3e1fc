"""Code hyper latents with causal context, in integers.

They are coded in four steps, each a quarter of the channels of every cell: step ``s`` codes channel group
``(s - turn) % 4`` at a position with this turn. The graph ``hyper_context`` predicts means and tables of a
step from the steps before it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cotam.codec.weights import WeightSet
from cotam.errors import DamagedError
from cotam.format.symbols import SymbolReader, SymbolWriter
from cotam.runtime import Runner

__all__ = ["PLACES", "STEPS", "HyperCoder"]

STEPS = 4
PLACES = np.array([[0, 2], [3, 1]], np.uint8)
"""Turn of each position within a 2×2 square, by row and column."""

LIMIT = 255
"""Dequantised hyper latents are integers in ±255, in units of 1/16."""

SYMBOL_LIMIT = 127
"""Hyper latents are integers in ±127."""


class HyperCoder:
    """Codes the hyper latents of one weight set. All arrays have shape (Z, h, w)."""

    def __init__(self, weights: WeightSet, runner: Runner) -> None:
        self.weights, self.runner = weights, runner

    def put(self, writer: SymbolWriter, z: np.ndarray, quality: int, skip_mask: np.ndarray | None) -> None:
        """Write ``z``, int16; ``skip_mask`` is as in `cotam.codec.planes.Symbols`."""
        for mask, mean, index in self._steps(z, quality, skip_mask):
            writer.put((z - mean)[mask], index[mask])

    def get(
        self, reader: SymbolReader, quality: int, shape: tuple[int, int, int], skip_mask: np.ndarray | None
    ) -> np.ndarray:
        """Read the hyper latents, int16, that `put` wrote.

        Raises DamagedError if one is beyond ±`SYMBOL_LIMIT`, which no encoder writes.
        """
        z = np.zeros(shape, np.int16)
        for mask, mean, index in self._steps(z, quality, skip_mask):
            found = reader.get(index[mask]).astype(np.int32) + mean[mask]
            if np.abs(found).max(initial=0) > SYMBOL_LIMIT:
                raise DamagedError("the payload is damaged: a hyper latent is out of range")
            z[mask] = found
        return z

    def residuals(self, z: np.ndarray, quality: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what `put` writes: symbols minus means, int16, and their table index, uint8."""
        symbols, tables = np.zeros(z.shape, np.int16), np.zeros(z.shape, np.uint8)
        for mask, mean, index in self._steps(z, quality, None):
            symbols[mask], tables[mask] = (z - mean)[mask], index[mask]
        return symbols, tables

    def quantise(self, hyper: np.ndarray, quality: int) -> np.ndarray:
        """Return the symbols, int16 in ±`SYMBOL_LIMIT`, of hyper latents float32 (Z, h, w)."""
        step = self.weights.z_multipliers[quality][:, None, None] / 4096
        return np.rint(np.clip(hyper / step, -SYMBOL_LIMIT, SYMBOL_LIMIT)).astype(np.int16)

    def dequantise(self, z: np.ndarray, quality: int) -> np.ndarray:
        """Return round(symbol · multiplier / 256): integers in ±255 as float32, exact, of any (Z, h, w)."""
        scaled = z.astype(np.float32) * self.weights.z_multipliers[quality][:, None, None] / 256
        return np.clip(np.rint(scaled), -LIMIT, LIMIT)

    def _steps(
        self, z: np.ndarray, quality: int, skip_mask: np.ndarray | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield for each step the mask of its symbols (bool), all means (int16) and table indices (uint8).

        ``z`` is read after each step, so that a decoder may fill it in between.
        """
        channels, height, width = z.shape
        coded = np.ones((height, width), bool) if skip_mask is None else ~skip_mask
        plain = self.weights.z_index[quality][:, None, None]
        turns = PLACES[np.arange(height)[:, None] % 2, np.arange(width) % 2]
        groups = (np.arange(channels) * STEPS // channels).astype(np.uint8)
        steps = (groups[:, None, None] + turns) % STEPS
        last = len(self.weights.tables.halves) - 1
        known = np.zeros(z.shape, np.float32)
        multipliers = self.weights.z_multipliers[quality][:, None, None]
        for step in range(STEPS):
            sums = self.weights.hyper_place[step].T[:, turns]
            sums += self.weights.hyper_quality[quality][:, None, None]
            mean, change = self.runner("hyper_context", {"known": known[None], "sums": sums[None]})
            # IEEE 754 rounds a quotient of integers that float32 holds the same way everywhere.
            mean = np.rint(mean[0] * 256 / multipliers).astype(np.int16)
            index = np.clip(plain + change[0], 1, last).astype(np.uint8)
            mask = steps == step
            yield mask, mean * coded, index * coded
            known[mask] = self.dequantise(z, quality)[mask]
