"""The study of screens: its codecs, and images as models see them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, features
from synthetic import page, screen

from cotam_lab.bench.images import find_images
from cotam_lab.bench.screens import CODECS, SETTINGS, codec_of_study, main, reduced
from cotam_lab.bench.sweep import read_rows

pytestmark = pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")


@pytest.mark.parametrize("name", [*CODECS, *SETTINGS])
def test_codecs_decode_what_they_encode(name: str) -> None:
    codec, pixels = codec_of_study(name), screen(64, 96)
    assert codec.name == name
    decoded = codec.decode(codec.encode(pixels, CODECS.get(name, (60,))[-1]))
    assert decoded.shape == pixels.shape
    assert np.abs(decoded - pixels.astype(int)).mean() < 40


def test_images_are_reduced_once(tmp_path: Path) -> None:
    source = tmp_path / "pack" / "images"
    source.mkdir(parents=True)
    Image.new("RGB", (3136, 200), "red").save(source / "wide.jpg")
    (found,) = reduced(find_images(tmp_path / "pack"), tmp_path / "out")
    assert found.name == "pack/wide.png"
    with Image.open(found.path) as image:
        assert image.size == (1568, 100)
    first = found.path.stat().st_mtime_ns
    reduced(find_images(tmp_path / "pack"), tmp_path / "out")
    assert found.path.stat().st_mtime_ns == first


def test_commands(tmp_path: Path) -> None:
    Image.fromarray(page(64, 96)).save(tmp_path / "page.png")
    out = tmp_path / "rows"
    arguments = ["sweep", str(tmp_path), "-o", str(out), "--codec", "webp", "--metric", "contrast"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    rows = read_rows(out / "rows.jsonl")
    assert [row["quality"] for row in rows] == list(CODECS["webp"])
    assert rows[0]["contrast"] < rows[-1]["contrast"]
    result = CliRunner().invoke(
        main, ["fit", str(tmp_path), "-o", str(tmp_path / "fit")], catch_exceptions=False
    )
    lines = [line.split() for line in result.output.splitlines() if line.startswith(("cotam", "av1"))]
    assert [line[1] for line in lines] == ["0", "20", "50", "80", "100", "2", "12", "30", "60", "80"]
