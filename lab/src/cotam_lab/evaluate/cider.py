"""CIDEr-D: how much a caption agrees with what people wrote about the same picture.

Vedantam, Zitnick, Parikh, "CIDEr: consensus-based image description evaluation", 2015, in the form that
COCO's evaluation uses. The known packages want Java for their tokenizer; here words are runs of letters and
digits, so that figures are close to those of COCO's tokenizer and not equal to them. Knows text only.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Cider"]

_ORDERS = 4
_SIGMA = 6.0
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")

Grams = Counter[tuple[str, ...]]


class Cider:
    """Scores captions of some pictures against their references.

    Parameters
    ----------
    references : mapping
        Of each picture its reference captions. How telling a phrase is follows from all of these: with one
        picture none is, and all scores are 0.
    """

    def __init__(self, references: Mapping[str, Sequence[str]]) -> None:
        self._references = {name: [_grams(text) for text in texts] for name, texts in references.items()}
        self._seen: Grams = Counter()
        for cooked in self._references.values():
            self._seen.update({gram for one in cooked for gram in one})
        self._log_pictures = math.log(max(1, len(references)))

    def score(self, picture: str, caption: str) -> float:
        """0…10 of a caption; people agree with each other by about 0.85 on COCO."""
        found = self._vectors(_grams(caption))
        total = 0.0
        for reference in self._references[picture]:
            total += self._similarity(found, self._vectors(reference))
        return 10 * total / len(self._references[picture])

    def _vectors(self, grams: Grams) -> tuple[list[dict[tuple[str, ...], float]], int]:
        """A vector for each order, and the length that the penalty compares."""
        vectors: list[dict[tuple[str, ...], float]] = [{} for _ in range(_ORDERS)]
        for gram, count in grams.items():
            rarity = self._log_pictures - math.log(max(1, self._seen[gram]))
            vectors[len(gram) - 1][gram] = count * rarity
        return vectors, sum(count for gram, count in grams.items() if len(gram) == 2)

    @staticmethod
    def _similarity(
        found: tuple[list[dict[tuple[str, ...], float]], int],
        wanted: tuple[list[dict[tuple[str, ...], float]], int],
    ) -> float:
        penalty = math.exp(-((found[1] - wanted[1]) ** 2) / (2 * _SIGMA**2))
        total = 0.0
        for left, right in zip(found[0], wanted[0], strict=True):
            # Clipped, so that saying a word again gains nothing.
            shared = sum(
                min(value, right.get(gram, 0.0)) * right.get(gram, 0.0) for gram, value in left.items()
            )
            norms = _norm(left.values()) * _norm(right.values())
            total += shared / norms if norms else shared
        return penalty * total / _ORDERS


def _grams(text: str) -> Grams:
    words = _WORD.findall(text.lower())
    return Counter(
        tuple(words[start : start + order])
        for order in range(1, _ORDERS + 1)
        for start in range(len(words) - order + 1)
    )


def _norm(values: Iterable[float]) -> float:
    return math.sqrt(sum(value * value for value in values))
