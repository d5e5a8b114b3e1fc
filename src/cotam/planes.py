"""What lies between pixels and bytes: the integers of a file, and the latents that a decoder makes of them.

Knows shapes and ranges: nothing of how either is computed or coded (``codec``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cotam.levels import LEVELS_PER_OCTAVE


@dataclass(frozen=True)
class Symbols:
    """All integers of one picture.

    Attributes
    ----------
    quality : 0 … 100
    levels : int8 (⌈H/32⌉, ⌈W/32⌉) in ±7, or None where all are zero
    z : int16 (Z, ⌈H/64⌉, ⌈W/64⌉), hyper latents
    y : int16 (M, ⌈H/16⌉, ⌈W/16⌉), latents
    """

    quality: int
    levels: np.ndarray | None
    z: np.ndarray
    y: np.ndarray

    def equals(self, other: Symbols) -> bool:
        """Whether all integers are the same."""
        return all(np.array_equal(mine, vars(other)[name]) for name, mine in vars(self).items())


@dataclass(frozen=True)
class Latents:
    """What a decoder knows before synthesis: the input of an adapter for one encoder (``nn.adapter``).

    Attributes
    ----------
    values : float32 (M, ⌈H/16⌉, ⌈W/16⌉), dequantised; equal on all machines up to rounding of the last bit
    nominal : log2 of the nominal gain of the file's quality
    levels : int8 (⌈H/32⌉, ⌈W/32⌉) in ±7, or None where all are zero
    """

    values: np.ndarray
    nominal: float
    levels: np.ndarray | None

    @property
    def log2_gain(self) -> np.ndarray:
        """Log2 of the gain at each place, float32 (⌈H/16⌉, ⌈W/16⌉)."""
        height, width = self.values.shape[1:]
        gain = np.full((height, width), self.nominal, np.float32)
        if self.levels is not None:
            gain += self.levels.repeat(2, 0).repeat(2, 1)[:height, :width] / np.float32(LEVELS_PER_OCTAVE)
        return gain
