"""Pack photos and words for the quiz, split into training and held-out parts.

Image files are kept byte for byte, so that a model does not learn the artefacts of another codec.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cotam.errors import InputError
from cotam_lab.bench.images import read_labels
from cotam_lab.reference.quiz import Material, Photo
from cotam_lab.study.scenes import WORDS
from cotam_lab.train.text_words import VOCABULARY

__all__ = ["LIMIT", "held_out", "read", "training", "write"]

LIMIT = 50_000_000
"""Largest size of the file in bytes, so that it can be carried to another machine."""

_RANGES = {
    "fish": ((0, 6), (389, 397)),
    "bird": ((7, 24), (80, 100), (127, 146)),
    "reptile": ((33, 68),),
    "dog": ((151, 268),),
    "cat": ((281, 293),),
    "insect": ((300, 326),),
    "monkey": ((365, 382),),
}
"""Kinds of animals by ImageNet's class numbers; 0 to 397 are animals."""

_LAST_ANIMAL = 397
_WITH_ANIMALS = re.compile("sled|cart|plow|barn|corral|boathouse|apiary|bee|honeycomb|birdhouse|worm|spider")


def training(data: Path) -> tuple[list[Photo], list[str]]:
    """Return photos and words for training: without numbers 0, 10, 20 … of each pack, sorted by name.

    Parameters
    ----------
    data : folder with train/photos and train/captions, each with ``labels.jsonl``

    Raises InputError if a pack is missing.
    """
    return _photos(data, held=False), _words(data, held=False)


def held_out(data: Path) -> tuple[list[Photo], list[str]]:
    """Return the photos that `training` leaves out, and words that it lacks: the study's, and a tenth."""
    return _photos(data, held=True), _words(data, held=True)


def write(data: Path, file: Path) -> int:
    """Write the training material as an uncompressed zip archive; return the number of photos.

    Raises InputError if a pack is not there, or it is more than `LIMIT`.
    """
    photos, words = training(data)
    size = sum(len(photo.data) for photo in photos)
    if size > LIMIT:
        raise InputError(f"the photos have {size / 1e6:.0f} MB, the limit is {LIMIT / 1e6:.0f}: remove some")
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    about = [{k: v for k, v in vars(photo).items() if k != "data"} for photo in photos]
    with zipfile.ZipFile(part, "w") as archive:
        archive.writestr("material.json", json.dumps({"photos": about, "words": words}))
        for number, photo in enumerate(photos):
            archive.writestr(f"photos/{number:04d}", photo.data)
    part.replace(file)
    return len(photos)


def read(file: Path) -> Material:
    """Read the material of a file that `write` made into memory.

    Raises InputError if it is not such a file.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            about = json.loads(archive.read("material.json"))
            photos = [
                Photo(archive.read(f"photos/{number:04d}"), **value | {"captions": tuple(value["captions"])})
                for number, value in enumerate(about["photos"])
            ]
        return Material(photos, about["words"])
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{file} was not made by python -m cotam_lab.train reference pack: {error}"
        ) from error


def labels(pack: Path) -> list[dict[str, Any]]:
    """Read the labels of a pack, sorted by image.

    Raises InputError if there are none.
    """
    return sorted(read_labels(pack), key=lambda label: str(label["image"]))


def _photos(data: Path, *, held: bool) -> list[Photo]:
    found = []
    for name in ("photos", "captions"):
        pack = data / "train" / name
        for number, label in enumerate(labels(pack)):
            if (number % 10 == 0) == held:
                found.append(_photo((pack / label["image"]).read_bytes(), label))
    return found


def _photo(data: bytes, label: dict[str, Any]) -> Photo:
    if "class_index" not in label:
        return Photo(data, captions=tuple(label["captions"]))
    index, name = int(label["class_index"]), str(label["class_name"])
    inside = (kind for kind, parts in _RANGES.items() if any(low <= index <= high for low, high in parts))
    animal = True if index <= _LAST_ANIMAL else None if _WITH_ANIMALS.search(name) else False
    return Photo(data, name, next(inside, ""), animal)


def _words(data: Path, *, held: bool) -> list[str]:
    """Words of three to nine letters in class names, captions and the training vocabulary."""
    texts: list[str] = list(VOCABULARY["latin"])
    for label in labels(data / "train" / "photos"):
        texts.append(label["class_name"])
    for label in labels(data / "train" / "captions"):
        texts += label["captions"]
    found = set(re.findall(r"\b[a-z]{3,9}\b", " ".join(texts).lower()))
    study = set(WORDS)
    return sorted(study | _tenth(found) if held else found - study - _tenth(found))


def _tenth(words: Sequence[str] | set[str]) -> set[str]:
    return {word for word in words if zlib.crc32(word.encode()) % 10 == 0}
