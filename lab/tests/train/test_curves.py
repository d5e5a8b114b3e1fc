"""Curves of training, from what runs log."""

import json

import pytest
from click.testing import CliRunner

from cotam.errors import InputError
from cotam_lab.train.__main__ import main
from cotam_lab.train.curves import draw, read_log

ROWS = [
    {"step": 100, "loss": 2.0, "bpp_y": 0.5, "bpp_z": 0.125, "deep": 0.3, "seconds": 1800.0},
    {"step": 200, "loss": 1.5, "bpp_y": 0.25, "bpp_z": 0.125, "deep": 0.2, "seconds": 3600.0},
    {"step": 300, "loss": 1.25, "bpp_y": 0.25, "bpp_z": 0.25, "deep": 0.1, "seconds": 900.0},
]


def logged(folder, rows=ROWS):
    folder.mkdir(exist_ok=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_log_is_read_from_its_folder_or_its_file_with_the_whole_rate(tmp_path):
    rows = read_log(logged(tmp_path))
    assert [row["bpp"] for row in rows] == [0.625, 0.375, 0.5]
    assert read_log(tmp_path / "log.jsonl") == rows


def test_equal_rows_give_equal_figures_with_a_panel_for_what_is_there(tmp_path):
    runs = {"one": read_log(logged(tmp_path))}
    draw(runs, tmp_path / "a.svg")
    draw(runs, tmp_path / "b.svg")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    for comment, there in (("distance, deep", True), ("distance, shallow", False)):
        assert (f"<!-- {comment} -->" in text) == there


def test_runs_side_by_side_have_names(tmp_path):
    logged(tmp_path / "base")
    (tmp_path / "mllm.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    logs = [str(tmp_path / "base"), str(tmp_path / "mllm.jsonl")]
    done = CliRunner().invoke(main, ["curves", *logs, "-o", str(tmp_path / "both.svg")])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "both.svg").read_text()
    assert all(f"<!-- {name} -->" in text for name in ("base", "mllm"))


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "has no steps"), ("{", "no log of a training run"), ('{"rate": 1}\n[]\n', "has no steps")],
)
def test_what_is_no_log_is_refused(tmp_path, content, message):
    (tmp_path / "log.jsonl").write_text(content)
    with pytest.raises(InputError, match=message):
        read_log(tmp_path)


def test_every_run_has_a_line_and_a_name(tmp_path):
    runs = {f"run {number}": ROWS for number in range(7)}
    draw(runs, tmp_path / "all.svg")
    text = (tmp_path / "all.svg").read_text()
    assert all(text.count(f"<!-- {name} -->") == text.count("<!-- run 0 -->") for name in runs)
    for name in ("a", "b"):
        logged(tmp_path / name)
    logs = [str(tmp_path / name / "log.jsonl") for name in ("a", "b")]
    done = CliRunner().invoke(main, ["curves", *logs, "-o", str(tmp_path / "out.svg")])
    assert (done.exit_code, "two runs have the same name" in done.output) == (1, True)
    assert not (tmp_path / "out.svg").exists()


def test_a_log_without_anything_to_draw_is_refused(tmp_path):
    with pytest.raises(InputError, match="no run logged any of: loss"):
        draw({"one": [{"step": 1, "norm": 2.0}]}, tmp_path / "a.svg")
