"""The networks of the codec: image → latents → residual symbols, and back.

::

    image ────▸ Analysis ──▸ y (1/16) ──▸ HyperAnalysis ──▸ z (1/64) ──round──▸ symbols of z
                             │                                                   │
                             │          ScaleNetwork (integers): table index ◂───┤
                             ▾                                                   ▾
                symbols of y = round((y - mean) · gain) ◂── Means: 4 steps ◂── HyperSynthesis
                             │                                  ▴
                             └──▸ ŷ = symbols / gain + mean ────┤
                                                                ▾
                                                            Synthesis ──▸ image
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cotam_lab.nets.entropy import (
    ANCHORS,
    QUALITIES,
    STEPS_PER_OCTAVE,
    PerQuality,
    ScaleNetwork,
    bits,
    total_bits,
)
from cotam_lab.nets.hyper import HyperContext
from cotam_lab.nets.integers import Steps
from cotam_lab.nets.layers import Block, Patches, Pointwise, Unpatch, clamp_ste, round_ste, space
from cotam_lab.nets.quadtree import STEPS, merge, quantise, split, turns

LAMBDA_LOW, LAMBDA_HIGH = 2.5e-4, 0.15
"""Range of lambda in bpp + lambda · 255² · MSE; log-linear in quality."""


@dataclass(frozen=True)
class Shape:
    """Channels (at 1/8, 1/16, of latents, hyper latents, context and adapter) and numbers of blocks."""

    eighth: int = 128
    sixteenth: int = 256
    latents: int = 256
    hyper: int = 64
    context: int = 128
    adapter: int = 48
    encoder_blocks: tuple[int, int] = (3, 1)
    decoder_blocks: tuple[int, int] = (1, 5)


def tradeoff(quality: Tensor) -> Tensor:
    """Return lambda of qualities 0 … 100."""
    return LAMBDA_LOW * (LAMBDA_HIGH / LAMBDA_LOW) ** (quality / (QUALITIES - 1))


def log2_gain(quality: Tensor) -> Tensor:
    """Return log2 of the nominal gain of qualities: gain is proportional to the square root of lambda."""
    middle = math.sqrt(LAMBDA_LOW * LAMBDA_HIGH)
    return 0.5 * torch.log2(tradeoff(quality) / middle)


class Analysis(nn.Module):
    """Images (B, 3, H, W) in 0 … 1, sides multiples of 16 → latents (B, M, H/16, W/16)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        first, second = shape.encoder_blocks
        self.enter = Patches(3, shape.eighth, 8)
        self.eighth = nn.Sequential(*(Block(shape.eighth, integers=True, slope=0.0) for _ in range(first)))
        self.down = Patches(shape.eighth, shape.sixteenth, 2)
        self.sixteenth = nn.Sequential(
            *(Block(shape.sixteenth, integers=True, slope=0.0) for _ in range(second))
        )
        self.leave = Pointwise(shape.sixteenth, shape.latents)

    def forward(self, image: Tensor) -> Tensor:
        x = self.eighth(self.enter((image - 0.5) * 4))
        return self.leave(self.sixteenth(self.down(x)))


class Residual(nn.Module):
    """An adapter's residual parallel to one block: narrow 1×1, depthwise 3×3, 1×1; zero before training."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.enter = Pointwise(channels, width)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.leave = Pointwise(width, channels)
        self.space_steps = Steps((True, False, True))
        nn.init.zeros_(self.leave.weight)

    def forward(self, x: Tensor) -> Tensor:
        return space(x, self, self.space_steps, 0.0, residual=False)


class ImageAdapter(nn.Module):
    """The image adapter: a residual parallel to every block of the synthesis, for a second view.

    Since it is parallel, the receptive field of the synthesis stays the same.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        first, second = shape.decoder_blocks
        self.sixteenth = nn.ModuleList(Residual(shape.sixteenth, shape.adapter) for _ in range(first))
        self.eighth = nn.ModuleList(Residual(shape.eighth, shape.adapter) for _ in range(second))

    def silence(self) -> None:
        """Reset the last layers to zero, for training with another synthesis."""
        for residual in (*self.sixteenth, *self.eighth):
            nn.init.zeros_(residual.leave.weight)
            nn.init.zeros_(residual.leave.bias)


class Synthesis(nn.Module):
    """Latents (B, M, h, w) and log2 gains (B, 1, h, w) → images (B, 3, 16h, 16w), not clipped.

    The residuals of an adapter are added times ``strength``; 0 is the image without it.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        first, second = shape.decoder_blocks
        self.enter = Pointwise(shape.latents + 1, shape.sixteenth)
        self.sixteenth = nn.Sequential(
            *(Block(shape.sixteenth, integers=True, slope=0.0) for _ in range(first))
        )
        self.up = Unpatch(shape.sixteenth, shape.eighth, 2)
        self.eighth = nn.Sequential(*(Block(shape.eighth, integers=True, slope=0.0) for _ in range(second)))
        self.leave = Unpatch(shape.eighth, 3, 8)

    def forward(
        self,
        latents: Tensor,
        gain: Tensor,
        adapter: ImageAdapter | None = None,
        strength: Tensor | float = 1.0,
    ) -> Tensor:
        def through(blocks: nn.Sequential, residuals: nn.ModuleList | None, x: Tensor) -> Tensor:
            for number, block in enumerate(blocks):
                added = strength * residuals[number](x) if residuals else None
                x = block(x)
                if added is not None:
                    x = x + added
            return x

        x = self.enter(torch.cat([latents, gain], 1))
        x = through(self.sixteenth, adapter.sixteenth if adapter else None, x)
        x = through(self.eighth, adapter.eighth if adapter else None, self.up(x))
        return self.leave(x) / 4 + 0.5


class HyperAnalysis(nn.Module):
    """Latents (B, M, h, w), sides multiples of 4 → hyper latents (B, Z, h/4, w/4)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.context
        self.layers = nn.Sequential(
            Pointwise(shape.latents, width),
            Patches(width, width, 2),
            Block(width),
            Patches(width, width, 2),
            Block(width),
            Pointwise(width, shape.hyper),
        )

    def forward(self, latents: Tensor) -> Tensor:
        return self.layers(latents)


class HyperSynthesis(nn.Module):
    """Dequantised hyper latents (B, Z, h, w) → features for the means (B, context, 4h, 4w)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.context
        self.layers = nn.Sequential(
            Unpatch(shape.hyper, width, 2),
            Block(width, integers=True),
            Unpatch(width, width, 2),
            Block(width, integers=True),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class MeanStep(nn.Module):
    """Features, gains and the latents known so far → means of all latents, of which a step uses a quarter."""

    def __init__(self, shape: Shape, inputs: int) -> None:
        super().__init__()
        self.enter = Pointwise(inputs, shape.context)
        self.block = Block(shape.context, integers=True)
        self.leave = Pointwise(shape.context, shape.latents)

    def quarter(self, number: int, known: Tensor) -> Tensor:
        """Return the means of the latents that step ``number`` codes, (4, B, h/2, w/2, M/4), see `quadtree`."""
        x = turns(self.block(self.enter(known)))
        order = [(number - turn) % STEPS for turn in range(STEPS)]
        weight = self.leave.weight.unflatten(0, (STEPS, -1))[order].transpose(1, 2)
        bias = self.leave.bias.unflatten(0, (STEPS, 1, -1))[order]
        return torch.baddbmm(bias.to(x.dtype), x.flatten(1, 3), weight.to(x.dtype)).unflatten(1, x.shape[1:4])


class Means(nn.Module):
    """The spatial context in four steps, each of which sees the latents of the steps before it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.first = MeanStep(shape, shape.context + 1)
        later = shape.context + 1 + shape.latents
        self.later = nn.ModuleList(MeanStep(shape, later) for _ in range(STEPS - 1))

    def quarter(self, number: int, features: Tensor, gain: Tensor, known: Tensor) -> Tensor:
        """Return the means of the latents that a step codes, (4, B, h/2, w/2, M/4), see `quadtree`."""
        step = self.first if number == 0 else self.later[number - 1]
        assert isinstance(step, MeanStep)
        inputs = (features, gain) if number == 0 else (features, gain, known)
        return step.quarter(number, torch.cat(inputs, 1))

    def encode(
        self, features: Tensor, gain: Tensor, latents: Tensor, gains: Tensor, live: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Latents → (scaled residuals before rounding, ŷ). ``live`` is 0 where symbols are zero and not coded."""
        residuals: list[Tensor] = []
        known: list[Tensor] = []
        gain = gain.to(features.dtype)
        for number, (y, g, on) in enumerate(zip(split(latents), split(gains), split(live), strict=True)):
            context = merge(known, features.dtype) if known else latents
            mean = self.quarter(number, features, gain, context).to(y.dtype)
            residual, decoded = quantise(y, mean, g, on)
            residuals.append(residual)
            known.append(decoded)
        return merge(residuals), merge(known)


@dataclass(frozen=True)
class Coded:
    """The result of a training pass: images, latents, and the bits of each sample, (B,)."""

    image: Tensor
    latents: Tensor
    bits_y: Tensor
    bits_z: Tensor


class Codec(nn.Module):
    """The whole codec. `forward` is the training pass; for files the parts are exported as graphs."""

    Z_FRACTION = 256
    """Hyper latents are dequantised in integers: round(symbol · multiplier / 256), in units of 1/16."""

    def __init__(self, shape: Shape = Shape()) -> None:
        super().__init__()
        self.shape = shape
        self.analysis = Analysis(shape)
        self.synthesis = Synthesis(shape)
        self.adapter = ImageAdapter(shape)
        self.hyper_analysis = HyperAnalysis(shape)
        self.hyper_synthesis = HyperSynthesis(shape)
        self.means = Means(shape)
        self.hyper_context = HyperContext(shape.hyper)
        self.scales = ScaleNetwork(shape.hyper, shape.latents)
        anchors = torch.arange(ANCHORS) * (QUALITIES - 1) / (ANCHORS - 1)
        self.gains = PerQuality(log2_gain(anchors)[:, None].repeat(1, shape.latents), unit=2.0)
        self.z_log2_step = PerQuality(torch.zeros(ANCHORS, shape.hyper), unit=2.0)
        self.z_index = PerQuality(torch.full((ANCHORS, shape.hyper), 14.0), unit=8.0)

    def z_multiplier(self, quality: Tensor) -> Tensor:
        """Return the quantisation step of each hyper latent, integers (B, Z, 1, 1) in units of 1/4096."""
        step = torch.exp2(self.z_log2_step(quality).clamp(-3, 3))
        return round_ste(step * 16 * self.Z_FRACTION)

    def dequantise_z(self, symbols: Tensor, multiplier: Tensor) -> Tensor:
        """Symbols (B, Z, h, w) in ±127 → integers in ±255, units of 1/16; exact in float32."""
        return clamp_ste(round_ste(symbols * multiplier / self.Z_FRACTION), -255, 255)

    def gain_maps(self, quality: Tensor, levels: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return the gain of every latent, (B, M, h, w), and the nominal log2 gain, (B, 1, h, w)."""
        octaves = F.interpolate(levels, scale_factor=2, mode="nearest")[:, :, : size[0], : size[1]]
        octaves = octaves / STEPS_PER_OCTAVE
        nominal = log2_gain(quality.float())[:, None, None, None]
        return torch.exp2(self.gains(quality) + octaves), nominal + octaves

    def forward(
        self, image: Tensor, quality: Tensor, levels: Tensor, *, noise: bool = True, adapted: bool = False
    ) -> Coded:
        """Code images for training: rounded for the decoder, with noise for the rate.

        Parameters
        ----------
        image : (B, 3, H, W) float in 0…1, sides multiples of 64
        quality : (B,) int64 in 0…100
        levels : (B, 1, H/32, W/32) float, integers in ±7
        noise : pay for residuals with uniform noise (True) or for the rounded ones, see `total_bits`; hyper
            latents are always rounded
        adapted : decode with the image adapter
        """
        y = self.analysis(image)
        z = self.hyper_analysis(y).float()
        y = y.float()
        with torch.autocast(image.device.type, enabled=False):
            multiplier = self.z_multiplier(quality)
            z_scaled = z * (16 * self.Z_FRACTION) / multiplier
            z_int = self.dequantise_z(round_ste(z_scaled).clamp(-127, 127), multiplier)
            sums64, sums32, offset = (t[quality][:, :, None, None] for t in self.scales.quality_tables())
            index = self.scales(z_int, levels, sums64, sums32, offset)
            index = index.contiguous(memory_format=torch.channels_last)
            z_index = round_ste(self.z_index(quality)).expand_as(z_scaled)
            mean, z_index = self.hyper_context.predict(z_int, multiplier, z_index, quality)
            z_scaled = z_scaled - mean
            # Many are zero, whose true cost noise would hide from tables and context.
            bits_z = total_bits(z_scaled, z_index, torch.rand_like(z_scaled) - 0.5, True)
            gains, gain = self.gain_maps(quality, levels, (y.shape[2], y.shape[3]))
        features = self.hyper_synthesis(z_int / 16)
        live = (index > 0).to(y.dtype)
        residual, latents = self.means.encode(features, gain, y, gains, live)
        with torch.autocast(image.device.type, enabled=False):
            residual, index = (t.permute(0, 2, 3, 1) for t in (residual, index))
            bits_y = total_bits(residual, index, torch.rand_like(residual).sub_(0.5), not noise)
            # Table 0 codes nothing: only residuals that should not be zero are charged.
            dead = (1 - live).sum((1, 2, 3)) * bits(y.new_zeros(()), y.new_zeros(()))
        decoded = self.synthesis(latents, gain, self.adapter if adapted else None).float()
        return Coded(decoded, latents.float(), bits_y - dead, bits_z)
