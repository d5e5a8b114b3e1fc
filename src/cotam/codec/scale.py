"""One quality scale for all payloads, by `cotam.codec.contrast.balanced_error`.

Up to quality 80, flat graphics are coded to the error that the learned codec has at the same quality with the
weight set `page`, as a median over training screens (lab/docs/screens.md); above 80 to a lower error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["av1_quality_for", "error_at"]

_QUALITIES = (0, 20, 50, 80, 100)
_ERRORS = (828.0, 341.0, 97.0, 33.0, 14.0)
"""Errors at `_QUALITIES`, in squared grey levels; the logarithm is interpolated linearly."""

_AV1_QUALITIES = (2, 12, 30, 60, 80)
_AV1_ERRORS = (492.0, 266.0, 132.0, 27.3, 17.4)
"""Errors of AV1 as coded by `cotam.codec.standard`, at `_AV1_QUALITIES` of AVIF."""


def error_at(quality: float) -> float:
    """Return the balanced error, in squared grey levels, that a quality 0 … 100 stands for."""
    return math.exp(_line(quality, _QUALITIES, [math.log(error) for error in _ERRORS]))


def av1_quality_for(error: float) -> int:
    """Return the quality of AVIF, 0 … 100, with this balanced error."""
    errors = [-math.log(error) for error in _AV1_ERRORS]
    return min(max(round(_line(-math.log(error), errors, _AV1_QUALITIES)), 0), 100)


def _line(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Interpolate linearly between points with increasing ``xs``, and extrapolate beyond them."""
    index = min(max(sum(x >= place for place in xs) - 1, 0), len(xs) - 2)
    share = (x - xs[index]) / (xs[index + 1] - xs[index])
    return ys[index] + share * (ys[index + 1] - ys[index])
