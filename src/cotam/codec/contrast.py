"""The error measure that makes payloads comparable: `balanced_error`.

The legibility of words follows contrast-weighted error, in which blocks of 16×16 pixels are weighted by the
standard deviation of their luma. Features of vision encoders, which see large images reduced, follow the
error of means of 8×8 pixels. `balanced_error` is a weighted sum of both, by which `cotam.codec.flat` compares
payloads.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "BLOCK",
    "COARSE_WORTH",
    "OPPONENT",
    "balanced_error",
    "block_errors",
    "contrast_error",
    "contrast_weights",
]

BLOCK = 16
"""Side of a block in pixels: about the height of a line of text."""

WEIGHT_FLOOR = 4.0
"""Grey levels added to each deviation, so that errors on plain ground count a little."""

COARSE_WORTH = 30.0
"""Weight of the squared error of means of 8×8 pixels in `balanced_error` (lab/docs/screens.md)."""

_COARSE = 8

OPPONENT = np.array([[0.299, 0.587, 0.114], [-0.118, -0.232, 0.350], [0.350, -0.293, -0.057]], np.float32)
"""RGB → luma and 0.7 times the two colour differences of BT.601, in which the error is measured."""


def contrast_weights(pixels: np.ndarray) -> np.ndarray:
    """Return the weight of each block, float32 (⌈H/16⌉, ⌈W/16⌉), positive, of pixels uint8 (H, W, 3)."""
    height, width = pixels.shape[:2]
    rows, columns = -(-height // BLOCK), -(-width // BLOCK)
    weights = np.empty((rows, columns), np.float32)
    for row in range(rows):  # in bands, to save memory
        luma = pixels[row * BLOCK : (row + 1) * BLOCK].astype(np.float32) @ OPPONENT[0]
        luma = np.pad(luma, ((0, 0), (0, columns * BLOCK - width)), mode="edge")
        weights[row] = luma.reshape(len(luma), columns, BLOCK).std(axis=(0, 2))
    return weights + np.float32(WEIGHT_FLOOR)


def contrast_error(pixels: np.ndarray, decoded: np.ndarray) -> float:
    """Return the mean squared error, in squared grey levels, of ``decoded``, weighted by `contrast_weights`.

    Both images are uint8 (H, W, 3).
    """
    return _errors(pixels, decoded, contrast_weights(pixels))[0]


def balanced_error(pixels: np.ndarray, decoded: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return `contrast_error` plus `COARSE_WORTH` times the mean squared error of means of 8×8 pixels.

    Both images are uint8 (H, W, 3); ``weights`` are the `contrast_weights` of ``pixels``, if already
    computed. Blocks at the right and lower edge may be smaller.
    """
    fine, coarse = _errors(pixels, decoded, contrast_weights(pixels) if weights is None else weights)
    return fine + COARSE_WORTH * coarse


def block_errors(pixels: np.ndarray, other: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Return the `balanced_error` of each block alone, float32 (⌈H/16⌉, ⌈W/16⌉).

    Both images are uint8 (H, W, 3); ``blocks``, bool, are those of interest: rows without any are left zero.
    Beyond the edges of the images the error is zero.
    """
    errors = np.zeros(blocks.shape, np.float32)
    width = blocks.shape[1] * BLOCK
    for row in np.flatnonzero(blocks.any(axis=1)):
        band = slice(row * BLOCK, (row + 1) * BLOCK)
        difference = pixels[band].astype(np.float32) - other[band]
        rows, columns = difference.shape[:2]
        away = np.zeros((3, BLOCK, width), np.float32)
        away[:, :rows, :columns] = (OPPONENT @ difference.reshape(-1, 3).T).reshape(3, rows, columns)
        fine = np.einsum("chw,chw->w", away, away).reshape(-1, BLOCK).sum(1) / BLOCK**2
        sums = np.add.reduceat(
            away.reshape(3, -1, _COARSE, width).sum(2), np.arange(0, width, _COARSE), axis=2
        )
        coarse = np.square(sums / _COARSE**2).sum((0, 1)).reshape(-1, BLOCK // _COARSE).mean(1)
        errors[row] = fine + COARSE_WORTH * coarse / (BLOCK // _COARSE)
    return errors


def _errors(pixels: np.ndarray, decoded: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Return the contrast-weighted error, and the squared error of means of 8×8 pixels."""
    height, width = pixels.shape[:2]
    edges, cells = np.arange(0, width, BLOCK), np.arange(0, width, _COARSE)
    across, cells_across = np.diff(edges, append=width), np.diff(cells, append=width)
    fine = coarse = total = 0.0
    for row, weight in enumerate(weights):
        band = slice(row * BLOCK, (row + 1) * BLOCK)
        difference = pixels[band].astype(np.float32) - decoded[band]
        away = (OPPONENT @ difference.reshape(-1, 3).T).reshape(3, -1, width)
        squares = np.einsum("chw,chw->w", away, away)
        fine += float(np.add.reduceat(squares, edges) @ weight)
        total += away.shape[1] * float(across @ weight)
        for top in range(0, away.shape[1], _COARSE):
            rows = away[:, top : top + _COARSE]
            sums = np.add.reduceat(rows.sum(axis=1), cells, axis=1)
            coarse += float((np.square(sums).sum(axis=0) / cells_across).sum()) / rows.shape[1]
    return fine / total, coarse / (height * width)
