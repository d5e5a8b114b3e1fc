"""Questions about images, as JSON lines; lab/docs/eval.md describes the format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from cotam.errors import InputError

__all__ = [
    "METRICS",
    "Question",
    "as_line",
    "check_images",
    "digest",
    "parse_questions",
    "prompt_of",
    "read_questions",
]

_SHORT = "Answer the question using a single word or phrase."

METRICS = {
    "exact": (_SHORT, 32),
    "words": ("", 1024),
    "choice": ("Answer with the option's letter from the given choices directly.", 32),
    "yesno": ("Please answer yes or no.", 16),
}
"""Metric → instruction after the question, and the largest number of answer tokens."""

_KEYS = {"id", "image", "images", "question", "answers", "choices", "metric", "group"}


@dataclass(frozen=True)
class Question:
    """A question with its correct answers.

    ``answers`` are correct ones: of ``choice`` the letter, of ``yesno`` yes or no, of ``words`` all words.
    ``images`` are paths, absolute or relative to ``folder``, that of the file. ``choices`` are the texts of
    A, B, …; tables group by ``group``.
    """

    id: str
    question: str
    metric: str
    answers: tuple[str, ...]
    images: tuple[str, ...]
    choices: tuple[str, ...] = ()
    group: str = ""
    folder: Path = field(default=Path(), compare=False)

    @property
    def image(self) -> str:
        """Identifies what is shown."""
        return " ".join(self.images)

    def paths(self) -> list[Path]:
        """Return the image files."""
        return [self.folder / image for image in self.images]


def read_questions(file: Path) -> list[Question]:
    """Read a file of questions.

    Raises InputError if it cannot be read, a line is not a question, or an id occurs twice.
    """
    try:
        return parse_questions(file.read_text("utf-8"), file)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from error


def parse_questions(text: str, file: Path) -> list[Question]:
    """Parse the text of a file; its name is for error messages, its folder for the images.

    Raises InputError as `read_questions`.
    """
    found: dict[str, Question] = {}
    for number, line in enumerate(text.split("\n"), start=1):  # splitlines would split JSON at U+2028
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        try:
            value = json.loads(line)
        except ValueError as error:
            raise InputError(f"{where} is not JSON: {error}") from error
        question = _question(value, where, file.parent)
        if question.id in found:
            raise InputError(f"{where}: id {question.id!r} occurs twice")
        found[question.id] = question
    if not found:
        raise InputError(f"{file} has no questions")
    return list(found.values())


def check_images(questions: Sequence[Question]) -> None:
    """Raise InputError if image files are missing, before anything is asked."""
    missing = sorted({path for one in questions for path in one.paths() if not path.is_file()})
    if missing:
        more = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise InputError(f"{missing[0]}{more} are missing: paths are relative to the file of questions")


def as_line(question: Question) -> str:
    """Write a question as a line of a file, without the newline."""
    one = len(question.images) == 1
    value: dict[str, Any] = {"id": question.id}
    value |= {"image": question.images[0]} if one else {"images": list(question.images)}
    value["question"] = question.question
    if question.choices:
        value["choices"] = list(question.choices)
    value |= {"answers": list(question.answers), "metric": question.metric}
    if question.group:
        value["group"] = question.group
    return json.dumps(value, ensure_ascii=False)


def prompt_of(question: Question, *, letters: bool) -> str:
    """Return the text that goes with the images.

    ``letters`` lists the choices and asks for a letter; otherwise, where choices are compared by likelihood,
    the prompt is the question alone.
    """
    if question.metric == "choice" and not letters:
        return question.question
    listed = [f"{letter}. {text}" for letter, text in zip(ascii_uppercase, question.choices, strict=False)]
    instruction = METRICS[question.metric][0]
    return "\n".join([question.question, *listed, *([instruction] if instruction else [])])


def digest(parts: Iterable[str]) -> str:
    """Hash texts to 12 hexadecimal digits."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=6).hexdigest()


def _question(value: Any, where: str, folder: Path) -> Question:
    if not isinstance(value, dict):
        raise InputError(f"{where} is not an object")
    if unknown := sorted(set(value) - _KEYS):
        raise InputError(f"{where}: unknown key {', '.join(unknown)}; keys are {', '.join(sorted(_KEYS))}")
    images = value.get("images", [value["image"]] if "image" in value else [])
    question = Question(
        id=_text(value, "id", where),
        question=_text(value, "question", where),
        metric=_text(value, "metric", where),
        answers=_texts(value.get("answers"), "answers", where),
        images=_texts(images, "images", where),
        choices=_texts(value.get("choices", []), "choices", where),
        group=str(value.get("group", "")),
        folder=folder,
    )
    _check(question, where)
    return question


def _check(question: Question, where: str) -> None:
    if question.metric not in METRICS:
        raise InputError(f"{where}: metric must be one of {', '.join(METRICS)}, got {question.metric!r}")
    if not question.images:
        raise InputError(f"{where}: image or images is missing")
    if not question.answers:
        raise InputError(f"{where}: answers is empty")
    if (question.metric == "choice") != bool(question.choices):
        raise InputError(f"{where}: choices go with the metric choice, and only with it")
    letters = ascii_uppercase[: len(question.choices)]
    if question.metric == "choice" and (
        not 2 <= len(question.choices) <= 26
        or len(question.answers) != 1
        or question.answers[0] not in letters
    ):
        raise InputError(f'{where}: choice needs 2 to 26 choices, and the letter of one as its answer: ["B"]')
    if question.metric == "yesno" and question.answers not in (("yes",), ("no",)):
        raise InputError(f'{where}: the answers of yesno are ["yes"] or ["no"]')


def _text(value: dict[str, Any], key: str, where: str) -> str:
    found = value.get(key)
    if isinstance(found, int) and key == "id":
        return str(found)
    if not isinstance(found, str) or not found:
        raise InputError(f"{where}: {key} is missing or not a string")
    return found


def _texts(value: Any, key: str, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InputError(f"{where}: {key} is not a list of strings")
    return tuple(value)
