"""Runs the graphs of a weight set in torch: the same files, node by node.

Knows the ONNX operators that our graphs use: nothing of the codec. It is the second back end of
``runtime`` and, being independent of ONNX Runtime, the check that symbols do not depend on one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from onnx import GraphProto, NodeProto, helper, load, numpy_helper
from torch import Tensor

Attributes = Mapping[str, Any]
_TYPES = {
    helper.np_dtype_to_tensor_dtype(np.dtype(name)): getattr(torch, name)
    for name in ("float32", "float16", "uint8", "int8", "int16", "int32", "int64", "bool")
}


def _conv(a: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    padding = a.get("pads", [0, 0])[:2]
    return F.conv2d(x, weight, bias, stride=a["strides"], padding=padding, groups=a.get("group", 1))


def _resize(a: Attributes, x: Tensor, *rest: Tensor | None) -> Tensor:
    scales = rest[1]
    assert a["mode"] == b"nearest"
    assert scales is not None
    return F.interpolate(x, scale_factor=tuple(scales[2:].tolist()), mode="nearest")


def _slice(_: Attributes, x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor, steps: Tensor) -> Tensor:
    for start, end, axis, step in zip(*(t.tolist() for t in (starts, ends, axes, steps)), strict=True):
        x = x.index_select(axis, torch.arange(x.shape[axis], device=x.device)[start:end:step])
    return x


def _shape(a: Attributes, x: Tensor) -> Tensor:
    return torch.tensor(list(x.shape)[a.get("start", 0) : a.get("end", x.ndim)])


def _unsqueeze(_: Attributes, x: Tensor, axes: Tensor) -> Tensor:
    for axis in sorted(axes.reshape(-1).tolist()):
        x = x.unsqueeze(axis)
    return x


def _clip(_: Attributes, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(x, low), high)


def _range(_: Attributes, start: Tensor, stop: Tensor, step: Tensor) -> Tensor:
    return torch.arange(int(start), int(stop), int(step))


_OPERATORS: dict[str, Callable[..., Tensor]] = {
    "Add": lambda _, x, y: x + y,
    "BitwiseXor": lambda _, x, y: x ^ y,
    "Cast": lambda a, x: x.to(_TYPES[a["to"]]),
    "Clip": _clip,
    "Concat": lambda a, *parts: torch.cat(parts, a["axis"]),
    "Conv": _conv,
    "DepthToSpace": lambda a, x: F.pixel_shuffle(x, a["blocksize"]),
    "Div": lambda _, x, y: x / y,
    "Equal": lambda _, x, y: x == y,
    "Expand": lambda _, x, shape: x.expand(shape.tolist()),
    "Greater": lambda _, x, y: x > y,
    "LeakyRelu": lambda a, x: F.leaky_relu(x, a["alpha"]),
    "Mod": lambda _, x, y: torch.remainder(x, y),
    "Mul": lambda _, x, y: x * y,
    "Pow": lambda _, x, y: torch.pow(x, y),
    "Range": _range,
    "Resize": _resize,
    "Round": lambda _, x: torch.round(x),
    "Shape": _shape,
    "Slice": _slice,
    "Squeeze": lambda _, x: x.squeeze(),
    "Sub": lambda _, x, y: x - y,
    "Transpose": lambda a, x: x.permute(a["perm"]),
    "Unsqueeze": _unsqueeze,
}


class TorchRunner:
    """The graphs of a folder in torch, on ``device``; loaded when first run."""

    def __init__(self, folder: Path, threads: int = 0, device: str = "cpu") -> None:
        self._folder, self._threads, self._device = folder, threads, device
        self._graphs: dict[str, tuple[GraphProto, dict[str, Tensor]]] = {}

    def _load(self, name: str) -> tuple[GraphProto, dict[str, Tensor]]:
        graph = load(self._folder / f"{name}.onnx").graph
        constants = {
            t.name: torch.from_numpy(np.array(numpy_helper.to_array(t))).to(self._device)
            for t in graph.initializer
        }
        for node in graph.node:
            if node.op_type == "Cast" and node.input[0] in constants:
                constants[node.output[0]] = _run(node, constants)
        return graph, constants

    @torch.no_grad()
    def __call__(self, graph: str, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        if graph not in self._graphs:
            self._graphs[graph] = self._load(graph)
        if self._threads and torch.get_num_threads() != self._threads:  # it is one number for all of torch
            torch.set_num_threads(self._threads)
        proto, constants = self._graphs[graph]
        known = dict(constants)
        for name, array in inputs.items():
            known[name] = torch.from_numpy(np.array(array)).to(self._device)
        for node in proto.node:
            if node.output[0] not in known:
                known[node.output[0]] = _run(node, known)
        return [known[output.name].cpu().numpy() for output in proto.output]


def _run(node: NodeProto, known: Mapping[str, Tensor]) -> Tensor:
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return _OPERATORS[node.op_type](attributes, *(known[name] if name else None for name in node.input))
