"""Analysis and synthesis as ONNX graphs in integers.

Quantised layers are the operators ``QLinearConv`` and ``MatMulIntegerToFloat`` of ONNX Runtime in channels-last order,
so that they run in integers at every optimisation level, without changes of layout. The residual stream and the first
and last layers are floats. The emulation in torch (`layers.Block`) agrees up to rounding.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import Tensor, nn

from cotam_lab.nets.codec import Analysis, PictureAdapter, Residual, Synthesis
from cotam_lab.nets.graph_builder import CONTRIB, GraphBuilder
from cotam_lab.nets.integers import Steps, weight_steps
from cotam_lab.nets.layers import Block, Pointwise

__all__ = ["analysis_graph", "synthesis_graph"]

SIGNED_ZERO = 128


class _IntegerGraph(GraphBuilder):
    """A graph with quantised layers; x is (1, h, w, C)."""

    def step(self, steps: Steps, number: int) -> tuple[str, str]:
        """Add scale and zero point of an activation."""
        zero = SIGNED_ZERO if steps.signed[number] else 0
        return self.constant(steps.steps[number].numpy()), self.constant(np.uint8(zero))

    def convolution(self, x: str, layer: Pointwise | nn.Conv2d, steps: Steps, number: int) -> str:
        """uint8 with step ``number`` → uint8 with the next step, after a ReLU if that is unsigned."""
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

    def product(self, x: str, layer: Pointwise, steps: Steps, number: int) -> str:
        """uint8 with step ``number`` → floats."""
        integers, scales = _int8(layer.weight, layer.bias, steps.steps[number])
        scale, zero = self.step(steps, number)
        return self.add(
            "MatMulIntegerToFloat",
            x,
            self.constant(integers.T.numpy()),
            scale,
            self.constant(scales.numpy()),
            zero,
            self.constant(np.zeros(len(scales), np.int8)),
            self.constant(layer.bias.detach().numpy()),
            domain=CONTRIB,
        )

    def space(self, x: str, part: Block | Residual) -> str:
        steps = part.space_steps
        assert steps is not None
        inner = self.add("QuantizeLinear", x, *self.step(steps, 0))
        inner = self.convolution(inner, part.enter, steps, 0)
        inner = self.convolution(inner, part.depthwise, steps, 1)
        return self.product(inner, part.leave, steps, 2)

    def block(self, x: str, block: Block) -> str:
        steps = block.channel_steps
        assert steps is not None
        x = self.add("Add", x, self.space(x, block))
        inner = self.add("QuantizeLinear", x, *self.step(steps, 0))
        inner = self.convolution(inner, block.widen, steps, 0)
        return self.add("Add", x, self.product(inner, block.narrow, steps, 1))


def _int8(weight: Tensor, bias: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise a weight to int8 with a step for each output channel, large enough for biases to fit int32."""
    found = weight_steps(weight)
    least = bias.detach().abs() / (2.0**30 * step)
    found = torch.maximum(found, least.view(found.shape))
    return torch.round(weight.detach() / found).to(torch.int8), found.flatten()


def analysis_graph(analysis: Analysis) -> onnx.ModelProto:
    """Write the graph pixels uint8 (1, H, W, 3) → latents float32 (1, M, H/16, W/16)."""
    graph = _IntegerGraph()
    first, down = analysis.enter, analysis.down
    weight = first.weight.detach().unflatten(1, (3, first.k, first.k)).permute(0, 2, 3, 1).flatten(1)
    # (pixel / 255 - 0.5) · 4 is (pixel - 128) · 4/255 + 2/255
    scale, zero = graph.constant(np.float32(4 / 255)), graph.constant(np.uint8(128))
    squares = graph.add("DequantizeLinear", graph.gather_squares("pixels", first.k, 3), scale, zero)
    x = graph.linear(squares, graph.half(weight), first.bias + weight.sum(1) * (2 / 255))
    height, width = graph.side("pixels", 1, divisor=first.k), graph.side("pixels", 2, divisor=first.k)
    x = graph.reshape(x, 1, height, width, len(first.weight))
    x = _through(graph, x, analysis.eighth)
    weight = down.weight.detach().unflatten(1, (len(first.weight), down.k, down.k))
    x = graph.linear(
        graph.gather_squares(x, down.k, len(first.weight)),
        graph.half(weight.permute(0, 2, 3, 1).flatten(1)),
        down.bias,
    )
    height, width = graph.side("pixels", 1, divisor=16), graph.side("pixels", 2, divisor=16)
    x = graph.reshape(x, 1, height, width, len(down.weight))
    x = _through(graph, x, analysis.sixteenth)
    x = graph.linear(
        graph.reshape(x, -1, len(down.weight)), graph.half(analysis.leave.weight), analysis.leave.bias
    )
    channels = len(analysis.leave.weight)
    x = graph.reshape(x, 1, height, width, channels)
    graph.add("Transpose", x, perm=[0, 3, 1, 2], output="latents")
    return graph.model(
        "analysis",
        {"pixels": (TensorProto.UINT8, [1, "H", "W", 3])},
        {"latents": (TensorProto.FLOAT, [1, channels, "h", "w"])},
    )


def synthesis_graph(synthesis: Synthesis, adapter: PictureAdapter) -> onnx.ModelProto:
    """Write the graph latents float32 (1, M, h, w) → pixels uint8 (1, 16h, 16w, 3).

    Its input ``adapted``, 0 … 1, is the weight of the adapter.
    """
    graph = _IntegerGraph()
    height, width = graph.side("latents", 2), graph.side("latents", 3)
    gain = graph.octaves(height, width)
    x = graph.add("Concat", "latents", graph.add("Add", gain, "nominal"), axis=1)
    enter = synthesis.enter
    x = graph.reshape(graph.add("Transpose", x, perm=[0, 2, 3, 1]), -1, enter.weight.shape[1])
    x = graph.reshape(
        graph.linear(x, graph.half(enter.weight), enter.bias), 1, height, width, len(enter.weight)
    )
    x = _through(graph, x, synthesis.sixteenth, adapter.sixteenth)
    up = synthesis.up
    weight, bias = _squares_first(up.pointwise, up.k)
    x = graph.linear(graph.reshape(x, -1, len(enter.weight)), graph.half(weight), bias)
    channels = len(up.pointwise.weight) // up.k**2
    x = graph.spread_squares(x, up.k, channels, height, width)
    x = _through(graph, x, synthesis.eighth, adapter.eighth)
    leave = synthesis.leave
    weight, bias = _squares_first(leave.pointwise, leave.k)
    # (x / 4 + 0.5) · 255 is (x + 2) · 255/4
    x = graph.linear(graph.reshape(x, -1, channels), graph.half(weight), bias + 2)
    x = graph.add("QuantizeLinear", x, graph.constant(np.float32(4 / 255)), graph.constant(np.uint8(0)))
    tall, wide = (graph.add("Mul", side, graph.integers(2)) for side in (height, width))
    graph.add("Identity", graph.spread_squares(x, leave.k, 3, tall, wide), output="pixels")
    return graph.model(
        "synthesis",
        {
            "latents": (TensorProto.FLOAT, [1, enter.weight.shape[1] - 1, "h", "w"]),
            "levels": (TensorProto.FLOAT, [1, 1, "lh", "lw"]),
            "nominal": (TensorProto.FLOAT, [1, 1, 1, 1]),
            "adapted": (TensorProto.FLOAT, [1]),
        },
        {"pixels": (TensorProto.UINT8, [1, "H", "W", 3])},
    )


def _through(
    graph: _IntegerGraph, x: str, blocks: nn.Sequential, residuals: nn.ModuleList | None = None
) -> str:
    """Add blocks one after the other, each with the residual of an adapter if that is not zero."""
    for number, block in enumerate(blocks):
        assert isinstance(block, Block)
        added = None
        if residuals is not None:
            residual = residuals[number]
            assert isinstance(residual, Residual)
            if bool((residual.leave.weight != 0).any() or (residual.leave.bias != 0).any()):
                added = graph.add("Mul", graph.space(x, residual), "adapted")
        x = graph.block(x, block)
        if added:
            x = graph.add("Add", x, added)
    return x


def _squares_first(layer: Pointwise, k: int) -> tuple[Tensor, Tensor]:
    """Return weight and bias with outputs in the order (row, column, channel), not (channel, row, column)."""

    def order(t: Tensor) -> Tensor:
        return t.detach().unflatten(0, (-1, k, k)).movedim(0, 2).flatten(0, 2)

    return order(layer.weight), order(layer.bias)
