"""Words that RapidOCR reads in a decoded image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cotam.compare.words import available, read, words
from cotam.errors import InputError
from cotam.image.read import Pixels
from cotam_lab.errors import MissingPackageError
from cotam_lab.metrics.base import Metric, remember_last_image

__all__ = ["READING", "TEXT", "WordScore", "read_text", "word_score", "words"]


@dataclass(frozen=True)
class WordScore:
    """Recall and precision of words.

    Attributes
    ----------
    recall : float
        Share of the labelled words that were read, 0 … 1: "word accuracy" in tables.
    precision : float
        Share of the words read that are labelled, 0 … 1. Legible text without a label lowers it.
    f1 : float
        Harmonic mean of the two.
    """

    recall: float
    precision: float
    f1: float


def word_score(labelled: Iterable[str], read: Iterable[str]) -> WordScore:
    """Compare labelled with recognised text as multisets of `words`, regardless of position and order.

    Raises
    ------
    InputError
        If no word is labelled.
    """
    truth = Counter(word for text in labelled for word in words(text))
    found = Counter(word for text in read for word in words(text))
    if not truth:
        raise InputError("the image has no labelled words to compare with")
    hits = (truth & found).total()
    precision = hits / found.total() if found else 0.0
    return WordScore(hits / truth.total(), precision, 2 * hits / (truth.total() + found.total()))


def read_text(image: Pixels) -> list[str]:
    """Recognise text with RapidOCR, as `cotam compare` does: lines from top to bottom.

    Raises
    ------
    MissingPackageError
    """
    _check_installed()
    return read(image)


def _check_installed() -> None:
    if not available():
        raise MissingPackageError("rapidocr")


def _text(original: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
    if not texts:
        return dict.fromkeys(("recall", "precision", "f1"))
    score = word_score(texts, read_text(decoded))
    return {"recall": score.recall, "precision": score.precision, "f1": score.f1}


def _reading(original: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
    read = _read_in_original(original)
    return {"words_kept": word_score(read, read_text(decoded)).recall if read else None}


@remember_last_image
def _read_in_original(image: Pixels) -> list[str]:
    return [line for line in read_text(image) if words(line)]


TEXT = Metric("text", ("recall", "precision", "f1"), ("recall", "f1"), _text, prepare=_check_installed)
"""Labelled words that RapidOCR reads in the decoded image: `word_score`; None without labels."""

READING = Metric("reading", ("words_kept",), ("words_kept",), _reading, prepare=_check_installed)
"""Share of the words read in the original that are also read in the decoded image; needs no labels. None
where nothing is read in the original."""
