"""Guides by name: each name gives its guide once, and each wrong one a clear line."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from guides import constant_graph, energy_graph

from cotam.codec import weights
from cotam.errors import InputError
from cotam.guide.base import LITE, Guide, load
from cotam.guide.guidance import Guidance
from cotam.guide.importance import EXPONENT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "energy.onnx"
    file.write_bytes(energy_graph())
    return file


def test_none_is_no_guide() -> None:
    assert load("none") is None


def test_threads_share_one_guide(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(load, [str(path)] * 16))
    assert found[0] is not None
    assert all(guide is found[0] for guide in found)


def test_a_file_that_changed_is_loaded_anew(path: Path) -> None:
    before = load(str(path))
    path.write_bytes(constant_graph(2.0))
    os.utime(path, ns=(1, 1))
    after = load(str(path))
    assert before is not None
    assert after is not None
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert before.importance(noise).std() > 0
    assert after.importance(noise).std() == 0


def test_a_guide_may_have_an_exponent() -> None:
    class Plain:
        def importance(self, pixels: np.ndarray) -> np.ndarray:
            return np.array([[1, 4]], np.float32)

    class Steep(Plain):
        exponent = 2 * EXPONENT

    costs = np.full((1, 2), 100) * np.arange(15)[:, None, None]

    def offsets(guide: Guide) -> list[list[int]]:
        guidance = Guidance(guide, strength=2)
        return guidance.allocator(guide.importance(np.empty(0)), (32, 64))(lambda: costs).tolist()

    assert offsets(Plain()) == [[-2, 2]]
    assert offsets(Steep()) == [[-4, 4]]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "magic",
            "unknown guide 'magic': choose from auto, none, text, lite, PATH.onnx, clip:NAME_OR_FOLDER",
        ),
        ("", "unknown guide ''"),
        ("LITE", "unknown guide 'LITE'"),
        ("photo.png", "unknown guide 'photo.png'"),
        ("clap:openai/clip", "unknown guide 'clap:openai/clip'"),
        ("clip:", "guide 'clip:' names no model"),
        ("nowhere.onnx", "guide nowhere.onnx cannot be read: No such file or directory"),
    ],
)
def test_wrong_names(name: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        load(name)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_the_embedded_guide_is_small_and_sees_more_in_the_middle_of_a_disc() -> None:
    guide = load("lite")
    assert LITE.stat().st_size < 2_000_000
    pixels = np.full((256, 384, 3), 200, np.uint8)
    y, x = np.mgrid[:256, :384]
    disc = (y - 128) ** 2 + (x - 192) ** 2 < 60**2
    pixels[disc] = (180, 40, 30)
    found = guide.importance(pixels)
    assert found.mean() == pytest.approx(1, abs=1e-3)
    rows, columns = found.shape
    assert found[rows // 2, columns // 2] > found[0, 0]


def test_wrong_files(tmp_path: Path, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def message(file: Path) -> str:
        with pytest.raises(InputError) as error:
            load(str(file))
        assert "\n" not in str(error.value)
        assert str(error.value).startswith(f"guide {file} ")
        return str(error.value)

    (tmp_path / "folder.onnx").mkdir()
    whole = path.read_bytes()
    damaged = whole.replace(b"differences", b"\xfffferences", 1)  # a name that is not UTF-8
    for name, data in {"text": b"words", "empty": b"", "cut": whole[:400], "damaged": damaged}.items():
        (tmp_path / f"{name}.onnx").write_bytes(data)
    for name in ("folder", "text", "empty", "cut", "damaged"):
        assert "is not an ONNX file that can be run" in message(tmp_path / f"{name}.onnx")
    assert capfd.readouterr().out == ""
    assert "is not a guide: its ONNX metadata lack" in message(weights.load().folder / "scales.onnx")
