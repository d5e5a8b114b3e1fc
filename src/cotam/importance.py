"""Importance → levels: how many bits each place gets.

Knows importance, what levels cost, and their grid: nothing of guides or of how levels are coded
(``levels``). With importance w on the grid of levels, the two policies are

- log (default): gain 2^(strength · exponent · (log2 w − c)), in quarter octaves, rounded and clipped. Squared
  error that costs w is coded best with gain w^½, by theory that counts every coefficient as significant; the
  guide says which ``exponent`` holds at real rates. c is chosen so that the file keeps the size of its
  quality.
- ternary, the paper's rule (arXiv 2509.24258): on 8×8 fields, −a, 0 or +a by mean ± 0.75 standard deviations.
  Its size is what it becomes.
"""

from __future__ import annotations

from numbers import Real
from typing import Literal, get_args

import numpy as np

from cotam.errors import InputError
from cotam.grids import resample
from cotam.levels import LIMIT

__all__ = ["Policy", "check_policy", "check_strength", "to_levels"]

Policy = Literal["log", "ternary"]

MAX_STRENGTH = 16.0
STEPS_PER_OCTAVE = 4
TERNARY_FIELDS = 8
TERNARY_THRESHOLD = 0.75
TERNARY_STEP = 2
"""Levels of the ternary policy at strength 1: half an octave of gain."""


def check_strength(strength: float) -> float:
    """The strength as a float. Raises InputError if it is none from 0 to 16."""
    if isinstance(strength, bool) or not isinstance(strength, Real) or not 0 <= strength <= MAX_STRENGTH:
        raise InputError(f"guide strength is a number from 0 to {MAX_STRENGTH:g}, not {strength!r}")
    return float(strength)


def check_policy(policy: Policy) -> Policy:
    """The policy itself. Raises InputError if there is no such one."""
    if policy not in get_args(Policy):
        raise InputError(f"guide policy {policy!r} is not known; there are: {', '.join(get_args(Policy))}")
    return policy


def to_levels(
    importance: np.ndarray,
    size: tuple[int, int],
    costs: np.ndarray | None = None,
    *,
    policy: Policy = "log",
    strength: float = 1.0,
    exponent: float = 0.25,
    limit: int = LIMIT,
) -> np.ndarray:
    """Levels int8 (⌈H/32⌉, ⌈W/32⌉) in ±``limit``, quarter octaves of gain.

    Parameters
    ----------
    importance : (gh, gw), positive, covers the picture evenly
    size : (H, W) in pixels
    costs : bits (15, ⌈H/32⌉, ⌈W/32⌉) of each level -7 … 7 at each place. With them "log" picks levels
        that keep the size; without, levels of mean zero. "ternary" does not use them.
    policy, strength, exponent : see above
    limit : 0 … 7

    Raises
    ------
    InputError
        if policy or strength are not among those above
    """
    strength, policy = check_strength(strength), check_policy(policy)
    grid = -(-size[0] // 32), -(-size[1] // 32)
    if policy == "ternary":
        return _ternary(importance, grid, size, min(round(TERNARY_STEP * strength), limit))
    extent = 32 * grid[0] / size[0], 32 * grid[1] / size[1]
    wanted = STEPS_PER_OCTAVE * strength * exponent * np.log2(resample(importance, grid, extent))
    return _balanced(wanted - wanted.mean(), costs, limit)


def _balanced(wanted: np.ndarray, costs: np.ndarray | None, limit: int) -> np.ndarray:
    """``wanted`` levels, of mean zero, moved together until they cost what level 0 costs everywhere."""

    def moved(by: float) -> np.ndarray:
        return np.clip(np.rint(wanted + by), -limit, limit).astype(np.int8)

    if costs is None:
        return moved(0.0)
    flat, place = costs.reshape(len(costs), -1), np.arange(wanted.size)
    budget = flat[LIMIT].sum(dtype=np.float64)

    def error(by: float) -> tuple[float, float]:
        spent = flat[moved(by).reshape(-1) + LIMIT, place].sum(dtype=np.float64)
        return abs(spent - budget), abs(by)  # where several are as good, the least move

    best = 0.0
    for step in (1.0, 0.125, 1 / 64):  # cost rises with the move, so a finer look around the best is enough
        best = min((best + step * k for k in range(-8, 9)), key=error)
    return moved(best)


def _ternary(importance: np.ndarray, grid: tuple[int, int], size: tuple[int, int], step: int) -> np.ndarray:
    fields = resample(importance, (TERNARY_FIELDS, TERNARY_FIELDS))
    away = fields - fields.mean()
    threshold = TERNARY_THRESHOLD * fields.std() + 1e-9  # no field of an even picture is above the rest
    signs = (away > threshold).astype(np.int8) - (away < -threshold)
    row, column = (
        np.minimum((np.arange(g) + 0.5) * 32, n - 0.5) * TERNARY_FIELDS // n
        for g, n in zip(grid, size, strict=True)
    )
    return (step * signs[np.ix_(row.astype(int), column.astype(int))]).astype(np.int8)
