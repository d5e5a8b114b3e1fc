"""Questions about pictures, as JSONL: one object a line, whatever benchmark they come from.

Knows the format and how a question is put to a model: nothing of models, codecs or scores. lab/docs/eval.md
describes the format for people.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from cotam.errors import InputError

__all__ = ["METRICS", "Question", "as_line", "digest", "parse_questions", "prompt_of", "read_questions"]

METRICS = {
    "vqa": ("Answer the question using a single word or phrase.", 32),
    "anls": ("Answer the question using a single word or phrase.", 64),
    "relaxed": ("Answer the question using a single word or phrase.", 32),
    "words": ("", 1024),
    "choice": ("Answer with the option's letter from the given choices directly.", 32),
    "yesno": ("Please answer yes or no.", 16),
    "cider": ("", 64),
}
"""Metric → what is said after a question unless it has its own, and how many tokens an answer may have."""

_KEYS = {
    "id", "image", "images", "video", "segment", "question", "answers", "choices", "metric", "group",
    "instruction",
}  # fmt: skip


@dataclass(frozen=True)
class Question:
    """A question with its right answers.

    Attributes
    ----------
    id : str
        Its own among all of a file.
    question : str
        As it is put to the model, before the choices and the instruction.
    metric : str
        One of `METRICS`.
    answers : tuple of str
        Right answers; of ``choice`` the letter, of ``yesno`` yes or no, of ``words`` the words that are
        there, of ``cider`` the reference captions.
    images : tuple of str
        Paths relative to the folder of the file, or absolute; none where there is a video.
    video : str or None
        Path of a video, of which frames are shown.
    segment : (float, float) or None
        Seconds of the video from which to take the frames.
    choices : tuple of str
        Texts of the options A, B, …
    group : str
        What tables gather by.
    instruction : str or None
        Said after the question in place of the metric's own; an empty one says nothing.
    folder : Path
        Of the file.
    """

    id: str
    question: str
    metric: str
    answers: tuple[str, ...]
    images: tuple[str, ...] = ()
    video: str | None = None
    segment: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    group: str = ""
    instruction: str | None = None
    folder: Path = field(default=Path(), compare=False)

    @property
    def picture(self) -> str:
        """What tells what is shown from all else that is shown."""
        return " ".join(self.images) if self.video is None else f"{self.video} {self.segment or ''}".strip()

    def paths(self) -> list[Path]:
        """The files of the pictures."""
        return [self.folder / image for image in self.images]


def read_questions(file: Path) -> list[Question]:
    """Read a file of questions.

    Raises
    ------
    InputError
        If it cannot be read, a line is no question, or two have the same id.
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from error
    return parse_questions(text, file)


def parse_questions(text: str, file: Path) -> list[Question]:
    """The questions of a file's text; its name is for errors, its folder for their pictures.

    Raises
    ------
    InputError
        As `read_questions`.
    """
    found: dict[str, Question] = {}
    for number, line in enumerate(text.split("\n"), start=1):  # splitlines would part JSON at U+2028
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        try:
            value = json.loads(line)
        except ValueError as error:
            raise InputError(f"{where} is not JSON: {error}") from error
        question = _question(value, where, file.parent)
        if question.id in found:
            raise InputError(f"{where}: id {question.id!r} was there before")
        found[question.id] = question
    if not found:
        raise InputError(f"{file} has no questions")
    return list(found.values())


def as_line(question: Question) -> str:
    """The question as a line of a file, without its end."""
    value: dict[str, Any] = {"id": question.id}
    if len(question.images) == 1:
        value["image"] = question.images[0]
    elif question.images:
        value["images"] = list(question.images)
    optional = {
        "video": question.video,
        "segment": list(question.segment) if question.segment else None,
        "question": question.question,
        "choices": list(question.choices) or None,
        "answers": list(question.answers),
        "metric": question.metric,
        "group": question.group or None,
        "instruction": question.instruction,
    }
    return json.dumps(value | {k: v for k, v in optional.items() if v is not None}, ensure_ascii=False)


def prompt_of(question: Question, *, letters: bool, instructions: bool = True) -> str:
    """The text that goes with the pictures.

    Parameters
    ----------
    question : Question
    letters : bool
        List the choices and ask for a letter; else, where choices are compared by likelihood, the model is
        shown the question alone.
    instructions : bool
        False leaves out what is said after the question.
    """
    lines = [question.question]
    listed = question.metric == "choice" and letters
    if listed:
        lines += [
            f"{letter}. {text}" for letter, text in zip(ascii_uppercase, question.choices, strict=False)
        ]
    if instructions and (listed or question.metric != "choice"):
        own = METRICS[question.metric][0] if question.instruction is None else question.instruction
        lines += [own] if own else []
    return "\n".join(lines)


def digest(parts: Iterable[str]) -> str:
    """A short name of some texts."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=6).hexdigest()


def _question(value: Any, where: str, folder: Path) -> Question:
    if not isinstance(value, dict):
        raise InputError(f"{where} is not an object")
    if unknown := sorted(set(value) - _KEYS):
        raise InputError(f"{where}: unknown {', '.join(unknown)}; there is: {', '.join(sorted(_KEYS))}")
    images = value.get("images", [value["image"]] if "image" in value else [])
    question = Question(
        id=_text(value, "id", where),
        question=_text(value, "question", where),
        metric=_text(value, "metric", where),
        answers=_texts(value.get("answers"), "answers", where),
        images=_texts(images, "images", where),
        video=_text(value, "video", where) if "video" in value else None,
        segment=_segment(value.get("segment"), where),
        choices=_texts(value.get("choices", []), "choices", where),
        group=str(value.get("group", "")),
        instruction=_text(value, "instruction", where) if "instruction" in value else None,
        folder=folder,
    )
    _check(question, where)
    return question


def _check(question: Question, where: str) -> None:
    if question.metric not in METRICS:
        raise InputError(f"{where}: metric {question.metric!r} is none of {', '.join(METRICS)}")
    if bool(question.images) == (question.video is not None):
        raise InputError(f"{where}: a question has an image, images or a video, and only one of these")
    if not question.answers:
        raise InputError(f"{where}: there are no answers")
    if (question.metric == "choice") != bool(question.choices):
        raise InputError(f"{where}: choices belong to metric choice, and only to it")
    letters = ascii_uppercase[: len(question.choices)]
    if question.metric == "choice" and (
        not 2 <= len(question.choices) <= 26
        or len(question.answers) != 1
        or question.answers[0] not in letters
    ):
        raise InputError(f'{where}: choice has 2 to 26 choices, and as its answer the letter of one: ["B"]')
    if question.metric == "yesno" and question.answers not in (("yes",), ("no",)):
        raise InputError(f'{where}: the answers of yesno are ["yes"] or ["no"]')


def _text(value: dict[str, Any], key: str, where: str) -> str:
    found = value.get(key)
    if isinstance(found, int) and key == "id":
        return str(found)
    if not isinstance(found, str) or (not found and key != "instruction"):
        raise InputError(f"{where}: {key} is missing, or no text")
    return found


def _texts(value: Any, key: str, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InputError(f"{where}: {key} is no list of texts")
    return tuple(value)


def _segment(value: Any, where: str) -> tuple[float, float] | None:
    if value is None:
        return None
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(isinstance(one, int | float) for one in value)
        or not 0 <= value[0] < value[1]
    ):
        raise InputError(f"{where}: segment is two seconds, the first before the second")
    return float(value[0]), float(value[1])
