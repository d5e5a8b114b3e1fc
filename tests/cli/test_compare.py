"""``cotam compare``: table, sheet and files agree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from synthetic import picture

from cotam.cli.main import main


@pytest.fixture
def source(tmp_path: Path) -> Path:
    Image.fromarray(picture(64, 96)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, arguments)], catch_exceptions=False)


def test_files_have_the_sizes_of_the_table(source: Path, tmp_path: Path) -> None:
    result = run(source, "--json", "-q", 30, "--files", tmp_path / "out", "-o", tmp_path / "sheet.png")
    assert result.exit_code == 0
    rows = {row["format"]: row for row in map(json.loads, result.stdout.splitlines())}
    assert list(rows) == ["cotam", "jpeg", "webp", "avif"]
    for name, row in rows.items():
        suffix = {"jpeg": "jpg"}.get(name, name)
        assert (tmp_path / f"out/a.{suffix}").stat().st_size == row["bytes"]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 5 * 280


def test_the_table_has_a_line_for_each_format(source: Path) -> None:
    lines = run(source).stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["format", "CoTAM", "JPEG", "WebP", "AVIF"]


def test_one_bad_image_does_not_stop_the_others(source: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    result = run(tmp_path / "bad.png", source)
    assert result.exit_code == 1
    assert "bad.png" in result.stderr
    assert "CoTAM" in result.stdout


def test_a_sheet_is_png(source: Path) -> None:
    result = run(source, "-o", "sheet.pdf")
    assert result.exit_code == 2
    assert "ends in .png" in result.stderr
