"""The paper's guide by name and folder, as an ONNX file, and what is said when a model is not there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
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
from cotam.guide.resize import resized
from cotam_lab.guides.checkpoints import load
from cotam_lab.guides.clip import REVISIONS, ClipGuide


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


def run(session: onnxruntime.InferenceSession, pixels: np.ndarray) -> np.ndarray:
    return session.run(None, {"pixels": pixels[None]})[0][0]


# Importance


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_importance_for_the_whole_picture(models, family):
    guide = ClipGuide(str(models[family]))
    assert (guide.side, guide.multiple) == (32, 8)
    for height, width, grid in ((32, 32, (4, 4)), (300, 150, (4, 2)), (5, 4, (4, 3)), (1, 90, (1, 4))):
        pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
        found = guide.importance(pixels)
        assert (found.shape, found.dtype) == (grid, np.float32)
        assert found.min() > 0
        assert found.mean() == pytest.approx(1, abs=1e-5)


def test_importance_is_the_networks_on_the_resized_picture(models):
    pixels = PIXELS[:24, :16].repeat(2, 0).repeat(2, 1)  # 48 × 32 is shown as 32 × 24
    seen = resized(pixels, (32, 24)).copy()
    expected = load(models["clip"], (1, 4), "max")(torch.from_numpy(seen)[None])[0].numpy()
    guide = ClipGuide(str(models["clip"]), layers=(4, 1), reduction="max")
    assert np.array_equal(guide.importance(pixels), expected)
    assert guide.name == "clip, max of layers 1, 4"


def test_an_exported_guide_sees_pictures_of_any_size_as_this_one_does(models, tmp_path):
    pixels = np.random.default_rng(4).integers(0, 256, (150, 211, 3), np.uint8)
    guide = ClipGuide(str(models["clip"]))
    (tmp_path / "guide.onnx").write_bytes(guide.onnx())
    exported = GraphGuide(tmp_path / "guide.onnx")
    np.testing.assert_allclose(exported.importance(pixels), guide.importance(pixels), rtol=1e-3)


def test_pixels_that_are_a_view_of_others_are_taken(models):
    guide = ClipGuide(str(models["dinov2"]))
    flipped = PIXELS[::-1, :, ::-1]
    flipped.setflags(write=False)
    assert np.array_equal(guide.importance(flipped), guide.importance(np.ascontiguousarray(flipped)))


def test_preprocessor_config_says_how_pixels_are_scaled(clip):
    plain = ClipGuide(str(clip)).importance(PIXELS)
    (clip / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "image_mean": [0.48145466, 0.4578275, 0.40821073],
                "image_std": [0.26862954, 0.26130258, 0.27577711],
            }
        )
    )
    assert np.array_equal(ClipGuide(str(clip)).importance(PIXELS), plain)
    change(clip / "preprocessor_config.json", image_mean=[0.1, 0.5, 0.9])
    assert not np.allclose(ClipGuide(str(clip)).importance(PIXELS), plain, atol=1e-3)


# ONNX


@pytest.mark.parametrize(
    ("family", "reduction", "layers"),
    [
        ("clip", "mean", (1, 2, 3)),
        ("siglip", "rollout", (1, 5)),
        ("dinov2", "max", (2, 4)),
        ("dinov2 with registers", "mean", (1, 2, 3)),
    ],
)
def test_onnx_gives_what_torch_gives_at_any_size(models, family, reduction, layers):
    guide = ClipGuide(str(models[family]), layers=layers, reduction=reduction)
    network = load(models[family], layers, reduction)
    session = onnxruntime.InferenceSession(guide.onnx())
    for size in ((32, 32), (24, 56), (8, 40), (72, 64)):
        pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
        expected = network(torch.from_numpy(pixels)[None])[0].numpy()
        assert np.ptp(expected) > 0.1
        np.testing.assert_allclose(run(session, pixels), expected, atol=1e-4, rtol=0)


# Command line


def test_export_writes_the_contract_and_prints_the_hash(models, tmp_path):
    out = tmp_path / "guide.onnx"
    arguments = ["guide", "export", str(models["dinov2"]), "-o", str(out), "--layers", "2,1-3", "--small"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout == f"{hashlib.sha256(out.read_bytes()).hexdigest()}  {out}\n"
    assert "images of 32 pixels" in result.stderr
    model = onnx.load(out)
    assert {p.key: p.value for p in model.metadata_props} == {
        "cotam.guide": "1",
        "cotam.guide.kind": "vit",
        "cotam.guide.side": "32",
        "cotam.guide.multiple": "8",
        "cotam.guide.name": "dinov2, mean of layers 1, 2, 3",
    }
    session = onnxruntime.InferenceSession(out)
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape[0], given.shape[3]) == ("pixels", "tensor(uint8)", 1, 3)
    assert all(isinstance(side, str) for side in given.shape[1:3])
    assert (made.name, made.type) == ("importance", "tensor(float)")
    guide, pixels = ClipGuide(str(models["dinov2"])), PIXELS[:32]
    np.testing.assert_allclose(run(session, pixels), guide.importance(pixels), atol=0.05)
    weights = sum(p.numel() for p in load(models["dinov2"]).parameters())
    assert weights < out.stat().st_size < 2 * weights + 25_000  # the graph itself takes some 20 kB
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


@pytest.mark.parametrize("missing", ["torch", "huggingface_hub", "safetensors"])
def test_a_missing_package_is_named_with_its_install(missing, tmp_path):
    code = f"""
import sys
sys.modules[{missing!r}] = None  # what is None here cannot be imported
from cotam.cli.main import main
main(["guide", "export", "facebook/dinov2-small", "-o", "guide.onnx"])
"""
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1
    assert f"{missing} is not installed; run in a clone of cotam: pip install ./lab" in result.stderr


# The hub. In another process: its client reads the environment once.


def made(tmp_path: Path, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = f"""
from cotam.screen import Screen, describe
from cotam.errors import CotamError
from cotam_lab.guides.clip import ClipGuide
try:
    print(ClipGuide({name!r}).name)
except CotamError as error:
    Screen().error(describe(error))
    raise SystemExit(1)
"""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"} | environment,
        capture_output=True,
        text=True,
    )


def test_a_pinned_model_in_the_cache_needs_no_network(models, tmp_path):
    name = "facebook/dinov2-small"
    snapshots = tmp_path / "hub" / "models--facebook--dinov2-small" / "snapshots"
    shutil.copytree(models["dinov2"], snapshots / REVISIONS[name])
    shutil.copytree(models["clip"], snapshots / ("0" * 40))
    # Online, with no hub to be reached: the cache is asked first.
    result = made(tmp_path, name, HF_HUB_OFFLINE="0", HF_ENDPOINT="http://127.0.0.1:9")
    assert (result.stdout, result.stderr) == (f"{name}@ed25f3a, mean of layers 1, 2, 3\n", "")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        (
            "facebook/dinov2-small",
            "run: hf download facebook/dinov2-small config.json preprocessor_config.json model.safetensors "
            "--revision ed25f3a31f01632728cabb09d1542f84ab7b0056\n",
        ),
        (
            "someone/other-vit",
            "run: hf download someone/other-vit config.json preprocessor_config.json model.safetensors\n",
        ),
        ("openai/clip-vit-base-patch16", "give the folder clip-vit-base-patch16\n"),
    ],
)
def test_offline_names_the_command_that_fetches_the_model(tmp_path, name, command):
    result = made(tmp_path, name)
    assert result.returncode == 1
    begin = f"cotam: error: {name} is not on this machine and cannot be downloaded (HF_HUB_OFFLINE is set); "
    assert result.stderr.startswith(begin)
    assert result.stderr.endswith(command)
    assert result.stderr.count("\n") == 1


def test_a_snapshot_without_safetensors_is_said(models, tmp_path):
    folder = tmp_path / "hub" / "models--someone--pickled" / "snapshots" / ("a" * 40)
    shutil.copytree(models["clip"], folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    (folder.parent.parent / "refs").mkdir()
    (folder.parent.parent / "refs" / "main").write_text("a" * 40)
    result = made(tmp_path, "someone/pickled")
    assert result.returncode == 1
    assert "someone/pickled has no model.safetensors at main" in result.stderr


def test_all_revisions_are_commits():
    assert all(len(r) == 40 and int(r, 16) for r in REVISIONS.values())


# Models that are none


@pytest.mark.parametrize("name", ["nowhere", "a/b/c", "../nowhere", "", "clip vit/b"])
def test_a_name_that_is_none_is_said(name):
    with pytest.raises(InputError, match="is neither a folder nor a hub name"):
        ClipGuide(name)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_missing_file_is_said(clip, file):
    (clip / file).unlink()
    with pytest.raises(InputError, match=f"tiny-clip has no {file}"):
        ClipGuide(str(clip))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"model_type": "vit_mae"},
            "model_type must be one of clip, clip_vision_model, siglip.* got 'vit_mae'",
        ),
        ({"model_type": None}, "got None"),
        ({"model_type": "dinov2"}, "has no tensor embeddings.patch_embeddings.projection.weight"),
        ({"hidden_act": "relu"}, "activation must be one of gelu, .* got relu"),
        ({"model_type": "dinov2", "use_swiglu_ffn": True}, "got SwiGLU"),
        ({"num_attention_heads": 5}, "5 heads, which do not divide 32 channels"),
        ({"num_hidden_layers": 2}, "layers of .*tiny-clip must be 1 to 2, got 1, 2, 3"),
    ],
)
def test_a_wrong_architecture_is_said(clip, values, text):
    change(clip / "config.json", **values)
    with pytest.raises(InputError, match=text):
        ClipGuide(str(clip))


@pytest.mark.parametrize("layers", [(), (0,), (1, 5), (-1,)])
def test_layers_that_the_model_has_not_are_said(models, layers):
    with pytest.raises(InputError, match="must be 1 to 4, got"):
        ClipGuide(str(models["clip"]), layers=layers)


def test_an_unknown_reduction_is_said(models):
    with pytest.raises(InputError, match="reduction must be one of mean, max, rollout, got 'median'"):
        ClipGuide(str(models["clip"]), reduction="median")


@pytest.mark.parametrize("keep", [0, 5, 1000, -1])
def test_a_corrupt_weights_file_is_said(clip, keep):
    file = clip / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(
        InputError, match=r"model.safetensors is damaged or not a safetensors file .*download it again"
    ):
        ClipGuide(str(clip))


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"'])
def test_a_corrupt_config_is_said(clip, text):
    (clip / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config.json is not (a )?JSON"):
        ClipGuide(str(clip))


def test_a_missing_tensor_and_one_of_another_size_are_said(clip):
    file = clip / "model.safetensors"
    tensors = load_file(file)
    name = "encoder.layers.1.mlp.fc2.weight"
    save_file(tensors | {name: torch.zeros(32, 7)}, file)
    with pytest.raises(InputError, match=f"{name} is 32 x 7, .* says 32 x 48"):
        ClipGuide(str(clip))
    tensors.pop(name)
    save_file(tensors, file)
    with pytest.raises(InputError, match=f"has no tensor {name}, which these layers need"):
        ClipGuide(str(clip))
