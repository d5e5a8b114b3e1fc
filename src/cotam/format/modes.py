"""The modes of a frame's cells. `docs/format.md` specifies them."""

from __future__ import annotations

import sys

import numpy as np

from cotam.format.adaptive import MapModel

__all__ = ["CODED", "INTRA", "KEY", "MODES", "PREVIOUS"]

CODED, PREVIOUS, INTRA, KEY = range(4)
"""Modes of a cell: coded, or copied from the previous frame, the last intra frame or the last key frame."""


def _predict(left: int | None, up: int | None) -> tuple[int, int]:
    """Return a context for each likely mode and confidence in it; symbols are the modes."""
    if left is None or up is None:
        return 4 + (left if left is not None else up if up is not None else PREVIOUS), 0
    return (8 if left == up else 0) + left, 0


MODES = MapModel(
    name="map of modes",
    counts=np.concatenate([1 + (count - 1) * np.eye(4, dtype=np.int64) for count in (4, 8, 32)]),
    predict=_predict,
    limit=KEY,
    raised=CODED,
    gain=4,
    largest_sum=sys.maxsize,
)
