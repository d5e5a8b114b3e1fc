"""Rate against score: mean curves, Bjøntegaard deltas, and how sure they are.

Two conventions, never mixed. The *mean curve* of a codec has one point for each of its qualities: the mean of
the bits per pixel and the mean of the scores over the pictures; the BD-rate between two mean curves is the
headline of our tables. The *mean of BD-rates* takes the BD-rate of each picture's own curves, then the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from scipy.interpolate import Akima1DInterpolator
from scipy.optimize import isotonic_regression

from cotam.errors import InputError

__all__ = [
    "Comparison",
    "Curve",
    "Delta",
    "Interval",
    "Points",
    "bd_quality",
    "bd_rate",
    "bootstrap",
    "compare",
    "monotone",
    "points",
]

Interpolation = Literal["pchip", "akima"]


@dataclass(frozen=True)
class Curve:
    """Points of a codec in the order of their rate.

    Attributes
    ----------
    rate : ndarray
        Bits per pixel, float64 (points,), above 0, rising.
    score : ndarray
        float64 (points,), more is better.
    """

    rate: np.ndarray
    score: np.ndarray

    def __post_init__(self) -> None:
        if self.rate.shape != self.score.shape or self.rate.ndim != 1:
            raise InputError(f"a curve has a score for each rate, not {self.rate.shape}, {self.score.shape}")
        if not (np.isfinite(self.rate).all() and np.isfinite(self.score).all() and (self.rate > 0).all()):
            raise InputError("rates and scores of a curve are finite, and rates are above 0")
        order = np.argsort(self.rate, kind="stable")
        object.__setattr__(self, "rate", self.rate[order].astype(np.float64))
        object.__setattr__(self, "score", self.score[order].astype(np.float64))


@dataclass(frozen=True)
class Delta:
    """A Bjøntegaard delta, or why there is none.

    Attributes
    ----------
    value : float or None
        Per cent of rate, or units of the score.
    overlap : float
        0…1, the range that both curves cover as a share of the range that either covers.
    reason : str or None
        Why the value is None.
    """

    value: float | None
    overlap: float = 0.0
    reason: str | None = None


def bd_rate(reference: Curve, test: Curve, *, method: Interpolation = "pchip") -> Delta:
    """Bjøntegaard-delta rate: how much rate ``test`` needs beside ``reference`` at equal score.

    Bjøntegaard, VCEG-M33, 2001, with the interpolation of the package ``bjontegaard``: log rate as a function
    of the score, through all points, integrated over the scores that both curves reach.

    Returns
    -------
    Delta
        In per cent, negative where ``test`` needs less. None where a curve is not monotone (its score does
        not rise with every step of the rate) or where the curves do not overlap.
    """
    for name, curve in (("reference", reference), ("tested", test)):
        if reason := _defect(name, curve):
            return Delta(None, reason=reason)
    delta = _delta(
        (reference.score, np.log10(reference.rate)), (test.score, np.log10(test.rate)), method, "scores"
    )
    return delta if delta.value is None else Delta(100 * (10**delta.value - 1), delta.overlap)


def bd_quality(reference: Curve, test: Curve, *, method: Interpolation = "pchip") -> Delta:
    """Bjøntegaard-delta quality: how much more score ``test`` has beside ``reference`` at equal rate.

    Needs no monotone scores: it is there wherever the rates overlap.

    Returns
    -------
    Delta
        In units of the score, positive where ``test`` is better.
    """
    for name, curve in (("reference", reference), ("tested", test)):
        if len(curve.rate) < 2 or (np.diff(curve.rate) <= 0).any():
            return Delta(None, reason=f"the {name} curve does not have two points of different rates")
    return _delta(
        (np.log10(reference.rate), reference.score), (np.log10(test.rate), test.score), method, "rates"
    )


def monotone(curve: Curve) -> Curve:
    """Make a noisy curve rise: isotonic regression of the score on the rate.

    Neighbouring points whose scores fall are pooled, and each pool becomes one point: the mean of its scores
    at the geometric mean of its rates. A curve that rises stays as it is.
    """
    pools = isotonic_regression(curve.score).blocks
    starts, counts = pools[:-1], np.diff(pools)
    return Curve(
        np.exp(np.add.reduceat(np.log(curve.rate), starts) / counts),
        np.add.reduceat(curve.score, starts) / counts,
    )


@dataclass(frozen=True)
class Points:
    """What a sweep measured of one codec, on pictures that have every quality.

    Attributes
    ----------
    codec : str
    images : tuple of str
        Names of the pictures: the first axis of the arrays.
    qualities : tuple of int
        The second axis of the arrays.
    bpp, scores : ndarray
        float64 (pictures, qualities).
    """

    codec: str
    images: tuple[str, ...]
    qualities: tuple[int, ...]
    bpp: np.ndarray
    scores: np.ndarray

    def curve(self, chosen: Sequence[int] | np.ndarray | slice = slice(None)) -> Curve:
        """The mean curve over all pictures, or over the chosen ones (indices, which may repeat)."""
        return Curve(self.bpp[chosen].mean(axis=0), self.scores[chosen].mean(axis=0))

    def on(self, images: Sequence[str]) -> Points:
        """The same on some of the pictures, in the order given."""
        chosen = [self.images.index(image) for image in images]
        return Points(self.codec, tuple(images), self.qualities, self.bpp[chosen], self.scores[chosen])


def points(rows: Iterable[dict[str, Any]], codec: str, score: str) -> Points:
    """Gather the rows of a codec.

    Pictures that lack the score at one of the codec's qualities, because of an error or because it cannot be
    had, are left out: every point of a mean curve stands on the same pictures.

    Raises
    ------
    InputError
        If no picture is left.
    """
    found = {
        (row["image"], row["quality"]): (row["bpp"], row[score])
        for row in rows
        if row["codec"] == codec and row.get(score) is not None
    }
    qualities = tuple(sorted({quality for _, quality in found}))
    names = dict.fromkeys(image for image, _ in found)
    images = tuple(image for image in names if all((image, quality) in found for quality in qualities))
    if not images:
        raise InputError(f"no picture has the {score} of {codec} at each of its qualities")
    values = np.array(
        [[found[image, quality] for quality in qualities] for image in images], dtype=np.float64
    )
    return Points(codec, images, qualities, values[..., 0], values[..., 1])


@dataclass(frozen=True)
class Interval:
    """A 95 % interval from resampled pictures.

    Attributes
    ----------
    low, high : float
        Percentiles 2.5 and 97.5 of the delta.
    without : float
        0…1, the share of resamples that gave no delta; they are not in the percentiles.
    """

    low: float
    high: float
    without: float


def bootstrap(
    reference: Points,
    test: Points,
    delta: Callable[[Curve, Curve], Delta],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval | None:
    """How far a delta between mean curves depends on which pictures were taken.

    Pictures are drawn anew with replacement, the same for both codecs; the noise of a judge on one picture
    is part of the picture's.

    Parameters
    ----------
    reference, test : Points
        On the same pictures, in the same order.
    delta : callable
        `bd_rate`, `bd_quality`, or one of them on `monotone` curves.
    resamples : int
    seed : int

    Returns
    -------
    Interval or None
        None for a single picture, or where fewer than half of the resamples give a delta.
    """
    if reference.images != test.images:
        raise InputError("both codecs of a bootstrap need the same pictures")
    count = len(reference.images)
    draws = np.random.default_rng(seed).integers(count, size=(resamples, count))
    found = [delta(reference.curve(draw), test.curve(draw)).value for draw in draws]
    values = [value for value in found if value is not None]
    if count < 2 or len(values) < resamples / 2:
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high), 1 - len(values) / resamples)


@dataclass(frozen=True)
class Comparison:
    """A codec beside a reference, by one score.

    Attributes
    ----------
    reference, codec, score : str
    pictures : int
        How many both codecs were measured on at all of their qualities.
    rate : Delta
        BD-rate of the mean curves, in per cent.
    rate_interval : Interval or None
    quality : Delta
        BD-quality of the mean curves, in units of the score.
    quality_interval : Interval or None
    picture_rate : float or None
        Mean of the pictures' own BD-rates, in per cent, over those that have one.
    picture_count : int
        How many have one.
    """

    reference: str
    codec: str
    score: str
    pictures: int
    rate: Delta
    rate_interval: Interval | None
    quality: Delta
    quality_interval: Interval | None
    picture_rate: float | None
    picture_count: int


def compare(
    rows: Sequence[dict[str, Any]], reference: str, codec: str, score: str, *, noisy: bool = False
) -> Comparison:
    """Compare two codecs on the pictures that both have.

    Parameters
    ----------
    rows : sequence of dict
        Of one sweep.
    reference, codec, score : str
    noisy : bool
        The score comes from a judge whose curves need not rise, such as word accuracy: compare `monotone`
        curves.

    Raises
    ------
    InputError
        If there is no picture that both have.
    """
    first, second = points(rows, reference, score), points(rows, codec, score)
    shared = [image for image in first.images if image in second.images]
    if not shared:
        raise InputError(f"no picture has both {reference} and {codec}")
    first, second = first.on(shared), second.on(shared)

    def rate(left: Curve, right: Curve) -> Delta:
        return bd_rate(monotone(left), monotone(right)) if noisy else bd_rate(left, right)

    each = [rate(first.curve([index]), second.curve([index])).value for index in range(len(shared))]
    own = [value for value in each if value is not None]
    return Comparison(
        reference=reference,
        codec=codec,
        score=score,
        pictures=len(shared),
        rate=rate(first.curve(), second.curve()),
        rate_interval=bootstrap(first, second, rate),
        quality=bd_quality(first.curve(), second.curve()),
        quality_interval=bootstrap(first, second, bd_quality),
        picture_rate=float(np.mean(own)) if own else None,
        picture_count=len(own),
    )


def _defect(name: str, curve: Curve) -> str | None:
    if len(curve.rate) < 2:
        return f"the {name} curve has fewer than two points"
    if (np.diff(curve.rate) <= 0).any():
        return f"the {name} curve has two points of one rate"
    falls = np.flatnonzero(np.diff(curve.score) <= 0)
    if falls.size:
        return f"the {name} curve is not monotone: no better score after {curve.rate[falls[0]]:.3f} bpp"
    return None


def _delta(
    reference: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    method: Interpolation,
    what: str,
) -> Delta:
    """Mean difference of two functions, given as (places, values), over the places that both cover."""
    (first, second) = (reference[0][[0, -1]], test[0][[0, -1]])
    low, high = max(first[0], second[0]), min(first[1], second[1])
    if low >= high:
        return Delta(None, reason=f"the curves do not overlap in their {what}")
    overlap = (high - low) / (max(first[1], second[1]) - min(first[0], second[0]))
    areas = [_AREAS[method](*values, low, high) for values in (reference, test)]
    return Delta(float((areas[1] - areas[0]) / (high - low)), float(overlap))


def _akima_area(x: np.ndarray, y: np.ndarray, low: float, high: float) -> float:
    return float(Akima1DInterpolator(x, y).integrate(low, high))


def _pchip_area(x: np.ndarray, y: np.ndarray, low: float, high: float) -> float:
    """Integral of the PCHIP interpolant, as scipy's: on a few points plain floats are ten times faster.

    Fritsch, Butland: "A method for constructing local monotone piecewise cubic interpolants", 1984. Each
    piece is a cubic, of which Simpson's rule is exact.
    """
    places, values = x.tolist(), y.tolist()
    steps = [after - before for before, after in pairwise(places)]
    rises = [(after - before) / step for (before, after), step in zip(pairwise(values), steps, strict=True)]
    slopes = [_end_slope(steps, rises)]
    for (h0, h1), (d0, d1) in zip(pairwise(steps), pairwise(rises), strict=True):
        first, second = h0 + 2 * h1, 2 * h0 + h1
        slopes.append((first + second) / (first / d0 + second / d1) if d0 * d1 > 0 else 0.0)
    slopes.append(_end_slope(steps[::-1], rises[::-1]))

    total = 0.0
    for index, step in enumerate(steps):
        left, right = max(low, places[index]), min(high, places[index + 1])
        if left >= right:
            continue
        bend = slopes[index] + slopes[index + 1] - 2 * rises[index]
        heights = []
        for place in (left, (left + right) / 2, right):
            t = (place - places[index]) / step
            heights.append(t * (slopes[index] + t * (rises[index] - slopes[index] + (t - 1) * bend)))
        mean = (heights[0] + 4 * heights[1] + heights[2]) / 6
        total += (right - left) * (values[index] + step * mean)
    return total


def _end_slope(steps: Sequence[float], rises: Sequence[float]) -> float:
    """At the first point: three-point difference, kept from overshooting."""
    if len(rises) == 1:
        return rises[0]
    (h0, h1), (d0, d1) = steps[:2], rises[:2]
    slope = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
    if slope * d0 <= 0:
        return 0.0
    return 3 * d0 if d0 * d1 < 0 and abs(slope) > 3 * abs(d0) else slope


_AREAS = {"pchip": _pchip_area, "akima": _akima_area}
