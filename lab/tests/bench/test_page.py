"""The page shows the rows, is self-contained, and finds the worst images."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cotam.cli.main import main as cotam
from cotam.errors import InputError
from cotam_lab.bench import page


def rows_of(codec: str, factor: float, lag: float = 0.0, version: str = "1") -> list[dict[str, Any]]:
    """Three images; on the last, the codec has ``lag`` dB less."""
    return [
        {"codec": codec, "version": version, "quality": quality, "image": f"{image}.png", "width": 480}
        | {"bytes": 1000, "bpp": factor * quality / 50, "encode_s": 0.02, "decode_s": 0.004}
        | {"psnr": 25.0 + quality / 10 - lag * (image == 2), "class": float(quality > 20)}
        for image in range(3)
        for quality in (10, 30, 60, 90)
    ]


ROWS = [*rows_of("jpeg", 1), *rows_of("webp", 0.8, lag=5)]


def test_last_version_and_last_row_count() -> None:
    old, new = rows_of("jpeg", 1, version="0"), rows_of("jpeg", 2)
    found = page.latest([*old, *new, new[0] | {"psnr": 1.0}])
    assert len(found) == len(new)
    assert {row["version"] for row in found} == {"1"}
    assert found[0]["psnr"] == 1


def test_main_scores_are_those_that_rows_have() -> None:
    assert page.main_scores(ROWS) == ["psnr", "class"]
    other = [ROWS[0] | {"features@a/b": 3.0, "deep@a/b": 2.0, "recall": None}]
    assert page.main_scores(other) == ["psnr", "features@a/b", "class", "recall"]


def test_page_has_all_and_needs_nothing() -> None:
    failed = {"codec": "jpeg", "version": "1", "quality": 95, "image": "0.png", "error": "ValueError: <no>"}
    text = page.page([*ROWS, failed], ["psnr", "class"], ["jpeg"], title="Three <images>")
    assert "<h1>Three &lt;images&gt;</h1>" in text
    assert text.count("<svg") == 1
    assert "1 rows with errors" in text
    assert "ValueError: &lt;no&gt;" in text
    assert "Against jpeg" in text
    assert '<meta name="viewport"' in text
    sources = re.findall(r'(?:src|href)="([^"]{0,9})', text)
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert "<script" not in text
    assert "<link" not in text


def test_rows_without_scores_are_refused() -> None:
    with pytest.raises(InputError, match="no scores"):
        page.main_scores([{"codec": "a", "version": "1", "quality": 1, "image": "x", "bpp": 1}])


def test_command_reads_folders_and_files(tmp_path: Path) -> None:
    for name, rows in (("one", ROWS[:12]), ("two", ROWS[12:])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["report", str(tmp_path / "one"), str(tmp_path / "two" / "rows.jsonl")]
    result = CliRunner().invoke(cotam, ["bench", *arguments, "-o", str(tmp_path / "new" / "page.html")])
    assert result.exit_code == 0, result.output
    text = (tmp_path / "new" / "page.html").read_text("utf-8")
    assert "<h1>one and two</h1>" in text
    result = CliRunner().invoke(
        cotam, ["bench", *arguments, "-o", str(tmp_path / "tables.md"), "--score", "psnr"]
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "tables.md").read_text("utf-8").startswith("# one and two\n\n")
    (tmp_path / "one" / "rows.jsonl").write_text("")
    result = CliRunner().invoke(
        cotam, ["bench", "report", str(tmp_path / "one"), "-o", str(tmp_path / "page.html")]
    )
    assert result.exit_code == 1
    assert "there are no rows" in result.stderr
