"""The entropy model: the table of each symbol, computed in integers, and its rate.

Tables are logistic distributions of standard deviation ``2**((i - 12) / 4)``, i = 0 … 47, so that a gain offset of
a quarter octave moves the index by one. Symbols with table 0 are zero and cost nothing.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cotam_lab.nets.layers import IntegerConv, clamp_ste, requantise, round_ste

TABLES = 48
STEPS_PER_OCTAVE = 4
INDEX_OF_ONE = 12
ANCHORS = 11
QUALITIES = 101


def anchor_weights() -> Tensor:
    """Return the matrix (101, 11) that interpolates values at qualities 0, 10 … 100 linearly to 0 … 100."""
    position = torch.arange(QUALITIES) * (ANCHORS - 1) / (QUALITIES - 1)
    return (1 - (position[:, None] - torch.arange(ANCHORS)).abs()).clamp(min=0)


class PerQuality(nn.Module):
    """A vector for each quality, learned at eleven anchors.

    ``unit`` is the value of a parameter of 1; it adapts the range of values to the common learning rate.
    """

    weights: Tensor

    def __init__(self, initial: Tensor, unit: float = 1.0) -> None:
        """``initial``, (11, C), are the values at the anchors."""
        super().__init__()
        self.unit = unit
        self.anchors = nn.Parameter(initial / unit)
        self.register_buffer("weights", anchor_weights(), persistent=False)

    def table(self) -> Tensor:
        """Return all vectors, (101, C)."""
        return self.weights @ self.anchors * self.unit

    def forward(self, quality: Tensor) -> Tensor:
        """Qualities (B,) int64 in 0…100 → (B, C, 1, 1)."""
        return (self.weights[quality] @ self.anchors * self.unit)[:, :, None, None]


def bits(residual: Tensor, index: Tensor) -> Tensor:
    """Return the bits of ``residual`` (integers, or values with uniform noise) with table ``index``, elementwise.

    They are −log2 of the logistic mass of [residual − ½, residual + ½], differentiable in both arguments.
    """
    scale = torch.exp2((index - INDEX_OF_ONE) / STEPS_PER_OCTAVE) * (math.sqrt(3) / math.pi)
    away = residual.abs()
    near, far = (away - 0.5) / scale, (away + 0.5) / scale
    # sigmoid(-near) - sigmoid(-far), in logarithms where both underflow
    log_mass = (
        F.logsigmoid(-near) + torch.log(-torch.expm1((near - far).clamp(max=-1e-6))) + F.logsigmoid(far)
    )
    return log_mass * (-1 / math.log(2))


def total_bits(residual: Tensor, index: Tensor, noise: Tensor, rounded: bool) -> Tensor:
    """Return the bits of the residuals of each sample, (B,), with uniform noise or rounded.

    Noise overstates the rate by half where most symbols are zero, so training ends with rounded residuals. The
    rate of a rounded zero has no gradient, however, and residuals would grow; their gradient is therefore always
    that with noise.

    Parameters
    ----------
    residual, index : (B, …) float
    noise : uniform in ±½, in the shape of ``residual``
    rounded : whether the bits are those of rounded residuals
    """
    return _TotalBits.apply(residual, index, noise, rounded)


class _TotalBits(torch.autograd.Function):
    """`bits` summed over each sample, with gradients computed in the forward pass: a quarter of autograd's passes."""

    @staticmethod
    def forward(ctx: Any, residual: Tensor, index: Tensor, noise: Tensor, rounded: bool) -> Tensor:
        inverse = torch.exp2((INDEX_OF_ONE - index) / STEPS_PER_OCTAVE) * (math.pi / math.sqrt(3))
        # log(1 - exp(-inverse)) and its slope
        narrow = torch.exp(-inverse)
        room = torch.log1p(-narrow)
        of_room = narrow.div_(1 - narrow)
        noisy = residual + noise
        value, of_residual, of_inverse = _mass(noisy, inverse)
        if rounded:
            value, _, of_inverse = _mass(torch.round(residual), inverse)
        found = (value + room).flatten(1).sum(1)
        of_index = (of_inverse + of_room) * inverse * (math.log(2) / STEPS_PER_OCTAVE)
        ctx.save_for_backward(of_residual, of_index)
        return found * (-1 / math.log(2))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        of_residual, of_index = ctx.saved_tensors
        grad = (grad / math.log(2)).view(-1, *(1,) * (of_index.ndim - 1))
        return -grad * of_residual, grad * of_index, None, None


def _mass(residual: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return logsigmoid(-near) + logsigmoid(far) and its slopes by ``residual`` and the inverse scale."""
    away = residual.abs()
    near, far = (0.5 - away) * inverse, (0.5 + away) * inverse
    value = F.logsigmoid(near) + F.logsigmoid(far)
    of_near, of_far = torch.sigmoid(-near), torch.sigmoid(-far)
    of_inverse = (0.5 - away) * of_near + (0.5 + away) * of_far
    return value, (of_far - of_near).mul_(inverse).mul_(torch.sign(residual)), of_inverse


class ScaleNetwork(nn.Module):
    """Hyper latents and gain offset map → table index of every latent, in integers.

    ::

        z ──1×1──▸ 1/64 ──3×3──▸ 1×1 ──▸ 1/32 ──3×3──▸ 1×1 ──▸ 1/16 ──3×3──▸ 1×1 ──▸ index
               ▴ quality            ▴ quality, levels                          ▴ quality, levels
    """

    def __init__(self, hyper: int, latents: int, wide: int = 192, narrow: int = 96) -> None:
        super().__init__()
        self.enter = IntegerConv(hyper, wide)
        self.mix64 = IntegerConv(wide, wide, 3, groups=wide)
        self.up32 = IntegerConv(wide, 4 * narrow)
        self.levels = IntegerConv(1, narrow)
        self.mix32 = IntegerConv(narrow, narrow, 3, groups=narrow)
        self.up16 = IntegerConv(narrow, 4 * narrow)
        self.mix16 = IntegerConv(narrow, narrow, 3, groups=narrow)
        self.leave = IntegerConv(narrow, latents)
        for mix in (self.mix64, self.mix32, self.mix16):
            mix.weight.data *= 0.3
        self.levels.weight.data *= 0.0
        self.quality64 = PerQuality(torch.zeros(ANCHORS, wide))
        self.quality32 = PerQuality(torch.zeros(ANCHORS, narrow))
        slope = torch.linspace(-2.3, 2.3, ANCHORS)[:, None] * STEPS_PER_OCTAVE
        self.offset = PerQuality(slope.expand(-1, latents) + INDEX_OF_ONE - 2.0, unit=8.0)

    def quality_tables(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the integers by quality: sums (101, wide) and (101, narrow), offsets (101, latents)."""
        unit = 1 / 2048
        return (
            round_ste(clamp_ste(self.quality64.table() / unit, -(2.0**22), 2.0**22)),
            round_ste(clamp_ste(self.quality32.table() / unit, -(2.0**22), 2.0**22)),
            round_ste(self.offset.table()),
        )

    def forward(self, z: Tensor, levels: Tensor, sums64: Tensor, sums32: Tensor, offset: Tensor) -> Tensor:
        """Return table indices (B, latents, 4h, 4w) in 0 … 47.

        Parameters
        ----------
        z : (B, hyper, h, w), integers in ±255
        levels : (B, 1, 2h, 2w), integers in ±7
        sums64, sums32, offset : (B, C, 1, 1), rows of `quality_tables`
        """
        x = requantise(self.enter(z) + sums64)
        x = requantise(self.mix64(x) + 128 * x)
        x = F.pixel_shuffle(self.up32(x), 2)
        x = requantise(x + sums32 + 16 * self.levels(levels))
        x = requantise(self.mix32(x) + 128 * x)
        x = requantise(F.pixel_shuffle(self.up16(x), 2))
        x = requantise(self.mix16(x) + 128 * x)
        near = F.interpolate(levels, scale_factor=2, mode="nearest")
        return clamp_ste(round_ste(self.leave(x) / 512) + offset + near, 0, TABLES - 1)
