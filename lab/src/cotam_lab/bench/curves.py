"""Rate-score curves and Bjøntegaard deltas with bootstrap intervals.

Deltas are those between mean curves. The mean curve of a codec has a point for each quality: the means of
bits per pixel and of the scores over the images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import isotonic_regression

from cotam.errors import InputError
from cotam_lab.bench.sweep import Row, Rows

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


@dataclass(frozen=True)
class Curve:
    """Points of a codec, sorted by rate.

    Attributes
    ----------
    rate : bits per pixel, float64 (points,), above 0, rising
    score : float64 (points,), more is better
    """

    rate: np.ndarray
    score: np.ndarray

    def __post_init__(self) -> None:
        if self.rate.shape != self.score.shape or self.rate.ndim != 1:
            raise InputError(f"a curve has one score a rate, got {self.score.shape} for {self.rate.shape}")
        if not (np.isfinite(self.rate).all() and np.isfinite(self.score).all() and (self.rate > 0).all()):
            raise InputError("rates and scores of a curve must be finite, and rates above 0")
        order = np.argsort(self.rate, kind="stable")
        object.__setattr__(self, "rate", self.rate[order].astype(np.float64))
        object.__setattr__(self, "score", self.score[order].astype(np.float64))


@dataclass(frozen=True)
class Delta:
    """A Bjøntegaard delta, or the reason why there is none.

    Attributes
    ----------
    value : per cent of rate, or units of the score
    overlap : 0…1, the range that both curves cover divided by the range that either covers
    reason : why the value is None
    """

    value: float | None
    overlap: float = 0.0
    reason: str | None = None


def bd_rate(reference: Curve, test: Curve) -> Delta:
    """Compute the BD-rate: the rate of ``test`` relative to ``reference`` at equal score.

    Bjøntegaard, VCEG-M33, 2001: log rate as a function of the score (PCHIP through all points), integrated
    over the scores that both curves reach.

    Returns
    -------
    Delta
        In per cent, negative where ``test`` needs less. None where a curve is not monotone or the curves do
        not overlap.
    """
    for name, curve in (("reference", reference), ("tested", test)):
        if reason := _defect(name, curve):
            return Delta(None, reason=reason)
    delta = _delta((reference.score, np.log10(reference.rate)), (test.score, np.log10(test.rate)), "scores")
    return delta if delta.value is None else Delta(100 * (10**delta.value - 1), delta.overlap)


def bd_quality(reference: Curve, test: Curve) -> Delta:
    """Compute the BD-quality: the score of ``test`` minus that of ``reference`` at equal rate.

    It is defined wherever the rates overlap, monotone or not.

    Returns
    -------
    Delta
        In units of the score, positive where ``test`` is better.
    """
    for name, curve in (("reference", reference), ("tested", test)):
        if len(curve.rate) < 2 or (np.diff(curve.rate) <= 0).any():
            return Delta(None, reason=f"the {name} curve does not have two points of different rates")
    return _delta((np.log10(reference.rate), reference.score), (np.log10(test.rate), test.score), "rates")


def monotone(curve: Curve) -> Curve:
    """Make a noisy curve monotone by isotonic regression of the score on the rate.

    Each pool becomes one point: the mean of its scores at the geometric mean of its rates.
    """
    pools = isotonic_regression(curve.score).blocks
    starts, counts = pools[:-1], np.diff(pools)
    return Curve(
        np.exp(np.add.reduceat(np.log(curve.rate), starts) / counts),
        np.add.reduceat(curve.score, starts) / counts,
    )


@dataclass(frozen=True)
class Points:
    """Rates and scores of one codec, on images measured at every quality.

    Attributes
    ----------
    bpp, scores : float64 (images, qualities)
    """

    codec: str
    images: tuple[str, ...]
    qualities: tuple[int, ...]
    bpp: np.ndarray
    scores: np.ndarray

    def curve(self, chosen: Sequence[int] | np.ndarray | slice = slice(None)) -> Curve:
        """Return the mean curve of all images, or of chosen ones (indices, which may repeat)."""
        return Curve(self.bpp[chosen].mean(axis=0), self.scores[chosen].mean(axis=0))

    def on(self, images: Sequence[str]) -> Points:
        """Return the points of some of the images, in the order given."""
        chosen = [self.images.index(image) for image in images]
        return Points(self.codec, tuple(images), self.qualities, self.bpp[chosen], self.scores[chosen])


def points(rows: Iterable[Row], codec: str, score: str) -> Points:
    """Gather the rows of a codec; images that lack the score at one of its qualities are left out.

    Raises InputError if no image is left.
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
        raise InputError(f"no image has the {score} of {codec} at each of its qualities")
    values = np.array(
        [[found[image, quality] for quality in qualities] for image in images], dtype=np.float64
    )
    return Points(codec, images, qualities, values[..., 0], values[..., 1])


@dataclass(frozen=True)
class Interval:
    """A 95 % bootstrap interval over images.

    Attributes
    ----------
    low, high : percentiles 2.5 and 97.5 of the delta
    without : 0…1, the share of resamples without a delta; they are not in the percentiles
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
    """Bootstrap the delta between mean curves by resampling images, the same ones for both codecs.

    Parameters
    ----------
    reference, test : on the same images, in the same order
    delta : `bd_rate`, `bd_quality`, or one of them on `monotone` curves

    Returns
    -------
    Interval or None
        None for a single image, or where fewer than half of the resamples give a delta.
    """
    if reference.images != test.images:
        raise InputError("both codecs of a bootstrap need the same images")
    count = len(reference.images)
    if count < 2:
        return None

    @cache  # few images have few different draws
    def value(*draw: int) -> float | None:
        return delta(reference.curve(list(draw)), test.curve(list(draw))).value

    draws = np.random.default_rng(seed).integers(count, size=(resamples, count)).tolist()
    values = [found for draw in draws if (found := value(*draw)) is not None]
    if len(values) < resamples / 2:
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high), 1 - len(values) / resamples)


@dataclass(frozen=True)
class Comparison:
    """Comparison of a codec with a reference by one score.

    Attributes
    ----------
    images : measured with both codecs at all of their qualities
    rate, rate_interval : BD-rate of the mean curves, in per cent
    quality, quality_interval : BD-quality of the mean curves, in units of the score
    """

    reference: str
    codec: str
    score: str
    images: int
    rate: Delta
    rate_interval: Interval | None
    quality: Delta
    quality_interval: Interval | None


def compare(rows: Rows, reference: str, codec: str, score: str, *, noisy: bool = False) -> Comparison:
    """Compare two codecs on the images that both were measured on.

    ``noisy``: curves of this score, such as word accuracy, need not rise, so compare `monotone` curves.

    Raises InputError if there is no such image.
    """
    first, second = points(rows, reference, score), points(rows, codec, score)
    shared = [image for image in first.images if image in second.images]
    if not shared:
        raise InputError(f"no image was measured with both {reference} and {codec}")
    first, second = first.on(shared), second.on(shared)

    def rate(left: Curve, right: Curve) -> Delta:
        return bd_rate(monotone(left), monotone(right)) if noisy else bd_rate(left, right)

    return Comparison(
        reference=reference,
        codec=codec,
        score=score,
        images=len(shared),
        rate=rate(first.curve(), second.curve()),
        rate_interval=bootstrap(first, second, rate),
        quality=bd_quality(first.curve(), second.curve()),
        quality_interval=bootstrap(first, second, bd_quality),
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


def _delta(reference: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], what: str) -> Delta:
    """Mean difference of two functions, given as (x, y), over the x that both cover."""
    (first, second) = (reference[0][[0, -1]], test[0][[0, -1]])
    low, high = max(first[0], second[0]), min(first[1], second[1])
    if low >= high:
        return Delta(None, reason=f"the curves do not overlap in their {what}")
    overlap = (high - low) / (max(first[1], second[1]) - min(first[0], second[0]))
    areas = [PchipInterpolator(*values).integrate(low, high) for values in (reference, test)]
    return Delta(float((areas[1] - areas[0]) / (high - low)), float(overlap))
