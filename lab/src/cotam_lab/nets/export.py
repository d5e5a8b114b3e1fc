"""Export torch modules as ONNX graphs, and store their weights compactly."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

OPSET = 20


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the deprecations of the exporter, and its notes that torchvision is not installed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def to_onnx(
    graph: nn.Module, example: dict[str, Tensor], channels_last: bool, outputs: Sequence[str] | None = None
) -> onnx.ModelProto:
    """Export a module. Height and width of four-dimensional inputs are dynamic where they are longer than 1.

    ``example`` has the names and examples of the inputs, ``outputs`` the names of the outputs.
    """
    spatial = (1, 2) if channels_last else (2, 3)
    dynamic = {
        name: {axis: torch.export.Dim.DYNAMIC for axis in spatial if t.ndim == 4 and t.shape[axis] > 1}
        for name, t in example.items()
    }
    with _quiet():
        program = torch.onnx.export(
            graph.eval(),
            kwargs=example,
            dynamo=True,
            output_names=outputs,
            dynamic_shapes=dynamic,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    return model


def int8_steps(weight: np.ndarray, outputs: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Quantise a weight to int8, with a float32 step for each index of the axes ``outputs``.

    For layers that compute in floats the loss is negligible (lab/docs/training.md).
    """
    others = tuple(axis for axis in range(weight.ndim) if axis not in outputs)
    steps = np.maximum(np.abs(weight).max(axis=others, keepdims=True), 1e-12) / 127
    return np.rint(weight / steps).astype(np.int8), steps.astype(np.float32)


def stored_small(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold constant reshapes of weights, and store weights in fewer bytes, with nodes that restore floats.

    Integers are stored as int8 or int32, weights of convolutions and matrix products by `int8_steps`, others as
    float16.
    """
    graph = model.graph
    arrays = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type == "Unsqueeze" and all(name in arrays for name in node.input):
            arrays[node.output[0]] = np.expand_dims(
                arrays[node.input[0]], tuple(arrays[node.input[1]].tolist())
            )
        elif node.op_type == "Reshape" and all(name in arrays for name in node.input):
            arrays[node.output[0]] = arrays[node.input[0]].reshape(arrays[node.input[1]])
        else:
            kept.append(node)
    users = {name: node for node in kept for name in node.input}
    used = users.keys() | {o.name for o in graph.output}
    del graph.initializer[:], graph.node[:], graph.value_info[:]
    for name, array in arrays.items():
        if name not in used:
            continue
        stored, nodes = _stored(name, array, users.get(name))
        graph.initializer.extend(numpy_helper.from_array(value, key) for key, value in stored.items())
        graph.node.extend(nodes)
    graph.node.extend(kept)
    onnx.checker.check_model(model)
    return model


def _stored(
    name: str, array: np.ndarray, user: onnx.NodeProto | None
) -> tuple[dict[str, np.ndarray], list[onnx.NodeProto]]:
    """Return the constants to store, and the nodes that restore ``name`` from them."""
    if array.dtype != np.float32 or array.size <= 16:
        return {name: array}, []
    small, float32 = f"{name}_small", onnx.TensorProto.FLOAT
    if np.array_equal(array, np.rint(array)):
        integers = array.astype(np.int8 if np.abs(array).max() < 128 else np.int32)
        return {small: integers}, [onnx.helper.make_node("Cast", [small], [name], to=float32)]
    axis = _output_axis(user)
    if axis is None or array.ndim < 2:
        half = array.astype(np.float16)
        return {small: half}, [onnx.helper.make_node("Cast", [small], [name], to=float32)]
    integers, steps = int8_steps(array, [axis % array.ndim])
    nodes = [
        onnx.helper.make_node("Cast", [small], [f"{name}_float"], to=float32),
        onnx.helper.make_node("Mul", [f"{name}_float", f"{name}_steps"], [name]),
    ]
    return {small: integers, f"{name}_steps": steps}, nodes


def _output_axis(user: onnx.NodeProto | None) -> int | None:
    """Return the output axis of a layer's weight; None for other constants."""
    if user is None or user.op_type not in ("Conv", "Gemm", "MatMul"):
        return None
    transposed = any(attribute.name == "transB" and attribute.i for attribute in user.attribute)
    return 0 if user.op_type == "Conv" or transposed else -1
