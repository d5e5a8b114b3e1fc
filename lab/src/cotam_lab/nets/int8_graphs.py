"""Analysis and synthesis as ONNX graphs in integers; the first and last layers are floats."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx
from onnx import TensorProto
from torch import nn

from cotam_lab.nets.codec import Analysis, ImageAdapter, Residual, Synthesis
from cotam_lab.nets.int8_layers import IntegerGraph, pixels_first, squares_first
from cotam_lab.nets.layers import Block

__all__ = ["analysis_graph", "synthesis_graph"]


def analysis_graph(analysis: Analysis) -> onnx.ModelProto:
    """Write the graph pixels uint8 (1, H, W, 3) → latents float32 (1, M, H/16, W/16)."""
    graph = IntegerGraph()
    first, down = analysis.enter, analysis.down
    weight = pixels_first(first)
    # (pixel / 255 - 0.5) · 4 is (pixel - 128) · 4/255 + 2/255
    scale, zero = graph.constant(np.float32(4 / 255)), graph.constant(np.uint8(128))
    squares = graph.add("DequantizeLinear", graph.gather_squares("pixels", first.k, 3), scale, zero)
    x = graph.linear(squares, graph.half(weight), first.bias + weight.sum(1) * (2 / 255))
    height, width = graph.side("pixels", 1, divisor=first.k), graph.side("pixels", 2, divisor=first.k)
    x = graph.reshape(x, 1, height, width, len(first.weight))
    x = _through(graph, x, analysis.eighth)
    squares = graph.gather_squares(x, down.k, len(first.weight))
    x = graph.linear(squares, graph.half(pixels_first(down)), down.bias)
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


def synthesis_graph(synthesis: Synthesis, adapter: ImageAdapter) -> onnx.ModelProto:
    """Write the graph latents float32 (1, M, h, w) → pixels uint8 (1, 16h, 16w, 3).

    Its input ``adapted``, 0 … 1, is the weight of the adapter.
    """
    graph = IntegerGraph()
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
    weight, bias = squares_first(up)
    x = graph.linear(graph.reshape(x, -1, len(enter.weight)), graph.half(weight), bias)
    channels = len(up.pointwise.weight) // up.k**2
    x = graph.spread_squares(x, up.k, channels, height, width)
    x = _through(graph, x, synthesis.eighth, adapter.eighth)
    leave = synthesis.leave
    weight, bias = squares_first(leave)
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
    graph: IntegerGraph, x: str, blocks: nn.Sequential, residuals: nn.ModuleList | None = None
) -> str:
    """Add blocks one after the other, each with the residual of an adapter if that is not zero.

    Residuals are computed only where ``adapted`` is above 0.
    """
    if residuals is not None:
        adapted = graph.add("Greater", "adapted", graph.constant(np.float32(0)))
    for number, block in enumerate(blocks):
        assert isinstance(block, Block)
        residual = residuals[number] if residuals is not None else None
        assert residual is None or isinstance(residual, Residual)
        if residual is None or not bool(residual.leave.weight.any() or residual.leave.bias.any()):
            x = graph.block(x, block)
            continue
        terms = graph.terms(x, block)

        def with_residual(x: str = x, terms: tuple[str, str] = terms, residual: Residual = residual) -> str:
            added = graph.add("Mul", graph.space(x, residual), "adapted")
            return graph.add("Add", graph.add("Add", *terms), added)

        x = graph.choose(adapted, with_residual, partial(graph.add, "Add", *terms))
    return x
