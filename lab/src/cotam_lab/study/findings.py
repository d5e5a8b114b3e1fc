"""Compute the findings of the study: losses of tasks, which break first, and distances by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import binomtest

from cotam_lab.bench.sweep import ORIGINAL, Rows
from cotam_lab.study.metrics import LAYERS

__all__ = ["TASKS", "Drop", "Inside", "Task", "drops", "inside", "usable", "verdict"]

_RESAMPLES = 1000

Group = Literal["low-level", "semantic", "cross-level"]


@dataclass(frozen=True)
class Task:
    """A task that models are given.

    Attributes
    ----------
    group : what it depends on: low-level structure, coarse semantics, or both
    pack : name of the pack of scenes
    key : key of the score, 0…1
    chance : score of a guess
    """

    name: str
    group: Group
    pack: str
    key: str
    chance: float = 0.0


TASKS = (
    Task("large text", "low-level", "large_text", "recall"),
    Task("class", "semantic", "photos", "class"),
    Task("small text", "cross-level", "small_text", "recall"),
    Task("counting", "cross-level", "counting", "exact", chance=1 / 6),
)


@dataclass(frozen=True)
class Drop:
    """Part of a task's score that a codec costs, relative to the originals.

    Attributes
    ----------
    lost : float64 (qualities,): 1 − score / score of the originals; 0 is nothing, 1 everything
    resampled : float64 (resamples,): bootstrap of ``mean`` over images
    """

    task: Task
    qualities: tuple[int, ...]
    lost: np.ndarray
    resampled: np.ndarray

    @property
    def mean(self) -> float:
        """Mean over the qualities."""
        return float(self.lost.mean())

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the mean."""
        return _interval(self.resampled)


def usable(rows: Rows, task: Task) -> tuple[bool, float]:
    """Return whether a task's score on the originals is well above chance, and that score.

    Well above: the lower end of the 95 % interval (Wilson) exceeds twice chance, and the score a half.
    """
    scores = [row[task.key] for row in rows if row["codec"] == ORIGINAL and row.get(task.key) is not None]
    if not scores:
        return False, 0.0
    mean = float(np.mean(scores))
    low = binomtest(round(sum(scores)), len(scores)).proportion_ci(method="wilson").low
    return bool(low > 2 * task.chance and mean > 0.5), mean


def drops(rows: Rows, task: Task, codec: str) -> Drop | None:
    """Compute the drop of a task with a codec, on images that have all qualities and an original.

    None if there is no such image.
    """
    found = {
        (row["image"], row["quality"]): row[task.key]
        for row in rows
        if row["codec"] in (codec, ORIGINAL) and row.get(task.key) is not None
    }
    qualities = tuple(sorted({quality for _, quality in found if quality is not None}))
    images = sorted({image for image, _ in found})
    whole = [image for image in images if all((image, q) in found for q in (None, *qualities))]
    if not whole or not qualities:
        return None
    values = np.array([[found[image, q] for q in (None, *qualities)] for image in whole], np.float64)
    draws = np.random.default_rng(0).integers(len(whole), size=(_RESAMPLES, len(whole)))
    return Drop(task, qualities, _lost(values.mean(axis=0)), _lost(values[draws].mean(axis=1)).mean(axis=1))


def verdict(found: Sequence[Drop]) -> tuple[Literal["first", "not first", "open"], float, float, float]:
    """Test whether the cross-level tasks lose most, given one codec's drops.

    Returns
    -------
    verdict : str
        "first" if the mean drop of the cross-level tasks exceeds the largest of the others with 95 %
        confidence, "not first" if it is below with that confidence, else "open".
    difference, low, high : float
        Difference of the two and its interval.
    """
    cross = [drop for drop in found if drop.task.group == "cross-level"]
    others = [drop for drop in found if drop.task.group != "cross-level"]
    difference = float(np.mean([drop.mean for drop in cross]) - max(drop.mean for drop in others))
    resampled = np.mean([d.resampled for d in cross], axis=0) - np.max([d.resampled for d in others], axis=0)
    low, high = _interval(resampled)
    return ("first" if low > 0 else "not first" if high < 0 else "open"), difference, low, high


@dataclass(frozen=True)
class Inside:
    """What a codec at a quality does to the encoder: means over the photos.

    Attributes
    ----------
    distances : float64 (LAYERS + 1,), after each layer, patch embeddings first
    moved : share of the [CLS] attention that moved
    """

    bpp: float
    distances: np.ndarray
    moved: float


def inside(rows: Rows, codec: str) -> dict[int, Inside]:
    """Return what a codec does to the encoder, by quality; rows without distances do not count."""
    keys = ["bpp", "attention", *(f"layer_{number}" for number in range(LAYERS + 1))]
    found: dict[int, list[list[float]]] = {}
    for row in rows:
        if row["codec"] == codec and row.get("layer_0") is not None:
            found.setdefault(row["quality"], []).append([row[key] for key in keys])
    means = {quality: np.mean(values, axis=0) for quality, values in sorted(found.items())}
    return {quality: Inside(mean[0], mean[2:], mean[1]) for quality, mean in means.items()}


def _lost(means: np.ndarray) -> np.ndarray:
    """Part of the originals' score that is lost, from means (…, 1 + qualities), the originals' first."""
    return 1 - means[..., 1:] / np.maximum(means[..., :1], 1e-9)


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
