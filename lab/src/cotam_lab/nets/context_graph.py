"""The context graph: hyper synthesis and the four context steps, for encoder and decoder; blocks compute in integers.

Latents are ordered by position within each 2×2 square and by channel group, (4 positions · 4 groups, n, M/4). Each
step codes four of these sixteen parts, and nothing is computed for the others (see `quadtree`).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto
from torch import Tensor, nn

from cotam.format.symbols import SYMBOL_LIMIT
from cotam_lab.nets.codec import HyperSynthesis, Means, MeanStep
from cotam_lab.nets.graph_builder import GraphBuilder
from cotam_lab.nets.int8_layers import IntegerGraph, squares_first
from cotam_lab.nets.integers import Steps
from cotam_lab.nets.layers import Block, Unpatch
from cotam_lab.nets.quadtree import STEPS

__all__ = ["context_graph"]

TURNS = (0, 2, 3, 1)
"""Turn of the positions (0, 0), (0, 1), (1, 0), (1, 1)."""

Z_UNIT = 16


def _coded(step: int) -> list[int]:
    """Return the channel group that a step codes at each position."""
    return [(step - turn) % STEPS for turn in TURNS]


class _Grid:
    """A grid of positions: its sides, names of int64 (1,), and whether positions are ordered by place."""

    def __init__(self, graph: GraphBuilder, height: str, width: str, *, by_place: bool) -> None:
        self.height, self.width, self.by_place = height, width, by_place
        two = graph.integers(2)
        self.rows, self.columns = (graph.add("Div", side, two) for side in (height, width))


class _ContextGraph(IntegerGraph):
    """A graph with layers on matrices (positions, C)."""

    def by_place(self, x: str, grid: _Grid, groups: int, channels: int) -> str:
        """(1, groups · C, h, w) → (4 · groups, n, C)."""
        # Two transpositions, of one axis or of whole rows, are far faster than one of all axes.
        x = self.add("Transpose", x, perm=[0, 2, 3, 1])
        return self.rows_by_place(x, grid, groups, channels)

    def rows_by_place(self, x: str, grid: _Grid, groups: int, channels: int) -> str:
        """(1, h, w, groups · C) → (4 · groups, n, C)."""
        x = self.reshape(x, grid.rows, 2, grid.columns, 2, groups, channels)
        return self.reshape(self.add("Transpose", x, perm=[1, 3, 4, 0, 2, 5]), 4 * groups, -1, channels)

    def by_row(self, x: str, grid: _Grid, groups: int, channels: int) -> str:
        """(4 · groups, n, C) → (1, h, w, groups · C)."""
        x = self.reshape(x, 2, 2, groups, grid.rows, grid.columns, channels)
        x = self.add("Transpose", x, perm=[3, 0, 4, 1, 2, 5])
        return self.reshape(x, 1, grid.height, grid.width, groups * channels)

    def mixed(self, x: str, block: Block, grid: _Grid) -> str:
        """A block in integers, on the positions of a grid."""
        self.grid = grid
        channels = len(block.leave.bias)
        return self.reshape(self.block(self.reshape(x, 1, 1, -1, channels), block), -1, channels)

    def depthwise(self, x: str, layer: nn.Conv2d, steps: Steps, number: int) -> str:
        grid, channels = self.grid, layer.weight.shape[0]
        if not grid.by_place:
            x = self.reshape(x, 1, grid.height, grid.width, channels)
            return self.reshape(self.convolution(x, layer, steps, number), 1, 1, -1, channels)
        x = self.convolution(self.by_row(x, grid, 1, channels), layer, steps, number)
        return self.reshape(self.rows_by_place(x, grid, 1, channels), 1, 1, -1, channels)

    def unpatch(self, x: str, layer: Unpatch, grid: _Grid) -> tuple[str, _Grid]:
        """Rows of a grid → rows of one with twice its sides."""
        weight, bias = squares_first(layer)
        outputs = len(bias) // layer.k**2
        x = self.linear(x, self.small(weight, 0), bias)
        x = self.spread_squares(x, layer.k, outputs, grid.height, grid.width)
        tall, wide = (self.add("Mul", side, self.integers(layer.k)) for side in (grid.height, grid.width))
        return self.reshape(x, -1, outputs), _Grid(self, tall, wide, by_place=False)

    def chosen(self, weight: Tensor, *groups: int) -> str:
        """Groups of a weight (groups, inputs, outputs), one after the other."""
        return self.add("Gather", self.small(weight, 0, 2), self.integers(*groups), axis=0)


class _Parts:
    """The latents of the four steps, in 16 parts (16, n, M/4)."""

    def __init__(self, graph: _ContextGraph, grid: _Grid, channels: int, octaves: str) -> None:
        self.graph, self.grid, self.channels = graph, grid, channels
        zero = graph.constant(np.uint8(0))
        self.live = graph.add("Cast", graph.add("Greater", self.of("index"), zero), to=TensorProto.FLOAT)
        self.values = self.of("values")
        self.symbols = graph.add("Mul", self.values, "given")
        self.gains = graph.reshape("gain", STEPS, 1, channels)
        self.scale = graph.add("Pow", graph.constant(np.float32(2)), octaves)
        self.limits = [graph.constant(np.float32(limit)) for limit in (-SYMBOL_LIMIT, SYMBOL_LIMIT)]

    def of(self, name: str) -> str:
        """(1, M, h, w) → (16, n, M/4)."""
        return self.graph.by_place(name, self.grid, STEPS, self.channels)

    def code(self, step: int, mean: str) -> tuple[str, str]:
        """Means of a step, (4, n, M/4) → its symbols and its dequantised latents."""
        graph, groups = self.graph, _coded(step)
        index = graph.integers(*(STEPS * place + group for place, group in enumerate(groups)))
        latents, live, symbols = (
            graph.add("Gather", part, index, axis=0) for part in (self.values, self.live, self.symbols)
        )
        gain = graph.add("Gather", self.gains, graph.integers(*groups), axis=0)
        gain = graph.add("Mul", gain, self.scale)
        residual = graph.add("Mul", graph.add("Sub", latents, mean), gain)
        residual = graph.add("Clip", graph.add("Round", residual), *self.limits)
        symbols = graph.add("Add", symbols, graph.add("Mul", live, residual))
        return symbols, graph.add("Add", mean, graph.add("Div", symbols, gain))

    def whole(self, quarters: list[str]) -> str:
        """What the four steps gave, (4, n, M/4) each → (1, M, h, w)."""
        order = [
            4 * ((group + turn) % STEPS) + place for place, turn in enumerate(TURNS) for group in range(STEPS)
        ]
        graph = self.graph
        found = graph.add("Gather", graph.add("Concat", *quarters, axis=0), graph.integers(*order), axis=0)
        return graph.add("Transpose", graph.by_row(found, self.grid, STEPS, self.channels), perm=[0, 3, 1, 2])


def context_graph(hyper: HyperSynthesis, means: Means) -> onnx.ModelProto:
    """Both directions of the context.

    ``given`` 0: ``values`` are latents, to be rounded against the means (encoder); 1: they are symbols, and ``index`` is
    zero (decoder). → symbols int16 (1, M, h, w), dequantised latents float32 (1, M, h, w); h and w are multiples of 4.
    The other inputs are of `cotam.runtime`.
    """
    graph = _ContextGraph()
    grid = _Grid(graph, graph.side("values", 2), graph.side("values", 3), by_place=True)
    latents = means.first.leave.weight.shape[0]
    octaves = graph.by_place(graph.octaves(grid.height, grid.width), grid, 1, 1)
    nominal = graph.add("Add", octaves, graph.reshape("nominal", 1, 1, 1))
    features = graph.add("Concat", _features(graph, hyper, grid), nominal, axis=2)
    features = graph.reshape(features, -1, means.first.enter.weight.shape[1])
    parts = _Parts(graph, grid, latents // STEPS, octaves)
    symbols: list[str] = []
    decoded: list[str] = []
    for step in range(STEPS):
        found = parts.code(step, _mean(graph, means, step, features, decoded, grid))
        symbols.append(graph.add("Cast", found[0], to=TensorProto.INT16))
        decoded.append(found[1])
    graph.add("Identity", parts.whole(symbols), output="coded")
    graph.add("Identity", parts.whole(decoded), output="dequantised")
    first = hyper.layers[0]
    assert isinstance(first, Unpatch)
    whole: list[int | str] = [1, latents, "h", "w"]
    return graph.model(
        "context",
        {
            "z": (TensorProto.FLOAT, [1, first.pointwise.weight.shape[1], "zh", "zw"]),
            "levels": (TensorProto.FLOAT, [1, 1, "lh", "lw"]),
            "nominal": (TensorProto.FLOAT, [1, 1, 1, 1]),
            "gain": (TensorProto.FLOAT, [1, latents, 1, 1]),
            "index": (TensorProto.UINT8, whole),
            "values": (TensorProto.FLOAT, whole),
            "given": (TensorProto.FLOAT, [1]),
        },
        {"coded": (TensorProto.INT16, whole), "dequantised": (TensorProto.FLOAT, whole)},
    )


def _features(graph: _ContextGraph, hyper: HyperSynthesis, grid: _Grid) -> str:
    """Hyper latents → features by position, (4, n, C)."""
    first, second, third, fourth = hyper.layers
    assert isinstance(first, Unpatch)
    assert isinstance(second, Block)
    assert isinstance(third, Unpatch)
    assert isinstance(fourth, Block)
    z = graph.add("Mul", "z", graph.constant(np.float32(1 / Z_UNIT)))
    x = graph.reshape(graph.add("Transpose", z, perm=[0, 2, 3, 1]), -1, first.pointwise.weight.shape[1])
    small = _Grid(graph, graph.side("z", 2), graph.side("z", 3), by_place=False)
    x, middle = graph.unpatch(x, first, small)
    x, full = graph.unpatch(graph.mixed(x, second, middle), third, middle)
    channels = len(fourth.enter.bias)
    return graph.rows_by_place(graph.mixed(x, fourth, full), grid, 1, channels)


def _mean(
    graph: _ContextGraph, means: Means, number: int, features: str, decoded: list[str], grid: _Grid
) -> str:
    """Return the means of the latents that a step codes, (4, n, M/4)."""
    step = means.first if number == 0 else means.later[number - 1]
    assert isinstance(step, MeanStep)
    seen = means.first.enter.weight.shape[1]
    weight, width = step.enter.weight.detach(), len(step.enter.bias)
    x = graph.linear(features, graph.small(weight[:, :seen], 0), step.enter.bias)
    if number:
        groups = weight[:, seen:].unflatten(1, (STEPS, -1)).permute(1, 2, 0)
        chosen = graph.chosen(
            groups, *(_coded(earlier)[place] for place in range(4) for earlier in range(number))
        )
        known = graph.add(
            "MatMul", graph.add("Concat", *decoded, axis=2), graph.reshape(chosen, 4, -1, width)
        )
        x = graph.add("Add", x, graph.reshape(known, -1, width))
    x = graph.reshape(graph.mixed(x, step.block, grid), 4, -1, width)
    leave = step.leave.weight.detach().unflatten(0, (STEPS, -1)).transpose(1, 2)
    bias = step.leave.bias.detach().unflatten(0, (STEPS, 1, -1))
    mean = graph.add("MatMul", x, graph.chosen(leave, *_coded(number)))
    bias = graph.add("Gather", graph.constant(bias.numpy()), graph.integers(*_coded(number)), axis=0)
    return graph.add("Add", mean, bias)
