"""Words that an OCR program reads in a decoded image."""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cotam.errors import InputError
from cotam.image.read import Pixels
from cotam_lab.errors import MissingPackageError
from cotam_lab.metrics.base import Metric, remember_last_image

__all__ = ["READING", "TEXT", "WordScore", "read_text", "word_score", "words"]


def words(text: str) -> list[str]:
    """Split text into words for comparison.

    NFKC, casefold, split at white space; each piece from its first to its last letter or digit; pieces
    without any are dropped: "TEL : 03-7731 (Kuala)." → tel, 03-7731, kuala.
    """
    found = []
    for piece in unicodedata.normalize("NFKC", text).casefold().split():
        places = [place for place, character in enumerate(piece) if character.isalnum()]
        if places:
            found.append(piece[places[0] : places[-1] + 1])
    return found


@dataclass(frozen=True)
class WordScore:
    """Share of words read.

    Attributes
    ----------
    recall : float
        0…1, labelled words that were read: "word accuracy" in tables.
    precision : float
        0…1, words read that are labelled. Legible text without a label counts against it.
    f1 : float
        Harmonic mean of the two.
    """

    recall: float
    precision: float
    f1: float


def word_score(labelled: Iterable[str], read: Iterable[str]) -> WordScore:
    """Compare labelled with recognised text as multisets of `words`; places and order do not count.

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
    """Recognise text with RapidOCR (PP-OCRv6 small): lines from top to bottom.

    Lines are recognised one by one: in batches, each is padded to the longest, which changes the result. One
    thread, as sweeps run one process per core.

    Raises
    ------
    MissingPackageError
    """
    result = _rapidocr()(np.ascontiguousarray(image[:, :, ::-1]))  # it takes arrays for BGR
    return list(result.txts or ())


@functools.cache
def _rapidocr() -> Any:
    try:
        from rapidocr import RapidOCR
    except ImportError as error:
        raise MissingPackageError("rapidocr") from error
    engine = "EngineConfig.onnxruntime"
    return RapidOCR(
        params={
            f"{engine}.intra_op_num_threads": 1,
            f"{engine}.inter_op_num_threads": 1,
            f"{engine}.enable_cpu_mem_arena": True,
            "Rec.rec_batch_num": 1,
            "Global.use_cls": False,
            "Global.log_level": "error",
        }
    )


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


TEXT = Metric("text", ("recall", "precision", "f1"), ("recall", "f1"), _text, prepare=_rapidocr)
"""Labelled words that RapidOCR reads in the decoded image: `word_score`; None without labels."""

READING = Metric("reading", ("words_kept",), ("words_kept",), _reading, prepare=_rapidocr)
"""Share of the words read in the original that are also read in the decoded image; needs no labels. None
where nothing is read in the original."""
