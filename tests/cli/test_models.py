"""``cotam models``, ``cotam info --for`` and the hint at large images."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import models_page
import pytest
from command_line import invoke
from PIL import Image
from synthetic import picture

import cotam
from cotam.cli.encode import HINT_FROM
from cotam.image import models


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(picture(384, 608)).save(path)
    return path


def test_page_is_up_to_date() -> None:
    page = models_page.PAGE.read_text(encoding="utf-8")
    assert models_page.refreshed(page) == page, "run: python tests/models_page.py"


def test_every_model_is_listed_and_doubt_is_marked() -> None:
    lines = invoke("models").stdout.splitlines()
    rows = {line.split()[0]: line for line in lines[1:-1]}
    assert [*rows] == [model.name for model in models.all_models()]
    assert all((" * " in rows[model.name]) != model.verified for model in models.all_models())
    assert "1365 x 768           1,105 " in rows["gpt-4o"]


def test_one_model_with_its_sources() -> None:
    text = invoke("models", "claude-opus-4-7", "--size", "3840x2160").stdout
    assert "2576 x 1449 of 3840 x 2160: 4,784 visual tokens" in text
    assert "10 MB an image as base64, which is 7.5 MB of file" in text
    assert "source   limits: platform.claude.com" in text
    assert "not verified" not in text
    assert "not verified" in invoke("models", "grok").stdout


def test_models_as_json() -> None:
    rows = [json.loads(line) for line in invoke("models", "--json").stdout.splitlines()]
    assert len(rows) == len(models.all_models())
    row = next(row for row in rows if row["name"] == "gpt-6")
    assert row["limits"]["patches"] == {"size": 32, "count": 30000}
    assert row["tokens"] == 2448


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models", "clod"], "model 'clod' is unknown: did you mean claude"),
        (["models", "--size", "0x10"], "'0x10' is not a size such as 1920x1080"),
        (["info", "x.png", "--for", "gpt4o"], "model 'gpt4o' is unknown: did you mean gpt-4o"),
        (["encode", "x.png", "--for", "gemni-3"], "model 'gemni-3' is unknown: did you mean gemini-3"),
    ],
)
def test_wrong_names(arguments: list[str], message: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_info_of_an_image_for_models(photo: Path) -> None:
    whole = len(cotam.encode(photo, quality=30))
    small = len(cotam.encode(photo, quality=30, fit="gpt-4o:low"))
    result = invoke("info", str(photo), "-q", "30", "--for", "claude", "--for", "gpt-4o:low", "--for", "grok")
    rows = {line.split()[0]: line for line in result.stdout.splitlines()[1:]}
    assert "608 x 384" in rows["image"]
    assert f"{photo.stat().st_size:,} bytes" in rows["file"]
    assert rows["claude"].split("  ")[-1].strip() == f"{whole:,} bytes"
    assert "608 x 384  308" in rows["claude"]
    assert "512 x 323  85" in rows["gpt-4o:low"]
    assert f"{small:,} bytes" in rows["gpt-4o:low"]
    assert "unknown *" in rows["grok"]
    assert rows["*"].startswith("  * not verified")


def test_info_of_an_image_as_json(photo: Path, tmp_path: Path) -> None:
    row = json.loads(invoke("info", str(photo), "--json", "--for", "qwen3-vl").stdout)
    assert (row["width"], row["height"], row["bytes"]) == (608, 384, photo.stat().st_size)
    [view] = row["models"]
    assert (view["sees"], view["tokens"], view["verified"]) == ([608, 384], 228, True)
    data = cotam.encode(photo)
    assert view["cotam_bytes"] == len(data)
    assert json.loads(invoke("info", str(photo), "--json").stdout)["cotam_bytes"] == view["cotam_bytes"]
    (tmp_path / "photo.cotam").write_bytes(data)
    coded = json.loads(invoke("info", str(tmp_path / "photo.cotam"), "--json", "--for", "claude").stdout)
    assert coded["models"][0]["tokens"] == 308


def test_info_of_a_sequence_counts_tokens_by_frame(tmp_path: Path) -> None:
    frames = [
        (seconds, Image.new("RGB", (608, 384), colour)) for seconds, colour in ((0, "red"), (1, "blue"))
    ]
    (tmp_path / "clip.cotam").write_bytes(b"".join(cotam.encode_frames(frames)))
    heading, row = invoke("info", str(tmp_path / "clip.cotam"), "--for", "claude").stdout.splitlines()[-2:]
    assert heading.split("  ")[-1].strip() == "visual tokens a frame"
    assert row.split() == ["claude", "608", "x", "384", "308"]


def test_info_counts_the_upright_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(60, 90)).save(tmp_path / "photo.jpg", exif=exif)
    assert "60 x 90" in invoke("info", str(tmp_path / "photo.jpg")).stdout


def test_encode_hints_once_at_large_images(tmp_path: Path) -> None:
    names = [str(tmp_path / f"{number}.png") for number in range(2)]
    for name in names:
        Image.new("RGB", (5200, 1500)).save(name)

    def hints(*arguments: str) -> int:
        result = invoke("encode", *arguments, "-j", "1", "--effort", "fast")
        assert result.exit_code == 0
        return result.stderr.count("--for MODEL")

    assert hints(*names) == 1
    assert hints(names[0], "--for", "gpt-4o") == hints(names[0], "--max-pixels", "100000") == 0
    assert hints(names[0], "--quiet") == 0


def test_small_images_get_no_hint() -> None:
    """`cotam encode` does not load the table for them."""
    sides = [*range(1, HINT_FROM, 97), HINT_FROM - 1]
    assert not [size for size in product(sides, sides) if models.oversize_hint(*size)]
