"""Estimate rates: the cost of gain offsets, and the quality that fits a byte budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from cotam.errors import TargetSizeError
from cotam.format.header import MAX_QUALITY, File
from cotam.format.level_map import LIMIT
from cotam.format.symbols import Tables

__all__ = ["SizeCurve", "largest_within", "level_costs"]

OVERESTIMATE = 1.25
"""Upper bound of estimated size / real size."""

CORRECTED_FACTOR, CORRECTED_BYTES = 1.008, 8
"""Estimates, corrected by the real size at the quality below, are nearly always within this factor plus so
many bytes of the real size; where they are not, the search stops one quality too low."""

GROWTH = 0.02
"""Approximate growth of the logarithm of the file size per quality step."""


@dataclass(frozen=True)
class SizeCurve:
    """File size by quality; its logarithm is linear between known points, and beyond them."""

    points: Mapping[int, float]  # quality → logarithm of the bytes; at least one

    def quality_for(self, size: float) -> int:
        """Return the highest quality, 0 … 100, of a file of at most ``size`` bytes."""
        goal = math.log(size)
        start, slope = self._line(sum(one < goal for one in self.points.values()))
        quality = start + (goal - self.points[start]) / slope
        return min(max(math.floor(quality + 1e-9), 0), MAX_QUALITY)

    def through(self, quality: int, size: int) -> SizeCurve:
        """Return the curve scaled so that a file of ``quality`` has ``size`` bytes."""
        start, slope = self._line(sum(one < quality for one in self.points))
        shift = math.log(size) - self.points[start] - slope * (quality - start)
        return SizeCurve({at: known + shift for at, known in self.points.items()})

    def _line(self, below: int) -> tuple[int, float]:
        """Return a quality, and the slope, of the line between the points with ``below`` points below it."""
        known = sorted(self.points)
        if len(known) == 1:
            return known[0], GROWTH
        right = min(max(below, 1), len(known) - 1)
        first, second = known[right - 1], known[right]
        slope = (self.points[second] - self.points[first]) / (second - first)
        return first, min(max(slope, GROWTH / 3), 3 * GROWTH)


def level_costs(tables: Tables, index: np.ndarray) -> np.ndarray:
    """Estimate the bits, float32 (15, ⌈h/2⌉, ⌈w/2⌉), of each gain offset -7 … 7 in each field of 2×2 latents.

    Tables are a quarter octave apart, so an offset moves the table index of its latents by its value; the
    cost of a latent is the entropy of its table. The scale network also depends on offsets, which is
    neglected: on Kodak the slopes of these curves are some 8 % too steep.

    Parameters
    ----------
    tables : of the weight set
    index : uint8 (M, h, w), the table of each latent if every offset is 7, so that the fewest indices are
        clipped to 0
    """
    _, height, width = index.shape
    rows, columns = -(-height // 2), -(-width // 2)
    count = len(tables.halves)
    field = (np.arange(height)[:, None] // 2 * columns + np.arange(width) // 2) * count
    used = np.bincount((field + index).reshape(-1), minlength=rows * columns * count)
    below = np.arange(-2 * LIMIT, 1)
    # Entropies of fitted tables are not always monotone.
    bits = np.maximum.accumulate(tables.entropies)[np.maximum(np.arange(count)[:, None] + below, 0)]
    return (used.reshape(-1, count) @ bits).T.reshape(len(below), rows, columns).astype(np.float32)


def largest_within(
    encode_at: Callable[[int], File], estimate_at: Callable[[int], float], target: int
) -> File:
    """Return the file of the highest quality that has at most ``target`` bytes.

    Sizes are assumed to increase with quality. Cheap estimates, ``estimate_at`` a quality in bytes, rule out
    qualities until one fits and the next does not; two or three files are encoded. Raises TargetSizeError if
    the file of quality 0 is larger; ``smallest`` of the error is about its size.
    """
    estimates: dict[int, float] = {}
    ratio, tries = 1.0, 0

    def expected(quality: int) -> float:
        if quality not in estimates:
            estimates[quality] = estimate_at(quality)
        return ratio * estimates[quality]

    if expected(0) > OVERESTIMATE * target:
        raise TargetSizeError(target, round(expected(0)))
    best, low, high = None, -1, MAX_QUALITY + 1
    while high - low > 1 and (
        best is None or expected(low + 1) <= CORRECTED_FACTOR * target + CORRECTED_BYTES
    ):
        left, right = low, high
        while right - left > 1:
            middle = (left + right) // 2
            left, right = (middle, right) if expected(middle) <= target else (left, middle)
        quality = max(left, low + 1)
        if tries > 3:  # the estimates are bad
            quality = (low + high) // 2
        file = encode_at(quality)
        size, tries = len(file.data), tries + 1
        ratio *= size / max(expected(quality), 1.0)
        if size <= target:
            low, best = quality, file
        else:
            high = quality
    if best is None:
        raise TargetSizeError(target, round(expected(0)))
    return best
