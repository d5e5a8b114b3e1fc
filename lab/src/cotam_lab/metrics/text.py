"""Words that RapidOCR reads in a decoded image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cotam.compare.words import read, share_read, words
from cotam.errors import InputError
from cotam.image.read import Pixels
from cotam_lab.metrics.base import Metric, remember_last_image

__all__ = ["READING", "TEXT", "WordScore", "word_score"]


@dataclass(frozen=True)
class WordScore:
    """Shares 0…1 of words.

    ``recall``, "word accuracy" in tables: labelled words that were read; ``precision``: words read that are
    labelled. Legible text without a label counts against precision; ``f1`` is the harmonic mean of both.
    """

    recall: float
    precision: float
    f1: float


def word_score(labelled: Iterable[str], found: Iterable[str]) -> WordScore:
    """Compare labelled with recognised text as multisets of `words`; places and order do not count.

    Raises InputError if no word is labelled.
    """
    truth = Counter(word for text in labelled for word in words(text))
    seen = Counter(word for text in found for word in words(text))
    if not truth:
        raise InputError("the image has no labelled words to compare with")
    hits = (truth & seen).total()
    precision = hits / seen.total() if seen else 0.0
    return WordScore(hits / truth.total(), precision, 2 * hits / (truth.total() + seen.total()))


def _text(original: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
    if not texts:
        return dict.fromkeys(("recall", "precision", "f1"))
    score = word_score(texts, read(decoded))
    return {"recall": score.recall, "precision": score.precision, "f1": score.f1}


_read_in_original = remember_last_image(read)


def _reading(original: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
    return {"words_kept": share_read(_read_in_original(original), read(decoded))}


TEXT = Metric("text", ("recall", "precision", "f1"), ("recall", "f1"), _text)
"""Labelled words that RapidOCR reads in the decoded image: `word_score`; None without labels."""

READING = Metric("reading", ("words_kept",), ("words_kept",), _reading)
"""Share of the words read in the original that are also read in the decoded image; needs no labels. None
where nothing is read in the original."""
