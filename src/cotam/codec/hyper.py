"""Code hyper latents: the mean and table of each follow from those coded before it, in integers.

A weight set with a ``hyper_context`` graph codes them in four steps, each a quarter of the channels of every
cell (`step_masks`): the graph predicts means and tables of a step from the steps before it. A set without
that graph codes them in one step, with mean 0 and one table for each channel.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cotam.codec.weights import WeightSet
from cotam.format.symbols import SymbolReader, SymbolWriter
from cotam.runtime import Runner

__all__ = ["PLACES", "STEPS", "HyperCoder", "step_masks"]

STEPS = 4
PLACES = np.array([[0, 2], [3, 1]])
"""Turn of each place within a 2×2 square, by row and column."""

LIMIT = 255
"""Dequantised hyper latents are integers in ±255, units of 1/16."""


def step_masks(channels: int, height: int, width: int) -> np.ndarray:
    """Return which hyper latents each step codes, bool (4, channels, height, width).

    The channels are in four groups; step ``s`` codes group ``(s - turn) % 4`` of a place with this turn.
    """
    group = np.arange(channels) * STEPS // channels
    step = (group[:, None, None] + _turns(height, width)) % STEPS
    return step == np.arange(STEPS)[:, None, None, None]


def _turns(height: int, width: int) -> np.ndarray:
    return PLACES[np.arange(height)[:, None] % 2, np.arange(width) % 2]


class HyperCoder:
    """Codes the hyper latents of one weight set. All arrays are of shape (Z, h, w)."""

    def __init__(self, weights: WeightSet, runner: Runner) -> None:
        self.weights, self.runner = weights, runner

    def put(self, writer: SymbolWriter, z: np.ndarray, quality: int, skip_mask: np.ndarray | None) -> None:
        """Write ``z``, int16; ``skip_mask`` is as in `cotam.codec.planes.Symbols`."""
        for mask, mean, index in self._steps(z, quality, skip_mask):
            writer.put((z - mean)[mask], index[mask])

    def get(
        self, reader: SymbolReader, quality: int, shape: tuple[int, int, int], skip_mask: np.ndarray | None
    ) -> np.ndarray:
        """Read the hyper latents, int16, that `put` wrote."""
        z = np.zeros(shape, np.int16)
        for mask, mean, index in self._steps(z, quality, skip_mask):
            z[mask] = reader.get(index[mask]) + mean[mask]
        return z

    def coded(
        self, z: np.ndarray, quality: int, skip_mask: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what `put` writes: symbols less their means, int16, and their table index, uint8."""
        symbols, tables = np.zeros(z.shape, np.int16), np.zeros(z.shape, np.uint8)
        for mask, mean, index in self._steps(z, quality, skip_mask):
            symbols[mask], tables[mask] = (z - mean)[mask], index[mask]
        return symbols, tables

    def dequantise(self, z: np.ndarray, quality: int) -> np.ndarray:
        """Return round(symbol · multiplier / 256): integers in ±255 as float32, exact, of any (Z, h, w)."""
        scaled = z.astype(np.float32) * self.weights.z_multipliers[quality][:, None, None] / 256
        return np.clip(np.rint(scaled), -LIMIT, LIMIT)

    def _steps(
        self, z: np.ndarray, quality: int, skip_mask: np.ndarray | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield for each step which symbols it codes (bool), all means (int16) and all table indices (uint8).

        ``z`` is read after each step, so that a decoder may fill it in between.
        """
        coded = np.ones(z.shape[1:], bool) if skip_mask is None else ~skip_mask
        plain = self.weights.z_index[quality][:, None, None]
        if self.weights.hyper_place is None or self.weights.hyper_quality is None:
            yield np.ones(z.shape, bool), np.zeros(z.shape, np.int16), plain * coded.astype(np.uint8)
            return
        masks, turns = step_masks(*z.shape), _turns(*z.shape[1:])
        last = len(self.weights.tables.halves) - 1
        known = np.zeros(z.shape, np.float32)
        for step, mask in enumerate(masks):
            sums = self.weights.hyper_quality[quality] + self.weights.hyper_place[step][turns]
            sums = np.ascontiguousarray(sums.transpose(2, 0, 1)[None], np.float32)
            mean, change = self.runner("hyper_context", {"known": known[None], "sums": sums})
            # A quotient of integers that float32 holds is rounded once, by IEEE 754: the same everywhere.
            mean = np.rint(mean[0] * 256 / self.weights.z_multipliers[quality][:, None, None]).astype(
                np.int16
            )
            index = np.clip(plain + change[0], 1, last).astype(np.uint8)
            yield mask, mean * coded, index * coded
            known = np.where(mask, self.dequantise(z, quality), known)
