"""The paper's guide against transformers, as an ONNX file, and what is said when a model is not there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import vision_towers
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from vision_towers import FAMILIES, PIXELS

from cotam.cli.main import main
from cotam.errors import InputError
from cotam.guide.onnx import GraphGuide
from cotam_lab.guides.clip import ClipGuide
from cotam_lab.nets.teachers import NORMALISATION, REVISIONS


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {family: vision_towers.save(family, root / family.replace(" ", "-")) for family in FAMILIES}


@pytest.fixture
def clip(models, tmp_path):
    """A copy to be damaged."""
    return Path(shutil.copytree(models["clip"], tmp_path / "tiny-clip"))


def change(file: Path, **values) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize("family", FAMILIES)
def test_importance_is_the_attention_of_the_whole_model(models, family):
    guide, model = ClipGuide(str(models[family]), layers=(3, 1)), vision_towers.reference(models[family])
    assert (guide.side, guide.multiple) == (32, 8)
    pixels = np.random.default_rng(1).integers(0, 256, (32, 16, 3), np.uint8)
    family = model.config.model_type.removesuffix("_vision_model")
    options = {"output_attentions": True}
    options |= {} if "dinov2" in family else {"interpolate_pos_encoding": True}
    mean, std = (torch.tensor(values)[:, None, None] for values in NORMALISATION[family])
    scaled = (torch.tensor(pixels).permute(2, 0, 1) / 255 - mean)[None] / std
    with torch.no_grad():
        seen = model(scaled, **options)
    first, third = (seen.attentions[number][0].mean(0) for number in (0, 2))
    both = (first + third) / 2
    row = both.mean(0) if family == "siglip" else both[0]
    expected = row[-8:].reshape(4, 2).numpy()
    assert expected.max() > 1.5 * expected.min()  # or a mistake would not be seen
    found = guide.importance(pixels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected / expected.mean(), atol=1e-5)


def test_pictures_of_any_size_and_layout_are_taken(models):
    guide = ClipGuide(str(models["dinov2"]))
    for height, width, grid in ((300, 150, (4, 2)), (5, 4, (4, 3)), (1, 90, (1, 4))):
        pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
        found = guide.importance(pixels)
        assert found.shape == grid
        assert found.min() > 0
        assert found.mean() == pytest.approx(1, abs=1e-5)
    flipped = PIXELS[::-1, :, ::-1]
    flipped.setflags(write=False)
    assert np.array_equal(guide.importance(flipped), guide.importance(np.ascontiguousarray(flipped)))


def test_preprocessor_config_says_how_pixels_are_scaled(clip):
    plain = ClipGuide(str(clip)).importance(PIXELS)
    file, (mean, std) = clip / "preprocessor_config.json", NORMALISATION["clip"]
    file.write_text(json.dumps({"image_mean": mean, "image_std": std}))
    assert np.array_equal(ClipGuide(str(clip)).importance(PIXELS), plain)
    change(file, image_mean=[0.1, 0.5, 0.9])
    assert not np.allclose(ClipGuide(str(clip)).importance(PIXELS), plain, atol=1e-3)


LAYERS = {"clip": (1, 3), "siglip": (2,), "dinov2": (1, 2)}
"""Family → layers of the exported guide. Exporting a layer takes seconds."""


@pytest.fixture(scope="module")
def graph(models):
    """Family → exported guide."""

    @cache
    def exported(family):
        return ClipGuide(str(models[family]), layers=LAYERS[family]).onnx()

    return exported


@pytest.mark.parametrize("family", LAYERS)
def test_an_exported_guide_gives_what_torch_gives_at_any_size(models, graph, tmp_path, family):
    guide = ClipGuide(str(models[family]), layers=LAYERS[family])
    (tmp_path / "guide.onnx").write_bytes(graph(family))
    exported = GraphGuide(tmp_path / "guide.onnx")
    for size in ((32, 32), (24, 56), (8, 40), (150, 211)):
        pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
        expected = guide.importance(pixels)
        assert np.ptp(expected) > 0.1
        np.testing.assert_allclose(exported.importance(pixels), expected, atol=1e-4, rtol=0)


def test_a_model_with_registers_cannot_be_exported(models):
    with pytest.raises(InputError, match="has registers and cannot be exported"):
        ClipGuide(str(models["dinov2 with registers"])).onnx()


def test_export_writes_the_contract_and_prints_the_hash(models, graph, tmp_path):
    out = tmp_path / "guide.onnx"
    arguments = ["guide", "export", str(models["dinov2"]), "-o", str(out), "--layers", "2,1-2", "--small"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout == f"{hashlib.sha256(out.read_bytes()).hexdigest()}  {out}\n"
    assert "images of 32 pixels" in result.stderr
    assert {p.key: p.value for p in onnx.load(out).metadata_props} == {
        "cotam.guide": "1",
        "cotam.guide.kind": "vit",
        "cotam.guide.side": "32",
        "cotam.guide.multiple": "8",
        "cotam.guide.name": "dinov2, mean of layers 1, 2",
    }
    session = onnxruntime.InferenceSession(out)
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape[0], given.shape[3]) == ("pixels", "tensor(uint8)", 1, 3)
    assert all(isinstance(side, str) for side in given.shape[1:3])
    assert (made.name, made.type) == ("importance", "tensor(float)")
    guide = ClipGuide(str(models["dinov2"]), layers=LAYERS["dinov2"])
    small = session.run(None, {"pixels": PIXELS[:32][None]})[0][0]
    np.testing.assert_allclose(small, guide.importance(PIXELS[:32]), atol=0.05)
    assert out.stat().st_size < len(graph("dinov2")) / 2
    again = CliRunner().invoke(main, [*arguments, "--no-overwrite"])
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["guide.onnx"]


@pytest.mark.parametrize("layers", ["", "x", "3-1", "1-"])
def test_layers_that_are_none_are_a_usage_error(models, layers, tmp_path):
    arguments = ["guide", "export", str(models["clip"]), "-o", str(tmp_path / "g.onnx"), "--layers", layers]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "numbers and ranges such as" in result.stderr


def test_offline_a_pinned_model_is_read_and_for_others_the_command_is_named(models, tmp_path):
    """In another process: the hub's client reads the environment once."""
    name = "facebook/dinov2-small"
    snapshots = tmp_path / "hub" / "models--facebook--dinov2-small" / "snapshots"
    shutil.copytree(models["dinov2"], snapshots / REVISIONS[name])
    shutil.copytree(models["clip"], snapshots / ("0" * 40))
    code = f"""
from cotam.errors import CotamError
from cotam_lab.guides.clip import ClipGuide
for name in ({name!r}, "someone/other-vit"):
    try:
        print(ClipGuide(name).name)
    except CotamError as error:
        print(error)
"""
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    pinned, other = result.stdout.split("\n", 1)
    assert pinned == f"{name}@ed25f3a, mean of layers 1, 2, 3"
    assert "no vision encoder 'someone/other-vit'" in other
    assert "hf download someone/other-vit" in other


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"model_type": "vit_mae"}, "is a vit_mae model; vision encoders are clip, siglip"),
        ({"model_type": "dinov2"}, "has no weights"),
        ({"num_hidden_layers": 2}, "has 2 layers, not 3"),
    ],
)
def test_a_wrong_architecture_is_said(clip, values, text):
    change(clip / "config.json", **values)
    with pytest.raises(InputError, match=text):
        ClipGuide(str(clip))


@pytest.mark.parametrize("layers", [(), (0,), (1, 5), (-1,)])
def test_layers_that_the_model_has_not_are_said(models, layers):
    with pytest.raises(InputError, match="layers"):
        ClipGuide(str(models["clip"]), layers=layers)


@pytest.mark.parametrize("keep", [0, 1000])
def test_a_corrupt_weights_file_is_said(clip, keep):
    file = clip / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(InputError, match="no vision encoder"):
        ClipGuide(str(clip))


def test_a_missing_file_and_a_missing_tensor_are_said(clip):
    file = clip / "model.safetensors"
    tensors = load_file(file)
    (name,) = (name for name in tensors if name.endswith("layers.1.mlp.fc2.weight"))
    tensors.pop(name)
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(InputError, match=r"has no weights .*fc2\.weight"):
        ClipGuide(str(clip))
    file.unlink()
    with pytest.raises(InputError, match="no vision encoder"):
        ClipGuide(str(clip))
