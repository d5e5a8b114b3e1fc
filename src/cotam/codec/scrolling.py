"""Find the changes of a screen: parts that were scrolled, and areas that have to be coded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cotam.codec.changed_areas import CELL, Area, changed_cells, cost, in_pixels, rectangles
from cotam.codec.contrast import block_errors
from cotam.errors import FormatError
from cotam.format.changes import Copy

__all__ = ["apply_copies", "find_changes", "scrolls"]

_MIN_SCROLLED = 32
"""Least number of cells for which to look for a part that was scrolled."""

_MAX_COST = 0.5
"""Copies are used if they reduce the cost of what is left to code to this share. At 0.6 to 0.9, in a session
of screenshots, what is left is so fragmented that half of the files grow."""

_PEAKS = 32
"""Number of distances that are compared row by row."""

_COUNT = 2
"""Number of distances to return."""

_NOISE = 48.0
"""Largest difference of gradients that counts as equal: one level of each of 16 pixels and 3 channels."""


def find_changes(
    pixels: np.ndarray, earlier: np.ndarray, tolerance: float = 0.0
) -> tuple[list[Copy], list[Area], np.ndarray]:
    """Find what makes an image of an earlier one.

    Parameters
    ----------
    pixels, earlier : uint8 (H, W, 3); both may differ in size
    tolerance : largest error of cells that are left as they are (`cotam.codec.contrast.block_errors`)

    Returns
    -------
    copies : of parts that were scrolled
    areas : what has to be coded after that, in cells
    copied : ``earlier`` after the copies; the same array if there are none
    """
    cells = _differing(pixels, earlier, tolerance)
    areas = rectangles(cells)
    if pixels.shape == earlier.shape and np.count_nonzero(cells) >= _MIN_SCROLLED:
        found = [_scrolled(pixels, earlier, tolerance, cells, by) for by in scrolls(pixels, earlier, cells)]
        by, fitting = max(found, key=lambda one: np.count_nonzero(one[1]))
        copies = [_copy_of(area, by, pixels.shape) for area in rectangles(fitting)]
        copied = apply_copies(earlier.copy(), earlier, copies)
        others = rectangles(_differing(pixels, copied, tolerance))
        if cost(others) <= _MAX_COST * cost(areas):
            return copies, others, copied
    return [], areas, earlier


def _differing(pixels: np.ndarray, earlier: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the cells that differ by more than the tolerance, bool (⌈H/16⌉, ⌈W/16⌉)."""
    cells = changed_cells(pixels, earlier)
    return block_errors(pixels, earlier, cells) > tolerance if tolerance else cells


def _scrolled(
    pixels: np.ndarray, earlier: np.ndarray, tolerance: float, cells: np.ndarray, by: int
) -> tuple[int, np.ndarray]:
    """Return ``by`` and those of the cells that ``earlier``, moved up by so many pixels, has."""
    height = pixels.shape[0]
    first, last = max(0, -by), min(height, height - by)  # rows that exist after moving
    moved = earlier.copy()
    moved[first:last] = earlier[first + by : last + by]
    fitting = cells & ~_differing(pixels, moved, tolerance)
    fitting[: -(-first // CELL)] = False
    if last < height:
        fitting[last // CELL :] = False
    return by, fitting


def _copy_of(area: Area, by: int, shape: tuple[int, ...]) -> Copy:
    rows, columns = in_pixels(area)
    width, height = min(columns.stop, shape[1]) - columns.start, min(rows.stop, shape[0]) - rows.start
    return Copy(columns.start, rows.start, width, height, columns.start, rows.start + by)


def apply_copies(pixels: np.ndarray, base: np.ndarray, copies: Sequence[Copy]) -> np.ndarray:
    """Copy areas of ``base`` into ``pixels``, both uint8 (H, W, 3), in place; return ``pixels``.

    Raises FormatError if an area lies beyond the base.
    """
    for copy in copies:
        rows = slice(copy.from_top, copy.from_top + copy.height)
        columns = slice(copy.from_left, copy.from_left + copy.width)
        if rows.stop > base.shape[0] or columns.stop > base.shape[1]:
            raise FormatError(
                f"a copy of {copy.width}×{copy.height} pixels at ({copy.from_left}, {copy.from_top}) reads "
                f"beyond the {base.shape[1]}×{base.shape[0]} pixels of the earlier image"
            )
        pixels[copy.top : copy.top + copy.height, copy.left : copy.left + copy.width] = base[rows, columns]
    return pixels


def scrolls(new: np.ndarray, old: np.ndarray, cells: np.ndarray) -> list[int]:
    """Return the most likely vertical distances by which a part of ``old`` was moved up, in pixels, not 0.

    Both images are uint8 (H, W, 3); ``cells``, bool (⌈H/16⌉, ⌈W/16⌉), are those of ``new`` that differ. Of
    the distances with the largest cross-correlation of vertical gradients, in columns of 16 pixels, those are
    returned at which most gradients are equal.
    """
    height = new.shape[0]
    size = 2 * height  # no distance wraps around
    after, before = _gradients(new), _gradients(old)
    after *= np.repeat(cells, CELL, axis=0)[: height - 1]
    spectrum = np.fft.rfft(before, size, axis=0) * np.fft.rfft(after, size, axis=0).conj()
    correlation = np.fft.irfft(spectrum.sum(axis=1), size)
    peaks = np.argsort(correlation[1:])[: -_PEAKS - 1 : -1] + 1
    distances = [int(at) if at < height else int(at) - size for at in peaks]
    return sorted(distances, key=lambda by: _equal(after, before, by), reverse=True)[:_COUNT]


def _equal(after: np.ndarray, before: np.ndarray, by: int) -> int:
    """Return the number of clear gradients that are equal after moving by so many rows."""
    moved, still = (before[by:], after[: len(after) - by]) if by > 0 else (before[:by], after[-by:])
    return int(np.count_nonzero((np.abs(still) > 4 * _NOISE) & (np.abs(moved - still) <= _NOISE)))


def _gradients(pixels: np.ndarray) -> np.ndarray:
    """Return vertical differences of summed levels in columns of 16 pixels, float32 (H − 1, ⌈W/16⌉)."""
    rows = pixels.reshape(len(pixels), -1)
    sums = np.add.reduceat(rows, np.arange(0, rows.shape[1], 3 * CELL), axis=1, dtype=np.float32)
    return np.diff(sums, axis=0)
