"""The interface of full-reference metrics, and metrics by name."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from cotam.errors import InputError

if TYPE_CHECKING:
    from cotam.image.read import Pixels

__all__ = ["METRICS", "Metric", "metric", "remember_last_image"]

METRICS = ("fidelity", "features", "class", "text", "reading", "tesseract", "contrast")

T = TypeVar("T")


@dataclass(frozen=True)
class Metric:
    """A comparison of a decoded image with its original.

    ``score`` maps (original, decoded, texts written in the image), both uint8 (height, width, 3) RGB of equal
    size, to a value for each of ``keys``, more is better, None where it does not apply; tables show ``main``
    by default. ``prepare`` loads models, so that missing packages are reported before a sweep starts.
    """

    name: str
    keys: tuple[str, ...]
    main: tuple[str, ...]
    score: Callable[[Pixels, Pixels, Sequence[str]], dict[str, float | None]]
    prepare: Callable[[], object] = tuple


def metric(spec: str) -> Metric:
    """Return a metric by name: one of `METRICS`, or ``features:ENCODER`` for another vision encoder.

    Raises InputError if there is no such metric.
    """
    from cotam_lab.metrics import classes, features, fidelity, tesseract, text

    name, _, encoder = spec.partition(":")
    if name == "features":
        return features.features_metric(encoder or features.DEFAULT)
    known = {
        "fidelity": fidelity.FIDELITY,
        "class": classes.CLASS,
        "text": text.TEXT,
        "reading": text.READING,
        "tesseract": tesseract.TESSERACT,
        "contrast": tesseract.CONTRAST,
    }
    if spec not in known:
        raise InputError(f"unknown metric {spec!r}: choose from {', '.join(METRICS)}, features:ENCODER")
    return known[spec]


def remember_last_image(function: Callable[..., T]) -> Callable[..., T]:
    """Cache the last result of a function of an image and hashable arguments.

    A sweep goes image by image, so results for an original serve all codecs and qualities.
    """
    last: list[tuple[Any, T]] = []

    @functools.wraps(function)
    def remembered(image: Pixels, *rest: Any) -> T:
        key = image.shape, hashlib.blake2b(image.tobytes()).digest(), rest
        if not last or last[0][0] != key:
            last[:] = [(key, function(image, *rest))]
        return last[0][1]

    return remembered
