"""``cotam encode --guide`` and ``cotam guide show``: what is written, and what is said."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from command_line import invoke
from guides import constant_graph, energy_graph
from PIL import Image
from synthetic import picture

import cotam
from cotam.cli.main import main

PIXELS = picture(130, 200, seed=9)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with an image and a guide."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PIXELS).save("photo.png")
    Path("energy.onnx").write_bytes(energy_graph())
    return tmp_path


def test_encode_with_a_guide() -> None:
    options = ("--guide", "energy.onnx", "--guide-strength", "6", "-q", "30")
    assert invoke("encode", "photo.png", *options).output == ""
    expected = cotam.encode(PIXELS, quality=30, guide="energy.onnx", guide_strength=6)
    assert Path("photo.cotam").read_bytes() == expected
    assert expected != cotam.encode(PIXELS, quality=30, guide="energy.onnx")
    assert invoke("encode", "photo.png", *options, "--guide-policy", "ternary").output == ""
    assert set(np.unique(cotam.level_map(Path("photo.cotam").read_bytes()))) <= {-7, 0, 7}


@pytest.mark.parametrize("command", ["encode photo.png", "guide show photo.png -o map.png"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--guide magic", "Invalid value for '--guide': unknown guide 'magic': choose from auto, none, "),
        ("--guide nowhere.onnx", "guide nowhere.onnx cannot be read: No such file or directory"),
        ("--guide photo.onnx", "guide photo.onnx is not an ONNX file that can be run"),
        ("--guide energy.onnx --guide-strength 17", "17.0 is not in the range"),
        ("--guide energy.onnx --guide-policy best", "'best' is not one of"),
    ],
)
def test_wrong_usage(command: str, options: str, message: str) -> None:
    Path("photo.onnx").write_bytes(Path("photo.png").read_bytes())
    before = sorted(Path().iterdir())
    result = invoke(*command.split(), *options.split())
    assert result.exit_code == 2
    assert message in result.stderr
    assert sorted(Path().iterdir()) == before


def test_a_guide_that_fails_is_an_error_of_each_image() -> None:
    Path("zero.onnx").write_bytes(constant_graph(0.0))
    result = invoke("encode", "photo.png", "--guide", "zero.onnx")
    assert result.exit_code == 1
    expected = "photo.png: guide zero.onnx returned importance that is not positive everywhere"
    assert result.stderr == f"cotam: error: {expected}\n"


def test_show_draws_importance_and_levels() -> None:
    pixels = np.full((128, 192, 3), 128, np.uint8)
    pixels[:64, 96:] = np.random.default_rng(0).integers(0, 256, (64, 96, 3))
    Image.fromarray(pixels).save("corner.png")
    assert invoke("guide", "show", "corner.png", "-o", "map.png", "--guide", "energy.onnx").output == ""
    with Image.open("map.png") as image:
        drawn = np.asarray(image.convert("RGB")).astype(int)
    height, width = 128 * 4, 192 * 4  # enlarged by a whole number
    assert drawn.shape[0] > height + 40
    assert drawn.shape[1] == 2 * width + 3 * 12
    heat = drawn[12 : 12 + height, 12 : 12 + width]
    assert heat[100:200, 450:700].sum(2).mean() > heat[350:450, 100:300].sum(2).mean() + 200
    levels = drawn[12 : 12 + height, 24 + width : 24 + 2 * width]
    assert levels[350:450, 100:300, 2].mean() > levels[350:450, 100:300, 0].mean() + 10  # blue: coarser
    assert len(np.unique(drawn[height + 24 :].reshape(-1, 3), axis=0)) > 100  # the legend


def test_show_reads_and_writes_pipes() -> None:
    photo = Path("photo.png").read_bytes()
    shown = CliRunner().invoke(
        main, ["guide", "show", "-", "-o", "map.png", "--guide", "energy.onnx"], input=photo
    )
    assert (shown.exit_code, shown.output) == (0, "")
    assert Image.open(io.BytesIO(Path("map.png").read_bytes())).format == "PNG"


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (1200, 900)])
def test_show_draws_any_size(size: tuple[int, int]) -> None:
    Image.fromarray(picture(*size)).save("odd.png")
    assert invoke("guide", "show", "odd.png", "-o", "map.png", "--guide", "energy.onnx").exit_code == 0
    with Image.open("map.png") as image:
        assert max(image.size) <= 2 * 900 + 40


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ("photo.png -o map.jpg --guide energy.onnx", 2, "map.jpg: a map is written as PNG"),
        ("photo.png -o map.png --guide none", 1, "photo.png: guide 'none' has no map to show"),
        ("photo.png -o photo.png --guide energy.onnx", 1, "photo.png: is an input, and is not overwritten"),
        ("gone.png -o map.png --guide energy.onnx", 1, "gone.png: No such file or directory"),
        ("energy.onnx -o map.png --guide energy.onnx", 1, "energy.onnx: not an image of a known format"),
        ("photo.png -o no/map.png --guide energy.onnx", 1, "no/map.png: cannot be written"),
    ],
)
def test_show_says_what_is_wrong(options: str, code: int, message: str) -> None:
    result = invoke("guide", "show", *options.split())
    assert result.exit_code == code
    assert message in result.stderr
    assert not Path("map.png").exists()
