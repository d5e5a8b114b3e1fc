"""Cut large grids into tiles with a halo.

The outer part of a tile is the input of a graph, and only its core is kept, so that tiles join without seams.
A cell is 64×64 pixels unless a function takes another ``unit``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

__all__ = ["TILE", "WHOLE", "Span", "Tile", "largest_tile", "pad", "paste", "spans", "tiles"]

WHOLE = 768
"""Largest side, in pixels, of an image that is one tile."""

TILE = 640
"""Largest side of the tiles of larger images, in pixels. Larger tiles have relatively smaller halos, but take
more memory and fit the processor's cache less."""


@dataclass(frozen=True)
class Span:
    """A part of an axis, in cells: a core [start, stop) in an outer part [outer_start, outer_stop)."""

    start: int
    stop: int
    outer_start: int
    outer_stop: int

    def outer(self, scale: int) -> slice:
        """Return the outer part as a slice of the axis, with ``scale`` elements a cell."""
        return slice(self.outer_start * scale, self.outer_stop * scale)

    def core(self, scale: int) -> slice:
        """Return the core as a slice of the axis."""
        return slice(self.start * scale, self.stop * scale)

    def inner(self, scale: int) -> slice:
        """Return the core as a slice of the outer part."""
        return slice((self.start - self.outer_start) * scale, (self.stop - self.outer_start) * scale)

    def with_halo(self, halo: int, cells: int) -> Span:
        """Return the same core with a halo of ``halo`` cells on an axis of ``cells``."""
        return Span(self.start, self.stop, max(0, self.start - halo), min(cells, self.stop + halo))

    def cut(self, largest: int, halo: int, cells: int) -> list[Span]:
        """Cut the core into parts of nearly equal length, at most ``largest``."""
        length = self.stop - self.start
        count = -(-length // largest)
        edges = [self.start + length * i // count for i in range(count + 1)]
        return [Span(a, b, a, b).with_halo(halo, cells) for a, b in pairwise(edges)]


class Tile(NamedTuple):
    """Rows and columns of a tile; the slices of both are as those of `Span`."""

    row: Span
    column: Span

    def outer(self, scale: int) -> tuple[slice, slice]:
        return self.row.outer(scale), self.column.outer(scale)

    def core(self, scale: int) -> tuple[slice, slice]:
        return self.row.core(scale), self.column.core(scale)

    def inner(self, scale: int) -> tuple[slice, slice]:
        return self.row.inner(scale), self.column.inner(scale)


def spans(cells: int, halo: int, largest: int) -> list[Span]:
    """Cut a whole axis, see `Span.cut`."""
    return Span(0, cells, 0, cells).cut(largest, halo, cells)


def largest_tile(rows: int, columns: int, unit: int = 64) -> int:
    """Return the largest side, in cells, of the tiles of a grid."""
    return (WHOLE if max(rows, columns) * unit <= WHOLE else TILE) // unit


def tiles(rows: int, columns: int, halo: int, unit: int = 64) -> Iterator[Tile]:
    """Yield the tiles of a grid, row by row."""
    largest = largest_tile(rows, columns, unit)
    for row in spans(rows, halo, largest):
        for column in spans(columns, halo, largest):
            yield Tile(row, column)


def pad(
    array: np.ndarray, multiple: int, axes: tuple[int, int], mode: Literal["edge", "constant"] = "edge"
) -> np.ndarray:
    """Repeat the last row and column, or append zeros, until both axes are multiples of ``multiple``."""
    widths = [(0, -n % multiple if axis in axes else 0) for axis, n in enumerate(array.shape)]
    return np.pad(array, widths, mode) if any(w for _, w in widths) else np.ascontiguousarray(array)


def paste(target: np.ndarray, values: np.ndarray, tile: Tile) -> None:
    """Copy the core of a tile's values in whole cells, (M, h, w), to its place in ``target``, all latents."""
    part = target[:, *tile.core(4)]
    part[:] = values[:, *tile.inner(4)][:, : part.shape[1], : part.shape[2]]
