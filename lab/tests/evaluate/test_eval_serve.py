"""``cotam eval`` against ``transformers serve``: the answers are those of the same model asked here."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from model_server import serving
from PIL import Image
from synthetic import picture

from cotam_lab.bench import baselines
from cotam_lab.evaluate.endpoint import Endpoint
from cotam_lab.evaluate.local import Local
from cotam_lab.evaluate.questions import read_questions
from cotam_lab.evaluate.run import Asking, plan, run

pytestmark = pytest.mark.slow


def test_answers_of_a_server_are_those_of_the_model(models: dict[str, Path], tmp_path: Path) -> None:
    lines = []
    for number in range(3):
        Image.fromarray(picture(60, 80, number)).save(tmp_path / f"{number}.png")
        value = {
            "id": str(number),
            "image": f"{number}.png",
            "question": "What?",
            "answers": ["x"],
            "metric": "exact",
        }
        lines.append(json.dumps(value))
    (tmp_path / "questions.jsonl").write_text("\n".join(lines))
    questions = read_questions(tmp_path / "questions.jsonl")
    wanted = plan(
        questions, [(None, ()), (baselines.codec("cotam"), (20,)), (baselines.codec("jpeg"), (10,))]
    )
    local = Local(str(models["llava"]), device="cpu")
    asking = Asking(max_tokens=12)
    here = run(tmp_path / "here.jsonl", wanted, local, asking)
    with serving(models["llava"]) as address, closing(Endpoint(address, str(models["llava"]))) as endpoint:
        there = run(tmp_path / "there.jsonl", wanted, endpoint, asking, jobs=2)
    assert [row["answer"] for row in there] == [row["answer"] for row in here]
    assert [row["prompt_tokens"] for row in there] == [row["prompt_tokens"] for row in here]
    assert len({row["answer"] for row in here}) > 1
