"""Bits before they are written: what a level would cost at each place, and the quality that fits a budget.

Knows tables, their indices and sizes of files: nothing of pictures or graphs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cotam.errors import TargetSizeError
from cotam.format.header import MAX_QUALITY, File
from cotam.format.level_map import LIMIT
from cotam.format.symbols import Tables

__all__ = ["largest_within", "level_costs"]


def level_costs(tables: Tables, index: np.ndarray) -> np.ndarray:
    """Expected bits float32 (15, ⌈h/2⌉, ⌈w/2⌉) of each level -7 … 7 in each cell of 2×2 latents.

    A level moves the index of its latents by as much, since tables are a quarter octave apart; what each
    costs is the entropy of its table. That the network which gives the index also learned something of levels
    is left out: on Kodak, it makes the slope of these curves some 8 % too steep, wherever one looks.

    Parameters
    ----------
    tables : of the weight set
    index : uint8 (M, h, w), the table of each latent where the level is 7 everywhere: at lower levels more
        are cut to 0, and how far they are below it could not be seen
    """
    _, height, width = index.shape
    rows, columns = -(-height // 2), -(-width // 2)
    count = len(tables.halves)
    cell = (np.arange(height)[:, None] // 2 * columns + np.arange(width) // 2) * count
    used = np.bincount((cell + index).reshape(-1), minlength=rows * columns * count)
    below = np.arange(-2 * LIMIT, 1)
    # Entropies of fitted tables may dip where they should not.
    bits = np.maximum.accumulate(tables.entropies)[np.maximum(np.arange(count)[:, None] + below, 0)]
    return (used.reshape(-1, count) @ bits).T.reshape(len(below), rows, columns).astype(np.float32)


def largest_within(encode_at: Callable[[int], File], target: int) -> File:
    """Return the file of the highest quality that has at most ``target`` bytes, by bisection.

    Raises
    ------
    TargetSizeError
        If that of quality 0 has more.
    """
    best = encode_at(0)
    if len(best.data) > target:
        raise TargetSizeError(f"at quality 0 the image takes {len(best.data)} bytes, more than {target}")
    low, high = 0, MAX_QUALITY + 1
    while high - low > 1:
        middle = (low + high) // 2
        file = encode_at(middle)
        if len(file.data) <= target:
            low, best = middle, file
        else:
            high = middle
    return best
