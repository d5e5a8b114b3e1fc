"""``cotam encode`` to JPEG, WebP, AVIF and PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from synthetic import page, picture

from cotam.cli import standard as cli
from cotam.cli.main import main
from cotam.standard import files as standard


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["encode", *map(str, arguments)])


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(picture(96, 128)).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.jpg", "JPEG"),
        ("a.JPEG", "JPEG"),
        ("a.jfif", "JPEG"),
        ("a.webp", "WEBP"),
        ("a.avif", "AVIF"),
        ("a.png", "PNG"),
    ],
)
def test_the_suffix_chooses_the_format(photo: Path, tmp_path: Path, name: str, format: str) -> None:
    result = run(photo, "-o", tmp_path / name, "-v")
    assert result.exit_code == 0, result.output
    assert "128×96" in result.output
    with Image.open(tmp_path / name) as image:
        assert (image.format, image.size) == (format, (128, 96))


def test_a_folder_takes_the_format_option(photo: Path, tmp_path: Path) -> None:
    assert run(photo, "-o", f"{tmp_path}/out/", "--format", "jpeg", "-q", "30").exit_code == 0
    with Image.open(tmp_path / "out" / "photo.jpg") as image:
        assert image.format == "JPEG"


def test_the_model_gives_the_size(tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    Image.fromarray(page(300, 2400)).save(path)
    assert run(path, "-o", tmp_path / "page.webp", "--for", "gpt-4o:low").exit_code == 0
    with Image.open(tmp_path / "page.webp") as image:
        assert image.width < 2400


def test_a_budget_that_needs_fewer_pixels_is_noted(photo: Path, tmp_path: Path) -> None:
    result = run(photo, "-o", tmp_path / "a.jpg", "--target-size", "450")
    assert result.exit_code == 0, result.output
    assert "note: " in result.output
    assert "shrunk from 128×96 to" in result.output
    assert (tmp_path / "a.jpg").stat().st_size <= 450


def test_a_budget_that_nothing_fits_is_an_error(photo: Path, tmp_path: Path) -> None:
    result = run(photo, "-o", tmp_path / "a.avif", "--target-size", "50")
    assert result.exit_code == 1
    assert "more than 50" in result.output
    assert not (tmp_path / "a.avif").exists()


def test_without_prefilter_the_file_is_pillows(photo: Path, tmp_path: Path) -> None:
    assert run(photo, "-o", tmp_path / "a.webp", "-q", "40", "--no-prefilter").exit_code == 0
    with Image.open(photo) as image:
        image.save(tmp_path / "b.webp", quality=40, method=6)
    assert (tmp_path / "a.webp").read_bytes() == (tmp_path / "b.webp").read_bytes()


def test_the_guide_none_smooths_nothing(tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    noise = np.random.default_rng(0).normal(0, 3, (128, 256, 1))
    Image.fromarray((page(128, 256) * 0.9 + 12 + noise).clip(0, 255).astype(np.uint8)).save(path)
    assert run(path, "-o", tmp_path / "a.webp", "--guide", "none", "-q", "50").exit_code == 0
    assert run(path, "-o", tmp_path / "b.webp", "--no-prefilter", "-q", "50").exit_code == 0
    assert (tmp_path / "a.webp").read_bytes() == (tmp_path / "b.webp").read_bytes()


def test_options_name_the_formats_that_there_are() -> None:
    assert set(cli.FORMATS) == {"cotam", *standard.FORMATS}
    assert set(cli.SUFFIXES.values()) == set(cli.FORMATS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "a.jpg", "--format", "webp"], "its suffix and --format webp contradict"),
        (["-o", "a.jpg", "--profile", "page"], "--profile is for .cotam files"),
        (["-o", "a.webp", "--metadata", "exif"], "--metadata is for .cotam files"),
        (["--no-prefilter"], "--no-prefilter is for standard files"),
        (["-o", "a.png", "-q", "50"], "PNG is lossless"),
    ],
)
def test_wrong_usage(photo: Path, arguments: list[str], message: str) -> None:
    result = run(photo, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
