"""JPEG files for vision encoders and readers: tables, and coefficients chosen by rate and distortion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cotam.codec.colours import is_grey
from cotam.image.read import Pixels
from cotam.standard.scans import ZIGZAG, Component, write

__all__ = ["PAGE", "PHOTO", "PLAIN", "Settings", "encode", "tables"]


@dataclass(frozen=True)
class Settings:
    """How an image is coded."""

    chroma: float  # factor of the chroma table of the standard; below 1 chroma is finer
    # interpolates, in octaves, the luma table between that of the standard (0) and a constant one (1)
    flatness: float
    price: float  # cost of a bit in squared quantiser steps; 0 rounds every coefficient to the nearest value
    focus: float = 0.0  # squared error is weighted by importance to this power


PHOTO = Settings(chroma=0.22, flatness=0.0, price=0.0)
"""Encoders see chroma finer than the table of the standard, and suffer from coefficients set to zero."""

PLAIN = Settings(chroma=1.0, flatness=0.0, price=0.0)
"""The tables of the standard, for flat graphics, where the settings of pages lose words."""

PAGE = Settings(chroma=1.0, flatness=0.4, price=0.1, focus=0.5)
"""Readers need the high frequencies of strokes, and not the noise of paper."""

# ITU-T T.81, tables K.1 and K.2, row by row.
_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
_CHROMA = np.full((8, 8), 99)
_CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

_YCBCR = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)

_FREQUENCY, _PLACE = np.mgrid[:8, :8]
_DCT = (np.cos((2 * _PLACE + 1) * _FREQUENCY * np.pi / 16) / np.where(_FREQUENCY, 2, np.sqrt(8))).astype(
    np.float32
)
"""The orthonormal DCT of eight values, float32 (frequency, position)."""

_SIZES = 12
"""Coefficients of 8-bit images have at most 11 bits."""


def tables(quality: int, settings: Settings = PHOTO) -> tuple[np.ndarray, np.ndarray]:
    """Return the quantisation tables of luma and chroma, (8, 8) in 1 … 255, at a quality of libjpeg."""
    quality = max(1, quality)
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    luma = _LUMA[0, 0] * (_LUMA / _LUMA[0, 0]) ** (1 - settings.flatness)
    first, second = (
        np.clip(np.floor((table * scale + 50) / 100), 1, 255).astype(np.int64)
        for table in (luma, _CHROMA * settings.chroma)
    )
    return first, second


def encode(
    pixels: Pixels, quality: int, settings: Settings = PHOTO, importance: np.ndarray | None = None
) -> bytes:
    """Encode pixels as a progressive JPEG file (`cotam.standard.scans`).

    Chroma is 4:2:0; grey images have luma only.

    Parameters
    ----------
    pixels : uint8 (H, W, 3)
    quality : 0 … 100, as libjpeg's
    settings : see `Settings`
    importance : (gh, gw), positive, covers the image evenly
    """
    height, width = pixels.shape[:2]
    prices = np.full((2 * -(-height // 16), 2 * -(-width // 16)), settings.price, np.float32)
    if settings.price and importance is not None:
        prices /= _weights(importance, prices.shape, settings.focus)
    luma, *chroma = _planes(pixels)
    first, second = tables(quality, settings)
    components = [
        _component(luma, first, prices[: luma.shape[0] // 8, : luma.shape[1] // 8], 1 + bool(chroma))
    ]
    halved = prices.reshape(prices.shape[0] // 2, 2, -1, 2).mean((1, 3))
    components += [_component(plane, second, halved) for plane in chroma]
    return write(components, width, height)


def _planes(pixels: Pixels) -> Iterator[np.ndarray]:
    """Yield luma and, unless the image is grey, Cb and Cr at half of its size, float32."""
    if is_grey(pixels):
        yield _pad(pixels[..., 0].astype(np.float32), 8)
        return
    yield _pad(pixels @ _YCBCR[0], 8)
    for weights in _YCBCR[1:]:
        whole = _pad(pixels @ weights, 16)
        yield (whole[::2, ::2] + whole[1::2, ::2] + whole[::2, 1::2] + whole[1::2, 1::2]) / 4 + 128


def _pad(plane: np.ndarray, multiple: int) -> np.ndarray:
    return np.pad(plane, [(0, -side % multiple) for side in plane.shape], "edge")


def _weights(importance: np.ndarray, shape: tuple[int, int], focus: float) -> np.ndarray:
    """Return weights of squared error, float32 of ``shape``: 1 at the median of importance.

    They are at least 1, since faint lines of tables and forms break before text does, and at most 4.
    """
    octaves = np.log2(np.maximum(importance, 1e-12) / max(float(np.median(importance)), 1e-12))
    grid = Image.fromarray(octaves.astype(np.float32))
    there = np.asarray(grid.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))
    return np.clip(2 ** (focus * there), 1, 4)


# Choosing coefficients


def _component(plane: np.ndarray, table: np.ndarray, prices: np.ndarray, sampling: int = 1) -> Component:
    """Quantise a plane, float32 (H, W) in 0 … 255 with sides that are multiples of 8, by steps (8, 8).

    ``prices`` has `Settings.price` of each block, float32 (H/8, W/8).
    """
    rows, columns = plane.shape[0] // 8, plane.shape[1] // 8
    steps = table.reshape(-1)[ZIGZAG]
    found = np.empty((rows, columns, 64), np.float32)
    for row in range(rows):  # one by one, to save memory
        blocks = plane[8 * row : 8 * row + 8].reshape(8, columns, 8).transpose(1, 0, 2) - 128
        found[row] = (_DCT @ blocks @ _DCT.T).reshape(-1, 64)[:, ZIGZAG] / steps
    levels = np.rint(found).astype(np.int16)
    if prices.any():
        nearest = np.abs(levels).reshape(-1, 64)
        chosen = _cheapest(np.abs(found).reshape(-1, 64), nearest, prices.reshape(-1))
        levels = np.copysign(chosen.reshape(levels.shape), found).astype(np.int16)
    return Component(levels, steps, sampling)


def _size(values: np.ndarray) -> np.ndarray:
    """Return the size category of each magnitude, 0 … 11 bits."""
    return np.frexp(values.astype(np.float32))[1].clip(0, _SIZES - 1)


def _bits(levels: np.ndarray) -> tuple[np.ndarray, float]:
    """Estimate the bits of symbols from their frequencies in magnitudes int16 (n, 64), in zigzag order.

    Returns the bits of a coefficient, float32 (63, 12), by the run of zeros before it and by its size; and
    those of the end of a block.
    """
    sizes = _size(levels)
    counts = np.full((16, _SIZES), 0.5)
    long_runs, last = 0.5, np.zeros(len(levels), np.int64)
    for at in range(1, 64):
        found = np.flatnonzero(sizes[:, at])
        runs = at - last[found] - 1
        long_runs += float((runs // 16).sum())
        np.add.at(counts, (runs % 16, sizes[found, at]), 1)
        last[found] = at
    ends = 1.0 + float((last < 63).sum())
    total = counts[:, 1:].sum() + long_runs + ends
    runs = np.arange(63)
    bits = (-np.log2(counts / total) + np.arange(_SIZES))[runs % 16]
    bits -= (runs // 16 * np.log2(long_runs / total))[:, None]
    return bits.astype(np.float32), float(-np.log2(ends / total))


def _cheapest(sizes: np.ndarray, nearest: np.ndarray, prices: np.ndarray) -> np.ndarray:
    """Choose magnitudes that minimise squared error plus price times bits: a trellis, block by block.

    Each coefficient gets its nearest value, one less, or zero. The search includes the position of the last
    non-zero coefficient (Crouse, Ramchandran: "Joint thresholding and quantizer selection", 1997).

    ``sizes`` are magnitudes in quantiser steps, float32 (n, 64), in zigzag order; ``nearest`` are the same
    rounded, int16; ``prices`` are those of a bit, float32 (n,). Returns int16 (n, 64).
    """
    result = nearest.copy()
    busy = np.flatnonzero(nearest[:, 1:].any(1))
    if not len(busy):
        return result
    sizes, nearest, prices = sizes[busy], nearest[busy], prices[busy]
    bits, end = _bits(nearest)
    squares = np.square(sizes)
    squares[:, 0] = 0
    zeros = np.cumsum(squares, 1).T.copy()  # (64, n): error if all from the first to here are zero
    cost = np.full((64, len(busy)), np.inf, np.float32)  # of blocks that end here, less ``zeros``
    cost[0] = 0
    before, value = np.zeros((64, len(busy)), np.int8), np.zeros((64, len(busy)), np.int16)
    for at in range(1, 64):
        here = np.flatnonzero(nearest[:, at])
        runs = at - 1 - np.arange(at)[:, None]
        lowest = np.full(len(here), np.inf, np.float32)
        for less in (0, 1):
            level = nearest[here, at] - less
            totals = cost[:at, here] + prices[here] * bits[runs, _size(level)[None]]
            first = totals.argmin(0)
            found = totals[first, np.arange(len(here))] + np.square(sizes[here, at] - level)
            better = (level > 0) & (found < lowest)
            lowest = np.where(better, found, lowest)
            before[at, here] = np.where(better, first, before[at, here])
            value[at, here] = np.where(better, level, value[at, here])
        cost[at, here] = lowest + zeros[at - 1, here] - zeros[at, here]
    cost[:63] += end * prices
    result[busy, 1:] = _trace(cost.argmin(0), before, value)[:, 1:]
    return result


def _trace(last: np.ndarray, before: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Follow the trellis (64, n) back from the last coefficients (n,); returns magnitudes int16 (n, 64)."""
    found = np.zeros((len(last), 64), np.int16)
    now = last
    while len(open_ := np.flatnonzero(now)):
        found[open_, now[open_]] = value[now[open_], open_]
        now = now.copy()
        now[open_] = before[now[open_], open_]
    return found
