"""Feature distances between an image and its decoded copy, level by level of a vision encoder.

Tables call the encoder "teacher", since codecs may be trained with it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from transformers.utils import logging

from cotam.image.read import Pixels
from cotam_lab.metrics.base import Metric, remember_last_image
from cotam_lab.metrics.fidelity import decibel
from cotam_lab.nets.teachers import OFFLINE as DEFAULT
from cotam_lab.nets.teachers import Features, Teacher, as_tensor, distances, load_teacher

__all__ = [
    "DEFAULT",
    "KEYS",
    "decibels",
    "feature_distances",
    "features_metric",
    "see",
    "seen_in_original",
    "suffix_of",
    "teacher_named",
]

KEYS = ("features", "patch", "shallow", "middle", "late", "deep", "whole", "attended")


def features_metric(teacher: str = DEFAULT) -> Metric:
    """Make a metric from the features of a vision encoder, named as for `load_teacher`.

    Scores are −10 log10(`feature_distances`) in dB, at most 100. They rise with quality, as BD-rates need;
    equal dB is equal distance.
    """
    suffix = suffix_of(teacher)
    return Metric(
        name=f"features{suffix}",
        keys=tuple(key + suffix for key in KEYS),
        main=tuple(key + suffix for key in ("features", "whole", "attended")),
        score=functools.partial(_score, teacher=teacher, suffix=suffix),
        prepare=functools.partial(teacher_named, teacher),
    )


def suffix_of(teacher: str) -> str:
    """Suffix of the score keys of an encoder: "" for the default, else "@NAME"."""
    return "" if teacher == DEFAULT else f"@{teacher}"


def feature_distances(ours: Features, theirs: Features) -> dict[str, float | None]:
    """Compute the distances named in `KEYS` of a decoded image (`ours`) to the original (`theirs`).

    Each is the mean squared difference of tokens normalised to mean 0 and variance 1: 0 if equal, about 2 if
    unrelated. ``patch``: patch embeddings; ``shallow`` … ``deep``: tokens after a quarter, a half, three
    quarters and all of the layers; ``features``: mean of these four; ``whole``: final [CLS] token;
    ``attended``: as ``features``, with tokens weighted by the [CLS] attention of the original's last two
    layers (None for encoders without [CLS]).
    """
    levels = {name: float(value) for name, value in distances(ours, theirs).items()}
    found: dict[str, float | None] = {"features": _last_four(levels), **levels}
    found["whole"] = float((ours.whole - theirs.whole).square().mean())
    found["attended"] = None
    if theirs.attention is not None:
        weight = theirs.attention * theirs.attention.shape[1]
        attended = distances(ours, theirs, weight)
        found["attended"] = _last_four({name: float(value) for name, value in attended.items()})
    return found


def decibels(distances: Mapping[str, float | None]) -> dict[str, float | None]:
    """Convert the result of `feature_distances` to dB; None stays None."""
    return {key: None if value is None else decibel(value) for key, value in distances.items()}


def see(teacher: Teacher, image: Pixels, *, attention: bool = False) -> Features:
    """Encode an image, uint8 (height, width, 3), reduced to the encoder's input size.

    ``attention`` adds the [CLS] attention, if the encoder has it.
    """
    with torch.inference_mode():
        return teacher(as_tensor(image), teacher.side, attention=attention and bool(teacher.prefix))


def _last_four(levels: dict[str, float]) -> float:
    return float(np.mean(list(levels.values())[-4:]))


@functools.cache
def teacher_named(name: str) -> Teacher:
    """Load an encoder once, with attention where it has it; torch gets one thread, as in all metrics."""
    logging.disable_progress_bar()  # the sweep has its own
    torch.set_num_threads(1)
    return load_teacher(name, attention=True)


@remember_last_image
def seen_in_original(image: Pixels, name: str) -> Features:
    """Encode an original with attention, by the encoder of this name; the last result is cached."""
    return see(teacher_named(name), image, attention=True)


def _score(
    image: Pixels, decoded: Pixels, texts: Sequence[str], *, teacher: str, suffix: str
) -> dict[str, float | None]:
    found = feature_distances(see(teacher_named(teacher), decoded), seen_in_original(image, teacher))
    return {key + suffix: value for key, value in decibels(found).items()}
