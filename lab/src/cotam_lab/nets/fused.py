"""Residual steps with hand-written gradients, which take a third of the memory traffic of autograd on a CPU.

Activations are matrices (positions, channels) in channels-last order; products run in bf16 under autocast. The
plain forms in `layers` define the results; tests compare both.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cotam_lab.nets.integers import HIGH, LOW, UNSIGNED

__all__ = ["mix_channels", "mix_space"]


def _dtype(x: Tensor) -> torch.dtype:
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def mix_space(
    x: Tensor,
    enter: tuple[Tensor, Tensor],
    depthwise: tuple[Tensor, Tensor],
    leave: tuple[Tensor, Tensor],
    slope: float,
    step: float | None = None,
    *,
    residual: bool = True,
) -> Tensor:
    """Return x + leave(depthwise(act(enter(x)))), (B, C, H, W); each pair is a weight and a bias.

    Parameters
    ----------
    slope : slope of the leaky ReLU
    step : quantisation step of ``x``; the other steps are folded into the weights, and activations are rounded as in
        `layers`. None does not round.
    residual : whether to add ``x``
    """
    dtype = _dtype(x)
    weights = [t.to(dtype) for pair in (enter, depthwise, leave) for t in pair]
    flat = x.permute(0, 2, 3, 1).to(dtype).contiguous()
    found = _MixSpace.apply(flat, *weights, slope, step, residual)
    return found.permute(0, 3, 1, 2)


def mix_channels(
    x: Tensor,
    widen: tuple[Tensor, Tensor],
    narrow: tuple[Tensor, Tensor],
    slope: float,
    step: float | None = None,
) -> Tensor:
    """Return x + narrow(act(widen(x))), (B, C, H, W); the parameters are those of `mix_space`."""
    dtype = _dtype(x)
    weights = [t.to(dtype) for pair in (widen, narrow) for t in pair]
    flat = x.permute(0, 2, 3, 1).to(dtype).contiguous()
    return _MixChannels.apply(flat, *weights, slope, step).permute(0, 3, 1, 2)


def _linear(x: Tensor, weight: Tensor, bias: Tensor, slope: float) -> Tensor:
    """Compute product, bias and leaky ReLU, on a CPU in one pass."""
    if x.device.type == "cpu" and x.dtype == torch.bfloat16:
        name, scalars = ("leaky_relu", [slope]) if slope else ("relu", [])
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, name, scalars, "")
    return F.leaky_relu_(F.linear(x, weight, bias), slope)


def _inner(x: Tensor, weight: Tensor, bias: Tensor, slope: float, rounded: bool) -> Tensor:
    """Compute product, bias and leaky ReLU; ``rounded`` as activations of int8."""
    if not rounded:
        return _linear(x, weight, bias, slope)
    if not slope:
        return _linear(x, weight, bias, 0.0).round_().clamp_(max=UNSIGNED)  # not negative
    return F.leaky_relu_(F.linear(x, weight, bias).round_().clamp_(LOW, HIGH), slope).round_()


def _scaled(x: Tensor, step: float) -> Tensor:
    """Return ``x`` in units of ``step``, rounded to the range of int8."""
    return (x * (1 / step)).round_().clamp_(LOW, HIGH)


class _MixSpace(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *rest: Any) -> Tensor:
        w1, b1, w2, b2, w3, b3, slope, step, residual = rest
        with torch.autocast(x.device.type, enabled=False):
            shape = x.shape
            x2 = x.view(-1, shape[3])
            source = x2 if step is None else _scaled(x2, step)
            a = _inner(source, w1, b1, slope, step is not None)
            a4 = a.view(*shape[:3], -1).permute(0, 3, 1, 2)
            d4 = F.conv2d(a4, w2, b2, padding=1, groups=len(w2))
            d = d4.permute(0, 2, 3, 1).reshape(a.shape)
            if step is not None:
                d.round_().clamp_(LOW, HIGH)
            y = F.linear(d, w3, b3)
            if residual:
                y += x2
        ctx.save_for_backward(source, a, d, w1, w2, w3)
        ctx.slope, ctx.step, ctx.shape, ctx.residual = slope, step, shape, residual
        return y.view(*shape[:3], -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        source, a, d, w1, w2, w3 = ctx.saved_tensors
        with torch.autocast(grad.device.type, enabled=False):
            g = grad.reshape(len(d), -1)
            gw3, gb3 = g.T @ d, g.sum(0)
            gd = g @ w3
            four = (*ctx.shape[:3], -1)
            ga, gw2, gb2 = torch.ops.aten.convolution_backward(
                gd.view(four).permute(0, 3, 1, 2),
                a.view(four).permute(0, 3, 1, 2),
                w2,
                [len(w2)],
                [1, 1],
                [1, 1],
                [1, 1],
                False,
                [0, 0],
                len(w2),
                [True, True, True],
            )
            ga = ga.permute(0, 2, 3, 1).reshape(a.shape)
            ga = torch.ops.aten.leaky_relu_backward(ga, a, ctx.slope, True)
            gw1, gb1 = ga.T @ source, ga.sum(0)
            if ctx.step is not None:
                w1 = w1 * (1 / ctx.step)
            gx = torch.addmm(g, ga, w1) if ctx.residual else ga @ w1
        return gx.view(ctx.shape), gw1, gb1, gw2, gb2, gw3, gb3, None, None, None


class _MixChannels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *rest: Any) -> Tensor:
        w1, b1, w2, b2, slope, step = rest
        with torch.autocast(x.device.type, enabled=False):
            shape = x.shape
            x2 = x.view(-1, shape[3])
            source = x2 if step is None else _scaled(x2, step)
            a = _inner(source, w1, b1, slope, step is not None)
            y = F.linear(a, w2, b2)
            y += x2
        ctx.save_for_backward(source, a, w1, w2)
        ctx.slope, ctx.step = slope, step
        return y.view(shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        source, a, w1, w2 = ctx.saved_tensors
        with torch.autocast(grad.device.type, enabled=False):
            g = grad.reshape(len(a), -1)
            gw2, gb2 = g.T @ a, g.sum(0)
            ga = torch.ops.aten.leaky_relu_backward(g @ w2, a, ctx.slope, True)
            gw1, gb1 = ga.T @ source, ga.sum(0)
            if ctx.step is not None:
                w1 = w1 * (1 / ctx.step)
            gx = torch.addmm(g, ga, w1)
        return gx.view(grad.shape), gw1, gb1, gw2, gb2, None, None
