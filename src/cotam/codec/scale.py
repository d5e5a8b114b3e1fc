"""One quality scale for all payloads, by `cotam.codec.contrast.balanced_error`.

Up to quality 80, flat graphics are coded to the error that the learned codec has at the same quality with the
weight set `page`, as a median over training screens (lab/docs/screens.md); above 80 to a lower error.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["av1_quality_for", "error_at"]

_QUALITIES = (0, 20, 50, 80, 100)
_LOG_ERRORS = np.log([691.0, 265.0, 81.0, 30.0, 14.0])
"""Logarithms of the errors at `_QUALITIES`, in squared grey levels; between them it is linear."""

_AV1_QUALITIES = (0, 2, 12, 30, 60, 80, 100)
_AV1_LOG_ERRORS = np.log([556.4, 492.0, 266.0, 132.0, 27.3, 17.4, 11.09])
"""The same of AV1 as coded by `cotam.codec.standard`, at `_AV1_QUALITIES` of AVIF. The first and last are
extrapolated."""


def error_at(quality: float) -> float:
    """Return the balanced error, in squared grey levels, that a quality 0 … 100 stands for."""
    return math.exp(np.interp(quality, _QUALITIES, _LOG_ERRORS))


def av1_quality_for(error: float) -> int:
    """Return the quality of AVIF, 0 … 100, with this balanced error."""
    return round(np.interp(-math.log(error), -_AV1_LOG_ERRORS, _AV1_QUALITIES))
