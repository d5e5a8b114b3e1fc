"""Write held-out questions for the reference model, grouped by the level of detail that they need."""

from __future__ import annotations

import io
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from cotam.files import write_whole
from cotam.image.read import to_rgb
from cotam_lab.bench.report import table
from cotam_lab.evaluate.questions import Question, as_line, parse_questions
from cotam_lab.reference.quiz import COUNTS, KINDS, Item, Material, choices_among, draw
from cotam_lab.reference.quiz_pack import held_out, labels
from cotam_lab.study.scenes import count_pack
from cotam_lab.train.text_words import Rng

__all__ = ["LEVELS", "chance", "write_sets"]

LEVELS = {
    "low": ("large text", "colour", "larger"),
    "coarse": ("class", "kind", "animal", "caption", "presence", "shape"),
    "both": ("small text", "counting", "cut-outs", "more", "position", "corner"),
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
    data : folder with train/photos, train/captions, kodak, objects and ocr
    count : synthetic questions a task

    Raises InputError if a pack is missing.
    """
    material = Material(*held_out(data))
    found = {
        "synthetic": [*_drawn(material, count), *_cut_outs(data, count)],
        "real": [*_photos(material), *_objects(data / "objects"), *_words(data / "ocr")],
    }
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


def _cut_outs(data: Path, count: int) -> Iterator[Found]:
    """Objects cut out of photos on other photos, both held out."""
    kodak = sorted((data / "kodak" / "images").glob("*.png"))
    with TemporaryDirectory() as folder:
        count_pack(data / "objects", kodak, Path(folder), scenes=round(0.75 * count), seed=_SEED)
        for label in labels(Path(folder)):
            kind = Path(label["image"]).stem.split("_")[2].replace("-", " ")
            pixels = to_rgb(Path(folder) / label["image"])
            question = f"How many times is there a {kind}?"
            counts = tuple(map(str, COUNTS))
            yield Item(pixels, "cut-outs", question, label["lines"][0]["text"], choices=counts), None


def _photos(material: Material) -> Iterator[Found]:
    """Questions about each held-out photo."""
    names = sorted({photo.name for photo in material.named})
    captions = [photo.captions[0].strip().rstrip(".") for photo in material.captioned]
    for number, photo in enumerate(material.photos):
        rng, pixels = np.random.default_rng((_SEED, number)), np.asarray(photo.open())
        if photo.name:
            choices = _among(rng, photo.name, names)
            yield Item(pixels, "class", "What is in the photo?", photo.name, "choice", choices), photo.data
        if photo.kind:
            question = "What kind of animal is in the photo?"
            yield Item(pixels, "kind", question, photo.kind, "choice", KINDS), photo.data
        if photo.animal is not None:
            yield _yesno(pixels, "animal", "Is there an animal in the photo?", photo.animal), photo.data
        if photo.captions:
            own = photo.captions[0].strip().rstrip(".")
            choices = _among(rng, own, captions)
            yield Item(pixels, "caption", "Describe the photo.", own, "choice", choices), photo.data


def _objects(pack: Path) -> Iterator[Found]:
    """Presence, number and position of labelled objects."""
    listed = labels(pack)
    everything = sorted({name for label in listed for name in label["counts"]})
    for number, label in enumerate(listed):
        rng, data = np.random.default_rng((_SEED + 1, number)), (pack / label["image"]).read_bytes()
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        there = sorted(label["counts"])
        absent = [name for name in everything if name not in there]
        asked = [there[int(i)] for i in rng.permutation(len(there))[:2]]
        for present, names in (
            (True, asked),
            (False, [absent[int(i)] for i in rng.permutation(len(absent))]),
        ):
            for name in names[: len(asked)]:
                yield _yesno(pixels, "presence", f"Is there a {name} in the photo?", present), data
        for name in there:
            if 2 <= (often := label["counts"][name]) <= COUNTS[-1]:
                question = f"How many times is there a {name}?"
                yield Item(pixels, "counting", question, str(often), choices=tuple(map(str, COUNTS))), data
        single = {o["class"]: o["box"] for o in label["objects"] if label["counts"][o["class"]] == 1}
        yield from ((item, data) for item in _where(pixels, single))


def _where(pixels: np.ndarray, boxes: dict[str, list[float]]) -> Iterator[Item]:
    """Ask about the first pair of single objects that are clearly side by side."""
    names = sorted(boxes)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            apart = (boxes[one][0] + boxes[one][2] - boxes[other][0] - boxes[other][2]) / 2
            if abs(apart) > 0.25 * pixels.shape[1]:
                question = f"Is the {one} left or right of the {other}?"
                answer = "left" if apart < 0 else "right"
                yield Item(pixels, "position", question, answer, "choice", ("left", "right"))
                return


def _words(pack: Path) -> Iterator[Found]:
    """Ask for the largest word of each image, cropped, and for a small one in the whole image."""
    listed = labels(pack)
    own = [[word for word in label["words"] if _readable(word)] for label in listed]
    texts = sorted({word["text"].lower() for words in own for word in words})
    for number, (label, words) in enumerate(zip(listed, own, strict=True)):
        rng = np.random.default_rng((_SEED + 2, number))
        data = (pack / label["image"]).read_bytes()
        image = Image.open(io.BytesIO(data)).convert("RGB")
        seen = {word["text"].lower() for word in label["words"]}
        others = [text for text in texts if text not in seen]
        if words:
            largest = max(words, key=_height)
            text, cut = largest["text"].lower(), _alone(largest, image)
            question = "What word is written on the picture?"
            yield Item(cut, "large text", question, text), None
            yield Item(cut, "large text", question, text, "choice", _among(rng, text, others)), None
        small = [word for word in words if 12 <= _height(word) * 378 / image.height <= 26]
        if small:
            text = small[int(rng.integers(len(small)))]["text"].lower()
            question = "Which of these words is written on the picture?"
            choices = _among(rng, text, others)
            yield Item(np.asarray(image), "small text", question, text, "choice", choices), data


def _readable(word: dict[str, Any]) -> bool:
    text = word["text"]
    return bool(
        word["legible"] and len(text) >= 4 and text.isascii() and text.isalpha() and _height(word) >= 10
    )


def _height(word: dict[str, Any]) -> float:
    rows = [y for _, y in word["polygon"]]
    return float(max(rows) - min(rows))


def _alone(word: dict[str, Any], image: Image.Image) -> np.ndarray:
    """Crop a word tightly, on a square of its background colour."""
    columns, rows = zip(*word["polygon"], strict=True)
    edge = 0.15 * _height(word)
    left, top = (int(max(0, min(at) - edge)) for at in (columns, rows))
    right, bottom = (
        int(min(end, max(at) + edge)) for at, end in zip((columns, rows), image.size, strict=True)
    )
    cut = image.crop((left, top, right, bottom))
    side = round(1.2 * max(cut.size))
    ground = np.median(np.asarray(cut)[[0, -1]].reshape(-1, 3), axis=0).astype(int).tolist()
    square = Image.new("RGB", (side, side), tuple(ground))
    square.paste(cut, ((side - cut.width) // 2, (side - cut.height) // 2))
    return np.asarray(square)


def _yesno(pixels: np.ndarray, task: str, question: str, true: bool) -> Item:
    return Item(pixels, task, question, "yes" if true else "no", "yesno")


def _among(rng: Rng, answer: str, others: Sequence[str]) -> tuple[str, ...]:
    return choices_among(rng, answer, [text for text in others if text != answer])


def _written(items: Sequence[Found], out: Path, name: str) -> list[Question]:
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
