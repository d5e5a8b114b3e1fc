"""Tables say what the rows say; figures are drawn, labelled, and the same for the same rows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from cotam.cli.main import main as cotam
from cotam.errors import InputError
from cotam_lab.bench import report
from cotam_lab.bench.curves import compare


def rows_of(codec: str, factor: float) -> list[dict[str, Any]]:
    return [
        {
            "codec": codec,
            "version": f"{codec} 1.0",
            "quality": quality,
            "image": f"{image}.png",
            "bytes": 1000 * quality,
            "bpp": factor * quality / 50,
            "psnr": 25.0 + quality / 10 + image,
            "encode_s": 0.02,
            "decode_s": 0.004,
        }
        for image in range(3)
        for quality in (10, 30, 60, 90)
    ]


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    broken = {"codec": "webp", "version": "webp 1.0", "quality": 10, "image": "9.png", "error": "OSError: no"}
    original = {
        "codec": "original",
        "version": None,
        "quality": None,
        "image": "0.png",
        "bpp": 9.0,
        "psnr": 40.0,
    }
    times = {"encode_s": 0.0, "decode_s": 0.0}
    return [original | times, *rows_of("jpeg", 1), *rows_of("webp", 0.75), *rows_of("cotam", 0.5), broken]


def test_comparison_table(rows: list[dict[str, Any]]) -> None:
    table = report.comparison_table(
        "jpeg", [compare(rows, "jpeg", codec, "psnr") for codec in ("webp", "cotam")]
    )
    assert table.startswith("Against jpeg: ")
    assert "| webp | PSNR | −25.0 % [−25.0, −25.0] |" in table
    assert "| cotam | PSNR | −50.0 % [−50.0, −50.0] |" in table


def test_missing_delta_has_its_reason(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["codec"] == "webp" and "psnr" in row:
            row["psnr"] += 70
    table = report.comparison_table("jpeg", [compare(rows, "jpeg", "webp", "psnr")])
    assert "| webp | PSNR | – | +71" in table
    assert "webp, PSNR: no BD-rate, the curves do not overlap in their scores." in table


def test_resamples_without_a_delta_are_told(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["codec"] == "webp" and row["image"] == "0.png":
            row["psnr"] = 60 - row["psnr"]  # a draw of this image alone, or nearly, falls
    compared = compare(rows, "jpeg", "webp", "psnr")
    assert compared.rate_interval is not None
    assert 0.01 < compared.rate_interval.without < 0.5
    share = f"webp, PSNR: {100 * compared.rate_interval.without:.0f} % of the resamples have no BD-rate"
    assert share in report.comparison_table("jpeg", [compared])
    assert "resamples" not in report.comparison_table("jpeg", [compare(rows, "jpeg", "cotam", "psnr")])


def test_point_table_counts_errors(rows: list[dict[str, Any]]) -> None:
    table = report.point_table(rows, ["psnr"])
    assert "| codec | quality | bpp | PSNR, dB | encode, ms | decode, ms | images |" in table
    assert "| webp | 10 | 0.1500 | 27.00 | 20 | 4 | 3 (1 failed) |" in table
    assert "| original | – | 9.0000 | 40.00 | 0 | 0 | 1 |" in table


def test_versions_are_listed_once(rows: list[dict[str, Any]]) -> None:
    assert report.versions(rows) == "- jpeg: jpeg 1.0\n- webp: webp 1.0\n- cotam: cotam 1.0\n"


def test_codec_that_always_failed_has_no_curve(rows: list[dict[str, Any]]) -> None:
    failed = {"codec": "avif", "version": "1", "quality": 10, "image": "0.png", "error": "OSError: no"}
    assert list(report.mean_curves([*rows, failed], "psnr")) == ["jpeg", "webp", "cotam"]


def test_figure(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("curve.png", "curve.svg", "again.svg")]
    report.curve_figure(rows, ["psnr"], files[:2], title="three images")
    report.curve_figure(rows, ["psnr"], files[2:], title="three images")
    with Image.open(files[0]) as image:
        assert image.width > 600
    assert files[1].read_bytes() == files[2].read_bytes()
    report.curve_figure(rows, ["psnr"], files[2:], title="three images", log_rate=True)
    assert files[1].read_bytes() != files[2].read_bytes()


@pytest.mark.parametrize("count", [4, 7])
def test_figure_has_a_panel_for_each_score_and_no_more(
    rows: list[dict[str, Any]], tmp_path: Path, count: int
) -> None:
    scores = ["psnr", "ms_ssim_db", "shallow", "middle", "late", "deep", "features"][:count]
    report.curve_figure(rows, scores, [tmp_path / "curve.svg"], title="panels")
    assert len(re.findall(r'<g id="axes_\d+">', (tmp_path / "curve.svg").read_text())) == count


def test_last_version_and_last_row_count() -> None:
    new = rows_of("jpeg", 2)
    old = [row | {"version": "0"} for row in rows_of("jpeg", 1)]
    found = report.latest([*old, *new, new[0] | {"psnr": 1.0}])
    assert len(found) == len(new)
    assert {row["version"] for row in found} == {"jpeg 1.0"}
    assert found[0]["psnr"] == 1


def test_main_scores_are_those_that_rows_have(rows: list[dict[str, Any]]) -> None:
    assert report.main_scores(rows) == ["psnr"]
    other = [rows[0] | {"features@a/b": 3.0, "deep@a/b": 2.0, "recall": None}]
    assert report.main_scores(other) == ["psnr", "features@a/b", "recall"]
    with pytest.raises(InputError, match="no scores"):
        report.main_scores([{"codec": "a", "version": "1", "quality": 1, "image": "x", "bpp": 1}])


def test_command_reads_folders_and_files(tmp_path: Path) -> None:
    for name, codec in (("one", "jpeg"), ("two", "webp")):
        (tmp_path / name).mkdir()
        lines = "".join(json.dumps(row) + "\n" for row in rows_of(codec, 1))
        (tmp_path / name / "rows.jsonl").write_text(lines)
    command = ["bench", "report", str(tmp_path / "one"), str(tmp_path / "two" / "rows.jsonl"), "-o"]
    result = CliRunner().invoke(cotam, [*command, str(tmp_path / "new" / "tables.md")])
    assert result.exit_code == 0, result.output
    text = (tmp_path / "new" / "tables.md").read_text("utf-8")
    assert text.startswith("# one and two\n\nAgainst jpeg")
    assert "<svg" in (tmp_path / "new" / "tables.svg").read_text("utf-8")
    result = CliRunner().invoke(cotam, [*command, str(tmp_path / "page.html")])
    assert (result.exit_code, "reports are Markdown" in result.stderr) == (1, True)
    (tmp_path / "one" / "rows.jsonl").write_text("")
    arguments = ["bench", "report", str(tmp_path / "one"), "-o", str(tmp_path / "tables.md")]
    result = CliRunner().invoke(cotam, arguments)
    assert (result.exit_code, "there are no rows" in result.stderr) == (1, True)
