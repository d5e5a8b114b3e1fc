"""Seeded networks with the shape of the real ones and few weights; torch and transformers are needed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model

from cotam_lab.nets.codec import Codec, Means, Shape
from cotam_lab.nets.dct import start_from_dct
from cotam_lab.nets.integers import set_tracking
from cotam_lab.nets.quadtree import step_masks
from cotam_lab.nets.teachers import Reader, Teacher

CODEC = Shape(
    eighth=24, sixteenth=32, latents=32, hyper=8, context=16, encoder_blocks=(1, 1), decoder_blocks=(1, 1)
)
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
    "patch_size": 14,
    "image_size": 112,
}


def waves(height: int = 150, width: int = 201) -> np.ndarray:
    """Smooth waves of all directions, uint8 (height, width, 3)."""
    y, x = np.mgrid[0:height, 0:width]
    planes = np.stack([np.sin(x / 9) + np.cos(y / 7), np.sin((x + y) / 15), np.cos(x * y / 900)], -1)
    return (planes * 60 + 128).clip(0, 255).astype(np.uint8)


def codec(seed: int = 0, shape: Shape = CODEC) -> Codec:
    """A codec that begins with a DCT, the steps of its activations those of one random image."""
    torch.manual_seed(seed)
    found = Codec(shape)
    start_from_dct(found)
    set_tracking(found.train(), True)
    with torch.no_grad():
        found(torch.rand(1, 3, 128, 128), torch.tensor([50]), torch.zeros(1, 1, 4, 4), adapted=True)
    set_tracking(found, False)
    return found.eval()


def all_means(means: Means, number: int, features: Tensor, gain: Tensor, known: Tensor) -> Tensor:
    """The means that a context step has for all latents (B, M, h, w), of which it codes a quarter."""
    step, inputs = (
        (means.later[number - 1], (features, gain, known)) if number else (means.first, (features, gain))
    )
    return step.leave(step.block(step.enter(torch.cat(inputs, 1))))


def decoded(means: Means, features: Tensor, gain: Tensor, dequantised: Tensor) -> Tensor:
    """Symbols / gains (B, M, h, w) → ŷ."""
    known = torch.zeros_like(dequantised)
    for number, mask in enumerate(step_masks(dequantised)):
        known = known + mask * (all_means(means, number, features, gain, known) + dequantised)
    return known


def teacher() -> Teacher:
    """A DINOv2 of eight layers that gives attention."""
    torch.manual_seed(0)
    model = Dinov2Model._from_config(Dinov2Config(**SMALL), attn_implementation="eager")
    return Teacher("tiny", model, ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))


def reader() -> Reader:
    """The convolutions of the reader of text."""
    torch.manual_seed(0)
    prefix = "module.FeatureExtraction.ConvNet."
    shapes = {0: (32, 1), 3: (64, 32), 6: (128, 64), 8: (128, 128), 11: (256, 128), 14: (256, 256)}
    state = {f"{prefix}{i}.weight": torch.randn(*s, 3, 3) * 0.1 for i, s in shapes.items()}
    state |= {f"{prefix}{i}.bias": torch.zeros(shapes[i][0]) for i in (0, 3, 6, 8)}
    for i in (12, 15):
        ones, zeros = torch.ones(256), torch.zeros(256)
        state |= {f"{prefix}{i}.{k}": ones for k in ("weight", "running_var")}
        state |= {f"{prefix}{i}.{k}": zeros for k in ("bias", "running_mean")}
        state[f"{prefix}{i}.num_batches_tracked"] = torch.tensor(1)
    return Reader(state)
