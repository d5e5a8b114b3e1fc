"""Cuts of a large grid into tiles with a halo.

Knows grids only: nothing of what is in them. The unit is the hyper latent's cell, 64 pixels; a tile's outer
part feeds a graph, its core part is kept, so that tiles join without seams.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

WHOLE_CELLS = 12
"""A grid of at most this many cells (768 pixels) a side is one tile."""

TILE_CELLS = 9
"""Tiles of a larger one are at most this many cells a side: more is faster and takes more memory."""


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


def spans(cells: int, halo: int, largest: int) -> list[Span]:
    """Pieces of nearly equal length, none longer than ``largest``."""
    count = -(-cells // largest)
    edges = [cells * i // count for i in range(count + 1)]
    return [Span(a, b, a, b).with_halo(halo, cells) for a, b in pairwise(edges)]


def tiles(rows: int, columns: int, halo: int) -> Iterator[tuple[Span, Span]]:
    """Tiles of a grid of cells, row by row."""
    largest = WHOLE_CELLS if max(rows, columns) <= WHOLE_CELLS else TILE_CELLS
    for row in spans(rows, halo, largest):
        for column in spans(columns, halo, largest):
            yield row, column


def pad(array: np.ndarray, multiple: int, axes: tuple[int, int]) -> np.ndarray:
    """Repeat the last row and column until both axes are multiples."""
    widths = [(0, -n % multiple if axis in axes else 0) for axis, n in enumerate(array.shape)]
    return np.pad(array, widths, mode="edge") if any(w for _, w in widths) else np.ascontiguousarray(array)
