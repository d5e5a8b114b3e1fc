"""The format is read as documented, and what is wrong is said with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cotam.errors import InputError
from cotam_lab.evaluate.questions import as_line, prompt_of, read_questions

GOOD: list[dict[str, Any]] = [
    {"id": "1", "image": "a.png", "question": "What?", "answers": ["x"], "metric": "vqa"},
    {"id": 2, "images": ["a.png", "/b.png"], "question": "Which?", "answers": ["B"], "metric": "choice",
     "choices": ["one", "two"], "group": "g", "instruction": ""},
    {"id": "3", "video": "c.mp4", "segment": [1, 2.5], "question": "Is it?", "answers": ["no"],
     "metric": "yesno"},
]  # fmt: skip


def written(folder: Path, *values: Any) -> Path:
    file = folder / "questions.jsonl"
    file.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return file


def test_questions_are_read_and_written_back(tmp_path: Path) -> None:
    file = written(tmp_path, *GOOD)
    found = read_questions(file)
    assert [one.id for one in found] == ["1", "2", "3"]
    assert found[0].paths() == [tmp_path / "a.png"]
    assert found[1].paths() == [tmp_path / "a.png", Path("/b.png")]
    assert found[2].segment == (1.0, 2.5)
    again = tmp_path / "again.jsonl"
    again.write_text("\n\n".join(map(as_line, found)), encoding="utf-8")
    assert read_questions(again) == found


def test_a_line_ends_with_a_newline_and_nothing_else(tmp_path: Path) -> None:
    odd = [GOOD[0] | {"question": "one\u2028two\x85three\x0bfour?"}, GOOD[1]]
    (tmp_path / "q.jsonl").write_text(
        "\r\n".join(json.dumps(one, ensure_ascii=False) for one in odd), "utf-8"
    )
    found = read_questions(tmp_path / "q.jsonl")
    assert found[0].question == odd[0]["question"]
    (tmp_path / "again.jsonl").write_text("\n".join(map(as_line, found)), "utf-8")
    assert read_questions(tmp_path / "again.jsonl") == found


def test_what_a_model_is_asked(tmp_path: Path) -> None:
    first, second, third = read_questions(written(tmp_path, *GOOD))
    assert prompt_of(first, letters=True) == "What?\nAnswer the question using a single word or phrase."
    assert prompt_of(first, letters=True, instructions=False) == "What?"
    assert prompt_of(second, letters=True) == "Which?\nA. one\nB. two"
    assert prompt_of(second, letters=False) == "Which?"
    assert prompt_of(third, letters=True) == "Is it?\nPlease answer yes or no."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metric": "taste"}, "metric 'taste' is none of vqa"),
        ({"metric": None}, "metric is missing"),
        ({"answers": []}, "there are no answers"),
        ({"answers": "x"}, "answers is no list of texts"),
        ({"question": ""}, "question is missing"),
        ({"video": "a.mp4"}, "only one of these"),
        ({"images": []}, "only one of these"),
        ({"choices": ["a", "b"]}, "choices belong to metric choice"),
        ({"metric": "choice"}, "choices belong to metric choice"),
        ({"metric": "choice", "choices": ["a", "b"], "answers": ["C"]}, "the letter of one"),
        ({"metric": "choice", "choices": ["a"], "answers": ["A"]}, "2 to 26 choices"),
        ({"metric": "yesno", "answers": ["Yes"]}, "yesno"),
        ({"anwsers": ["x"]}, "unknown anwsers"),
        ({"segment": [3, 2]}, "segment"),
    ],
)
def test_a_wrong_question_is_named_by_its_line(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match="line 2: ") as caught:
        read_questions(written(tmp_path, GOOD[1], GOOD[0] | change))
    assert said in str(caught.value)


def test_wrong_files(tmp_path: Path) -> None:
    for text, said in (("", "no questions"), ("{", "line 1 is not JSON"), ("[]", "line 1 is not an object")):
        (tmp_path / "x.jsonl").write_text(text)
        with pytest.raises(InputError, match=said):
            read_questions(tmp_path / "x.jsonl")
    with pytest.raises(InputError, match="was there before"):
        read_questions(written(tmp_path, GOOD[0], GOOD[0]))
    with pytest.raises(InputError, match="cannot be read"):
        read_questions(tmp_path / "none.jsonl")
