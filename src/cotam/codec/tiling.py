"""Cuts of a large grid into tiles with a halo.

Knows grids only: nothing of what is in them. A cell is that of the hyper latents, 64 pixels, where not said
otherwise; a tile's outer part feeds a graph, its core part is kept, so that tiles join without seams.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

__all__ = ["TILE", "WHOLE", "Span", "largest_tile", "pad", "spans", "tiles"]

WHOLE = 768
"""A grid of at most this many pixels a side is one tile."""

TILE = 640
"""Tiles of a larger one are at most this many pixels a side. In larger tiles less is computed twice, but they
take more memory, and more of it lies outside of the processor's cache."""


@dataclass(frozen=True)
class Span:
    """A piece of one axis, in cells: [start, stop) is kept, [outer_start, outer_stop) is computed."""

    start: int
    stop: int
    outer_start: int
    outer_stop: int

    def outer(self, scale: int) -> slice:
        """Where the computed part lies in the whole, ``scale`` elements a cell."""
        return slice(self.outer_start * scale, self.outer_stop * scale)

    def core(self, scale: int) -> slice:
        """Where the kept part lies in the whole."""
        return slice(self.start * scale, self.stop * scale)

    def inner(self, scale: int) -> slice:
        """Where the kept part lies in the computed one."""
        return slice((self.start - self.outer_start) * scale, (self.stop - self.outer_start) * scale)

    def within(self, larger: Span, scale: int) -> slice:
        """Where the computed part lies in the computed part of ``larger``."""
        return slice(
            (self.outer_start - larger.outer_start) * scale, (self.outer_stop - larger.outer_start) * scale
        )

    def with_halo(self, halo: int, cells: int) -> Span:
        """The same core with a halo of ``halo`` cells on an axis of ``cells``."""
        return Span(self.start, self.stop, max(0, self.start - halo), min(cells, self.stop + halo))

    def cut(self, largest: int, halo: int, cells: int) -> list[Span]:
        """The same core in pieces of nearly equal length, none longer than ``largest``."""
        length = self.stop - self.start
        count = -(-length // largest)
        edges = [self.start + length * i // count for i in range(count + 1)]
        return [Span(a, b, a, b).with_halo(halo, cells) for a, b in pairwise(edges)]


def spans(cells: int, halo: int, largest: int) -> list[Span]:
    """Pieces of a whole axis, see `Span.cut`."""
    return Span(0, cells, 0, cells).cut(largest, halo, cells)


def largest_tile(rows: int, columns: int, unit: int = 64) -> int:
    """Cells, of ``unit`` pixels, that a tile of such a grid has at most a side."""
    return (WHOLE if max(rows, columns) * unit <= WHOLE else TILE) // unit


def tiles(rows: int, columns: int, halo: int, unit: int = 64) -> Iterator[tuple[Span, Span]]:
    """Tiles of a grid of cells, of ``unit`` pixels, row by row."""
    largest = largest_tile(rows, columns, unit)
    for row in spans(rows, halo, largest):
        for column in spans(columns, halo, largest):
            yield row, column


def pad(array: np.ndarray, multiple: int, axes: tuple[int, int]) -> np.ndarray:
    """Repeat the last row and column until both axes are multiples."""
    widths = [(0, -n % multiple if axis in axes else 0) for axis, n in enumerate(array.shape)]
    return np.pad(array, widths, mode="edge") if any(w for _, w in widths) else np.ascontiguousarray(array)
