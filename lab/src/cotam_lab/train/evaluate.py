"""Losses of weights with real rounding, on fixed crops."""

from __future__ import annotations

import numpy as np
import torch

from cotam_lab.nets.codec import Codec
from cotam_lab.nets.teachers import as_tensor
from cotam_lab.train.data import Crops
from cotam_lab.train.losses import Batch, Loss

QUALITIES = (10, 30, 50, 70, 90)


def on_crops(network: Codec, crops: Crops, loss: Loss, count: int) -> dict[str, float]:
    """Return the mean parts of a loss over the first ``count`` crops, with rounded residuals and zero gain offsets.

    The crops have the qualities `QUALITIES` in turn, and the random numbers of the loss are seeded by the number of
    the crop, so that weights are compared on equal terms. Parts that some crops lack (the reader's, for photographs)
    are means over the others. "bpp" is the estimated rate.
    """
    found: dict[str, list[float]] = {}
    for number in range(count):
        pixels, text = crops.batch(number, 1)
        image = as_tensor(pixels)
        quality = torch.tensor([QUALITIES[number % len(QUALITIES)]])
        levels = torch.zeros(1, 1, crops.size // 32, crops.size // 32)
        torch.manual_seed(number)
        with torch.no_grad():
            coded = network(image, quality, levels, noise=False)
            parts = loss(coded, Batch(image, quality, levels, torch.from_numpy(text), 1.0))
        parts["bpp"] = parts.pop("bpp_y") + parts.pop("bpp_z")
        for name, value in parts.items():
            found.setdefault(name, []).append(float(value))
    return {name: float(np.mean(values)) for name, values in found.items()}
