"""Read the words in an image with RapidOCR, if it is installed."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from cotam.errors import CotamError
from cotam.image.read import Pixels

__all__ = ["INSTALL", "available", "read", "share_read", "words"]

INSTALL = "pip install rapidocr"

_THINNEST = 8
"""Long side by short side, at most: RapidOCR enlarges the short one to 736 pixels, and takes more than 16 GB
for a strip of 1 × 256."""


def available() -> bool:
    """Whether RapidOCR is installed."""
    return find_spec("rapidocr") is not None


def read(pixels: Pixels) -> list[str]:
    """Return the lines of text in an image uint8 (H, W, 3), from top to bottom.

    Lines are recognised one by one: in RapidOCR's batches a line is padded to the longest, and what is read
    depends on the others.
    """
    height, width = pixels.shape[:2]
    below, beside = max(0, -(-width // _THINNEST) - height), max(0, -(-height // _THINNEST) - width)
    padded = np.pad(pixels, ((0, below), (0, beside), (0, 0)))
    result = _reader()(np.ascontiguousarray(padded[:, :, ::-1]))  # BGR
    return list(result.txts or ())


@cache
def _reader() -> Any:
    try:
        from rapidocr import RapidOCR
    except ImportError as error:  # OpenCV needs libGL, which many servers and containers lack
        raise CotamError(f"words are not read, since RapidOCR cannot be imported: {error}") from error

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


def words(text: str) -> list[str]:
    """Split text into words: NFKC, casefolded, each cut to its first and last letter or digit.

    >>> words("TEL : 03-7731 (Kuala).")
    ['tel', '03-7731', 'kuala']
    """
    found = []
    for piece in unicodedata.normalize("NFKC", text).casefold().split():
        places = [place for place, character in enumerate(piece) if character.isalnum()]
        if places:
            found.append(piece[places[0] : places[-1] + 1])
    return found


def share_read(original: Iterable[str], decoded: Iterable[str]) -> float | None:
    """Return the share, 0 … 1, of the words in lines ``original`` that are also in ``decoded``.

    A word that occurs three times must be found three times. None if there are no words.
    """
    truth = Counter(word for line in original for word in words(line))
    found = Counter(word for line in decoded for word in words(line))
    return (truth & found).total() / truth.total() if truth else None
