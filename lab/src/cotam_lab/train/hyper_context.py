"""Fit the context of the hyper latents on whole images, with everything else frozen.

A crop of 192×192 pixels has 3×3 hyper latents, all near a border. A context trained only on crops makes the hyper
latents of whole images cost more than without it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from cotam_lab.nets.codec import Codec
from cotam_lab.nets.entropy import total_bits
from cotam_lab.nets.layers import round_ste
from cotam_lab.nets.teachers import as_tensor

__all__ = ["fit", "hyper_latents"]

RATE = 1e-3
VALIDATED = (8, 26, 44, 64)
"""Qualities at which held-out images are measured."""

PIXELS = 64 * 64
"""Pixels per hyper latent."""


@torch.inference_mode()
def hyper_latents(codec: Codec, images: Iterable[np.ndarray]) -> list[Tensor]:
    """Return hyper latents, float32 (1, Z, H/64, W/64), not rounded, of images uint8 (H, W, 3).

    Sides of the images are multiples of 64.
    """
    found = []
    for image in tqdm(images, desc="hyper latents", unit="image"):
        found.append(codec.hyper_analysis(codec.analysis(as_tensor(image))).float().clone())
    return found


def bits_per_pixel(codec: Codec, z: Tensor, quality: Tensor) -> Tensor:
    """Return the bits per pixel of hyper latents (1, Z, h, w) at qualities (B,), float32 (B,), differentiably."""
    with torch.no_grad():
        multiplier = codec.z_multiplier(quality)
        scaled = z * (16 * codec.Z_FRACTION) / multiplier
        known = codec.dequantise_z(round_ste(scaled).clamp(-127, 127), multiplier)
    index = round_ste(codec.z_index(quality)).expand_as(scaled)
    mean, index = codec.hyper_context.predict(known, multiplier, index, quality)
    residual = scaled - mean
    bits = total_bits(residual, index, torch.rand_like(residual) - 0.5, True)
    return bits / (z.shape[2] * z.shape[3] * PIXELS)


def fit(codec: Codec, latents: Sequence[Tensor], steps: int, *, note: Callable[[str], None] = print) -> None:
    """Fit context and table indices, and keep those that are best on every twelfth image.

    Parameters
    ----------
    codec : changed in place
    latents : see `hyper_latents`
    steps : number of steps of two images at four qualities
    note : called with a line after each tenth of the steps
    """
    rng, held = random.Random(0), latents[::12]
    used = [z for number, z in enumerate(latents) if number % 12]
    torch.manual_seed(0)
    codec.requires_grad_(False)
    trained = [*codec.hyper_context.parameters(), *codec.z_index.parameters()]
    for parameter in trained:
        parameter.requires_grad_(True)
    rule = torch.optim.Adam(trained, RATE, betas=(0.9, 0.99))
    best, kept = _measured(codec, held), _copied(trained)
    note(f"before: {best:.5f} bits per pixel")
    for step in range(steps):
        rule.param_groups[0]["lr"] = RATE * min(1, (step + 1) / 100, (steps - step) / (0.8 * steps))
        pair = [bits_per_pixel(codec, _window(rng.choice(used), rng), _qualities()) for _ in range(2)]
        loss = torch.cat(pair).mean()
        rule.zero_grad()
        (100 * loss).backward()  # scaled to about one for gradient clipping
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        rule.step()
        if (step + 1) % max(steps // 10, 1) == 0:
            found = _measured(codec, held)
            note(f"step {step + 1}: {found:.5f} bits per pixel")
            if found < best:
                best, kept = found, _copied(trained)
    with torch.no_grad():
        for parameter, value in zip(trained, kept, strict=True):
            parameter.copy_(value)


def _qualities() -> Tensor:
    return (torch.rand(4) ** 1.7 * 101).long().clamp(max=100)


def _window(z: Tensor, rng: random.Random) -> Tensor:
    """Return all hyper latents, or in a quarter of the cases a random window, to include small images."""
    if rng.random() >= 0.25:
        return z
    height, width = (rng.randint(1, side) for side in z.shape[2:])
    top, left = rng.randint(0, z.shape[2] - height), rng.randint(0, z.shape[3] - width)
    return z[:, :, top : top + height, left : left + width]


@torch.no_grad()
def _measured(codec: Codec, latents: Sequence[Tensor]) -> float:
    quality = torch.tensor(VALIDATED)
    return float(torch.stack([bits_per_pixel(codec, z, quality).mean() for z in latents]).mean())


def _copied(parameters: Sequence[Tensor]) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in parameters]
