"""Estimate rates: the cost of gain offsets, and the quality that fits a byte budget."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cotam.errors import TargetSizeError
from cotam.format.header import MAX_QUALITY, File
from cotam.format.level_map import LIMIT
from cotam.format.symbols import Tables

__all__ = ["largest_within", "level_costs"]

SURELY = 1.25
"""Upper bound of estimated size / real size."""

CLEARLY, WORD = 1.008, 8
"""Estimates corrected by the real size at the quality below are nearly always within this factor plus this
many bytes; otherwise the search stops one quality too low."""


def level_costs(tables: Tables, index: np.ndarray) -> np.ndarray:
    """Estimate the bits, float32 (15, ⌈h/2⌉, ⌈w/2⌉), of each gain offset -7 … 7 in each field of 2×2 latents.

    Tables are a quarter octave apart, so an offset moves the table index of its latents by its value; the
    cost of a latent is the entropy of its table. The scale network also depends on offsets, which is
    neglected: on Kodak the slopes of these curves are some 8 % too steep.

    Parameters
    ----------
    tables : of the weight set
    index : uint8 (M, h, w), the table of each latent if every offset is 7; at lower offsets more indices
        would be clipped to 0
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

    Sizes are assumed to increase with quality. Cheap estimates rule out qualities until one fits and the next
    does not; two or three files are encoded.

    Parameters
    ----------
    encode_at : quality → file
    estimate_at : quality → estimated bytes; called at most once for each quality

    Raises
    ------
    TargetSizeError
        If the file of quality 0 is larger; ``smallest`` of the error is about its size.
    """
    estimates: dict[int, float] = {}
    ratio, tries = 1.0, 0

    def expected(quality: int) -> float:
        if quality not in estimates:
            estimates[quality] = estimate_at(quality)
        return ratio * estimates[quality]

    if expected(0) > SURELY * target:
        raise TargetSizeError(target, round(expected(0)))
    best, low, high = None, -1, MAX_QUALITY + 1
    while high - low > 1 and (best is None or expected(low + 1) <= CLEARLY * target + WORD):
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
