"""The planes between pixels and bytes: their sizes, gain offsets, symbols and latents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from cotam.codec.tiling import Span, Tile, spans
from cotam.format.level_map import LEVELS_PER_OCTAVE

__all__ = [
    "BAND_CELLS",
    "SCALES_HALO",
    "Allocator",
    "Costs",
    "Grid",
    "Latents",
    "Symbols",
    "expand",
]

BAND_CELLS = 1024
"""Largest number of cells (64×64 pixels) of a band, the part of a payload between two checkpoints."""

SCALES_HALO = 2
"""Halo, in cells, that covers the receptive field of the scale network."""

Costs = Callable[[], np.ndarray]
"""Computes the cost of gain offsets at the current quality: bits, float32 (15, ⌈H/32⌉, ⌈W/32⌉), of each
offset -7 … 7 in each field of 32×32 pixels."""

Allocator = Callable[[Costs], np.ndarray]
"""Chooses the gain offset map of an image: integers (⌈H/32⌉, ⌈W/32⌉) in ±7, in quarter octaves of gain. It is
called once for each quality that is tried."""


@dataclass(frozen=True)
class Grid:
    """Sizes (rows, columns) of all planes of an image of ``height`` × ``width`` pixels."""

    height: int
    width: int

    @property
    def latents(self) -> tuple[int, int]:
        """Grid of latents: one for 16×16 pixels."""
        return -(-self.height // 16), -(-self.width // 16)

    @property
    def levels(self) -> tuple[int, int]:
        """Gain offset map: one offset for 32×32 pixels."""
        return -(-self.height // 32), -(-self.width // 32)

    @property
    def cells(self) -> tuple[int, int]:
        """Grid of hyper latents: one cell for 64×64 pixels."""
        return -(-self.height // 64), -(-self.width // 64)

    def bands(self) -> Iterator[Tile]:
        """Yield the bands in coding order."""
        rows, columns = self.cells
        height = max(1, BAND_CELLS // columns)
        for start in range(0, rows, height):
            row = Span(start, min(start + height, rows), start, start).with_halo(SCALES_HALO, rows)
            for column in spans(columns, SCALES_HALO, BAND_CELLS):
                yield Tile(row, column)


@dataclass(frozen=True)
class Symbols:
    """The integers that a payload codes."""

    grid: Grid  # sizes of all planes
    quality: int  # 0 … 100
    levels: np.ndarray | None  # gain offset map int8 (⌈H/32⌉, ⌈W/32⌉) in ±7, None if all are zero
    z: np.ndarray  # int16 (Z, ⌈H/64⌉, ⌈W/64⌉), hyper latents
    y: np.ndarray  # int16 (M, ⌈H/16⌉, ⌈W/16⌉), latents
    # bool (⌈H/64⌉, ⌈W/64⌉), True for cells whose symbols are zero and are not coded; None if all are coded
    skip_mask: np.ndarray | None = None


@dataclass(frozen=True)
class Latents:
    """Dequantised latents, the input of the synthesis and of token adapters."""

    grid: Grid  # sizes of all planes
    values: np.ndarray  # float32 (M, ⌈H/16⌉, ⌈W/16⌉); machines may differ in the last bits
    nominal: float  # log2 of the nominal gain of the file's quality
    levels: np.ndarray | None  # gain offset map int8 (⌈H/32⌉, ⌈W/32⌉) in ±7; None is zeros

    @property
    def log2_gain(self) -> np.ndarray:
        """Log2 of the gain of each latent, float32 (⌈H/16⌉, ⌈W/16⌉)."""
        gain = np.full(self.values.shape[1:], self.nominal, np.float32)
        if self.levels is not None:
            gain += expand(self.levels, 2, gain.shape) / np.float32(LEVELS_PER_OCTAVE)
        return gain


def expand(cells: np.ndarray, scale: int, shape: tuple[int, ...]) -> np.ndarray:
    """Repeat each value ``scale`` × ``scale`` times: (⌈h/scale⌉, ⌈w/scale⌉) → ``shape`` (h, w)."""
    return cells.repeat(scale, 0).repeat(scale, 1)[: shape[0], : shape[1]]
