"""Public benchmarks and labelled packs, as they are published → questions.

Knows the layouts of their files: nothing of models or codecs. Parquet files, and what lies in them, are
read by `cotam_lab.evaluate.embedded`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from cotam.errors import InputError
from cotam_lab.evaluate.embedded import Store, read_table
from cotam_lab.evaluate.questions import Question

__all__ = ["IMPORTERS", "Imported", "import_questions"]

_SUFFIXES = (".jpg", ".png", ".jpeg", ".webp", ".JPG", ".PNG")
_WITHIN = ("mme", "mmbench")
_MME_PERCEPTION = {
    "existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR",
}  # fmt: skip


@dataclass
class Imported:
    """What was found.

    Attributes
    ----------
    questions : list of Question
    left_out : dict
        Why some were left out → how many.
    """

    questions: list[Question] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, reason: str) -> None:
        """Count one that cannot be asked."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1


def import_questions(name: str, source: Path, images: Path | None, out: Path) -> Imported:
    """Read a benchmark.

    Parameters
    ----------
    name : str
        One of `IMPORTERS`.
    source : Path
        File or folder, as lab/docs/eval.md says for each.
    images : Path, optional
        Folder of the pictures or videos, for benchmarks that keep them apart; where their authors have them
        if not given.
    out : Path
        The file that the questions will be written to: their paths are relative to its folder, and pictures
        that lie within the source's files are written beside it.

    Raises
    ------
    InputError
        If the source is not what was expected, or has no question that can be asked.
    MissingExtraError
        If the source is parquet, and pyarrow is not installed.
    """
    if not source.exists():
        raise InputError(f"{source} is not there")
    if images and name in _WITHIN:
        raise InputError(f"{name} has its pictures within {source}: there is no other folder to look in")
    found = Imported()
    try:
        for question in IMPORTERS[name](source, images, out, found):
            found.questions.append(question)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"{source} is no {name}: {type(error).__name__} {error}") from error
    if not found.questions:
        reasons = "; ".join(found.left_out) or "there are none"
        raise InputError(f"{source}: no question that can be asked: {reasons}")
    return found


def _textvqa(source: Path, images: Path | None, out: Path, found: Imported) -> Iterator[Question]:
    """``TextVQA_0.5.1_val.json``: data → question_id, question, image_id, answers; pictures IMAGE_ID.jpg."""
    folder = images or source.parent / "train_images"
    for row in _json(source)["data"]:
        if not row.get("answers"):
            found.leave_out("without answers, as in the test set")
            continue
        image = folder / f"{row['image_id']}.jpg"
        yield _made(
            row["question_id"], row["question"], "vqa", row["answers"], out, image=image, group="textvqa"
        )


def _pope(source: Path, images: Path | None, out: Path, found: Imported) -> Iterator[Question]:
    """``coco_pope_*.json``: a line each, with question_id, image, text, label; or a folder of such files."""
    files = sorted(source.glob("*pope*.json*")) if source.is_dir() else [source]
    for file in files:
        kind = file.stem.rpartition("_")[2]
        for row in _json_lines(file):
            image = (images or file.parent / "val2014") / row["image"]
            name = f"{file.stem}/{row['question_id']}"
            yield _made(name, row["text"], "yesno", [row["label"]], out, image=image, group=kind)


def _mme(source: Path, images: Path | None, out: Path, found: Imported) -> Iterator[Question]:
    """A folder for each task, with pictures and, for each, NAME.txt: lines of a question, a tab, Yes or No.

    Some tasks have them in ``images`` and ``questions_answers_YN``.
    """
    for folder in sorted(place for place in source.iterdir() if place.is_dir()):
        apart = folder / "questions_answers_YN"
        texts = sorted((apart if apart.is_dir() else folder).glob("*.txt"))
        shown = folder / "images" if apart.is_dir() else folder
        kind = "perception" if folder.name in _MME_PERCEPTION else "cognition"
        for text in texts:
            image = _with_suffix(shown, text.stem)
            lines = [line for line in text.read_text("utf-8").split("\n") if line.strip()]
            for number, line in enumerate(lines):
                question, tab, answer = line.rpartition("\t")
                if not tab or image is None:
                    found.leave_out("without a picture" if tab else "without an answer after a tab")
                    continue
                name, right = f"{folder.name}/{text.stem}/{number}", [answer.strip().lower()]
                yield _made(
                    name,
                    question,
                    "yesno",
                    right,
                    out,
                    image=image,
                    group=f"{kind}/{folder.name}",
                    instruction="",
                )


def _seed(source: Path, images: Path | None, out: Path, found: Imported) -> Iterator[Question]:
    """``SEED-Bench.json`` (1), or ``SEED-Bench_v2_level1_2_3.json`` (2) without what asks for pictures."""
    whole = _json(source)
    names = {number: name for name, number in whole.get("question_type", {}).items()}
    folder = images or source.parent / "SEED-Bench-image"
    for row in whole["questions"]:
        if row["data_type"] in ("Interleaved Image", "Image Generation", "Image & Text Generation"):
            found.leave_out(f"of type {row['data_type']}, which this format does not have")
            continue
        listed = row["data_id"] if isinstance(row["data_id"], list) else [row["data_id"]]
        shown: dict[str, Any] = {"images": [folder / one for one in listed]}
        if row["data_type"] == "video":
            shown = {"video": folder / listed[0], "segment": _seed_segment(row)}
        group = names.get(row["question_type_id"], str(row["question_type_id"]))
        choices = [row[f"choice_{letter}"] for letter in "abcd" if row.get(f"choice_{letter}") is not None]
        yield _made(
            row["question_id"],
            row["question"],
            "choice",
            [row["answer"]],
            out,
            choices=choices,
            group=group,
            **shown,
        )


def _seed_segment(row: dict[str, Any]) -> tuple[float, float] | None:
    """In seconds; those of dimension 12 are frames, 15 a second."""
    if not row.get("segment"):
        return None
    rate = 15.0 if row["question_type_id"] == 12 else 1.0
    return row["segment"][0] / rate, row["segment"][1] / rate


def _mmbench(source: Path, images: Path | None, out: Path, found: Imported) -> Iterator[Question]:
    """TSV or parquet: index, question, hint, A…, answer, category, image in base64, or the index of one."""
    store = Store(out)
    written: dict[str, Path] = {}
    for row in read_table(source):
        name = str(row["index"])
        choices = [str(row[letter]) for letter in ascii_uppercase if row.get(letter) not in (None, "", "nan")]
        image = row["image"]
        if isinstance(image, str) and image in written:  # a rotation of the choices of an earlier question
            written[name] = written[image]
        else:
            written[name] = store.keep(name, image)
        if not row.get("answer"):
            found.leave_out("without an answer, as in the test set")
            continue
        hint = row.get("hint")
        question = f"{hint}\n{row['question']}" if hint and hint != "nan" else row["question"]
        group = str(row.get("category") or "")
        yield _made(
            name, question, "choice", [row["answer"]], out, image=written[name], choices=choices, group=group
        )


def _chartqa(source: Path, images: Path | None, out: Path, found: Imported) -> Iterator[Question]:
    """``test_human.json``, ``test_augmented.json``: imgname, query, label; or a split's folder."""
    files = sorted(source.glob("*_human.json")) + sorted(source.glob("*_augmented.json"))
    for file in files or [source]:
        kind = file.stem.rpartition("_")[2]
        for number, row in enumerate(_json(file)):
            image = (images or file.parent / "png") / row["imgname"]
            name = f"{file.stem}/{number}"
            yield _made(name, row["query"], "relaxed", [row["label"]], out, image=image, group=kind)


def _video_mme(source: Path, images: Path | None, out: Path, found: Imported) -> Iterator[Question]:
    """Parquet or JSONL: question_id, videoID, duration, question, options ("A. …"), answer; VIDEOID.mp4."""
    folder = images or source.parent / "data"
    for row in read_table(source):
        choices = [option.partition(".")[2].strip() for option in row["options"]]
        video = folder / f"{row['videoID']}.mp4"
        yield _made(
            row["question_id"], row["question"], "choice", [row["answer"]], out, video=video, choices=choices,
            group=row["duration"],
        )  # fmt: skip


_FIELDS = {
    "company": "What is the name of the company that issued this receipt?",
    "date": "What is the date on this receipt?",
    "total": "What is the total amount on this receipt?",
}


def _pack(source: Path, images: Path | None, out: Path, found: Imported) -> Iterator[Question]:
    """A folder with ``labels.jsonl``: of qa, fields, captions and words or lines whatever a label has."""
    pack, file = (source, source / "labels.jsonl") if source.is_dir() else (source.parent, source)
    group = pack.resolve().name
    for label in _json_lines(file):
        image, stem = (images or pack) / label["image"], label["image"]
        texts = [
            one["text"] for one in label.get("lines") or label.get("words") or [] if one.get("legible", True)
        ]
        asked: list[tuple[str, str, str, list[str], str | None]] = []
        for number, one in enumerate(label.get("qa", [])):
            asked.append((str(number), one["question"], "relaxed", [one["answer"]], one.get("note") or None))
        for key, question in _FIELDS.items() if "fields" in label else ():
            if label["fields"].get(key):
                asked.append((key, question, "anls", [label["fields"][key]], None))
        if label.get("captions"):
            asked.append(
                ("caption", "Describe this picture in one sentence.", "cider", label["captions"], None)
            )
        if any(character.isalnum() for text in texts for character in text):
            asked.append(("words", "Write down all the text in this picture.", "words", texts, None))
        if not asked:
            found.leave_out("pictures without a label to ask about")
        for part, question, metric, answers, note in asked:
            if note:  # the set's own rule for the answer; the metric's own still follows
                question = f"{question}\n{note}"
            kind = f"{group}/{label['source']}" if "source" in label else group
            yield _made(f"{stem}/{part}", question, metric, answers, out, image=image, group=kind)


Importer = Callable[[Path, Path | None, Path, Imported], Iterator[Question]]
IMPORTERS: dict[str, Importer] = {
    "textvqa": _textvqa,
    "pope": _pope,
    "mme": _mme,
    "seed": _seed,
    "mmbench": _mmbench,
    "chartqa": _chartqa,
    "video-mme": _video_mme,
    "pack": _pack,
}


def _made(
    name: object,
    question: str,
    metric: str,
    answers: list[Any],
    out: Path,
    *,
    image: Path | None = None,
    images: list[Path] | None = None,
    video: Path | None = None,
    segment: tuple[float, float] | None = None,
    choices: list[str] | None = None,
    group: str = "",
    instruction: str | None = None,
) -> Question:
    shown = images or ([image] if image else [])
    return Question(
        id=str(name),
        question=question.strip(),
        metric=metric,
        answers=tuple(str(answer) for answer in answers),
        images=tuple(_from(out, one) for one in shown),
        video=_from(out, video) if video else None,
        segment=segment,
        choices=tuple(choices or ()),
        group=group,
        instruction=instruction,
        folder=out.parent,
    )


def _from(out: Path, path: Path) -> str:
    return Path(os.path.relpath(path, out.parent)).as_posix()


def _with_suffix(folder: Path, stem: str) -> Path | None:
    return next((path for suffix in _SUFFIXES if (path := folder / f"{stem}{suffix}").exists()), None)


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: {error}") from error


def _json_lines(file: Path) -> list[Any]:
    try:
        return [json.loads(line) for line in file.read_text("utf-8").split("\n") if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: {error}") from error
