"""Answers are read as people would read them, and scored by the metric of their question."""

from __future__ import annotations

from typing import Any

import pytest

from cotam_lab.evaluate.questions import Question
from cotam_lab.evaluate.scores import read_letter, read_yes_no, score


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("b. a cat", "B"),
        ("(C) a bird", "C"),
        ("C: a bird, surely", "C"),
        ("**D**", "D"),
        ("A cat", "B"),
        ("A dog", "A"),
        ("a cat.", "B"),
        ("The answer is C.", "C"),
        ("I would take option (D) here", "D"),
        ("It shows a bird in a tree.", "C"),
        ("It is either a cat or a bird", None),
        ("E", None),
        ("Answer: A, or perhaps the answer is B", None),
        ("A man and a woman", None),
        ("", None),
        ("xq zzw 9", None),
    ],
)
def test_letters_are_read_as_people_would(answer: str, letter: str | None) -> None:
    assert read_letter(answer, ["a dog", "a cat", "a bird", "a fish"]) == letter


def test_a_choice_may_be_a_letter_or_a_number() -> None:
    assert read_letter("B", ["B", "A"]) == "A"  # what it says is the text of the first
    assert read_letter("12", ["1", "12", "112", "2"]) == "B"
    assert read_letter("There are 2.", ["1", "12", "112", "2"]) == "D"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Yes", "yes"),
        ("yes, there is not much of it", "yes"),
        ("No.", "no"),
        ("There is no dog", "no"),
        ("I do not see one. Yes I am sure", "no"),
        ("I think so, yes", "yes"),
        ("nothing", None),
        ("", None),
        ("a dog", None),
    ],
)
def test_yes_and_no(answer: str, said: str | None) -> None:
    assert read_yes_no(answer) == said


def question(metric: str, answers: list[str], **rest: Any) -> Question:
    return Question("1", "?", metric, tuple(answers), ("a.png",), **rest)


@pytest.mark.parametrize(
    ("asked", "answer", "value"),
    [
        (question("choice", ["B"], choices=("x", "y")), "B", 1.0),
        (question("choice", ["B"], choices=("x", "y")), "what", 0.0),
        (question("yesno", ["no"]), "no", 1.0),
        (question("yesno", ["no"]), "hm", 0.0),
        (question("words", ["TOTAL 12.50", "Total"]), "total: 12.50", 2 / 3),
        (question("exact", ["hi", "hello"]), " Hello. ", 1.0),
        (question("exact", ["hello"]), "hello there", 0.0),
    ],
)
def test_each_question_is_scored_by_its_metric(asked: Question, answer: str, value: float) -> None:
    assert score(asked, answer).value == pytest.approx(value)
