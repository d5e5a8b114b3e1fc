"""The recipe of the paper's configuration runs from end to end, with a tiny CLIP and two training steps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import vision_towers
from PIL import Image
from synthetic import picture

from cotam.guide.base import load
from cotam.guide.importance import to_levels
from cotam_lab.train.checkpoints import exported

RECIPE = Path(__file__).parents[1] / "recipes" / "paper.sh"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper")
    for pack, count in (("kodak", 2), ("train/photos", 4)):
        (folder / pack / "images").mkdir(parents=True)
        for number in range(count):
            image = Image.fromarray(picture(288, 320, seed=number))
            image.save(folder / pack / "images" / f"{number}.png")
    encoder = vision_towers.save("clip", folder / "clip")
    settings = {
        "ENCODER": str(encoder),
        "STEPS": "2",
        "BATCH": "2",
        "SIZE": "64",
        "CROPS": "2",
        "LAYERS": "1-2",
    }
    settings |= {"QUALITIES": "10,60", "PYTHON": sys.executable, "HF_HUB_OFFLINE": "1"}
    command = ["sh", str(RECIPE), str(folder), str(folder / "run")]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_the_table_has_every_part(run: Path) -> None:
    table = (run / "table.md").read_text("utf-8")
    for name in ("ternary map", "adapter", "ternary map and adapter"):
        assert f"| {name} | features" in table


def test_the_guide_is_clips_attention_and_gives_ternary_levels(run: Path) -> None:
    session = onnxruntime.InferenceSession(run / "guide.onnx")
    assert "layers 1, 2" in session.get_modelmeta().custom_metadata_map["cotam.guide.name"]
    guide = load(str(run / "guide.onnx"))
    assert guide is not None
    pixels = picture(320, 320, seed=5)
    levels = to_levels(guide.importance(pixels), (320, 320), policy="ternary")
    assert set(np.unique(levels)) <= {-2, 0, 2}


def test_the_base_is_frozen_and_the_adapter_is_not(run: Path) -> None:
    base, paper = exported("base"), exported(str(run / "sets" / "paper"))
    pixels = picture(96, 128, seed=3)
    symbols = [codec.quantise(pixels, 40)[0] for codec in (base, paper)]
    assert np.array_equal(symbols[0].y, symbols[1].y)
    coded = paper.encode(pixels, 40)
    views = [paper.decode(coded, view=view) for view in ("human", "mllm")]
    assert not np.array_equal(*views)
