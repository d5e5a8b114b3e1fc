"""Losses on fixed crops are the same whenever they are asked for, and rounded."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from tiny import codec

from cotam_lab.nets.codec import Shape
from cotam_lab.train.__main__ import main
from cotam_lab.train.data import Crops
from cotam_lab.train.evaluate import on_crops
from cotam_lab.train.losses import rate_distortion


@pytest.fixture
def pack(tmp_path):
    folder = tmp_path / "pack"
    folder.mkdir()
    steps = np.random.default_rng(0).integers(-2, 3, (2, 96, 96, 3))
    (np.cumsum(steps, axis=2) + 128).astype(np.uint8).tofile(folder / "pixels.u8")
    rows = [["photos", 0, 96, 96], ["text", 96 * 96 * 3, 96, 96]]
    (folder / "index.json").write_text(json.dumps(rows))
    return folder


def test_crops_qualities_and_what_is_drawn_are_fixed(pack):
    network = codec()

    def with_luck(coded, batch):
        found = rate_distortion(coded, batch) | {"luck": torch.rand(())}
        return found | ({"reader": torch.tensor(7.0)} if batch.text.any() else {})

    found = [on_crops(network, Crops(pack, size=64), with_luck, 4) for _ in range(2)]
    assert found[0] == found[1]
    assert set(found[0]) == {"loss", "mse", "bpp", "luck", "reader"}
    assert found[0]["reader"] == 7  # a mean over those crops that have it
    assert on_crops(network, Crops(pack, size=64), with_luck, 2)["luck"] != found[0]["luck"]


def test_the_command_prints_a_row_for_each_file(pack, tmp_path):
    weights = codec(shape=Shape()).state_dict()
    for name in ("a", "b"):
        contiguous = {key: value.contiguous() for key, value in weights.items()}
        save_file(contiguous, tmp_path / f"{name}.safetensors")
    files = [str(tmp_path / f"{name}.safetensors") for name in ("a", "b")]
    arguments = ["losses", *files, "--pack", str(pack), "--crops", "1", "--size", "64", "--loss", "mse"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    header, _, first, second = result.output.splitlines()
    assert header == "| weights | loss | mse | bpp |"
    assert first.split("|")[2:] == second.split("|")[2:]
    assert first.startswith(f"| {files[0]} |")
