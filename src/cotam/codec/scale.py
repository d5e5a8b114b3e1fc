"""One scale of quality for all payloads: `cotam.codec.contrast.balanced_error`.

Quality q of flat graphics means the error that the learned codec makes at q on pages, the median of training
images (lab/docs/screens.md). Above 80 it means less: the learned codec stops at 14, flat graphics need not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["av1_quality_for", "error_at"]

_QUALITIES = (0, 20, 50, 80, 100)
_ERRORS = (780.0, 340.0, 95.0, 36.0, 14.0)
"""Squared grey levels at `_QUALITIES`; between them the logarithm is linear."""

_AV1_QUALITIES = (2, 10, 22, 40, 60, 80)
_AV1_ERRORS = (1190.0, 490.0, 270.0, 94.0, 36.0, 15.0)
"""The same of AV1 as `cotam.codec.av1` codes it."""


def error_at(quality: float) -> float:
    """Return the contrast-weighted error that a quality from 0 to 100 stands for."""
    return math.exp(_line(quality, _QUALITIES, [math.log(error) for error in _ERRORS]))


def av1_quality_for(error: float) -> int:
    """Return the quality of AVIF, 0 … 100, that has this error."""
    errors = [-math.log(error) for error in _AV1_ERRORS]
    return min(max(round(_line(-math.log(error), errors, _AV1_QUALITIES)), 0), 100)


def _line(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """The straight line between points, prolonged beyond the first and the last; ``xs`` rise."""
    index = min(max(sum(x >= place for place in xs) - 1, 0), len(xs) - 2)
    share = (x - xs[index]) / (xs[index + 1] - xs[index])
    return ys[index] + share * (ys[index + 1] - ys[index])
