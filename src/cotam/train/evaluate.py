"""Evaluation during training: real rounding, real files, through the exported graphs.

Knows how to export, encode and decode a folder: nothing of the loop that calls it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cotam import weights
from cotam.codec import Codec as RuntimeCodec
from cotam.nn.codec import Codec
from cotam.runtime import OnnxRunner
from cotam.train.data import pictures, read_rgb
from cotam.train.export import export

QUALITIES = (10, 30, 50, 70, 90)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures of the same shape."""
    error = np.mean((a.astype(np.float64) - b) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-10)))


def on_folder(folder: Path, run: Path, every: int = 3) -> Callable[[Codec, int], dict[str, float]]:
    """An evaluation on every third picture of ``folder``: mean bpp of the files, and mean PSNR."""
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
                    data = codec.encode(pixels, quality)
                    bpp.append(8 * len(data) / (pixels.shape[0] * pixels.shape[1]))
                    decibels.append(psnr(pixels, codec.decode(data)))
                row[f"bpp{quality}"] = float(np.mean(bpp))
                row[f"psnr{quality}"] = float(np.mean(decibels))
        return row

    return evaluate
