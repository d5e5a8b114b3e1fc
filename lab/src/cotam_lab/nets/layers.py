"""Building blocks of the transforms, and the integer convolution of the scale network."""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cotam_lab.nets.fused import mix_channels, mix_space
from cotam_lab.nets.integers import Steps, int8_weight

NEGATIVE_SLOPE = 0.1


def act(x: Tensor) -> Tensor:
    """Leaky ReLU, which ONNX Runtime fuses with the preceding convolution."""
    return F.leaky_relu(x, NEGATIVE_SLOPE)


def round_ste(x: Tensor) -> Tensor:
    """Round to the nearest integer, ties to even; the gradient passes unchanged."""
    if not torch.is_grad_enabled():
        return torch.round(x)
    return x + (torch.round(x) - x).detach()


def clamp_ste(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp; outside the range the gradient passes only if it leads back inside."""
    return _Clamp.apply(x, low, high)


class _Clamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.low, ctx.high = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        stuck = ((x < ctx.low) & (grad > 0)) | ((x > ctx.high) & (grad < 0))
        return grad.masked_fill(stuck, 0.0), None, None


class Pointwise(nn.Module):
    """1×1 convolution, whose weight is a matrix (outputs, inputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * inputs**-0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            # In channels-last layout forward and backward take half the time on a CPU.
            return F.linear(x.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)
        return F.conv2d(x, self.weight[:, :, None, None], self.bias)


class Patches(nn.Module):
    """k×k convolution with stride k: (B, C, H, W) → (B, outputs, H/k, W/k)."""

    def __init__(self, inputs: int, outputs: int, k: int) -> None:
        super().__init__()
        self.k = k
        self.weight = nn.Parameter(torch.randn(outputs, inputs * k * k) * (inputs * k * k) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.unflatten(1, (x.shape[1], self.k, self.k))
        return F.conv2d(x, weight, self.bias, stride=self.k)


class Unpatch(nn.Module):
    """Pointwise, then pixel shuffle by k: (B, C, H, W) → (B, outputs, k·H, k·W)."""

    def __init__(self, inputs: int, outputs: int, k: int) -> None:
        super().__init__()
        self.pointwise = Pointwise(inputs, outputs * k * k)
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.pointwise(x), self.k)


class Block(nn.Module):
    """Two residual steps: mix space (1×1, depthwise 3×3, 1×1), then channels (1×1 wide, 1×1).

    This is the depthwise block of DCVC-RT (arXiv 2502.20762) without its gates. With ``integers`` both steps are
    trained for int8 (see `integers`); the residual stream stays in floats. ``slope`` is that of the leaky ReLU.
    """

    def __init__(self, channels: int, *, integers: bool = False, slope: float = NEGATIVE_SLOPE) -> None:
        super().__init__()
        self.slope = slope
        self.enter = Pointwise(channels, channels)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.leave = Pointwise(channels, channels)
        self.widen = Pointwise(channels, 2 * channels)
        self.narrow = Pointwise(2 * channels, channels)
        self.space_steps = Steps((True, slope > 0, True)) if integers else None
        self.channel_steps = Steps((True, slope > 0)) if integers else None
        for last in (self.leave, self.narrow):
            last.weight.data *= 0.5

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        return self._channels(space(x, self, self.space_steps, self.slope))

    def _channels(self, x: Tensor) -> Tensor:
        widen, narrow, steps = _pair(self.widen), _pair(self.narrow), self.channel_steps
        fused = self.training and x.device.type == "cpu"
        if steps is None:
            if fused:
                return mix_channels(x, widen, narrow, self.slope)
            return x + self.narrow(F.leaky_relu(self.widen(x), self.slope))
        widen, narrow = _int8(widen), _int8(narrow)
        if not fused or steps.tracking:
            inner = _activated(_apply(widen, steps.scaled(0, x), steps.steps[0]), steps, self.slope)
            found = x + _apply(narrow, inner, steps.steps[1])
            if not fused:
                return found
        first, second = steps.steps.clone()
        widen = widen[0] * (first / second), widen[1] / second
        narrow = narrow[0] * second, narrow[1]
        return mix_channels(x, widen, narrow, self.slope, float(first))


class Space(Protocol):
    """The layers that mix space in a `Block` or an adapter's residual."""

    enter: Pointwise
    depthwise: nn.Conv2d
    leave: Pointwise
    training: bool


def space(x: Tensor, part: Space, steps: Steps | None, slope: float, *, residual: bool = True) -> Tensor:
    """Return x + leave(depthwise(act(enter(x)))) with the layers of ``part``; ``residual`` False does not add ``x``."""
    pairs = _pair(part.enter), _pair(part.depthwise), _pair(part.leave)
    fused = part.training and x.device.type == "cpu"
    if steps is None:
        if fused:
            return mix_space(x, *pairs, slope, residual=residual)
        found = part.leave(part.depthwise(F.leaky_relu(part.enter(x), slope)))
        return x + found if residual else found
    enter, depthwise, leave = (_int8(pair) for pair in pairs)
    if not fused or steps.tracking:
        inner = _activated(_apply(enter, steps.scaled(0, x), steps.steps[0]), steps, slope) * steps.steps[1]
        inner = F.conv2d(inner, *depthwise, padding=1, groups=len(depthwise[1]))
        found = _apply(leave, steps.scaled(2, inner), steps.steps[2])
        if not fused:
            return x + found if residual else found
    first, second, third = steps.steps.clone()
    enter = enter[0] * (first / second), enter[1] / second
    depthwise = depthwise[0] * (second / third), depthwise[1] / third
    leave = leave[0] * third, leave[1]
    return mix_space(x, enter, depthwise, leave, slope, float(first), residual=residual)


def _activated(x: Tensor, steps: Steps, slope: float) -> Tensor:
    """Return the rounded leaky ReLU of activation 1 of a part, in units of its step.

    The graphs round before a leaky ReLU and, what is negative, after it (`int8_layers`).
    """
    if not slope:
        return steps.scaled(1, x.relu())
    return round_ste(F.leaky_relu(steps.scaled(1, x), slope))


def _pair(layer: Pointwise | nn.Conv2d) -> tuple[Tensor, Tensor]:
    assert layer.bias is not None
    return layer.weight, layer.bias


def _int8(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return int8_weight(pair[0]), pair[1]


def _apply(pair: tuple[Tensor, Tensor], x: Tensor, step: Tensor) -> Tensor:
    """Apply a 1×1 convolution to activations in units of ``step``."""
    weight, bias = pair
    return F.conv2d(x, (weight * step)[:, :, None, None], bias)


class IntegerConv(nn.Module):
    """Convolution whose weights, inputs and outputs are integers held in float32.

    Weights are multiples of 1/128 in (-1, 1), activations multiples of 1/16 up to ±255/16; as integers they are
    within ±127 and ±255. With ``fan-in · 127 · 255 + bias < 2**24`` float32 holds every partial sum exactly, so the
    result is the same in any order of summation, on any machine. `forward` takes and returns the integers.
    """

    WEIGHT_STEP = 1 / 128
    ACTIVATION_STEP = 1 / 16

    def __init__(self, inputs: int, outputs: int, k: int = 1, groups: int = 1) -> None:
        super().__init__()
        fan_in = inputs // groups * k * k
        if fan_in * 127 * 255 >= 2**23:
            raise ValueError(f"fan-in {fan_in} is too large for exact float32 sums")
        self.groups, self.padding = groups, k // 2
        self.weight = nn.Parameter(torch.randn(outputs, inputs // groups, k, k) * fan_in**-0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def integers(self) -> tuple[Tensor, Tensor]:
        """Return integer weights in ±127 and biases in ±2**22, with straight-through gradients."""
        weight = round_ste(clamp_ste(self.weight / self.WEIGHT_STEP, -127, 127))
        step = self.WEIGHT_STEP * self.ACTIVATION_STEP
        return weight, round_ste(clamp_ste(self.bias / step, -(2.0**22), 2.0**22))

    def forward(self, x: Tensor) -> Tensor:
        """Integers (B, inputs, h, w) → sums (B, outputs, h, w), in units of 1/2048."""
        weight, bias = self.integers()
        return F.conv2d(x, weight, bias, padding=self.padding, groups=self.groups)


def requantise(sums: Tensor, low: int = 0) -> Tensor:
    """Sums in units of 1/2048 → activations in units of 1/16, within low … 255; exact."""
    return clamp_ste(round_ste(sums / 128), low, 255)
