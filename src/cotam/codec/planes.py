"""What lies between pixels and bytes: planes, the integers of a file, and the decoder's latents.

Knows shapes and ranges: nothing of how either is computed or coded (``codec``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cotam.codec.tiling import Span, spans
from cotam.format.level_map import LEVELS_PER_OCTAVE

__all__ = ["BAND_CELLS", "SCALES_HALO", "Grid", "Latents", "Symbols", "spread"]

BAND_CELLS = 1024
"""A band of the payload has as many rows of cells (64×64 pixels) as fit into this many, or a part of one."""

SCALES_HALO = 2
"""Cells that the scale network sees around a band: its receptive field, rounded up."""


@dataclass(frozen=True)
class Grid:
    """Sizes of all planes of a picture."""

    height: int
    width: int

    @property
    def latents(self) -> tuple[int, int]:
        return -(-self.height // 16), -(-self.width // 16)

    @property
    def levels(self) -> tuple[int, int]:
        return -(-self.height // 32), -(-self.width // 32)

    @property
    def cells(self) -> tuple[int, int]:
        return -(-self.height // 64), -(-self.width // 64)

    def bands(self) -> Iterator[tuple[Span, Span]]:
        """Rows and columns of cells that are coded together: columns are all but in very wide pictures."""
        rows, columns = self.cells
        height = max(1, BAND_CELLS // columns)
        for start in range(0, rows, height):
            row = Span(start, min(start + height, rows), start, start).with_halo(SCALES_HALO, rows)
            for column in spans(columns, SCALES_HALO, BAND_CELLS):
                yield row, column


@dataclass(frozen=True)
class Symbols:
    """All integers of one picture.

    Attributes
    ----------
    quality : 0 … 100
    levels : int8 (⌈H/32⌉, ⌈W/32⌉) in ±7, or None where all are zero
    z : int16 (Z, ⌈H/64⌉, ⌈W/64⌉), hyper latents
    y : int16 (M, ⌈H/16⌉, ⌈W/16⌉), latents
    live : bool (⌈H/64⌉, ⌈W/64⌉), cells that are coded, or None where all are; in the others z and y are 0
    """

    quality: int
    levels: np.ndarray | None
    z: np.ndarray
    y: np.ndarray
    live: np.ndarray | None = None

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


def spread(cells: np.ndarray, scale: int, shape: tuple[int, ...]) -> np.ndarray:
    """What is said of cells, said of all that is in them: (⌈h/scale⌉, ⌈w/scale⌉) → ``shape`` (h, w)."""
    return cells.repeat(scale, 0).repeat(scale, 1)[: shape[0], : shape[1]]
