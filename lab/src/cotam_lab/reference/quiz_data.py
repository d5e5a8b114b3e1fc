"""Read photos and words for the quiz, split into training and held-out parts."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cotam_lab.bench.images import read_labels
from cotam_lab.reference.quiz import Photo
from cotam_lab.study.scenes import WORDS
from cotam_lab.train.text_words import VOCABULARY

__all__ = ["held_out", "training"]

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


def _labels(pack: Path) -> list[dict[str, Any]]:
    """Read the labels of a pack, sorted by image."""
    return sorted(read_labels(pack), key=lambda label: str(label["image"]))


def _photos(data: Path, *, held: bool) -> list[Photo]:
    found = []
    for name in ("photos", "captions"):
        pack = data / "train" / name
        for number, label in enumerate(_labels(pack)):
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
    for label in _labels(data / "train" / "photos"):
        texts.append(label["class_name"])
    for label in _labels(data / "train" / "captions"):
        texts += label["captions"]
    found = set(re.findall(r"\b[a-z]{3,9}\b", " ".join(texts).lower()))
    study = set(WORDS)
    return sorted(study | _tenth(found) if held else found - study - _tenth(found))


def _tenth(words: Sequence[str] | set[str]) -> set[str]:
    return {word for word in words if zlib.crc32(word.encode()) % 10 == 0}
