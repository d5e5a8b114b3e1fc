"""Quantisation-aware training: int8 weights and uint8 or int8 activations, emulated in floating point.

The exported graphs compute these layers in integers (`cotam_lab.nets.int8_graphs`). Weights have a step size for each
output channel and are within ±63, so that the 16-bit sums of two products in AVX2 cannot saturate. Activations have a
static step size for each layer: a running average of the one with the least squared error, see `Steps`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["HIGH", "LOW", "UNSIGNED", "WEIGHT_LIMIT", "Steps", "int8_weight", "set_tracking", "weight_steps"]

WEIGHT_LIMIT = 63
LOW, HIGH, UNSIGNED = -128, 127, 255
"""Ranges of signed activations (stored as uint8 with a zero point of 128) and of unsigned ones."""

CANDIDATES = tuple(0.85**k for k in range(14))
"""Candidates for a step size, relative to the one that clips nothing."""

PACE = 0.1
"""Share of the way to the best step size that an update moves."""


def weight_steps(weight: Tensor) -> Tensor:
    """Return the quantisation step of each output channel of a weight (outputs, …): (outputs, 1, …)."""
    most = weight.detach().abs().flatten(1).amax(1).clamp(min=1e-12)
    return (most / WEIGHT_LIMIT).view(-1, *(1,) * (weight.ndim - 1))


def int8_weight(weight: Tensor) -> Tensor:
    """Round a weight to multiples of its channels' steps; the gradient passes unchanged."""
    return _Rounded.apply(weight)


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        step = weight_steps(weight)
        return (weight / step).round_().mul_(step)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


class Steps(nn.Module):
    """Static step sizes of the activations of a layer or block, by number.

    ``steps`` are 0 before the first tracking.
    """

    steps: Tensor

    def __init__(self, signed: tuple[bool, ...]) -> None:
        """``signed`` says whether each activation has negative values."""
        super().__init__()
        self.signed = signed
        self.tracking = False
        self.register_buffer("steps", torch.zeros(len(signed)))

    @torch.no_grad()
    def track(self, number: int, x: Tensor) -> None:
        """Move step ``number`` towards the best one for ``x``, of any shape, by squared error."""
        x = x.detach().float()
        low, high = (LOW, HIGH) if self.signed[number] else (0, UNSIGNED)
        largest = (x.abs() if self.signed[number] else x).amax().clamp(min=1e-6) / high
        tried = largest * torch.tensor(CANDIDATES, device=x.device)
        errors = torch.stack(
            [((x / s).round_().clamp_(low, high).mul_(s) - x).square_().mean() for s in tried]
        )
        best, now = tried[errors.argmin()], self.steps[number]
        self.steps[number] = torch.where(now > 0, now + PACE * (best - now), best)

    def scaled(self, number: int, x: Tensor) -> Tensor:
        """Return ``x`` in units of its step, rounded; the gradient passes unchanged."""
        if self.tracking:
            self.track(number, x)
        low, high = (LOW, HIGH) if self.signed[number] else (0, UNSIGNED)
        return _RoundedWithin.apply(x / self.steps[number], low, high)


class _RoundedWithin(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: int, high: int) -> Tensor:
        return x.round().clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad, None, None


def set_tracking(network: nn.Module, tracking: bool) -> None:
    """Set whether the step sizes of all activations are updated in forward passes."""
    for module in network.modules():
        if isinstance(module, Steps):
            module.tracking = tracking
