"""Initialise the transforms as a block DCT.

From random weights the first ten thousand steps are spent on learning to pass the image through (31 dB without
quantisation, on Kodak). Initialised here, training starts with a transform codec, and the blocks, which start
near zero, learn the rest.
"""

from __future__ import annotations

import numpy as np
import torch

from cotam_lab.nets.codec import Codec
from cotam_lab.nets.layers import Block

STEP = 0.59
"""Optimal step of an orthonormal transform of 4 · (pixel - 0.5) at quality 50: 4/255 · sqrt(6 / (ln 2 · λ))."""


def dct_rows(size: int) -> np.ndarray:
    """Return the orthonormal two-dimensional DCT-II, (size², size²), rows from low to high frequency."""
    k, n = np.mgrid[:size, :size]
    one = np.cos(np.pi * (2 * n + 1) * k / (2 * size)) * np.sqrt(2 / size)
    one[0] /= np.sqrt(2)
    both = np.einsum("au,bv->abuv", one, one).reshape(size * size, size * size)
    vertical, horizontal = k.T.reshape(-1), n.T.reshape(-1)
    return both[np.argsort(vertical**2 + horizontal**2, kind="stable")]


def colour_rows() -> np.ndarray:
    """Return orthonormal brightness, red-blue and green axes, (3, 3)."""
    rows = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def block_transform(size: int, channels: int) -> np.ndarray:
    """Return the lowest frequencies, (channels, 3 · size²), about seven of brightness per one of each colour axis."""
    frequencies, colours = dct_rows(size), colour_rows()
    brightness = min(size * size, channels - 2 * (channels // 9))
    counts = brightness, (channels - brightness) // 2, (channels - brightness) // 2
    rows = [
        np.einsum("c,fn->fcn", colour, frequencies[:count]).reshape(count, -1)
        for colour, count in zip(colours, counts, strict=True)
    ]
    return np.concatenate(rows)


@torch.no_grad()
def start_from_dct(codec: Codec) -> None:
    """Set the linear layers of both transforms to a 16×16 DCT and its inverse, and the blocks near zero."""
    shape = codec.shape
    eighth = block_transform(8, shape.eighth)
    target = block_transform(16, shape.sixteenth).reshape(-1, 3, 2, 8, 2, 8)
    # Each 16×16 frequency in terms of the 8×8 ones of its four quarters.
    down = np.einsum("scaibj,ecij->seab", target, eighth.reshape(-1, 3, 8, 8)).reshape(shape.sixteenth, -1)
    analysis, synthesis = codec.analysis, codec.synthesis
    identity = np.eye(shape.latents, shape.sixteenth) / STEP
    for parameter, value in (
        (analysis.enter.weight, eighth),
        (analysis.down.weight, down),
        (analysis.leave.weight, identity),
        (synthesis.enter.weight[:, : shape.latents], identity.T * STEP**2),
        (synthesis.enter.weight[:, shape.latents :], np.zeros((shape.sixteenth, 1))),
        (synthesis.up.pointwise.weight, down.T),
        (synthesis.leave.pointwise.weight, eighth.T),
    ):
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(value)).float())
    for part in (analysis.eighth, analysis.sixteenth, synthesis.sixteenth, synthesis.eighth):
        for block in part.children():
            assert isinstance(block, Block)
            block.leave.weight.mul_(0.1)
            block.narrow.weight.mul_(0.1)
