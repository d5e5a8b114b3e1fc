"""Rate before it is written: the cost of gain offsets, and the quality that fits a byte budget."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cotam.errors import TargetSizeError
from cotam.format.header import MAX_QUALITY, File
from cotam.format.level_map import LIMIT
from cotam.format.symbols import Tables

__all__ = ["largest_within", "level_costs"]

SURELY = 1.25
"""Estimates are within this factor of real sizes."""

CLEARLY, WORD = 1.008, 8
"""Estimates that were corrected by the size at the quality below are nearly always within this factor plus so
many bytes. The search may stop one quality too low."""


def level_costs(tables: Tables, index: np.ndarray) -> np.ndarray:
    """Estimate the bits, float32 (15, ⌈h/2⌉, ⌈w/2⌉), of each gain offset -7 … 7 in each field of 2×2 latents.

    Tables are a quarter octave apart, so an offset moves the index of its latents by as much; the cost of a
    latent is the entropy of its table. The scale network also learned something of offsets, which is left
    out: on Kodak this makes the slope of these curves some 8 % too steep everywhere.

    Parameters
    ----------
    tables : of the weight set
    index : uint8 (M, h, w), the table of each latent if every offset is 7: at lower ones more tables are
        clipped to 0, and how far they are below it could not be seen
    """
    _, height, width = index.shape
    rows, columns = -(-height // 2), -(-width // 2)
    count = len(tables.halves)
    field = (np.arange(height)[:, None] // 2 * columns + np.arange(width) // 2) * count
    used = np.bincount((field + index).reshape(-1), minlength=rows * columns * count)
    below = np.arange(-2 * LIMIT, 1)
    # Entropies of fitted tables may fall where they should rise.
    bits = np.maximum.accumulate(tables.entropies)[np.maximum(np.arange(count)[:, None] + below, 0)]
    return (used.reshape(-1, count) @ bits).T.reshape(len(below), rows, columns).astype(np.float32)


def largest_within(
    encode_at: Callable[[int], File], estimate_at: Callable[[int], float], target: int
) -> File:
    """Return the file of the highest quality that has at most ``target`` bytes.

    Sizes are assumed to rise with quality. Qualities are ruled out by estimates, which are cheap, until one
    is found that fits while the next one does not: two or three files are encoded.

    Parameters
    ----------
    encode_at : quality → file
    estimate_at : quality → bytes, about; asked at most once for each quality

    Raises
    ------
    TargetSizeError
        If the file of quality 0 has more; ``smallest`` of the error is about its size.
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
        if tries > 3:  # estimates mislead
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
