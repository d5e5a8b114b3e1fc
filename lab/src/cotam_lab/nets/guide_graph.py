"""The built-in guide as an ONNX graph in integers; the last layer, and those of the image's mean, compute in floats."""

from __future__ import annotations

import math

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import nn

from cotam_lab.nets.guide_lite import HEADS, MUCH_TEXT, MULTIPLE, RELATIVE, SPREAD, Lite
from cotam_lab.nets.int8_layers import IntegerGraph, pixels_first, squares_first
from cotam_lab.nets.integers import Steps, int8_weight
from cotam_lab.nets.layers import NEGATIVE_SLOPE, Block, Patches, Pointwise

__all__ = ["guide_graph"]

LEAST_VARIANCE = 1e-8


def guide_graph(guide: Lite) -> onnx.ModelProto:
    """Write the graph pixels uint8 (1, H, W, 3) → importance, text and structure.

    ``importance``, float32 (1, H/16, W/16), is the maximum of the mixture of relative maps, each of mean 1, and of text
    nearby times its weight. The confidence of text is squared, so that low confidence does not raise plain cells.

    ``text``, of the same shape, is importance by text alone, 1 where there is none. Its share falls with the area of
    text below `MUCH_TEXT`: the little that is found on photographs is a fence or a window as often as it is text.

    ``structure``, float32 (1, 2), are the sums of the deviations of luma within cells of 32 pixels, weighted by text
    and not, so blank paper and plain sky do not count.
    """
    graph = _GuideGraph()
    features, luma = graph.enter(guide)
    maps = graph.maps(guide, features)
    graph.outputs(guide, maps, luma)
    cells: list[int | str] = [1, "h", "w"]
    return graph.model(
        "guide",
        {"pixels": (TensorProto.UINT8, [1, "H", "W", 3])},
        {
            "importance": (TensorProto.FLOAT, cells),
            "text": (TensorProto.FLOAT, cells),
            "structure": (TensorProto.FLOAT, [1, 2]),
        },
    )


class _GuideGraph(IntegerGraph):
    """The parts of the graph, in order."""

    def enter(self, guide: Lite) -> tuple[str, str]:
        """Pixels → features (1, H/8, W/8, C), and luma of squares of 8×8 pixels, 0 … 1, (H/8 · W/8, 64)."""
        layer, step = guide.enter, 4 / 255
        squares = self.gather_squares("pixels", layer.k, 3)
        # (pixel / 255 - 0.5) · 4 is (pixel - 128) · step + step / 2
        pixels = Steps((True,))
        pixels.steps.fill_(step)
        bias = layer.bias + int8_weight(layer.weight).sum(1) * (step / 2)
        x = self.product(squares, pixels_first(layer), bias, pixels, 0)
        # luma, the mean of three channels / 255, is the sum of (pixel - 128) · step / 12, plus 128/255
        mean = torch.eye(layer.k**2).repeat_interleave(3, 1) / 12
        luma = self.product(squares, mean, torch.full((layer.k**2,), 128 / 255), pixels, 0)
        return self.reshape(x, 1, *self.sides(layer.k), len(layer.bias)), luma

    def maps(self, guide: Lite, x: str) -> str:
        """Features → log2 maps (H/16 · W/16, heads), within -8 … 8."""
        x = self.patches(self.through(guide.eighth, x), guide.down, guide.steps, 0)
        x = middle = self.through(guide.sixteenth, self.reshape(x, 1, *self.sides(16), len(guide.down.bias)))
        x = self.patches(x, guide.further, guide.steps, 1)
        x = self.reshape(x, 1, *self.sides(32), len(guide.further.bias))
        for block, everywhere in zip(guide.near, guide.everywhere, strict=True):
            assert isinstance(block, Block)
            assert isinstance(everywhere, Pointwise)
            x = self.block(x, block)
            mean = self.reshape(self.add("ReduceMean", x, self.integers(1, 2), keepdims=0), 1, -1)
            mean = self.add("LeakyRelu", mean, alpha=NEGATIVE_SLOPE)
            x = self.add("Add", x, self.dense(mean, everywhere))
        x = self.add("QuantizeLinear", x, *self.step(guide.steps, 2))
        x = self.product(x, *squares_first(guide.up), guide.steps, 2)
        x = self.spread_squares(x, guide.up.k, len(guide.down.bias), *self.sides(32))
        x = self.add("LeakyRelu", self.add("Add", middle, x), alpha=NEGATIVE_SLOPE)
        x = self.dense(self.reshape(x, -1, len(guide.down.bias)), guide.leave)
        return self.add("Clip", x, self.constant(np.float32(-8)), self.constant(np.float32(8)))

    def outputs(self, guide: Lite, maps: str, luma: str) -> None:
        """Add the outputs."""
        sides = self.sides(MULTIPLE // 2)
        attended, text = self.split(maps, RELATIVE, len(HEADS) - RELATIVE)
        attended = self.octaves_to_factors(attended)
        attended = self.add("Div", attended, self.add("ReduceMean", attended, self.integers(0), keepdims=1))
        mixture = guide.mixture.detach().numpy()
        attended = self.add("MatMul", attended, self.constant(mixture[:RELATIVE, None]))
        attended = self.reshape(attended, 1, *sides)
        text = self.octaves_to_factors(self.add("Min", text, self.constant(np.float32(0))), times=2)
        text = self.reshape(text, 1, 1, *sides)
        text = self.add("MaxPool", text, kernel_shape=[SPREAD] * 2, pads=[SPREAD // 2] * 4)
        self.structure(luma, text)
        much = self.add("ReduceMean", text, self.integers(2, 3), keepdims=1)
        much = self.add("Mul", much, self.constant(np.float32(1 / MUCH_TEXT)))
        much = self.add("Min", much, self.constant(np.float32(1)))
        weight = self.constant(mixture[RELATIVE])
        alone = self.reshape(self.add("Mul", self.add("Mul", text, much), weight), 1, *sides)
        self.add("Max", alone, self.constant(np.float32(1)), output="text")
        near = self.reshape(self.add("Mul", text, weight), 1, *sides)
        self.add("Max", attended, near, output="importance")

    def structure(self, luma: str, text: str) -> None:
        """Add the output ``structure``: luma (H/8 · W/8, 64) and text (1, 1, H/16, W/16) → (1, 2)."""
        rows, columns = self.sides(8)
        mean, square = (
            self.reshape(self.add(operator, luma, self.integers(1), keepdims=1), 1, 1, rows, columns)
            for operator in ("ReduceMean", "ReduceSumSquare")
        )
        square = self.add("Mul", square, self.constant(np.float32(1 / 64)))
        mean, square, text = (
            self.add("AveragePool", x, kernel_shape=[k, k], strides=[k, k])
            for x, k in ((mean, MULTIPLE // 8), (square, MULTIPLE // 8), (text, 2))
        )
        variance = self.add("Sub", square, self.add("Mul", mean, mean))
        deviation = self.add("Sqrt", self.add("Max", variance, self.constant(np.float32(LEAST_VARIANCE))))
        sums = (
            self.reshape(self.add("ReduceSum", x, self.integers(1, 2, 3), keepdims=0), 1, 1)
            for x in (self.add("Mul", text, deviation), deviation)
        )
        self.add("Concat", *sums, axis=1, output="structure")

    def sides(self, divisor: int) -> list[str]:
        return [self.side("pixels", axis, divisor=divisor) for axis in (1, 2)]

    def split(self, x: str, *sizes: int) -> list[str]:
        """Split the last axis of a matrix."""
        found = [f"{x}_{number}" for number in range(len(sizes))]
        self.nodes.append(helper.make_node("Split", [x, self.integers(*sizes)], found, axis=1))
        return found

    def octaves_to_factors(self, x: str, times: float = 1) -> str:
        return self.add("Exp", self.add("Mul", x, self.constant(np.float32(times * math.log(2)))))

    def through(self, blocks: nn.Sequential, x: str) -> str:
        for block in blocks:
            assert isinstance(block, Block)
            x = self.block(x, block)
        return x

    def patches(self, x: str, layer: Patches, steps: Steps, number: int) -> str:
        """Quantise activation ``number``, (1, h, w, C), and apply ``layer``: (h/k · w/k, outputs)."""
        x = self.add("QuantizeLinear", x, *self.step(steps, number))
        squares = self.gather_squares(x, layer.k, layer.weight.shape[1] // layer.k**2)
        return self.product(squares, pixels_first(layer), layer.bias, steps, number)

    def dense(self, x: str, layer: Pointwise) -> str:
        return self.linear(x, self.small(layer.weight, 0), layer.bias)
