import numpy as np
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto

from cotam_lab.nets.graph_builder import GraphBuilder
from cotam_lab.nets.int8_layers import IntegerGraph
from cotam_lab.nets.integers import set_tracking
from cotam_lab.nets.layers import NEGATIVE_SLOPE, Block


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_choose_runs_one_branch(value):
    graph = GraphBuilder()
    condition = graph.add("Greater", "x", graph.constant(np.float32(0)))
    chosen = graph.choose(
        condition,
        lambda: graph.add("Add", "y", graph.constant(np.float32(10))),
        lambda: graph.add("Mul", "y", graph.constant(np.float32(2))),
    )
    graph.add("Identity", graph.add("Neg", chosen), output="z")
    model = graph.model(
        "choose", {name: (TensorProto.FLOAT, [1]) for name in "xy"}, {"z": (TensorProto.FLOAT, [1])}
    )
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.float32([value]), "y": np.float32([3])})
    assert found == (-13 if value else -6)


@pytest.mark.parametrize("slope", [0.0, NEGATIVE_SLOPE])
def test_a_block_gives_what_its_emulation_gives(slope):
    torch.manual_seed(0)
    block = Block(32, integers=True, slope=slope)
    x = torch.randn(1, 32, 10, 12)
    set_tracking(block, True)
    with torch.no_grad():
        for _ in range(5):
            block(x)
        set_tracking(block, False)
        expected = block.eval()(x).permute(0, 2, 3, 1).numpy()
    graph = IntegerGraph()
    graph.add("Identity", graph.block("x", block), output="y")
    shape = [1, 10, 12, 32]
    model = graph.model("block", {"x": (TensorProto.FLOAT, shape)}, {"y": (TensorProto.FLOAT, shape)})
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": x.permute(0, 2, 3, 1).numpy()})
    # Values midway between two integers, and biases rounded to integers, may give another integer.
    assert np.abs(found - expected).mean() < 0.002 * expected.std()
