"""Find out how far a part of a screen was scrolled."""

from __future__ import annotations

import numpy as np

from cotam.codec.changed_areas import CELL

__all__ = ["scrolls"]

_PEAKS = 32
"""Number of distances that are compared row by row."""

_COUNT = 2
"""Number of distances to return."""

_NOISE = 48.0
"""Largest difference of gradients that counts as equal: one level of each of 16 pixels and 3 channels."""


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
    correlation[0] = -np.inf
    peaks = [int(at) if at < height else int(at) - size for at in np.argsort(correlation)[: -_PEAKS - 1 : -1]]
    return sorted(peaks, key=lambda by: _equal(after, before, by), reverse=True)[:_COUNT]


def _equal(after: np.ndarray, before: np.ndarray, by: int) -> int:
    """Return the number of clear gradients that are equal after moving by so many rows."""
    moved, still = (before[by:], after[: len(after) - by]) if by > 0 else (before[:by], after[-by:])
    return int(np.count_nonzero((np.abs(still) > 4 * _NOISE) & (np.abs(moved - still) <= _NOISE)))


def _gradients(pixels: np.ndarray) -> np.ndarray:
    """Return vertical differences of mean brightness in columns of 16 pixels, float32 (H − 1, ⌈W/16⌉)."""
    edges = np.arange(0, pixels.shape[1], CELL)
    sums = np.add.reduceat(pixels.sum(axis=2, dtype=np.float32), edges, axis=1)
    return np.diff(sums, axis=0)
