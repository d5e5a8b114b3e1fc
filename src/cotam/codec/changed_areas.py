"""Find the cells in which an image differs from an earlier one, and few rectangles that cover them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np

from cotam.format.changes import MAX_RECTANGLES

__all__ = [
    "CELL",
    "Area",
    "area_size",
    "cell_hashes",
    "changed_cells",
    "cost",
    "in_pixels",
    "rectangles",
    "shared_share",
    "whole_area",
]

CELL = 16
"""Side of a cell in pixels."""

_RECTANGLE_COST = 20
"""Cost of a further rectangle, in cells: header, hyper latents and missing context."""

_MAX_SPLITS = 12
"""Largest depth of the recursion, which bounds time."""

Area = tuple[slice, slice]
"""Rows and columns."""

_WEIGHTS = np.frombuffer(secrets.token_bytes(CELL * CELL * 3), np.uint64).reshape(CELL, -1) | np.uint64(1)
"""Random odd multipliers of the hash, by row and word of a cell."""


def cell_hashes(pixels: np.ndarray) -> np.ndarray:
    """Return a hash of each whole cell of uint8 (H, W, 3): uint64 (H // 16, W // 16), for this process."""
    rows, columns = pixels.shape[0] // CELL, pixels.shape[1] // CELL
    words = _words(pixels[: rows * CELL, : columns * CELL])
    words = words ^ (words >> np.uint64(32))  # the low bits decide most
    return (words * _WEIGHTS[:, None]).sum((1, 3), dtype=np.uint64)


def shared_share(new: np.ndarray, old: np.ndarray) -> float:
    """Return the share of the cells of ``new`` that are equal in ``old``; both from `cell_hashes`."""
    height, width = min(new.shape[0], old.shape[0]), min(new.shape[1], old.shape[1])
    same = np.count_nonzero(new[:height, :width] == old[:height, :width])
    return same / new.size if new.size else 0.0


def changed_cells(new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """Return the cells of ``new`` that differ from ``old`` in any pixel, bool (⌈H/16⌉, ⌈W/16⌉).

    Both are uint8 (H, W, 3), of any two sizes.
    """
    height, width = min(new.shape[0], old.shape[0]), min(new.shape[1], old.shape[1])
    rows, columns = -(-new.shape[0] // CELL), -(-new.shape[1] // CELL)
    changed = np.ones((rows, columns), bool)
    shared_rows, shared_columns = -(-height // CELL), -(-width // CELL)
    different = _words(new[:height, :width]) != _words(old[:height, :width])
    changed[:shared_rows, :shared_columns] = different.any((1, 3))
    if height < new.shape[0]:
        changed[height // CELL :] = True
    if width < new.shape[1]:
        changed[:, width // CELL :] = True
    return changed


def rectangles(cells: np.ndarray) -> list[Area]:
    """Cover the set cells of a bool (rows, columns) by few rectangles without overlap.

    Areas are split recursively, as in growing a decision tree, where the halves are purest. Then splits that
    save less than the cost of a further rectangle are undone.
    """
    whole = _bounds(cells, slice(0, cells.shape[0]), slice(0, cells.shape[1]))
    if not whole:
        return []
    found = _cover(cells, whole, _MAX_SPLITS)[1]
    return found if len(found) <= MAX_RECTANGLES else [whole]


def _cover(cells: np.ndarray, area: Area, depth: int) -> tuple[int, list[Area]]:
    """Return cost and rectangles of the set cells in an area."""
    size = area_size(area)
    alone = size + _RECTANGLE_COST, [area]
    if not depth or size <= _RECTANGLE_COST or cells[area].all():
        return alone
    cost = 0
    areas: list[Area] = []
    for half in _halves(cells, area):
        if bounds := _bounds(cells, *half):
            half_cost, half_areas = _cover(cells, bounds, depth - 1)
            cost, areas = cost + half_cost, areas + half_areas
    return (cost, areas) if cost < alone[0] else alone


def _halves(cells: np.ndarray, area: Area) -> tuple[Area, Area]:
    """Return the split with the purest halves, by area times the shares of set and of clear cells."""
    rows, columns = area
    size, splits = area_size(area), list[tuple[float, int, int]]()
    for axis in (0, 1):
        count = cells[area].sum(1 - axis).cumsum()
        before, after = count[:-1], count[-1] - count[:-1]  # set cells
        first = np.arange(1, len(count)) * (size // len(count))  # all cells of the first half
        impurity = before * (1 - before / first) + after * (1 - after / (size - first))
        if impurity.size:
            at = int(impurity.argmin())
            splits.append((float(impurity[at]), axis, area[axis].start + 1 + at))
    _, axis, at = min(splits)
    if axis == 0:
        return (slice(rows.start, at), columns), (slice(at, rows.stop), columns)
    return (rows, slice(columns.start, at)), (rows, slice(at, columns.stop))


def _bounds(cells: np.ndarray, rows: slice, columns: slice) -> Area | None:
    """Return the bounding rectangle of the set cells in an area."""
    inside = cells[rows, columns]
    y, x = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not y.size:
        return None
    return (
        slice(rows.start + int(y[0]), rows.start + int(y[-1]) + 1),
        slice(columns.start + int(x[0]), columns.start + int(x[-1]) + 1),
    )


def cost(areas: Sequence[Area]) -> int:
    """Return the approximate cost of coding areas, in cells."""
    return sum(area_size(area) + _RECTANGLE_COST for area in areas)


def area_size(area: Area) -> int:
    """Return the number of cells in a rectangle."""
    return (area[0].stop - area[0].start) * (area[1].stop - area[1].start)


def whole_area(pixels: np.ndarray) -> Area:
    """Return all rows and columns of cells of pixels (H, W, …)."""
    return slice(0, -(-pixels.shape[0] // CELL)), slice(0, -(-pixels.shape[1] // CELL))


def in_pixels(area: Area) -> Area:
    """Return the rows and columns of pixels of an area in cells; they may go beyond the edges."""
    rows, columns = area
    return slice(rows.start * CELL, rows.stop * CELL), slice(columns.start * CELL, columns.stop * CELL)


def _words(pixels: np.ndarray) -> np.ndarray:
    """Return pixels by cell, uint64 (⌈H/16⌉, 16, ⌈W/16⌉, 6), with zeros beyond the edges."""
    height, width = pixels.shape[:2]
    rows, columns = -(-height // CELL), -(-width // CELL)
    padded = np.zeros((rows * CELL, columns * CELL, 3), np.uint8)
    padded[:height, :width] = pixels
    return padded.reshape(rows, CELL, columns, CELL * 3).view(np.uint64)
