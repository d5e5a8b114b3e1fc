"""Guides for tests and measurements, made by hand: ``python tests/guides.py FOLDER`` writes two graphs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CELL = 16
METADATA = {
    "cotam.guide": "1",
    "cotam.guide.kind": "conv",
    "cotam.guide.side": "768",
    "cotam.guide.multiple": str(CELL),
    "cotam.guide.name": "gradient energy",
}


def energy_graph(**metadata: str | None) -> bytes:
    """Mean square of horizontal and vertical differences in each cell of 16×16 pixels, plus a little.

    ``metadata``: values of ``cotam.guide.KEY`` to change, None to leave out; ``version`` is ``cotam.guide``.
    """
    gray = np.array([0.299, 0.587, 0.114], np.float32) / 255
    kernel = np.zeros((2, 3, 3, 3), np.float32)
    kernel[0, :, 1, 0], kernel[0, :, 1, 2] = -gray, gray
    kernel[1, :, 0, 1], kernel[1, :, 2, 1] = -gray, gray
    nodes = [
        helper.make_node("Cast", ["pixels"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["wide"], ["planes"], perm=[0, 3, 1, 2]),
        # Edges are repeated: a border of zeros would be the strongest edge of all.
        helper.make_node("Pad", ["planes", "border"], ["padded"], mode="edge"),
        helper.make_node("Conv", ["padded", "kernel"], ["differences"]),
        helper.make_node("Mul", ["differences", "differences"], ["squares"]),
        helper.make_node("AveragePool", ["squares"], ["means"], kernel_shape=[CELL] * 2, strides=[CELL] * 2),
        helper.make_node("ReduceSum", ["means", "channels"], ["energy"], keepdims=0),
        helper.make_node("Add", ["energy", "little"], ["importance"]),
    ]
    constants = {
        "border": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "kernel": kernel,
        "channels": np.array([1]),
        "little": np.float32(1e-4),
    }
    return serialised(nodes, constants, metadata)


def contrast_graph(**metadata: str | None) -> bytes:
    """How far the mean colour of each cell of 16×16 pixels is from that around it, squared, plus a little."""
    around = {"kernel_shape": [15, 15], "pads": [7, 7, 7, 7], "strides": [1, 1], "count_include_pad": 0}
    nodes = [
        helper.make_node("Cast", ["pixels"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["wide", "unit"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["near"], kernel_shape=[CELL] * 2, strides=[CELL] * 2),
        helper.make_node("AveragePool", ["near"], ["far"], **around),
        helper.make_node("Sub", ["near", "far"], ["away"]),
        helper.make_node("Mul", ["away", "away"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "channels"], ["contrast"], keepdims=0),
        helper.make_node("Add", ["contrast", "little"], ["importance"]),
    ]
    constants = {"unit": np.float32(1 / 255), "channels": np.array([1]), "little": np.float32(3e-3)}
    return serialised(nodes, constants, metadata)


def constant_graph(value: float, **metadata: str | None) -> bytes:
    """The same value in each of 2×3 cells, whatever the image."""
    constants = {"value": np.full((1, 2, 3), value, np.float32)}
    nodes = [
        helper.make_node("ReduceMax", ["pixels"], ["largest"], keepdims=0),
        helper.make_node("Cast", ["largest"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["wide", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "value"], ["importance"]),
    ]
    return serialised(nodes, constants | {"zero": np.float32(0)}, metadata)


def serialised(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], metadata: dict[str, str | None]
) -> bytes:
    """A model file with the inputs, outputs and metadata of a guide."""
    graph = helper.make_graph(
        nodes,
        "guide",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, "H", "W", 3])],
        [helper.make_tensor_value_info("importance", TensorProto.FLOAT, [1, "gh", "gw"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    changed = {"cotam.guide" if k == "version" else f"cotam.guide.{k}": v for k, v in metadata.items()}
    helper.set_model_props(model, {k: v for k, v in (METADATA | changed).items() if v is not None})
    return model.SerializeToString()


class Left:
    """A guide to which the left half counts sixteen times as much."""

    exponent = 0.5

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        assert pixels.dtype == np.uint8
        return np.array([[16.0, 16.0, 1.0, 1.0]], np.float32) / 8.5


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "energy.onnx").write_bytes(energy_graph())
    (folder / "contrast.onnx").write_bytes(contrast_graph(name="colour contrast"))
