"""JPEG files for vision encoders and readers: tables, and coefficients chosen by rate and distortion.

Pillow writes the files. Coefficients are chosen through the pixels: one that should be smaller is moved just
inside the range that libjpeg rounds to the chosen value.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from cotam.errors import InputError
from cotam.image.read import Pixels
from cotam.image.write import written

__all__ = ["PAGE", "PHOTO", "PLAIN", "Settings", "encode", "tables"]


@dataclass(frozen=True)
class Settings:
    """How an image is coded.

    Attributes
    ----------
    chroma : float
        Factor of the chroma table of the standard; below 1 chroma is finer.
    flatness : float
        Interpolates, in octaves, the luma table between that of the standard (0) and a constant one (1).
    price : float
        Cost of a bit in squared quantiser steps; 0 rounds every coefficient to the nearest value.
    focus : float
        Squared error is weighted by importance to this power.
    """

    chroma: float
    flatness: float
    price: float
    focus: float = 0.0


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

_DIAGONALS = [sorted(divmod(at, 8) for at in range(64) if sum(divmod(at, 8)) == total) for total in range(15)]
_ZIGZAG = np.array(
    [8 * y + x for total, one in enumerate(_DIAGONALS) for y, x in one[:: 1 if total % 2 else -1]]
)

_MARGIN = 0.08
"""Quantiser steps that a moved coefficient keeps from where rounding turns; at least one grey level."""

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
    """Encode pixels as a JPEG file with optimal Huffman tables, progressive where that is smaller.

    Chroma is 4:2:0; grey images have luma only.

    Parameters
    ----------
    pixels : uint8 (H, W, 3)
    quality : 0 … 100, as libjpeg's
    settings : see `Settings`
    importance : (gh, gw), positive, covers the image evenly
    """
    luma, chroma = tables(quality, settings)
    height, width = pixels.shape[:2]
    prices = np.full((2 * -(-height // 16), 2 * -(-width // 16)), settings.price, np.float32)
    if settings.price and settings.focus and importance is not None:
        prices /= _weights(importance, prices.shape, settings.focus)
    if (pixels == pixels[..., :1]).all():
        return _saved(_grey(pixels[..., 0], luma, prices), [luma])
    image = Image.fromarray(pixels).convert("YCbCr")
    if settings.price:
        image = _coloured(np.asarray(image), luma, chroma, prices)
    return _saved(image, [luma, chroma])


def _weights(importance: np.ndarray, shape: tuple[int, int], focus: float) -> np.ndarray:
    """Return weights of squared error, float32 of ``shape``: 1 at the median of importance.

    They are at least 1, since faint lines of tables and forms break before text does, and at most 4.
    """
    octaves = np.log2(np.maximum(importance, 1e-12) / max(float(np.median(importance)), 1e-12))
    grid = Image.fromarray(octaves.astype(np.float32))
    there = np.asarray(grid.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))
    weights: np.ndarray = np.clip(2 ** (focus * there), 1, 4)
    return weights


def _saved(image: Image.Image, found: list[np.ndarray]) -> bytes:
    """Return the smallest of a progressive file and two baseline files, which have fewer headers."""
    options: dict[str, Any] = {"subsampling": "4:2:0"} if image.mode == "YCbCr" else {}
    qtables = [table.reshape(-1).tolist() for table in found]
    files = []
    tries: list[dict[str, Any]] = [{"optimize": True, "progressive": True}, {"optimize": True}, {}]
    for settings in tries:
        try:
            files.append(written(image, "JPEG", qtables=qtables, **settings, **options))
        except InputError:
            # Pillow gives up where an optimised file takes more than a byte for a pixel: noise.
            if not settings:
                raise
            continue
        if not settings.get("progressive"):
            break
    return min(files, key=len)


# Choosing coefficients


def _grey(plane: np.ndarray, table: np.ndarray, prices: np.ndarray) -> Image.Image:
    height, width = plane.shape
    if not prices.any():
        return Image.fromarray(np.ascontiguousarray(plane))
    padded = np.pad(plane, ((0, -height % 16), (0, -width % 16)), "edge")
    chosen = _chosen(padded.astype(np.float32), table, prices)
    return Image.fromarray(np.ascontiguousarray(chosen[:height, :width]))


def _coloured(planes: np.ndarray, luma: np.ndarray, chroma: np.ndarray, prices: np.ndarray) -> Image.Image:
    """Return YCbCr, uint8 (H, W, 3), with chosen coefficients; chroma is constant in 2×2 pixels."""
    height, width = planes.shape[:2]
    padded = np.pad(planes, ((0, -height % 16), (0, -width % 16), (0, 0)), "edge")
    changed = np.empty_like(padded)
    changed[..., 0] = _chosen(padded[..., 0].astype(np.float32), luma, prices)
    halved_prices = prices.reshape(prices.shape[0] // 2, 2, -1, 2).mean((1, 3))
    for index in (1, 2):
        plane = padded[..., index].astype(np.float32)
        halved = (plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]) / 4
        changed[..., index] = _chosen(halved, chroma, halved_prices).repeat(2, 0).repeat(2, 1)
    return Image.fromarray(np.ascontiguousarray(changed[:height, :width]), "YCbCr")


@functools.cache
def _basis() -> np.ndarray:
    """Return the orthonormal DCT of eight values, float32 (frequency, position)."""
    frequency, place = np.mgrid[:8, :8]
    basis = np.cos((2 * place + 1) * frequency * np.pi / 16) / 2
    basis[0] /= np.sqrt(2)
    return basis.astype(np.float32)


def _chosen(plane: np.ndarray, table: np.ndarray, prices: np.ndarray) -> np.ndarray:
    """Return a plane, uint8, that libjpeg quantises to the chosen coefficients.

    Parameters
    ----------
    plane : float32 (H, W), 0 … 255, both sides multiples of 8
    table : (8, 8), quantiser steps
    prices : float32 (H/8, W/8): `Settings.price` of each block
    """
    rows, columns = plane.shape[0] // 8, plane.shape[1] // 8
    blocks = plane.reshape(rows, 8, columns, 8).transpose(0, 2, 1, 3).reshape(-1, 8, 8)
    basis = _basis()
    spectrum = (basis @ (blocks - 128) @ basis.T).reshape(-1, 64)[:, _ZIGZAG]
    steps = table.reshape(-1)[_ZIGZAG].astype(np.float32)
    sizes = np.abs(spectrum) / steps
    nearest = np.floor(sizes + 0.5).astype(np.int16)
    kept = _cheapest(sizes, nearest, prices.reshape(-1))
    inside = 0.5 - np.minimum(np.maximum(_MARGIN, 1 / steps), 0.5)
    moves = np.zeros_like(spectrum)
    moves[:, _ZIGZAG] = np.where(kept < nearest, np.sign(spectrum) * (kept + inside) * steps - spectrum, 0)
    found = np.clip(np.rint(blocks + basis.T @ moves.reshape(-1, 8, 8) @ basis), 0, 255).astype(np.uint8)
    return found.reshape(rows, columns, 8, 8).transpose(0, 2, 1, 3).reshape(plane.shape)


def _size(values: np.ndarray) -> np.ndarray:
    """Return the size category of each magnitude, 0 … 11 bits."""
    sizes: np.ndarray = np.frexp(values.astype(np.float32))[1].clip(0, _SIZES - 1)
    return sizes


def _bits(levels: np.ndarray) -> tuple[np.ndarray, float]:
    """Estimate the bits of symbols from their frequencies.

    Parameters
    ----------
    levels : int16 (n, 64), magnitudes in zigzag order

    Returns
    -------
    bits : float32 (63, 12), of a coefficient by the run of zeros before it and by its size
    end : float, bits of the end of a block
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

    Parameters
    ----------
    sizes : float32 (n, 64), magnitudes in quantiser steps, in zigzag order
    nearest : int16 (n, 64), the same rounded
    prices : float32 (n,), of a bit

    Returns
    -------
    int16 (n, 64)
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
    result[busy, 1:] = _traced(cost.argmin(0), before, value)[:, 1:]
    return result


def _traced(last: np.ndarray, before: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Follow the trellis (64, n) back from the last coefficients (n,); returns magnitudes int16 (n, 64)."""
    found = np.zeros((len(last), 64), np.int16)
    now = last
    while len(open_ := np.flatnonzero(now)):
        found[open_, now[open_]] = value[now[open_], open_]
        now = now.copy()
        now[open_] = before[now[open_], open_]
    return found
