"""The commands write what they promise and say plainly what is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw, ImageFont

from cotam.cli.main import main as cotam


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    (folder / "images").mkdir(parents=True)
    random = np.random.default_rng(0)
    labels = []
    for number in range(2):
        coarse = Image.fromarray(random.integers(150, 256, (6, 6, 3), dtype=np.uint8))
        image = coarse.resize((180, 170), Image.Resampling.BICUBIC)
        ImageDraw.Draw(image).text(
            (20, 60), f"Total {70 + number}", fill="black", font=ImageFont.load_default(28)
        )
        image.save(folder / "images" / f"{number}.png")
        labels.append({"image": f"images/{number}.png", "lines": [{"text": f"Total {70 + number}"}]})
    (folder / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)))
    return folder


SWEEP = ["sweep", "--metric", "fidelity"]


def test_a_sweep_writes_rows_table_and_curves(pack: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [
        *SWEEP,
        str(pack),
        "-o",
        str(out),
        "-j",
        "1",
        "--codec",
        "jpeg@20,70",
        "--codec",
        "webp@20,70",
    ]
    arguments += ["--reference", "jpeg", "--reference", "avif-psnr"]
    result = CliRunner().invoke(cotam, ["bench", *arguments])
    assert result.exit_code == 0, result.output
    assert sorted(file.name for file in out.iterdir()) == ["curve.png", "curve.svg", "rows.jsonl", "table.md"]
    assert "Against jpeg" in result.stdout
    assert "Nothing is compared with avif-psnr: it was not measured." in result.stdout
    assert (out / "table.md").read_text("utf-8") in result.stdout
    assert len((out / "rows.jsonl").read_text().splitlines()) == 2 * 2 * 2
    size = (out / "rows.jsonl").stat().st_size
    assert CliRunner().invoke(cotam, ["bench", *arguments]).stdout == result.stdout
    assert (out / "rows.jsonl").stat().st_size == size


def test_images_are_reduced_first(pack: Path, tmp_path: Path) -> None:
    arguments = ["sweep", str(pack), "-o", str(tmp_path / "out"), "-j", "1", "--metric", "contrast"]
    arguments += ["--codec", "avif:speed=9@20,70"]
    for sides in ([], ["--side", "90"], ["--side", "90"]):
        result = CliRunner().invoke(cotam, ["bench", *arguments, *sides])
        assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").read_text().splitlines()]
    assert [(row["image"], row["width"], row["height"]) for row in rows[::2]] == [
        ("images/0.png", 180, 170),
        ("images/1.png", 180, 170),
        ("images/0.png at 90", 90, 85),
        ("images/1.png at 90", 90, 85),
    ]


def test_text_measures_originals_too(pack: Path, tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    out = tmp_path / "out"
    arguments = ["sweep", str(pack), "-o", str(out), "-j", "1", "--limit", "1", "--metric", "text"]
    result = CliRunner().invoke(cotam, ["bench", *arguments, "--codec", "jpeg@60"])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert [(row["codec"], row["quality"], row["recall"]) for row in rows] == [
        ("original", None, 1.0),
        ("jpeg", 60, 1.0),
    ]


def test_sweep_takes_metrics_codecs_and_variants(pack: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["sweep", str(pack), "-o", str(out), "-j", "1", "--codec", "jpeg@20,70", "--codec"]
    arguments += ["cotam:view=human@20,60", "--every", "2"]
    first = CliRunner().invoke(cotam, ["bench", *arguments, "--metric", "fidelity"])
    assert first.exit_code == 0, first.output
    assert "Against jpeg" in first.stdout
    assert "| cotam:view=human | PSNR |" in first.stdout
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert [(row["codec"], row["quality"], row["image"]) for row in rows] == [
        ("jpeg", 20, "images/0.png"),
        ("jpeg", 70, "images/0.png"),
        ("cotam:view=human", 20, "images/0.png"),
        ("cotam:view=human", 60, "images/0.png"),
    ]
    pytest.importorskip("efficientnet_lite_pytorch")
    more = [*arguments, "--metric", "fidelity", "--metric", "class", "--score", "class_overlap"]
    more += ["--reference", "cotam:view=human"]
    second = CliRunner().invoke(cotam, ["bench", *more])
    assert second.exit_code == 0, second.output
    assert "Against cotam:view=human" in second.stdout
    assert "PSNR" not in second.stdout
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert all({"psnr", "class", "bytes"} <= set(row) for row in rows[4:])
    assert len(rows) == 8


def test_several_folders_are_one_sweep(pack: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (180, 170), "teal").save(other / "plain.png")
    arguments = ["sweep", str(pack), str(other), "-o", str(tmp_path / "out"), "-j", "1", "--codec", "jpeg@50"]
    result = CliRunner().invoke(cotam, ["bench", *arguments, "--metric", "fidelity"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("# pack and other\n")
    rows = [json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").read_text().splitlines()]
    assert [row["image"] for row in rows] == ["pack/images/0.png", "pack/images/1.png", "other/plain.png"]
    twice = CliRunner().invoke(
        cotam, ["bench", "sweep", str(pack), str(pack), "-o", "x", "--codec", "jpeg", "--metric", "fidelity"]
    )
    assert "the same name" in twice.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--codec", "gif", "--metric", "text"], 2, "unknown codec 'gif'"),
        (["--codec", "jpeg@x", "--metric", "text"], 2, "whole numbers from 0 to 100"),
        (["--codec", "jpeg", "--metric", "taste"], 2, "unknown metric 'taste'"),
        (["--codec", "jpeg", "--metric", "text", "--score", "taste"], 2, "unknown score 'taste'"),
        (["--metric", "fidelity"], 2, "Missing option '--codec'"),
        (["--codec", "cotam:flavour=mint", "--metric", "fidelity"], 1, "no option flavour"),
    ],
)
def test_wrong_sweeps_are_said_before_anything_is_measured(
    pack: Path, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    result = CliRunner().invoke(cotam, ["bench", "sweep", str(pack), "-o", str(tmp_path / "out"), *arguments])
    assert result.exit_code == code
    assert said in result.stderr
    assert not (tmp_path / "out").exists()


def test_errors_are_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        cotam, ["bench", *SWEEP, str(tmp_path), "-o", str(tmp_path / "out"), "--codec", "jpeg"]
    )
    assert result.exit_code == 1
    assert result.stderr.startswith("cotam: error: ")
    assert "no images" in result.stderr
