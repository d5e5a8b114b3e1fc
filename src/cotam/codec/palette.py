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

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cotam.codec.contrast import BLOCK, COARSE_WORTH, OPPONENT, contrast_weights
from cotam.codec.planes import expand

__all__ = [
    "MAX_COLOURS",
    "TRIALS",
    "Colours",
    "Reduced",
    "Trial",
    "can_reduce",
    "colour_runs",
    "reduce_colours",
]

MAX_COLOURS = 1024
"""More colours are first merged on a coarser grid."""

Trial = tuple[int, float]
"""A palette to try: largest number of colours, and share of the allowed error for the palette; the rest is
for smoothing."""

TRIALS: tuple[Trial, ...] = ((4, 1.0), (16, 1.0), (16, 0.5), (64, 1.0), (64, 0.5))
"""VP8L packs four pixels into a byte with up to 4 colours, two with up to 16."""

_OVERESTIMATE = 4.0
"""Largest ratio of estimated to measured error: errors of neighbours cancel in the means of 8×8 pixels."""

_SMOOTHABLE = 0.8
"""Palettes that use more of the allowed error are not smoothed, since the result would hardly ever fit."""

_NEIGHBOUR_BITS = (6.0, 2.0)
"""Worth of agreeing with one neighbour, in bits; the first that fits is used."""

_PLAIN_RUN = 8
"""Pixels of a run of one colour that counts as plain ground."""

_LARGEST_PALETTE = max(size for size, _ in TRIALS)
_QUANTISER_ROUNDS = 6
_SMOOTHING_PASSES = 2
_BISECTION_STEPS = 6
_LOG2_TRADES = (-2.0, 14.0)
"""Range of log2 of the squared error that a bit is worth, for bisection."""


@dataclass(frozen=True)
class Colours:
    """The colours of an image."""

    values: np.ndarray  # float32 (n, 3), RGB
    counts: np.ndarray  # float64 (n,), pixels of each colour
    weights: np.ndarray  # float64 (n,), sums of the weights of these pixels
    index: np.ndarray  # int16 (H, W), the colour of each pixel
    # float32 (H, W), weights of squared error: by contrast, of mean 1, plus more on plain ground, where
    # errors do not cancel in the means of 8×8 pixels
    pixel_weights: np.ndarray
    merged_error: float  # weighted error of merging to ``values``
    exact: int  # number of colours before merging

    @classmethod
    def of(cls, pixels: np.ndarray, block_weights: np.ndarray | None = None) -> Colours:
        """Count the colours of pixels uint8 (H, W, 3); ``block_weights`` are their `contrast_weights`."""
        height, width = pixels.shape[:2]
        blocks = contrast_weights(pixels) if block_weights is None else block_weights
        rgb, runs, lengths = colour_runs(pixels)
        pixel_weights = _pixel_weights(blocks, lengths, height, width)
        starts = np.cumsum(lengths) - lengths
        weights = np.bincount(runs, np.add.reduceat(pixel_weights.ravel(), starts, dtype=np.float64))
        merged = _merge(rgb)
        total, exact = np.bincount(merged, weights), rgb.astype(np.float64)
        means = np.stack([np.bincount(merged, weights * exact[:, k]) / total for k in range(3)], axis=1)
        away = np.square((exact - means[merged]) @ OPPONENT.T.astype(np.float64)).sum(axis=1)
        return cls(
            values=means.astype(np.float32),
            counts=np.bincount(merged, np.bincount(runs, lengths)),
            weights=total,
            index=merged[runs].astype(np.int16).repeat(lengths).reshape(height, width),
            pixel_weights=pixel_weights,
            merged_error=float(weights @ away / (height * width)),
            exact=len(rgb),
        )


@dataclass(frozen=True)
class Reduced:
    """An image of few colours."""

    pixels: np.ndarray  # uint8 (H, W, 3)
    error: float  # estimate of `cotam.codec.contrast.balanced_error`
    trial: Trial  # one of `TRIALS`


def colour_runs(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the colours, uint32 (n, 3) in ascending order, and the colour index and length of each run.

    Runs continue over the ends of rows. Drawings have few runs, so only these are sorted.
    """
    packed = np.asarray(Image.fromarray(pixels).convert("RGBX")).view(np.uint32).reshape(-1)
    starts = np.concatenate([[0], np.flatnonzero(packed[1:] != packed[:-1]) + 1])
    found, runs = np.unique(packed[starts].view(">u4").astype(np.uint32) >> 8, return_inverse=True)
    rgb = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1)
    return rgb, runs, np.diff(starts, append=packed.size)


def _pixel_weights(blocks: np.ndarray, lengths: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return `Colours.pixel_weights`, given `contrast_weights` and the lengths of runs of one colour."""
    weights = expand(blocks, BLOCK, (height, width))
    weights /= weights.mean(dtype=np.float64)
    plain = (np.minimum(lengths, _PLAIN_RUN) * np.float32(COARSE_WORTH / _PLAIN_RUN)).astype(np.float32)
    weights += plain.repeat(lengths).reshape(height, width)
    return weights


def _merge(rgb: np.ndarray) -> np.ndarray:
    """Return the number of each colour (n, 3) after merging to at most `MAX_COLOURS` on a coarser grid."""
    merged, shift = np.arange(len(rgb)), 0
    while merged.max() >= MAX_COLOURS:
        shift += 1
        cells = (rgb >> shift) @ np.array([1 << 16, 1 << 8, 1])
        merged = np.unique(cells, return_inverse=True)[1].reshape(-1)
    return merged


def reduce_colours(colours: Colours, max_error: float, trials: Sequence[Trial] = TRIALS) -> Iterator[Reduced]:
    """Reduce an image to palettes of several sizes, each as cheap to code as the error allows.

    Yields candidates, all different, with at most the estimated error ``max_error``, or the least that the
    largest palette has, if that is near. ``trials`` are some of `TRIALS`; time is about proportional to their
    number.
    """
    quantiser = _Quantiser(colours)
    max_error = max(max_error, min(quantiser.least_error, _OVERESTIMATE * max_error))
    palettes: list[_Palette] = []
    found: set[tuple[int, float]] = set()
    for size, share in trials:
        palette = quantiser.best(size, max_error * share)
        if palette is None or palette in palettes:
            continue
        palettes.append(palette)
        pixels, error = _smooth(colours, palette, max_error)
        if (len(palette.values), error) not in found:
            found.add((len(palette.values), error))
            yield Reduced(pixels, error, (size, share))


def can_reduce(colours: Colours, max_error: float) -> bool:
    """Whether the largest of `TRIALS` may be within an error; much faster than `reduce_colours`."""
    return _Quantiser(colours).least_error <= _OVERESTIMATE * max_error


@dataclass(frozen=True, eq=False)
class _Palette:
    """A palette for the colours of an image."""

    values: np.ndarray  # uint8 (k, 3), RGB
    chosen: np.ndarray  # int16 (n,), entry for each colour of the image
    error: float  # weighted error, merging included
    trade: float  # squared error that a bit is worth


class _Quantiser:
    """Finds palettes for the colours of one image; each is computed once."""

    def __init__(self, colours: Colours) -> None:
        self._colours, self._points = colours, colours.values @ OPPONENT.T
        self._weighted = np.ascontiguousarray((colours.weights[:, None] * colours.values).T)
        self._seeds, self._gains = _spread(self._points, colours.weights)
        self._known: dict[tuple[int, float], _Palette] = {}

    @property
    def least_error(self) -> float:
        """Estimated error of the largest palette."""
        return self.palette(_LOG2_TRADES[0], _LARGEST_PALETTE).error

    def best(self, size: int, max_error: float) -> _Palette | None:
        """Return the cheapest palette within an error, by bisection of the worth of a bit."""
        low, high = _LOG2_TRADES
        best = self.palette(low, size)
        if best.error > max_error:
            return None
        for _ in range(_BISECTION_STEPS):
            middle = (low + high) / 2
            palette = self.palette(middle, size)
            if palette.error <= max_error:
                best, low = palette, middle
            else:
                high = middle
        return best

    def palette(self, trade: float, size: int) -> _Palette:
        """Return a palette of at most ``size`` colours for which a bit is worth 2 to the power ``trade``."""
        worth = 2.0**trade
        cheap = np.flatnonzero(self._gains[:size] < worth)
        count = int(cheap[0]) if len(cheap) else min(size, len(self._seeds))
        if (count, trade) not in self._known:
            self._known[count, trade] = self._quantise(worth, self._seeds[:count])
        return self._known[count, trade]

    def _quantise(self, trade: float, seeds: np.ndarray) -> _Palette:
        """Return the palette, from initial colours, for which a bit is worth ``trade`` in squared error."""
        colours = self._colours
        palette = colours.values[seeds]
        chosen = _distances(self._points, palette).argmin(axis=1)
        for _ in range(_QUANTISER_ROUNDS):
            previous, counts = chosen, np.bincount(chosen, colours.counts, len(palette))
            used = counts > 0
            total = np.bincount(chosen, colours.weights, len(palette))[used]
            sums = [np.bincount(chosen, one, len(palette))[used] for one in self._weighted]
            palette = np.rint(np.stack(sums, axis=1) / total[:, None]).astype(np.float32)
            bits = -np.log2(counts[used] / counts.sum())
            away = _distances(self._points, palette)
            cost = colours.weights[:, None] * away
            cost += (trade * colours.counts)[:, None] * bits
            chosen = cost.argmin(axis=1)
            if used.all() and np.array_equal(chosen, previous):
                break
        nearest = away[np.arange(len(chosen)), chosen]
        error = float(colours.weights @ nearest / colours.counts.sum()) + colours.merged_error
        names, chosen = np.unique(chosen, return_inverse=True)
        return _Palette(palette[names].astype(np.uint8), chosen.reshape(-1).astype(np.int16), error, trade)


def _spread(points: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return indices of initial colours for the largest palette, and the weighted error that each removes.

    The first is the colour of largest weight, with an infinite gain; each next one has the largest error.
    """
    chosen, gains = [int(weights.argmax())], [math.inf]
    away = np.square(points - points[chosen[0]]).sum(axis=1)
    while len(chosen) < min(_LARGEST_PALETTE, len(points)):
        gain = weights * away
        place = int(gain.argmax())
        chosen.append(place)
        gains.append(float(gain[place]))
        away = np.minimum(away, np.square(points - points[place]).sum(axis=1))
    return np.array(chosen), np.array(gains)


def _distances(points: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return squared distances, float32 (n, k), of colours in the space of `OPPONENT` to a palette in RGB."""
    centres = palette @ OPPONENT.T
    squares = np.square(points).sum(axis=1)[:, None] + np.square(centres).sum(axis=1)
    squares -= 2 * points @ centres.T
    return np.maximum(squares, 0, out=squares)


def _smooth(colours: Colours, palette: _Palette, max_error: float) -> tuple[np.ndarray, float]:
    """Return the image in the palette, smoothed as far as the error allows, and its error."""
    labels = palette.chosen.take(colours.index)
    table = _distances(colours.values @ OPPONENT.T, palette.values)
    for agreement in _NEIGHBOUR_BITS if palette.error <= _SMOOTHABLE * max_error else ():
        moved = _smooth_labels(labels, table, colours, agreement * palette.trade)
        away = table.take(colours.index * np.int32(len(palette.values)) + moved)
        away *= colours.pixel_weights
        error = float(np.mean(away, dtype=np.float64)) + colours.merged_error
        if error <= max_error:
            return palette.values.take(moved, axis=0), error
    return palette.values.take(labels, axis=0), palette.error


def _smooth_labels(labels: np.ndarray, table: np.ndarray, colours: Colours, worth: float) -> np.ndarray:
    """Return labels int16 (H, W) after pixels at edges took the best of their own and their neighbours'.

    The cost of a label is the pixel's weighted error minus ``worth`` for each direct neighbour that has it,
    and half of that for each diagonal one. Pixels are updated alternately, as on a checkerboard.
    """
    padded = np.pad(labels, 1, mode="edge")
    for _ in range(_SMOOTHING_PASSES):
        inner = padded[1:-1, 1:-1]
        edges = (inner != padded[1:-1, :-2]) | (inner != padded[1:-1, 2:])
        edges |= (inner != padded[:-2, 1:-1]) | (inner != padded[2:, 1:-1])
        places = np.flatnonzero(edges)
        rows, columns = np.divmod(places, labels.shape[1])
        odd = (rows + columns) % 2 == 1
        for half in (~odd, odd):
            _move(padded, places[half], rows[half], table, colours, worth)
        padded[0], padded[-1] = padded[1], padded[-2]
        padded[:, 0], padded[:, -1] = padded[:, 1], padded[:, -2]
    return padded[1:-1, 1:-1]


def _move(
    padded: np.ndarray,
    places: np.ndarray,
    rows: np.ndarray,
    table: np.ndarray,
    colours: Colours,
    worth: float,
) -> None:
    """Give pixels, of these places in the flattened image, their best labels.

    ``padded`` are the labels with a border of one pixel.
    """
    flat, stride = padded.reshape(-1), padded.shape[1]
    weights = colours.pixel_weights.take(places)
    offsets = colours.index.take(places).astype(np.intp) * table.shape[1]
    corners = places + 2 * rows  # of the 3×3 labels around each
    around = [flat[row * stride + column :].take(corners) for row in range(3) for column in range(3)]
    best, lowest = around[4], None
    direct, diagonal = around[1::2], around[0:4:2] + around[6::2]
    for label in (best.copy(), around[3], around[5], around[1], around[7]):
        near = np.zeros(len(label), np.uint8)
        for one in direct:
            near += one == label
        near *= 2
        for one in diagonal:
            near += one == label
        cost = weights * table.take(offsets + label)
        cost -= np.float32(worth) / 2 * near
        if lowest is None:
            lowest = cost
        else:
            best ^= (best ^ label) & -(cost < lowest).astype(np.int16)  # as np.where, which is slow here
            lowest = np.minimum(cost, lowest)
    flat[corners + stride + 1] = best
