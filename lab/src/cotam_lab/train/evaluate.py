"""Evaluate with rounding: bpp and PSNR of real files by the exported graphs, and losses on fixed crops."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from cotam.codec import weights
from cotam.codec.still import Codec as RuntimeCodec
from cotam.image.psnr import psnr
from cotam.runtime import OnnxRunner
from cotam_lab.nets.codec import Codec
from cotam_lab.train.data import Crops, pictures, read_rgb
from cotam_lab.train.export import export
from cotam_lab.train.losses import Batch, Loss

QUALITIES = (10, 30, 50, 70, 90)


def on_folder(folder: Path, run: Path, every: int = 3) -> Callable[[Codec, int], dict[str, float]]:
    """Return an evaluation on every third image of ``folder``: mean bpp of the files, and mean PSNR."""
    files = pictures(folder, hold_out_tenth=False)[::every]

    def evaluate(network: Codec, step: int) -> dict[str, float]:
        with tempfile.TemporaryDirectory(dir=run) as temporary:
            export(network, Path(temporary))
            codec = RuntimeCodec(
                weights.load("trial", Path(temporary)), OnnxRunner(Path(temporary), threads=1)
            )
            row = {}
            for quality in QUALITIES:
                bpp, decibels = [], []
                for file in files:
                    pixels = read_rgb(file)
                    coded = codec.encode(pixels, quality)
                    bpp.append(8 * len(coded.data) / (pixels.shape[0] * pixels.shape[1]))
                    decibels.append(psnr(pixels, codec.decode(coded)))
                row[f"bpp{quality}"] = float(np.mean(bpp))
                row[f"psnr{quality}"] = float(np.mean(decibels))
        return row

    return evaluate


def on_crops(
    network: Codec, crops: Crops, loss: Loss, count: int, *, adapted: bool = False
) -> dict[str, float]:
    """Return the mean parts of a loss over ``count`` crops, with rounded residuals and without gain offsets.

    The crops have the qualities `QUALITIES` in turn, and random numbers of the loss are seeded by the number of the
    crop, so that weights are compared on equal terms. Parts that some crops lack (the reader's for photographs) are
    means over those that have them. "bpp" is the estimated rate.
    """
    found: dict[str, list[float]] = {}
    for number in range(count):
        pixels, text = crops.batch(number, 1)
        picture = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        quality = torch.tensor([QUALITIES[number % len(QUALITIES)]])
        levels = torch.zeros(1, 1, crops.size // 32, crops.size // 32)
        torch.manual_seed(number)
        with torch.no_grad():
            coded = network(picture, quality, levels, noise=False, adapted=adapted)
            parts = loss(coded, Batch(picture, quality, levels, torch.from_numpy(text), 1.0))
        parts["bpp"] = parts.pop("bpp_y") + parts.pop("bpp_z")
        for name, value in parts.items():
            found.setdefault(name, []).append(float(value))
    return {name: float(np.mean(values)) for name, values in found.items()}
