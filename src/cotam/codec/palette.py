"""Reduce flat graphics to few colours, for lossless coding.

::

    pixels ──▸ colours: values, counts, weights ──▸ palette ──▸ smoothed index map ──▸ pixels of few colours

A screenshot has some thousand colours, mostly of antialiased letters. The palette is found by
entropy-constrained vector quantisation (Chou, Lookabaugh, Gray, 1989) of the colours, which minimises squared
error, weighted as in `cotam.codec.contrast`, plus the bits of each colour by its frequency. Then pixels may
take the colour of a neighbour where that adds little error (iterated conditional modes; Besag, 1986), which
makes runs longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cotam.codec.contrast import BLOCK, COARSE_WORTH, OPPONENT, contrast_weights

__all__ = ["MAX_COLOURS", "TRIALS", "Colours", "Reduced", "reduce_colours"]

MAX_COLOURS = 1024
"""More colours are first merged on a coarser grid."""

TRIALS = ((4, 1.0), (16, 1.0), (16, 0.5), (64, 1.0), (64, 0.5))
"""Palettes to try: largest number of colours, and share of the allowed error for the palette; the rest is for
smoothing. VP8L packs four pixels into a byte with up to 4 colours, two with up to 16."""

_ROOM = 0.8
"""Palettes that use more of the allowed error are not smoothed, since the result would hardly ever fit."""

_AGREEMENTS = (6.0, 2.0)
"""Worth of agreeing with one neighbour, in bits; the first that fits is used."""

_PLAIN = 8
"""Pixels of a run of one colour that counts as plain ground."""

_ROUNDS = 6
_PASSES = 2
_STEPS = 7
_TRADES = (-2.0, 14.0)
"""Range of log2 of the squared error that a bit is worth, for bisection."""


@dataclass(frozen=True)
class Colours:
    """The colours of an image.

    Attributes
    ----------
    values : float32 (n, 3), RGB
    counts : float64 (n,), pixels of each colour
    weights : float64 (n,), sums of the weights of these pixels
    index : int16 (H, W), the colour of each pixel
    pixel_weights : float32 (H, W), weights of squared error: by contrast, of mean 1, plus more on plain
        ground, where errors do not cancel in the means of 8×8 pixels
    merged_error : weighted error of merging to ``values``
    exact : number of colours before merging
    """

    values: np.ndarray
    counts: np.ndarray
    weights: np.ndarray
    index: np.ndarray
    pixel_weights: np.ndarray
    merged_error: float
    exact: int

    @classmethod
    def of(cls, pixels: np.ndarray, block_weights: np.ndarray | None = None) -> Colours:
        """Count the colours of pixels uint8 (H, W, 3); ``block_weights`` are their `contrast_weights`."""
        height, width = pixels.shape[:2]
        blocks = contrast_weights(pixels) if block_weights is None else block_weights
        found, runs, lengths = _runs(pixels)
        counts = np.bincount(runs, lengths)
        wide = blocks.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)[:height, :width]
        wide /= wide.mean(dtype=np.float64)
        plain = (np.minimum(lengths, _PLAIN) * np.float32(COARSE_WORTH / _PLAIN)).astype(np.float32)
        wide += plain.repeat(lengths).reshape(height, width)
        starts = np.cumsum(lengths) - lengths
        weights = np.bincount(runs, np.add.reduceat(wide.ravel(), starts, dtype=np.float64))
        values = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1)
        fine = values.astype(np.float64)
        merged, shift = np.arange(len(found)), 0
        while merged.max() >= MAX_COLOURS:
            shift += 1
            cells = (values >> shift) @ np.array([1 << 16, 1 << 8, 1])
            merged = np.unique(cells, return_inverse=True)[1].reshape(-1)
        total = np.bincount(merged, weights)
        means = np.stack([np.bincount(merged, weights * fine[:, k]) / total for k in range(3)], axis=1)
        away = np.square((fine - means[merged]) @ OPPONENT.T.astype(np.float64)).sum(axis=1)
        index = merged[runs].astype(np.int16).repeat(lengths).reshape(height, width)
        return cls(
            values=means.astype(np.float32),
            counts=np.bincount(merged, counts),
            weights=total,
            index=index,
            pixel_weights=wide,
            merged_error=float(weights @ away / index.size),
            exact=len(found),
        )


@dataclass(frozen=True)
class Reduced:
    """An image of few colours.

    Attributes
    ----------
    pixels : uint8 (H, W, 3)
    colours : number of colours
    error : estimate of `cotam.codec.contrast.balanced_error`
    trial : the one of `TRIALS`
    """

    pixels: np.ndarray
    colours: int
    error: float
    trial: tuple[int, float]


def _runs(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the colours (n,), as 0xRRGGBB, and the colour index and length of each run.

    Runs continue over the ends of rows. Drawings have few runs, so only these are sorted.
    """
    packed = np.asarray(Image.fromarray(pixels).convert("RGBX")).view(">u4").reshape(-1)
    starts = np.flatnonzero(np.concatenate([[True], packed[1:] != packed[:-1]]))
    found, runs = np.unique(packed[starts].astype(np.uint32) >> 8, return_inverse=True)
    return found, runs, np.diff(starts, append=packed.size)


def reduce_colours(
    colours: Colours, max_error: float, trials: Sequence[tuple[int, float]] = TRIALS
) -> list[Reduced]:
    """Reduce an image to palettes of several sizes, each as cheap to code as the error allows.

    Parameters
    ----------
    colours : colours of the image
    max_error : largest estimated error
    trials : subset of `TRIALS`; time is proportional to their number

    Returns
    -------
    list of Reduced
        Candidates; empty if none is within the error.
    """
    found: dict[tuple[int, float], Reduced] = {}
    for size, share in trials:
        palette = _best_palette(colours, size, max_error * share)
        if palette is not None:
            pixels, error = _smoothed(colours, palette, max_error)
            count = len(palette.values)
            found.setdefault((count, error), Reduced(pixels, count, error, (size, share)))
    return list(found.values())


@dataclass(frozen=True)
class _Palette:
    """Colours uint8 (k, 3), the one chosen for each of the image, the error, and the worth of a bit."""

    values: np.ndarray
    chosen: np.ndarray
    error: float
    trade: float


def _best_palette(colours: Colours, size: int, max_error: float) -> _Palette | None:
    """Return the cheapest palette within an error, by bisection of the worth of a bit."""
    low, high = _TRADES
    best = None
    for step in range(_STEPS):
        trade = low if step == 0 else (low + high) / 2
        palette = _quantised(colours, 2.0**trade, size)
        if palette.error <= max_error:
            best, low = palette, trade
        elif step == 0:
            return None
        else:
            high = trade
    return best


def _smoothed(colours: Colours, palette: _Palette, max_error: float) -> tuple[np.ndarray, float]:
    """Return the image in the palette, smoothed as far as the error allows, and its error."""
    labels = palette.chosen[colours.index]
    table = _distances(colours.values @ OPPONENT.T, palette.values)
    for agreement in _AGREEMENTS if palette.error <= _ROOM * max_error else ():
        moved = _agreeing(labels, table, colours, agreement * palette.trade)
        away = table[colours.index, moved]
        error = float(np.mean(colours.pixel_weights * away, dtype=np.float64)) + colours.merged_error
        if error <= max_error:
            return palette.values[moved], error
    return palette.values[labels], palette.error


def _agreeing(labels: np.ndarray, table: np.ndarray, colours: Colours, worth: float) -> np.ndarray:
    """Return labels int16 (H, W) after pixels at edges took the best of their own and their neighbours'.

    The cost of a label is the pixel's weighted error minus ``worth`` for each direct neighbour that has it,
    and half of that for each diagonal one. Pixels are updated alternately, as on a checkerboard.
    """
    padded = np.pad(labels, 1, mode="edge").astype(np.int16)
    for _ in range(_PASSES):
        inner = padded[1:-1, 1:-1]
        edges = (inner != padded[1:-1, :-2]) | (inner != padded[1:-1, 2:])
        edges |= (inner != padded[:-2, 1:-1]) | (inner != padded[2:, 1:-1])
        rows, columns = np.nonzero(edges)
        for parity in (0, 1):
            half = (rows + columns) % 2 == parity
            _move(padded, rows[half], columns[half], table, colours, worth)
        padded[0], padded[-1] = padded[1], padded[-2]
        padded[:, 0], padded[:, -1] = padded[:, 1], padded[:, -2]
    return padded[1:-1, 1:-1]


def _move(
    padded: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    table: np.ndarray,
    colours: Colours,
    worth: float,
) -> None:
    """Give the pixels at these places their best labels; ``padded`` has a border of one."""
    flat, stride = padded.reshape(-1), padded.shape[1]
    places = (rows + 1) * stride + columns + 1
    direct = np.stack([flat[places + step] for step in (-1, 1, -stride, stride)])
    diagonal = np.stack([flat[places + step] for step in (-stride - 1, 1 - stride, stride - 1, stride + 1)])
    weights, colour = colours.pixel_weights[rows, columns], colours.index[rows, columns]
    best, lowest = flat[places], None
    for label in (best, *direct):
        near = (direct == label).sum(axis=0, dtype=np.float32)
        near += (diagonal == label).sum(axis=0, dtype=np.float32) / 2
        cost = weights * table[colour, label] - np.float32(worth) * near
        if lowest is None:
            lowest = cost
        best = np.where(cost < lowest, label, best)
        lowest = np.minimum(cost, lowest)
    flat[places] = best


def _quantised(colours: Colours, trade: float, size: int) -> _Palette:
    """Return the palette for which a bit is worth ``trade`` in squared error of a pixel."""
    points = colours.values @ OPPONENT.T
    palette = colours.values[_spread(points, colours.weights, trade, size)]
    chosen = _distances(points, palette).argmin(axis=1)
    for _ in range(_ROUNDS):
        counts = np.bincount(chosen, colours.counts, len(palette))
        used = counts > 0
        total = np.bincount(chosen, colours.weights, len(palette))[used]
        sums = [
            np.bincount(chosen, colours.weights * colours.values[:, k], len(palette))[used] for k in range(3)
        ]
        palette = np.rint(np.stack(sums, axis=1) / total[:, None]).astype(np.float32)
        bits = -np.log2(counts[used] / counts.sum())
        cost = colours.weights[:, None] * _distances(points, palette)
        cost += trade * colours.counts[:, None] * bits
        chosen = cost.argmin(axis=1)
    away = _distances(points, palette)[np.arange(len(points)), chosen]
    error = float(colours.weights @ away / colours.counts.sum()) + colours.merged_error
    names, chosen = np.unique(chosen, return_inverse=True)
    return _Palette(palette[names].astype(np.uint8), chosen.reshape(-1), error, trade)


def _spread(points: np.ndarray, weights: np.ndarray, trade: float, size: int) -> list[int]:
    """Return initial colours: the one of largest weight, then repeatedly the one with the largest cost."""
    chosen = [int(weights.argmax())]
    away = np.square(points - points[chosen[0]]).sum(axis=1)
    while len(chosen) < min(size, len(points)):
        gain = weights * away
        place = int(gain.argmax())
        if gain[place] < trade:
            break
        chosen.append(place)
        away = np.minimum(away, np.square(points - points[place]).sum(axis=1))
    return chosen


def _distances(points: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return squared distances (n, k) of colours, in the space of `OPPONENT`, to a palette in RGB."""
    centres = palette @ OPPONENT.T
    squares = np.square(points).sum(axis=1)[:, None] + np.square(centres).sum(axis=1)
    return np.maximum(squares - 2 * points @ centres.T, 0).astype(np.float32)
