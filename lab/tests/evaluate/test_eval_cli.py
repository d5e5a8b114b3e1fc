"""The commands write what they promise, and say plainly what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from gateway_servers import Model, running
from PIL import Image
from synthetic import picture

from cotam.cli.main import main as cotam
from cotam_lab.evaluate.cli import _some
from cotam_lab.evaluate.questions import read_questions


def called(*arguments: object) -> Result:
    return CliRunner().invoke(cotam, ["eval", *map(str, arguments)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    lines = []
    for number in range(3):
        Image.fromarray(picture(60, 80, number)).save(tmp_path / f"{number}.png")
        question = {"id": str(number), "image": f"{number}.png", "question": f"How many, {number}?"}
        lines.append(json.dumps(question | {"answers": ["3"], "metric": "exact"}))
    (tmp_path / "questions.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path / "questions.jsonl"


@pytest.mark.parametrize("family", ["llava", "qwen", "internvl"])
def test_a_model_of_transformers(file: Path, models: dict[str, Path], tmp_path: Path, family: str) -> None:
    out = tmp_path / "out"
    arguments = [file, "-o", out, "--model", models[family], "--device", "cpu", "--max-tokens", 4]
    arguments += ["--codec", "none", "--codec", "jpeg:q=10", "--codec", "jpeg:q=60", "--codec", "cotam@5,30"]
    result = called(*arguments)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 3 * 5
    assert {(row["codec"], row["quality"]) for row in rows} == {
        ("original", None),
        ("jpeg", 10),
        ("jpeg", 60),
        ("cotam", 5),
        ("cotam", 30),
    }
    needed = {"bytes", "codec_s", "model_s", "prompt_tokens", "completion_tokens", "answer", "score"}
    assert all(needed <= set(row) for row in rows)
    names = {"rows.jsonl", "summary.md", "curve-exact.svg", "curve-exact.png"}
    assert {path.name for path in out.iterdir()} == names
    assert (out / "summary.md").read_text("utf-8") in result.stdout
    assert "not surely better than chance" in result.stdout
    again = called(*arguments)
    assert again.stdout == result.stdout
    assert len((out / "rows.jsonl").read_text().splitlines()) == 15


def test_an_endpoint(file: Path, tmp_path: Path) -> None:
    model = Model()
    with running(model.app) as address:
        result = called(
            file, "-o", tmp_path / "out", "--endpoint", f"{address}/v1", "--codec", "none", "--limit", 2
        )
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("# echo on questions.jsonl, 2 of 3 questions\n")
    assert model.paths.count("/v1/chat/completions?") == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--codec", "none"], 2, "give --model, --endpoint, or both"),
        (["--model", "m"], 2, "Missing option '--codec'"),
        (["--model", "m", "--codec", "gif@3"], 2, "unknown codec 'gif'"),
        (["--model", "m", "--codec", "jpeg:q=200"], 2, "whole numbers from 0 to 100"),
        (["--model", "m", "--codec", "jpeg:effort=3,q=20"], 1, "only cotam and avif take options"),
        (
            ["--endpoint", "http://x/v1", "--codec", "none", "--choices", "likelihood"],
            2,
            "gives no likelihoods",
        ),
        (["--endpoint", "http://127.0.0.1:9/v1", "--codec", "none"], 1, "does not answer"),
        (["--model", "/nowhere/at/all", "--codec", "none"], 1, "/nowhere/at/all cannot be loaded"),
    ],
)
def test_what_is_wrong_is_one_line(
    file: Path, tmp_path: Path, arguments: list[str], code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = called(file, "-o", tmp_path / "out", *arguments)
    assert (result.exit_code, "Traceback" in result.output) == (code, False), result.output
    assert said in result.stderr


def test_a_limit_takes_of_every_kind_and_a_higher_one_takes_more(file: Path) -> None:
    """Every second question would be of one kind here."""
    first = read_questions(file)[0]
    many = [replace(first, id=f"{number}", group="ab"[number % 2]) for number in range(100)]
    few, more = _some(many, 20), _some(many, 50)
    assert len(few) == 20
    assert {one.group for one in few} == {"a", "b"}
    assert {one.id for one in few} < {one.id for one in more}
    assert [int(one.id) for one in more] == sorted(int(one.id) for one in more)
    assert _some(many, None) == many == _some(many, 1000)


def test_one_group_alone(file: Path, tmp_path: Path) -> None:
    values = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    values[1]["group"] = "low: colour"
    file.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")
    with running(Model().app) as address:
        shared = [file, "-o", tmp_path / "out", "--endpoint", f"{address}/v1", "--codec", "none", "--group"]
        result, refused = called(*shared, "low: colour"), called(*shared, "colour")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "out/rows.jsonl").read_text("utf-8").splitlines()]
    assert [row["question"] for row in rows] == [values[1]["id"]]
    assert refused.exit_code == 1
    assert "no question is of the group 'colour'; groups are: low: colour" in refused.stderr


def test_nothing_answered_is_a_failure(file: Path, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(b"not an image")
    with running(Model().app) as address:
        result = called(file, "-o", tmp_path / "out", "--endpoint", f"{address}/v1", "--codec", "none")
    assert result.exit_code == 1
    assert "no question was answered" in result.stderr
    assert "3 of 3 answers are missing" in result.stdout
