"""Tables say what the rows say, how sure that is, and when it says nothing."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from cotam_lab.evaluate.questions import Question
from cotam_lab.evaluate.scores import score
from cotam_lab.evaluate.summary import ALL, Cell, Summary, by_image, summarise

Row = dict[str, Any]


def row(
    question: Question, answer: str | None, codec: str = "original", quality: int | None = None, **rest: Any
) -> Row:
    found: Row = {"codec": codec, "version": None, "quality": quality, "image": question.image}
    found |= {"question": question.id, "asked": "", "model": "m"}
    if answer is None:
        return found | {"error": "RuntimeError: out of memory"}
    scored = score(question, answer)
    found |= {"bytes": 1000, "bpp": 0.5, "codec_s": 0.1, "model_s": 0.2, "answer": answer, "prompt_tokens": 9}
    return found | {"completion_tokens": None, "score": scored.value, "said": scored.said} | rest


def choice(number: int, right: str = "A", group: str = "") -> Question:
    return Question(
        str(number), "?", "choice", (right,), (f"{number}.png",), choices=("w", "x", "y", "z"), group=group
    )


def yes_no(number: int, right: str, image: str | None = None) -> Question:
    return Question(str(number), "?", "yesno", (right,), (image or f"{number}.png",))


def of(summary: Summary, **wanted: Any) -> Cell:
    (found,) = [cell for cell in summary.cells if all(getattr(cell, k) == v for k, v in wanted.items())]
    return found


def test_means_groups_and_failures() -> None:
    questions = [choice(number, group="first" if number < 4 else "second") for number in range(6)]
    answers = ["A", "A", "B", None, "A", "B"]
    rows = [row(question, answer) for question, answer in zip(questions, answers, strict=True)]
    rows += [row(question, "B", "jpeg", 10, bytes=100 + int(question.id)) for question in questions]
    summary = summarise(questions, rows, title="t")
    first = of(summary, codec="original", group="first")
    assert (first.questions, first.failed, first.score) == (3, 1, pytest.approx(2 / 3))
    assert of(summary, codec="original", group=ALL).score == pytest.approx(3 / 5)
    jpeg = of(summary, codec="jpeg", group=ALL)
    assert (jpeg.score, jpeg.bytes, jpeg.tokens_in, jpeg.tokens_out) == (0, 102.5, 9, None)
    assert "1 of 12 answers are missing" in summary.remarks[0]
    assert "RuntimeError: out of memory" in summary.remarks[0]
    assert "| original | – | choice | first | 3 (1 failed) |" in summary.markdown()


def test_intervals_are_over_images() -> None:
    """Ten questions about each of ten images, all right or all wrong: as unsure as ten questions."""
    apart = [choice(number) for number in range(100)]
    together = [Question(**(vars(one) | {"images": (f"{int(one.id) % 10}.png",)})) for one in apart]
    answers = ["A" if number % 10 < 5 else "B" for number in range(100)]
    widths = []
    for questions in (apart, together):
        rows = [row(question, answer) for question, answer in zip(questions, answers, strict=True)]
        interval = of(summarise(questions, rows, title="t"), codec="original").interval
        assert interval is not None
        widths.append(interval.high - interval.low)
        assert interval.low < 0.5 < interval.high
    deviations = [2 * 1.96 * np.sqrt(0.25 / count) for count in (100, 10)]
    assert widths == pytest.approx(deviations, rel=0.15)


def test_yes_no_has_what_pope_has() -> None:
    """3 true, 1 false, 2 missed yes; precision 3/4, recall 3/5: F1 = 2/3."""
    given = [("yes", "yes")] * 3 + [("no", "yes")] + [("yes", "no")] * 2 + [("no", "no")] * 4
    questions = [yes_no(number, right) for number, (right, _) in enumerate(given)]
    rows = [row(question, said) for question, (_, said) in zip(questions, given, strict=True)]
    cell = of(summarise(questions, rows, title="t"), codec="original")
    assert cell.score == pytest.approx(0.7)
    assert cell.f1 == pytest.approx(2 / 3)
    assert cell.chance == 0.5


def test_chance_is_reported_beside_the_score() -> None:
    questions = [
        *(choice(number) for number in range(4)),
        *(yes_no(10 + n, "yes" if n else "no") for n in range(4)),
    ]
    rows = [row(question, question.answers[0]) for question in questions]
    summary = summarise(questions, rows, title="t")
    assert of(summary, metric="choice").chance == 0.25
    assert of(summary, metric="yesno").chance == 0.75  # always yes
    assert (
        "| original | – | choice | – | 4 | 1,000 | 0.500 | 100.0 [100.0, 100.0] | 25.0 |"
        in summary.markdown()
    )
    assert not any("chance" in remark for remark in summary.remarks)


def noise(kind: str, questions: list[Question]) -> list[Row]:
    dice = random.Random(1)
    letters = "".join(map(chr, range(33, 127)))
    said = {
        "nothing": lambda one: "",
        "garbage": lambda one: "".join(dice.choices(letters, k=12)),
        "any answer": lambda one: dice.choice("ABCD" if one.choices else ("yes", "no")),
        "the same": lambda one: "A" if one.choices else "yes",
    }[kind]
    return [row(question, said(question)) for question in questions]


@pytest.mark.parametrize("kind", ["nothing", "garbage", "any answer", "the same"])
def test_a_model_that_answers_noise_is_said_to(kind: str) -> None:
    questions = [choice(number, "ABCD"[number % 4]) for number in range(200)]
    questions += [yes_no(1000 + number, "yes" if number % 2 else "no") for number in range(200)]
    summary = summarise(questions, noise(kind, questions), title="t")
    for metric in ("choice", "yesno"):
        cell = of(summary, metric=metric)
        assert cell.score is not None
        assert cell.score <= cell.chance + 2.6 * np.sqrt(cell.chance * (1 - cell.chance) / 200)
        assert any(f"{metric}: the model is not surely better than chance" in one for one in summary.remarks)
    unread = kind in ("nothing", "garbage")
    assert any("could not be read" in one for one in summary.remarks) is unread
    assert of(summary, metric="choice").unread >= 150 if unread else of(summary, metric="choice").unread == 0


@pytest.mark.parametrize("metric", ["exact", "words"])
def test_noise_is_said_of_open_answers_too(metric: str) -> None:
    questions = [Question(str(n), "?", metric, (f"word{n} here",), (f"{n}.png",)) for n in range(20)]
    summary = summarise(questions, noise("garbage", questions), title="t")
    assert any(
        one.startswith(f"{metric}: the model is not surely better than chance") for one in summary.remarks
    )


def test_missing_originals_and_curves_are_said() -> None:
    questions = [Question("1", "?", "exact", ("a",), ("1.png",))]
    summary = summarise(questions, [row(one, "a", "jpeg", 5) for one in questions], title="t")
    text = "\n".join(summary.remarks)
    assert "The originals were not asked about" in text
    assert "exact: no BD-rate" in text


def test_few_images_are_said_to_be_few() -> None:
    for count, said in ((19, True), (20, False)):
        questions = [choice(number) for number in range(count)]
        summary = summarise(questions, [row(one, "A") for one in questions], title="t")
        assert any("too narrow: choice." in one for one in summary.remarks) is said


def test_half_the_rate_at_equal_score_is_half_the_rate() -> None:
    questions = [choice(number) for number in range(40)]
    rows = []
    for quality, share in ((10, 0.4), (20, 0.6), (40, 0.8)):
        for codec, factor in (("jpeg", 1.0), ("cotam", 0.5)):
            for number, question in enumerate(questions):
                answer = "A" if number < share * len(questions) else "B"
                rows.append(row(question, answer, codec, quality, bpp=factor * quality / 40))
    summary = summarise(questions, rows, title="t", reference="jpeg")
    (text,) = summary.comparisons
    assert text.startswith("## At equal score: choice\n\nAgainst jpeg")
    assert "| cotam | answers | −50.0 %" in text
    other = summarise(questions, rows, title="t", reference="avif")
    assert other.comparisons == summary.comparisons
    assert "choice: compared with jpeg, as avif has not two qualities here." in other.remarks


def test_images_of_a_comparison_weigh_the_same() -> None:
    questions = [
        Question(**(vars(choice(n)) | {"images": ("a.png" if n < 3 else "b.png",)})) for n in range(4)
    ]
    rows = [row(question, answer, "jpeg", 5) for question, answer in zip(questions, "AABA", strict=True)]
    assert [one["answers"] for one in by_image(rows)] == pytest.approx([2 / 3, 1])
