"""Write held-out questions for the reference model, grouped by the level of detail that they need."""

from __future__ import annotations

import io
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from cotam.files import write_whole
from cotam_lab.bench.report import table
from cotam_lab.evaluate.questions import Question, as_line, parse_questions
from cotam_lab.reference.quiz import KINDS, Item, Material, choices_among, draw
from cotam_lab.reference.quiz_data import held_out

__all__ = ["LEVELS", "chance", "write_sets"]

LEVELS = {
    "low": ("large text", "colour", "larger"),
    "coarse": ("class", "kind", "animal", "caption", "shape"),
    "both": ("small text", "counting", "more", "position", "corner"),
}
"""Level as in the distortion study → tasks."""

DRAWN = {
    "large text": 2.0,
    "small text": 2.0,
    "counting": 1.0,
    "more": 0.75,
    "colour": 1.0,
    "shape": 0.75,
    "position": 1.25,
    "corner": 0.75,
    "larger": 0.75,
}
"""Task → number of synthetic questions, relative to ``count``."""

_SEED = 7  # training seeds have four numbers, these two
_LEVEL = {task: level for level, tasks in LEVELS.items() for task in tasks}
Found = tuple[Item, bytes | None]


def write_sets(data: Path, out: Path, *, count: int = 80) -> dict[str, list[Question]]:
    """Write ``synthetic.jsonl`` and ``real.jsonl`` with their images, and a table of chance in ``README.md``.

    Parameters
    ----------
    data : folder with train/photos and train/captions
    count : synthetic questions a task

    Raises InputError if a pack is missing.
    """
    material = Material(*held_out(data))
    found = {"synthetic": _drawn(material, count), "real": _photos(material)}
    written = {name: _written(items, out, name) for name, items in found.items()}
    write_whole(str(out / "README.md"), _table(written).encode("utf-8"))
    return written


def chance(questions: Sequence[Question]) -> float:
    """Return the best score without seeing: a random choice, else always the same answer."""
    if questions[0].metric == "choice":
        return sum(1 / len(question.choices) for question in questions) / len(questions)
    return Counter(question.answers[0] for question in questions).most_common(1)[0][1] / len(questions)


def _drawn(material: Material, count: int) -> Iterator[Found]:
    for task, share in DRAWN.items():
        for number in range(round(count * share)):
            item = draw(task, (_SEED + zlib.crc32(task.encode()), number), material)
            # Half of the texts are open questions; tasks with few answers are choices.
            is_open = number % 2 == 0 if "text" in task else task in ("counting", "colour", "shape")
            yield (item if item.metric == "yesno" or is_open else replace(item, metric="choice")), None


def _photos(material: Material) -> Iterator[Found]:
    """Questions about each held-out photo."""
    names = sorted({photo.name for photo in material.named})
    captions = [photo.captions[0].strip().rstrip(".") for photo in material.captioned]
    for number, photo in enumerate(material.photos):
        rng, pixels = np.random.default_rng((_SEED, number)), np.asarray(photo.open())
        if photo.name:
            choices = choices_among(rng, photo.name, names)
            yield Item(pixels, "class", "What is in the photo?", photo.name, "choice", choices), photo.data
        if photo.kind:
            question = "What kind of animal is in the photo?"
            yield Item(pixels, "kind", question, photo.kind, "choice", KINDS), photo.data
        if photo.animal is not None:
            yield _yesno(pixels, "animal", "Is there an animal in the photo?", photo.animal), photo.data
        if photo.captions:
            own = photo.captions[0].strip().rstrip(".")
            choices = choices_among(rng, own, captions)
            yield Item(pixels, "caption", "Describe the photo.", own, "choice", choices), photo.data


def _yesno(pixels: np.ndarray, task: str, question: str, true: bool) -> Item:
    return Item(pixels, task, question, "yes" if true else "no", "yesno")


def _written(items: Iterable[Found], out: Path, name: str) -> list[Question]:
    """Write images, as original bytes where possible, and the file of questions."""
    folder = out / f"{name}_images"
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number, (item, data) in enumerate(items):
        data = data or _png(item.pixels)
        suffix = "png" if data.startswith(b"\x89PNG") else "jpg"
        image = f"{zlib.crc32(data):08x}.{suffix}"
        if not (folder / image).exists():
            write_whole(str(folder / image), data)
        chosen = item.metric == "choice"
        answer = "ABCDEFGHIJ"[item.choices.index(item.answer)] if chosen else item.answer
        found.append(
            Question(
                id=f"{name}-{number:04d}",
                question=item.question,
                metric=item.metric,
                answers=(answer,),
                images=(f"{folder.name}/{image}",),
                choices=item.choices if chosen else (),
                group=f"{_LEVEL[item.task]}: {item.task}",
            )
        )
    text = "".join(as_line(question) + "\n" for question in found)
    checked = parse_questions(text, out / f"{name}.jsonl")
    write_whole(str(out / f"{name}.jsonl"), text.encode("utf-8"))
    return checked


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _table(sets: dict[str, list[Question]]) -> str:
    """Write the table of groups with the number of questions and chance."""
    lines = []
    for name, questions in sets.items():
        groups: dict[tuple[str, str], list[Question]] = {}
        for question in questions:
            groups.setdefault((question.group, question.metric), []).append(question)
        for (group, metric), own in sorted(groups.items()):
            images = len({question.images for question in own})
            lines.append([name, group, metric, str(len(own)), str(images), f"{100 * chance(own):.0f} %"])
    about = "Neither these images nor the words to read were used in training. Chance is the best score\n"
    header = ["file", "level: task", "metric", "questions", "images", "chance"]
    total = sum(map(len, sets.values()))
    return f"{about}without seeing the image.\n\n{table(header, lines, numbers_from=6)}\n{total} questions.\n"
