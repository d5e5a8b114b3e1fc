"""Layers that compute in integers, as nodes of ONNX graphs.

Quantised layers are the operators ``QLinearConv``, ``QLinearLeakyRelu`` and ``MatMulIntegerToFloat`` of ONNX Runtime in
channels-last order, so that they run in integers at every optimisation level, without changes of layout. The residual
stream stays in floats. The emulation in torch (`layers.Block`) agrees up to rounding.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from cotam_lab.nets.codec import Residual
from cotam_lab.nets.graph_builder import CONTRIB, GraphBuilder
from cotam_lab.nets.integers import Steps, weight_steps
from cotam_lab.nets.layers import Block, Patches, Pointwise, Unpatch

__all__ = ["IntegerGraph", "pixels_first", "squares_first"]

SIGNED_ZERO = 128


class IntegerGraph(GraphBuilder):
    """A graph with quantised layers; x is (1, h, w, C)."""

    def step(self, steps: Steps, number: int) -> tuple[str, str]:
        """Add scale and zero point of an activation."""
        zero = SIGNED_ZERO if steps.signed[number] else 0
        return self.constant(steps.steps[number].numpy()), self.constant(np.uint8(zero))

    def convolution(self, x: str, layer: Pointwise | nn.Conv2d, steps: Steps, number: int) -> str:
        """uint8 with step ``number`` → uint8 with the next step; what is below zero is clipped if that is unsigned."""
        assert layer.bias is not None
        weight = layer.weight if layer.weight.ndim == 4 else layer.weight[:, :, None, None]
        integers, scales = _int8(weight, layer.bias, steps.steps[number])
        bias = torch.round(layer.bias.detach().double() / (steps.steps[number].double() * scales.double()))
        k = weight.shape[2]
        return self.add(
            "QLinearConv",
            x,
            *self.step(steps, number),
            self.constant(integers.numpy()),
            self.constant(scales.numpy()),
            self.constant(np.zeros(len(scales), np.int8)),
            *self.step(steps, number + 1),
            self.constant(bias.numpy().astype(np.int32)),
            domain=CONTRIB,
            channels_last=1,
            kernel_shape=[k, k],
            pads=[k // 2] * 4,
            group=weight.shape[0] if weight.shape[1] == 1 and k > 1 else 1,
        )

    def product(self, x: str, weight: Tensor, bias: Tensor, steps: Steps, number: int) -> str:
        """uint8 with step ``number`` → floats; ``weight`` is (outputs, inputs)."""
        integers, scales = _int8(weight, bias, steps.steps[number])
        scale, zero = self.step(steps, number)
        return self.add(
            "MatMulIntegerToFloat",
            x,
            self.constant(integers.T.numpy()),
            scale,
            self.constant(scales.numpy()),
            zero,
            self.constant(np.zeros(len(scales), np.int8)),
            self.constant(bias.detach().numpy()),
            domain=CONTRIB,
        )

    def space(self, x: str, part: Block | Residual) -> str:
        steps = part.space_steps
        assert steps is not None
        inner = self.add("QuantizeLinear", x, *self.step(steps, 0))
        inner = self.convolution(inner, part.enter, steps, 0)
        if isinstance(part, Block):
            inner = self.leaky_relu(inner, part.slope, steps, 1)
        inner = self.depthwise(inner, part.depthwise, steps, 1)
        return self.product(inner, part.leave.weight, part.leave.bias, steps, 2)

    def depthwise(self, x: str, layer: nn.Conv2d, steps: Steps, number: int) -> str:
        """As `convolution`; for layouts in which neighbours are not beside each other."""
        return self.convolution(x, layer, steps, number)

    def leaky_relu(self, x: str, slope: float, steps: Steps, number: int) -> str:
        """uint8 with step ``number`` → the same; a ``slope`` of 0 is part of `convolution`."""
        if not slope:
            return x
        step = self.step(steps, number)
        return self.add("QLinearLeakyRelu", x, *step, *step, domain=CONTRIB, alpha=slope)

    def block(self, x: str, block: Block) -> str:
        return self.add("Add", *self.terms(x, block))

    def terms(self, x: str, block: Block) -> tuple[str, str]:
        """Return the two terms whose sum is the result of a block."""
        steps = block.channel_steps
        assert steps is not None
        x = self.add("Add", x, self.space(x, block))
        inner = self.add("QuantizeLinear", x, *self.step(steps, 0))
        inner = self.leaky_relu(self.convolution(inner, block.widen, steps, 0), block.slope, steps, 1)
        return x, self.product(inner, block.narrow.weight, block.narrow.bias, steps, 1)


def pixels_first(layer: Patches) -> Tensor:
    """Return the weight with inputs in the order (row, column, channel), not (channel, row, column)."""
    return layer.weight.detach().unflatten(1, (-1, layer.k**2)).transpose(1, 2).flatten(1)


def squares_first(layer: Unpatch) -> tuple[Tensor, Tensor]:
    """Return weight and bias with outputs in the order (row, column, channel), not (channel, row, column)."""

    def order(t: Tensor) -> Tensor:
        return t.detach().unflatten(0, (-1, layer.k**2)).transpose(0, 1).flatten(0, 1)

    return order(layer.pointwise.weight), order(layer.pointwise.bias)


def _int8(weight: Tensor, bias: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise a weight to int8 with a step for each output channel, large enough for biases to fit int32."""
    found = weight_steps(weight)
    least = bias.detach().abs() / (2.0**30 * step)
    found = torch.maximum(found, least.view(found.shape))
    return torch.round(weight.detach() / found).to(torch.int8), found.flatten()
