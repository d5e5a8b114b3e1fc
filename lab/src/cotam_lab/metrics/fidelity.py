"""PSNR and MS-SSIM of 8-bit RGB images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from pytorch_msssim import ms_ssim as similarity_of

from cotam.image.psnr import MAX_DECIBEL, psnr
from cotam.image.read import Pixels
from cotam_lab.metrics.base import Metric

__all__ = ["FIDELITY", "MS_SSIM_MIN_SIDE", "decibel", "ms_ssim"]

MS_SSIM_MIN_SIDE = 161
"""Pixels of the shorter side below which the fifth scale is smaller than the window."""


def decibel(distance: float) -> float:
    """Convert a distance, 0 if equal, to −10 log10(distance) in dB, at most `MAX_DECIBEL`."""
    return -10 * math.log10(max(distance, 10 ** (-MAX_DECIBEL / 10)))


def ms_ssim(original: Pixels, decoded: Pixels) -> float:
    """Multi-scale structural similarity, 0…1, as ``pytorch-msssim`` computes it, mean over the channels."""
    pair = (torch.from_numpy(np.array(one)).permute(2, 0, 1)[None].double() for one in (original, decoded))
    return float(similarity_of(*pair, data_range=255))


def _score(original: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
    similarity = None if min(original.shape[:2]) < MS_SSIM_MIN_SIDE else ms_ssim(original, decoded)
    in_db = None if similarity is None else decibel(1 - similarity)
    return {"psnr": psnr(original, decoded), "ms_ssim": similarity, "ms_ssim_db": in_db}


FIDELITY = Metric("fidelity", ("psnr", "ms_ssim", "ms_ssim_db"), ("psnr", "ms_ssim_db"), _score)
"""PSNR in dB, MS-SSIM, and -10 log10(1 - MS-SSIM); MS-SSIM is None below `MS_SSIM_MIN_SIDE`."""
