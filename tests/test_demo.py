"""The demo's files, table and picture agree with each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import cotam
from cotam.demo import CROPS, SAMPLES, SIZE, largest_within, main

SUFFIXES = {"Cotam": ".cotam", "JPEG": ".jpg", "WebP": ".webp", "AVIF": ".avif"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "new"


@pytest.fixture(scope="module")
def result(folder: Path) -> Result:
    return CliRunner().invoke(main, ["-o", str(folder)], catch_exceptions=False)


def original(name: str) -> np.ndarray:
    with Image.open(SAMPLES / f"{name}.webp") as image:
        return np.asarray(image.convert("RGB"))


def test_table_says_what_the_files_are(result: Result, folder: Path) -> None:
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()[1:-1]]
    assert [(name, codec) for name, codec, *_ in rows] == [(n, c) for n in CROPS for c in SUFFIXES]
    for name, codec, size, bpp, psnr in rows:
        data = (folder / (name + SUFFIXES[codec])).read_bytes()
        assert int(size) == len(data)
        assert float(bpp) == pytest.approx(len(data) * 8 / (768 * 512), abs=1e-3)
        if codec == "Cotam":
            image, limit = cotam.decode(data), SIZE
        else:
            image = Image.open(folder / (name + SUFFIXES[codec])).convert("RGB")
            limit = (folder / f"{name}.cotam").stat().st_size
        assert 0.85 * limit < len(data) <= limit
        error = np.mean((np.asarray(image, float) - original(name)) ** 2)
        assert float(psnr) == pytest.approx(10 * np.log10(255**2 / error), abs=0.06)


def test_pictures(result: Result, folder: Path) -> None:
    decoded = np.asarray(Image.open(folder / "kodim15.cotam.png"))
    assert np.array_equal(decoded, np.asarray(cotam.decode((folder / "kodim15.cotam").read_bytes())))
    sheet = np.asarray(Image.open(folder / "comparison.png"))
    for name, (left, top) in CROPS.items():
        crop = original(name)[top : top + 216, left : left + 264]
        assert crop.shape == (216, 264, 3)
        first_column = np.lib.stride_tricks.sliding_window_view(sheet[:, 24 : 24 + 264], 216, axis=0)
        assert any(np.array_equal(window.transpose(2, 0, 1), crop) for window in first_column)


def test_output_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    result = CliRunner().invoke(main, ["-o", str(tmp_path / "file")])
    assert (result.exit_code, result.stderr) == (1, f"Error: {tmp_path / 'file'}: File exists\n")


@pytest.mark.parametrize(
    ("size", "expected"), [(0, 5), (5, 5), (6, 5), (50, 50), (57, 55), (95, 95), (999, 95)]
)
def test_largest_within(size: int, expected: int) -> None:
    assert len(largest_within(bytes, range(5, 96, 5), size)) == expected
