"""Guide graphs: pictures of any size in, positive numbers of mean 1 out, or a clear error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from guides import METADATA, constant_graph, energy_graph, serialised
from onnx import TensorProto, helper
from synthetic import picture

from cotam.errors import InputError
from cotam.guide.importance import EXPONENT
from cotam.guide.onnx import GraphGuide, normalise

Make = Callable[[bytes], GraphGuide]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """Write a graph and load it."""

    def load(data: bytes) -> GraphGuide:
        path = tmp_path / "guide.onnx"
        path.write_bytes(data)
        return GraphGuide(path)

    return load


@pytest.mark.parametrize("size", [(1, 1), (15, 17), (64, 96), (130, 70), (1, 900), (2000, 3)])
@pytest.mark.parametrize("kind", ["conv", "vit"])
def test_any_size(made: Make, kind: str, size: tuple[int, int]) -> None:
    importance = made(energy_graph(kind=kind, side="96")).importance(picture(*size))
    assert importance.dtype == np.float32
    assert importance.ndim == 2
    assert importance.min() > 0
    assert importance.mean() == pytest.approx(1, abs=1e-5)


def test_sizes_that_the_graph_sees(made: Make) -> None:
    vit, conv = made(energy_graph(kind="vit", side="336", multiple="14")), made(energy_graph())
    assert vit.size_for(336, 336) == (336, 336)
    assert vit.size_for(100, 200) == (168, 336)  # a vision transformer sees all pictures at its own size
    assert vit.size_for(3000, 4000) == (252, 336)
    assert vit.size_for(10_000, 10) == (336, 14)
    assert conv.size_for(512, 768) == (512, 768)
    assert conv.size_for(100, 210) == (96, 208)  # a network of convolutions, at their own scale
    assert conv.size_for(1, 1) == (16, 16)
    assert conv.size_for(1024, 1536) == (512, 768)
    side_no_multiple = made(energy_graph(side="100"))
    assert side_no_multiple.size_for(5000, 5000) == (96, 96)


def test_importance_is_where_the_energy_is(made: Make) -> None:
    pixels = np.full((64, 96, 3), 100, np.uint8)
    pixels[16:32, 48:64] = np.random.default_rng(0).integers(0, 256, (16, 16, 3))
    importance = made(energy_graph()).importance(pixels)
    assert importance.shape == (4, 6)
    assert np.unravel_index(importance.argmax(), importance.shape) == (1, 3)
    assert importance[1, 3] > 5 * np.delete(importance, 1, 0).max()


def test_the_scale_of_the_output_does_not_matter(made: Make) -> None:
    pixels = picture(40, 40)
    for value in (1e-30, 0.3, 1e30):
        assert made(constant_graph(value)).importance(pixels) == pytest.approx(np.ones((2, 3)))
    assert normalise(np.array([[1.0, 3.0]])).tolist() == [[0.5, 1.5]]
    assert normalise(np.array([[1e-38, 1e38]], np.float32)).min() > 0


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_what_is_not_positive_is_refused(made: Make, value: float) -> None:
    with pytest.raises(InputError, match="importance that is not positive everywhere"):
        made(constant_graph(value)).importance(picture(40, 40))


def test_the_exponent_is_that_of_the_metadata(made: Make) -> None:
    assert made(energy_graph(exponent="0.125")).exponent == 0.125
    assert made(energy_graph()).exponent == EXPONENT


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"version": None}, "is not a guide: its ONNX metadata lack 'cotam.guide'"),
        ({"version": "2"}, "has version '2', this release reads 1"),
        ({"kind": "gru"}, "has kind 'gru', expected one of vit, conv"),
        ({"kind": None}, "has kind ''"),
        ({"side": None}, "side must be 1 to 16384 pixels, got ''"),
        ({"side": "-5"}, "side must be 1 to 16384 pixels, got '-5'"),
        ({"side": "99999"}, "side must be 1 to 16384 pixels, got '99999'"),
        ({"side": "²"}, "side must be 1 to 16384 pixels, got '²'"),
        ({"multiple": "0"}, "multiple must be 1 to 16384 pixels, got '0'"),
        ({"side": "8"}, "side 8 is below multiple 16"),
        ({"exponent": "big"}, "exponent must be above 0 and at most 4, got 'big'"),
        ({"exponent": "nan"}, "exponent must be above 0 and at most 4, got 'nan'"),
        ({"exponent": "0"}, "exponent must be above 0 and at most 4, got '0'"),
    ],
)
def test_wrong_metadata(made: Make, metadata: dict[str, str | None], message: str) -> None:
    with pytest.raises(InputError) as error:
        made(energy_graph(**metadata))
    assert message in str(error.value)


def test_other_inputs_or_outputs_are_refused(made: Make) -> None:
    inputs = [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, "H", "W"])]
    outputs = [helper.make_tensor_value_info("importance", TensorProto.FLOAT, [1, 3, "H", "W"])]
    graph = helper.make_graph(
        [helper.make_node("Abs", ["picture"], ["importance"])], "other", inputs, outputs
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, METADATA)
    with pytest.raises(InputError, match="must have the input pixels, uint8"):
        made(model.SerializeToString())


def test_a_graph_that_fails_or_gives_another_shape(made: Make) -> None:
    constants = {"shape": np.array([1, 7, 11])}
    wrong = [
        helper.make_node("Cast", ["pixels"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["wide", "shape"], ["importance"]),
    ]
    with pytest.raises(InputError, match=r"guide\.onnx failed on 48×32 pixels: ") as error:
        made(serialised(wrong, constants, {})).importance(picture(32, 48))
    assert "\n" not in str(error.value)
    flat = [
        helper.make_node("Cast", ["pixels"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["wide"], ["importance"], axis=0),
    ]
    with pytest.raises(InputError, match=r"returned shape \(1, 4608\), not \(1, gh, gw\)"):
        made(serialised(flat, {}, {})).importance(picture(32, 48) | 1)
