"""Modules → ONNX graphs, and their weights stored small.

Knows the exporter and the layout of a graph: nothing of what a graph is for.
"""

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
    """Without the exporter's own deprecations, and its notes that torchvision is not installed."""
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
    """A module as a graph. Height and width of its inputs of four axes vary, where they are longer than 1.

    ``example`` names the inputs, ``outputs`` the outputs.
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


def stored_small(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold constant reshapes of weights, and store weights small with a cast after each."""
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
    used = {name for node in kept for name in node.input} | {o.name for o in graph.output}
    del graph.initializer[:], graph.node[:], graph.value_info[:]
    for name, array in arrays.items():
        if name not in used:
            continue
        small = array
        if array.dtype == np.float32 and array.size > 16:
            whole = np.array_equal(array, np.rint(array))
            if whole and np.abs(array).max() < 128:
                small = array.astype(np.int8)
            elif whole:
                small = array.astype(np.int32)
            else:
                small = array.astype(np.float16)
        if small is array:
            graph.initializer.append(numpy_helper.from_array(array, name))
        else:
            graph.initializer.append(numpy_helper.from_array(small, f"{name}_small"))
            cast = onnx.helper.make_node("Cast", [f"{name}_small"], [name], to=onnx.TensorProto.FLOAT)
            graph.node.append(cast)
    graph.node.extend(kept)
    onnx.checker.check_model(model)
    return model
