"""PSNR and MS-SSIM of 8-bit RGB images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cotam.errors import InputError
from cotam.image.psnr import psnr as image_psnr
from cotam.image.read import Pixels
from cotam_lab.errors import MissingPackageError
from cotam_lab.metrics.base import MAX_DECIBEL, Metric, check_sizes

__all__ = ["FIDELITY", "MS_SSIM_MIN_SIDE", "ms_ssim", "psnr"]

MS_SSIM_MIN_SIDE = 161
"""Pixels of the shorter side below which the fifth scale is smaller than the window."""


def psnr(original: Pixels, decoded: Pixels) -> float:
    """Peak signal-to-noise ratio over all three channels.

    Returns
    -------
    float
        10 log10(255² / mean squared error) in dB, at most 100.

    Raises
    ------
    InputError
        If the sizes differ.
    """
    check_sizes(original, decoded)
    return image_psnr(original, decoded)


def ms_ssim(original: Pixels, decoded: Pixels) -> float:
    """Multi-scale structural similarity as ``pytorch-msssim`` computes it, mean over the channels.

    Returns
    -------
    float
        0…1.

    Raises
    ------
    InputError
        If the sizes differ or a side is shorter than `MS_SSIM_MIN_SIDE`.
    MissingPackageError
    """
    check_sizes(original, decoded)
    if min(original.shape[:2]) < MS_SSIM_MIN_SIDE:
        raise InputError(
            f"MS-SSIM needs sides of at least {MS_SSIM_MIN_SIDE} pixels, got {original.shape[:2]}"
        )
    try:
        import torch
        from pytorch_msssim import ms_ssim as similarity
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "pytorch_msssim") from error
    pair = (torch.from_numpy(np.array(one)).permute(2, 0, 1)[None].double() for one in (original, decoded))
    return float(similarity(*pair, data_range=255))


def _score(original: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
    similarity = None if min(original.shape[:2]) < MS_SSIM_MIN_SIDE else ms_ssim(original, decoded)
    decibel = None if similarity is None else -10 * math.log10(max(1 - similarity, 10 ** (-MAX_DECIBEL / 10)))
    return {"psnr": psnr(original, decoded), "ms_ssim": similarity, "ms_ssim_db": decibel}


FIDELITY = Metric("fidelity", ("psnr", "ms_ssim", "ms_ssim_db"), ("psnr", "ms_ssim_db"), _score)
"""PSNR in dB, MS-SSIM, and -10 log10(1 - MS-SSIM); MS-SSIM is None below `MS_SSIM_MIN_SIDE`."""
