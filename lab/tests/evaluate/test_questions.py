"""The format is read as documented, and what is wrong is said with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cotam.errors import InputError
from cotam_lab.evaluate.questions import as_line, check_images, prompt_of, read_questions

GOOD: list[dict[str, Any]] = [
    {"id": "1", "image": "a.png", "question": "What?", "answers": ["x"], "metric": "exact"},
    {
        "id": 2,
        "images": ["a.png", "/b.png"],
        "question": "Which?",
        "answers": ["B"],
        "metric": "choice",
        "choices": ["one", "two"],
        "group": "g",
    },
    {"id": "3", "image": "c.png", "question": "Is it?", "answers": ["no"], "metric": "yesno"},
]


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
    assert prompt_of(second, letters=True) == (
        "Which?\nA. one\nB. two\nAnswer with the option's letter from the given choices directly."
    )
    assert prompt_of(second, letters=False) == "Which?"
    assert prompt_of(third, letters=True) == "Is it?\nPlease answer yes or no."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metric": "taste"}, "metric must be one of exact, words, choice, yesno, got 'taste'"),
        ({"metric": None}, "metric is missing"),
        ({"answers": []}, "answers is empty"),
        ({"answers": "x"}, "answers is not a list of strings"),
        ({"question": ""}, "question is missing"),
        ({"images": []}, "image or images is missing"),
        ({"choices": ["a", "b"]}, "choices go with the metric choice"),
        ({"metric": "choice"}, "choices go with the metric choice"),
        ({"metric": "choice", "choices": ["a", "b"], "answers": ["C"]}, "the letter of one"),
        ({"metric": "choice", "choices": ["a"], "answers": ["A"]}, "2 to 26 choices"),
        ({"metric": "yesno", "answers": ["Yes"]}, "yesno"),
        ({"anwsers": ["x"]}, "unknown key anwsers"),
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
    with pytest.raises(InputError, match="occurs twice"):
        read_questions(written(tmp_path, GOOD[0], GOOD[0]))
    with pytest.raises(InputError, match="cannot be read"):
        read_questions(tmp_path / "none.jsonl")


def test_missing_images_are_named_before_anything_is_asked(tmp_path: Path) -> None:
    found = read_questions(written(tmp_path, GOOD[0], GOOD[2]))
    with pytest.raises(InputError, match=r"a\.png and 1 others are missing"):
        check_images(found)
    for name in ("a.png", "c.png"):
        (tmp_path / name).touch()
    check_images(found)
