"""Code gain offset maps, called level maps in the format. `docs/format.md` specifies them."""

from __future__ import annotations

import numpy as np

from cotam.errors import InputError
from cotam.format.adaptive import BITS, MapModel, code_rows

__all__ = ["LEVELS_PER_OCTAVE", "LEVEL_MAP", "LIMIT", "check_levels", "fit_levels"]

LIMIT = 7
"""Largest absolute level, a gain offset in quarter octaves."""

LEVELS_PER_OCTAVE = 4

_SPAN = 2 * LIMIT
"""Largest absolute difference of a level to its prediction."""


def check_levels(levels: np.ndarray, shape: tuple[int, int]) -> np.ndarray | None:
    """Validate levels; return them as int8, or None if all are zero.

    Raises InputError if they are not integers of this shape within ±7.
    """
    try:
        levels = np.asarray(levels)
    except ValueError as error:  # rows of different lengths
        raise InputError(f"levels must be integers of shape {shape}: {error}") from error
    if levels.shape != shape or not np.issubdtype(levels.dtype, np.integer):
        raise InputError(f"levels must be integers of shape {shape}, got {levels.dtype} {levels.shape}")
    if levels.min() < -LIMIT or levels.max() > LIMIT:
        raise InputError(f"levels must be within ±{LIMIT}, got {levels.min()} to {levels.max()}")
    return levels.astype(np.int8) if levels.any() else None


def _predict(left: int | None, up: int | None) -> tuple[int, int]:
    """Return a context by the activity around a level, and the level of symbol 0."""
    if left is None or up is None:
        return 1, (left if left is not None else up if up is not None else 0) - _SPAN
    return min(abs(left - up), 2), (left + up) // 2 - _SPAN


_AWAY = np.abs(np.arange(-_SPAN, _SPAN + 1))
LEVEL_MAP = MapModel(
    name="level map",
    counts=np.stack([1 + (96 * 2**c >> np.minimum(_AWAY * (3 - c), 30)) for c in range(3)]),
    predict=_predict,
    limit=LIMIT,
    raised=_SPAN,
    gain=24,
    largest_sum=1 << 14,
)


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
    aims = np.clip(wanted, -LIMIT, LIMIT).ravel().tolist()
    rest = zip(aims, weight.ravel().tolist(), strict=True)
    total = 0.0

    def choose(cost: list[float], first: int) -> int:
        nonlocal total
        aim, price = next(rest)
        best, least, nearest = 0, float("inf"), round(aim)
        step = 1 if nearest >= first + _SPAN else -1
        for level in range(first + _SPAN, nearest + step, step):  # from the cheapest to the wanted one
            loss = price * (level - aim) ** 2 + cost[level - first]
            if loss < least:
                best, least = level, loss
        total += cost[best - first]
        return best

    levels = code_rows(LEVEL_MAP, wanted.shape, lambda weights: (BITS - np.log2(weights)).tolist(), choose)
    return levels, total
