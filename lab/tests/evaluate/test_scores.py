"""Scores are those of the papers, and answers are read as people would read them."""

from __future__ import annotations

from typing import Any

import pytest

from cotam_lab.evaluate.normalise import normalised
from cotam_lab.evaluate.questions import Question
from cotam_lab.evaluate.scores import Scorer, anls, read_letter, read_yes_no, relaxed, vqa_accuracy


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        ("The Red  Bus.", "red bus"),
        ("two", "2"),
        ("None", "0"),
        ("an apple\nand a pear", "apple and pear"),
        ("dont", "don't"),
        ("shouldntve", "shouldntve"),
        ("shouldnt've", "shouldn't've"),
        ("yes, it is", "yes it is"),
        ("left-handed", "left handed"),
        ("1,000 - 2", "1000 2"),
        ("$3.50", "$3.50"),
        ("3.5.", "3.5"),
        ("U.S.A", "usa"),
        ("(stop)!", "stop"),
        ("nike/adidas", "nike adidas"),
    ],
)
def test_normalised_answers(answer: str, form: str) -> None:
    assert normalised(answer) == form
    assert normalised(form) == form


@pytest.mark.parametrize(("agree", "score"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_vqa_accuracy_of_ten_people(agree: int, score: float) -> None:
    """Each of k who agree leaves k − 1 others: (k · min(1, (k − 1) / 3) + (10 − k) · min(1, k / 3)) / 10."""
    answers = ["Stop!"] * agree + [f"other {number}" for number in range(10 - agree)]
    assert vqa_accuracy("stop", answers) == pytest.approx(score)


def test_vqa_accuracy_of_few_people_is_whether_one_of_them_agrees() -> None:
    assert vqa_accuracy("a cat", ["cat"]) == 1
    assert vqa_accuracy("dog", ["cat", "kitten"]) == 0


@pytest.mark.parametrize(
    ("answer", "answers", "score"),
    [
        ("Hello World", ["hello  world"], 1.0),
        ("helo", ["hello"], 0.8),
        ("hexxo", ["hello"], 0.6),
        ("heXXX", ["hello"], 0.0),  # 3 of 5 differ
        ("abcd", ["abxy"], 0.0),  # a half is too much
        ("12 june", ["june", "12 June."], 1.0),
        ("", ["x"], 0.0),
    ],
)
def test_anls(answer: str, answers: list[str], score: float) -> None:
    assert anls(answer, answers) == pytest.approx(score)


@pytest.mark.parametrize(
    ("answer", "right", "agrees"),
    [
        ("105", "100", True),
        ("95", "100", True),
        ("105.1", "100", False),
        ("-105", "-100", True),
        ("-100", "100", False),
        ("5.2%", "5%", True),
        ("5", "5%", False),
        ("0.05", "5%", True),
        ("0.01", "0", False),
        ("0", "0", True),
        ("14.", "14", True),
        ("Germany", " germany ", True),
        ("German", "germany", False),
        ("about 100", "100", False),
        ("nan", "100", False),
        ("inf", "100", False),
    ],
)
def test_relaxed_accuracy(answer: str, right: str, agrees: bool) -> None:
    assert relaxed(answer, right) is agrees


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
        (question("relaxed", ["3", "4"]), "4.1", 1.0),
        (question("anls", ["hello"]), "hello", 1.0),
        (question("vqa", ["hello"]), "Hello!", 1.0),
    ],
)
def test_each_question_is_scored_by_its_metric(asked: Question, answer: str, value: float) -> None:
    assert Scorer([asked]).score(asked, answer).value == pytest.approx(value)


def test_captions_are_weighed_by_all_of_the_file() -> None:
    first = Question("1", "?", "cider", ("a red boat on a lake",), ("a.png",))
    second = Question("2", "?", "cider", ("a cat sleeps on a sofa",), ("b.png",))
    assert Scorer([first, second]).score(first, "a red boat on a lake").value == pytest.approx(10)
    assert Scorer([first]).score(first, "a red boat on a lake").value == 0
