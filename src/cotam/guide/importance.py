"""Importance maps → gain offset maps.

The two policies, for importance w of each field of 32×32 pixels, are

- log (default): gain 2^(strength · exponent · (log2 w − c)), rounded to quarter octaves and clipped. At high
  rates gain w^½ is optimal for squared error of weight w; the ``exponent`` of a guide is that for real rates.
  c is chosen so that the file keeps the size that its quality has without a guide.
- ternary, the rule of the paper (arXiv 2509.24258): −a, 0 or +a in each field of an 8×8 grid, by comparison
  with mean ± 0.75 standard deviations. The size of the file changes.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from cotam.format.level_map import LEVELS_PER_OCTAVE, LIMIT, fit_levels
from cotam.guide.resize import resample

__all__ = ["EXPONENT", "MAX_STRENGTH", "Policy", "to_levels"]

Policy = Literal["log", "ternary"]

EXPONENT = 0.25
"""Gain is importance to this power at strength 1, unless a guide has its own exponent. High-rate theory gives
1/2 for a weight of squared error; at our rates 1/8 … 1/4 measured better."""

MAX_STRENGTH = 16.0
FIT_ROUNDS = 2
"""Rounds of fitting: the cost of the map and of rounding is known only after the first one."""

LOSS = 2 * math.log(2) / LEVELS_PER_OCTAVE
"""Bits lost by an offset that is off by δ, divided by δ² and by the bits that one offset step costs there.

If error falls as 2^(-2R/n) with rate R, at n bits per octave of gain, a gain that is e octaves off the
optimum raises rate + λ · error by n · ln 2 · e². With e = δ/4 and n/4 bits per step that is half of this
constant; the other half accounts for the coding of the map, where each offset predicts the next."""

TERNARY_FIELDS = 8
TERNARY_THRESHOLD = 0.75
TERNARY_STEP = 2
"""Offset of the ternary policy at strength 1: half an octave of gain."""


def to_levels(
    importance: np.ndarray,
    size: tuple[int, int],
    costs: np.ndarray | None = None,
    *,
    policy: Policy = "log",
    strength: float = 1.0,
    exponent: float = EXPONENT,
) -> np.ndarray:
    """Return a gain offset map, int8 (⌈H/32⌉, ⌈W/32⌉) in ±7, in quarter octaves of gain.

    Parameters
    ----------
    importance : (gh, gw), positive, an even grid over the image
    size : (H, W) in pixels
    costs : bits (15, ⌈H/32⌉, ⌈W/32⌉) of each offset -7 … 7 at each place. With them "log" keeps the size of
        the file; without them its offsets have mean zero. "ternary" does not use them.
    policy, strength, exponent : see the module
    """
    grid = -(-size[0] // 32), -(-size[1] // 32)
    if policy == "ternary":
        return _ternary(importance, grid, size, min(round(TERNARY_STEP * strength), LIMIT))
    extent = 32 * grid[0] / size[0], 32 * grid[1] / size[1]
    wanted = LEVELS_PER_OCTAVE * strength * exponent * np.log2(resample(importance, grid, extent))
    wanted -= wanted.mean()
    if costs is None:
        return np.clip(np.rint(wanted), -LIMIT, LIMIT).astype(np.int8)
    return _balance(wanted, costs)


def _balance(wanted: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Shift the ``wanted`` offsets together until they and their map cost as much as offset 0 everywhere."""
    place = np.ix_(*map(range, wanted.shape))
    budget = costs[LIMIT].sum(dtype=np.float64)

    def bits(levels: np.ndarray) -> np.ndarray:
        return costs[(np.clip(levels, -LIMIT, LIMIT) + LIMIT, *place)].astype(np.float64)

    def moved(by: float) -> np.ndarray:
        return np.clip(np.rint(wanted + by), -LIMIT, LIMIT).astype(np.int64)

    def error(by: float) -> tuple[float, float]:
        return abs(bits(moved(by)).sum() - budget), abs(by)  # the smaller move breaks ties

    move = 0.0
    for step in (1.0, 0.125):  # cost rises with the move
        move = min((move + step * k for k in range(-8, 9)), key=error)
    for _ in range(FIT_ROUNDS):
        near = moved(move)
        slope = (bits(near + 1) - bits(near - 1)) / 2
        levels, map_bits = fit_levels(wanted + move, LOSS * slope)
        if not levels.any():
            break
        move -= (bits(levels).sum() + map_bits - budget) / max(slope.sum(), 1.0)
    return levels


def _ternary(importance: np.ndarray, grid: tuple[int, int], size: tuple[int, int], step: int) -> np.ndarray:
    """Return offsets, int8 of shape ``grid``: -step, 0 or step; ``size`` (H, W) is in pixels."""
    fields = resample(importance, (TERNARY_FIELDS, TERNARY_FIELDS))
    away = fields - fields.mean()
    threshold = TERNARY_THRESHOLD * fields.std() + 1e-9  # above rounding errors of a constant map
    signs = (away > threshold).astype(np.int8) - (away < -threshold)
    row, column = (
        np.minimum((np.arange(g) + 0.5) * 32, n - 0.5) * TERNARY_FIELDS // n
        for g, n in zip(grid, size, strict=True)
    )
    return (step * signs[np.ix_(row.astype(int), column.astype(int))]).astype(np.int8)
