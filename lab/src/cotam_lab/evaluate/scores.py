"""Score answers, 0 … 1. Answers without a choice, yes or no count as wrong and as unread."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from cotam_lab.evaluate.questions import Question
from cotam_lab.metrics.text import word_score

__all__ = ["Scored", "read_letter", "read_yes_no", "score"]


@dataclass(frozen=True)
class Scored:
    """Score of an answer, and the letter, yes or no that was found in it (else None)."""

    value: float
    said: str | None = None


def score(question: Question, answer: str) -> Scored:
    """Score an answer by the question's metric."""
    match question.metric:
        case "choice":
            said = read_letter(answer, question.choices)
            return Scored(float(said == question.answers[0]), said)
        case "yesno":
            said = read_yes_no(answer)
            return Scored(float(said == question.answers[0]), said)
        case "words":
            return Scored(word_score(question.answers, [answer]).recall)
    return Scored(float(_plain(answer) in map(_plain, question.answers)))


def read_letter(answer: str, choices: Sequence[str]) -> str | None:
    """Find the choice that an answer names by text, by letter or in a sentence; None if that is unclear."""
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
    """Find yes or no: the first word, else no or not in the first sentence, else yes anywhere; or None."""
    words = re.findall(r"[a-z]+", answer.lower())
    if words[:1] in (["yes"], ["no"]):
        return words[0]
    first = re.findall(r"[a-z]+", answer.lower().partition(".")[0])
    if {"no", "not"} & set(first):
        return "no"
    return "yes" if "yes" in words else None


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).removesuffix(".")
