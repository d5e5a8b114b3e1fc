"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["MAX_DECIBEL", "psnr"]

MAX_DECIBEL = 100.0
"""PSNR of equal images, in dB."""


def psnr(original: np.ndarray, decoded: np.ndarray) -> float:
    """Return 10 log10(255² / mean squared error) over all samples of two uint8 images, at most 100 dB."""
    error = float(np.mean(np.square(original.astype(np.float32) - decoded), dtype=np.float64))
    return MAX_DECIBEL if error == 0 else min(MAX_DECIBEL, 10 * math.log10(255**2 / error))
