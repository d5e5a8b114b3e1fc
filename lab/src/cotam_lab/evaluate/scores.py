"""How right an answer is: 0…1, or 0…10 for captions.

Knows questions and the text of answers: nothing of models or codecs. An answer in which no choice, no yes and
no no can be read is wrong, and is counted as unread.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from cotam_lab.evaluate.cider import Cider
from cotam_lab.evaluate.normalise import normalised
from cotam_lab.evaluate.questions import Question
from cotam_lab.metrics.pictures import word_score

__all__ = ["ENOUGH", "Scored", "Scorer", "anls", "read_letter", "read_yes_no", "relaxed", "vqa_accuracy"]

ENOUGH = 4
"""Right answers that VQA accuracy needs; with fewer, an answer is right if it is one of them."""


@dataclass(frozen=True)
class Scored:
    """What an answer is worth.

    Attributes
    ----------
    value : float
    said : str or None
        The letter, or yes or no, that was read; None if nothing was, or where there is nothing to be read.
    """

    value: float
    said: str | None = None


class Scorer:
    """Scores answers to the questions of a file; captions are weighed by all of its captions."""

    def __init__(self, questions: Iterable[Question]) -> None:
        captions = {one.id: one.answers for one in questions if one.metric == "cider"}
        self._cider = Cider(captions)

    def score(self, question: Question, answer: str) -> Scored:
        """What an answer is worth, by the question's own metric."""
        match question.metric:
            case "choice":
                said = read_letter(answer, question.choices)
                return Scored(float(said == question.answers[0]), said)
            case "yesno":
                said = read_yes_no(answer)
                return Scored(float(said == question.answers[0]), said)
            case "cider":
                return Scored(self._cider.score(question.id, answer))
            case "words":
                return Scored(word_score(question.answers, [answer]).recall)
            case "anls":
                return Scored(anls(answer, question.answers))
            case "relaxed":
                return Scored(max(float(relaxed(answer, right)) for right in question.answers))
        return Scored(vqa_accuracy(answer, question.answers))


def vqa_accuracy(answer: str, answers: Sequence[str]) -> float:
    """Share of people who would agree, three being enough.

    Antol et al., "VQA: visual question answering", 2015: min(1, matches / 3), the mean over leaving each of
    the people out. With fewer than `ENOUGH` answers, 1 if the answer is one of them, else 0.
    """
    said, given = normalised(answer), [normalised(one) for one in answers]
    matches = Counter(given)[said]
    if len(given) < ENOUGH:
        return float(matches > 0)
    return sum(min(1.0, (matches - (one == said)) / 3) for one in given) / len(given)


def anls(answer: str, answers: Sequence[str]) -> float:
    """Normalised similarity by edits with the nearest right answer, 0 where over half would change.

    Biten et al., "Scene text visual question answering", 2019, threshold 0.5.
    """
    return max(_similarity(_plain(answer), _plain(right)) for right in answers)


def relaxed(answer: str, right: str) -> bool:
    """Whether a number is within 5 %, or a text is the same.

    Masry et al., "ChartQA", 2022, after Methani et al., "PlotQA", 2020: a number with % is divided by 100, so
    5 is not 5 %; a right answer of 0 must be met as text. A full stop at the end of the answer is dropped.
    """
    said, wanted = answer.strip().removesuffix("."), right.strip()
    value, target = _number(said), _number(wanted)
    if value is not None and target:
        return abs(value - target) / abs(target) <= 0.05
    return said.lower() == wanted.lower()


def read_letter(answer: str, choices: Sequence[str]) -> str | None:
    """The choice that an answer names, by text, by letter or in a sentence; None if that is not clear."""
    letters = ascii_uppercase[: len(choices)]
    texts = [_plain(choice) for choice in choices]
    said = _plain(answer)
    by_text = dict(zip(letters, texts, strict=True))
    if texts.count(said) == 1:
        return letters[texts.index(said)]
    if found := re.match(rf"[\s(\[*\"']*([{letters}])(?:[).\]:,*\"']|\s*$)", answer):
        return found[1]
    if (found := re.match(rf"\s*([{letters}])\s+(.*)", answer, re.DOTALL)) and _plain(found[2]) == by_text[
        found[1]
    ]:
        return found[1]
    named = re.findall(rf"\b(?i:answer|option|choice)\b(?:\s+is)?\W*([{letters}])\b", answer)
    if len(set(named)) == 1:
        return str(named[0])
    within = [
        letter
        for letter, text in by_text.items()
        if text and re.search(rf"(?<!\w){re.escape(text)}(?!\w)", said)
    ]
    return within[0] if len(within) == 1 else None


def read_yes_no(answer: str) -> str | None:
    """Yes or no, or None.

    The first word decides; else, as in POPE's evaluation, a no or not in the first sentence is a no. What has
    neither is a yes there, and here only if it says yes.
    """
    words = re.findall(r"[a-z]+", answer.lower())
    if words[:1] in (["yes"], ["no"]):
        return words[0]
    first = re.findall(r"[a-z]+", answer.lower().partition(".")[0])
    if {"no", "not"} & set(first):
        return "no"
    return "yes" if "yes" in words else None


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).removesuffix(".")


def _similarity(left: str, right: str) -> float:
    longest = max(len(left), len(right))
    if not longest:
        return 1.0
    share = _edits(left, right) / longest
    return 1 - share if share < 0.5 else 0.0


def _edits(left: str, right: str) -> int:
    """Levenshtein distance."""
    row = list(range(len(right) + 1))
    for place, character in enumerate(left, start=1):
        diagonal, row[0] = row[0], place
        for column, other in enumerate(right, start=1):
            diagonal, row[column] = (
                row[column],
                min(row[column] + 1, row[column - 1] + 1, diagonal + (character != other)),
            )
    return row[-1]
