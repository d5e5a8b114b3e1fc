"""Write ONNX graphs operator by operator, channels last. Methods take and return names of values."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from cotam_lab.nets.entropy import STEPS_PER_OCTAVE
from cotam_lab.nets.export import OPSET, int8_steps

__all__ = ["CONTRIB", "GraphBuilder", "Values"]

CONTRIB = "com.microsoft"
Values = dict[str, tuple[int, list[int | str]]]
"""Name → type and shape of inputs or outputs."""


class GraphBuilder:
    """Nodes and constants of a graph under construction, shared by analysis, synthesis and context."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._numbers = count()
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: np.ndarray | np.generic) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", output: str = "", **attributes: Any) -> str:
        output = output or f"v{next(self._numbers)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], domain=domain, **attributes))
        return output

    def choose(self, condition: str, then: Callable[[], str], otherwise: Callable[[], str]) -> str:
        """Add an If, whose branches have the nodes that each callable adds; results are float32."""
        branches = []
        for name, make in (("then", then), ("else", otherwise)):
            outer, self.nodes = self.nodes, []
            result = helper.make_tensor_value_info(make(), TensorProto.FLOAT, None)
            branches.append(helper.make_graph(self.nodes, name, [], [result]))
            self.nodes = outer
        return self.add("If", condition, then_branch=branches[0], else_branch=branches[1])

    def half(self, value: Tensor) -> str:
        """Add a float32 constant that is stored as float16."""
        return self.add(
            "Cast", self.constant(value.detach().numpy().astype(np.float16)), to=TensorProto.FLOAT
        )

    def small(self, weight: Tensor, *outputs: int) -> str:
        """Add a float32 constant that is stored as int8 with steps by the axes ``outputs``, see `int8_steps`."""
        integers, steps = int8_steps(weight.detach().float().numpy(), outputs)
        floats = self.add("Cast", self.constant(integers), to=TensorProto.FLOAT)
        return self.add("Mul", floats, self.constant(steps))

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def side(self, x: str, axis: int, divisor: int = 1) -> str:
        """Add the length of an axis divided by ``divisor``, int64 (1,)."""
        length = self.add("Shape", x, start=axis, end=axis + 1)
        return self.add("Div", length, self.integers(divisor)) if divisor > 1 else length

    def reshape(self, x: str, *shape: str | int) -> str:
        parts = [self.integers(side) if isinstance(side, int) else side for side in shape]
        return self.add("Reshape", x, self.add("Concat", *parts, axis=0))

    def model(self, name: str, inputs: Values, outputs: Values) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(key, *value) for key, value in inputs.items()],
            [helper.make_tensor_value_info(key, *value) for key, value in outputs.items()],
            self.constants,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        onnx.checker.check_model(model)
        return model

    def linear(self, x: str, weight: str, bias: Tensor) -> str:
        """(N, inputs) → (N, outputs) in floats; ``weight`` is (outputs, inputs)."""
        return self.add("Gemm", x, weight, self.constant(bias.detach().float().numpy()), transB=1)

    def octaves(self, height: str, width: str) -> str:
        """The input "levels" at 1/32 → log2 of the gain offsets at 1/16, (1, 1, height, width)."""
        near = self.add(
            "Resize",
            "levels",
            "",
            self.constant(np.array([1, 1, 2, 2], np.float32)),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        ends = self.add("Concat", height, width, axis=0)
        near = self.add("Slice", near, self.integers(0, 0), ends, self.integers(2, 3))
        return self.add("Mul", near, self.constant(np.float32(1 / STEPS_PER_OCTAVE)))

    def gather_squares(self, x: str, k: int, channels: int) -> str:
        """(1, h, w, C) → (h/k · w/k, k · k · C)."""
        height, width = self.side(x, 1, divisor=k), self.side(x, 2, divisor=k)
        x = self.reshape(x, height, k, width, k * channels)
        return self.reshape(self.add("Transpose", x, perm=[0, 2, 1, 3]), -1, k * k * channels)

    def spread_squares(self, x: str, k: int, channels: int, height: str, width: str) -> str:
        """(h · w, k · k · C) → (1, k·h, k·w, C)."""
        x = self.add("Transpose", self.reshape(x, height, width, k, k * channels), perm=[0, 2, 1, 3])
        return self.reshape(
            x,
            1,
            self.add("Mul", height, self.integers(k)),
            self.add("Mul", width, self.integers(k)),
            channels,
        )
