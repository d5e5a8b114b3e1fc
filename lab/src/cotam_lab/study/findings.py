"""Compute the findings of the study: losses of tasks, which break first, and sentences about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cotam_lab.bench.sweep import ORIGINAL, Rows
from cotam_lab.study.metrics import LAYERS

__all__ = [
    "TASKS",
    "Drop",
    "Rows",
    "Task",
    "drops",
    "layer_means",
    "reliable",
    "sentences",
    "usable",
    "verdict",
]

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
    mean : over the qualities
    resampled : float64 (resamples,): bootstrap of ``mean`` over images
    """

    task: str
    codec: str
    qualities: tuple[int, ...]
    lost: np.ndarray
    mean: float
    resampled: np.ndarray


def usable(rows: Rows, task: Task) -> tuple[bool, float]:
    """Return whether a task's score on the originals is well above chance, and that score.

    Well above: the lower end of the 95 % interval (Wilson) exceeds twice chance, and the score a half.
    """
    scores = [row[task.key] for row in rows if row["codec"] == ORIGINAL and row.get(task.key) is not None]
    if not scores:
        return False, 0.0
    mean, count, z2 = float(np.mean(scores)), len(scores), 1.96**2
    middle = mean + z2 / (2 * count)
    spread = 1.96 * np.sqrt(mean * (1 - mean) / count + z2 / (4 * count**2))
    low = (middle - spread) / (1 + z2 / count)
    return bool(low > 2 * task.chance and mean > 0.5), mean


def drops(rows: Rows, task: Task, codec: str) -> Drop:
    """Compute the drop of a task with a codec, on images that have all qualities and an original."""
    found = {
        (row["image"], row["quality"]): row[task.key]
        for row in rows
        if row["codec"] in (codec, ORIGINAL) and row.get(task.key) is not None
    }
    qualities = tuple(sorted({quality for _, quality in found if quality is not None}))
    images = sorted({image for image, _ in found})
    whole = [image for image in images if all((image, q) in found for q in (None, *qualities))]
    values = np.array([[found[image, q] for q in (None, *qualities)] for image in whole], np.float64)
    values = values.reshape(-1, 1 + len(qualities))
    draws = np.random.default_rng(0).integers(len(whole), size=(_RESAMPLES, len(whole)))
    lost = _lost(values.mean(axis=0))
    return Drop(
        task.name, codec, qualities, lost, float(lost.mean()), _lost(values[draws].mean(axis=1)).mean(1)
    )


def reliable(drop: Drop) -> tuple[float, float]:
    """Return the 95 % interval of a drop's mean."""
    low, high = np.percentile(drop.resampled, [2.5, 97.5])
    return float(low), float(high)


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
    group = {task.name: task.group for task in TASKS}
    cross = [drop for drop in found if group[drop.task] == "cross-level"]
    others = [drop for drop in found if group[drop.task] != "cross-level"]
    difference = float(np.mean([drop.mean for drop in cross]) - max(drop.mean for drop in others))
    resampled = np.mean([d.resampled for d in cross], axis=0) - np.max([d.resampled for d in others], axis=0)
    low, high = (float(value) for value in np.percentile(resampled, [2.5, 97.5]))
    return ("first" if low > 0 else "not first" if high < 0 else "open"), difference, low, high


def layer_means(rows: Rows, codec: str) -> dict[int, np.ndarray]:
    """Return by quality the mean distance after each layer, patch embeddings first: float64 (LAYERS + 1,)."""
    found: dict[int, list[list[float]]] = {}
    for row in rows:
        if row["codec"] == codec and row.get("layer_0") is not None:
            found.setdefault(row["quality"], []).append([row[f"layer_{n}"] for n in range(LAYERS + 1)])
    return {quality: np.mean(values, axis=0) for quality, values in sorted(found.items())}


def sentences(rows: Mapping[str, Rows], codecs: Sequence[str]) -> list[str]:
    """Write the findings, one or two sentences each."""
    said, chosen = [], []
    for task in TASKS:
        good, score = usable(rows[task.pack], task)
        if good:
            chosen.append(task)
        else:
            said.append(
                f"**{task.name.capitalize()} is left out**: the score on the originals is {_percent(score)} "
                f"(chance: {_percent(task.chance)}), too near to chance to say anything about compression."
            )
    if any(task.group == "cross-level" for task in chosen) and len({t.group for t in chosen}) > 1:
        said += _verdicts(rows, chosen, codecs)
    for codec in codecs:
        said += _layers_said(rows["photos"], codec)
    return said


def _verdicts(rows: Mapping[str, Rows], chosen: Sequence[Task], codecs: Sequence[str]) -> list[str]:
    lines, counts = [], {"first": 0, "not first": 0, "open": 0}
    cross = " and ".join(task.name for task in chosen if task.group == "cross-level")
    for codec in codecs:
        found = [drops(rows[task.pack], task, codec) for task in chosen]
        answer, difference, low, high = verdict(found)
        counts[answer] += 1
        order = sorted(found, key=lambda drop: -drop.mean)
        losses = ", ".join(f"{drop.task} {_percent(drop.mean)}" for drop in order)
        lines.append(
            f"**{codec}** costs, over its settings: {losses} of the originals' score. Mean of the "
            f"cross-level tasks minus the worst of the others: {_points(difference)} points "
            f"[{_points(low)}, {_points(high)}]; they {_ANSWERS[answer]}."
        )
    head = (
        f"**Do tasks that need fine detail and meaning at once ({cross}) break first**, as the paper found? "
        f"Yes for {counts['first']} of {len(codecs)} codecs, no for {counts['not first']}, not settled by "
        f"these images for {counts['open']}."
    )
    return [head, *lines]


_ANSWERS = {
    "first": "break first",
    "not first": "do not break first",
    "open": "may or may not break first; the interval includes zero",
}


def _layers_said(rows: Rows, codec: str) -> list[str]:
    means = layer_means(rows, codec)
    if not means:
        return []
    lowest, highest = min(means), max(means)
    said = []
    for quality in (lowest, highest):
        values = means[quality]
        worst = int(values[1:].argmax()) + 1
        shifts = [
            row["attention"]
            for row in rows
            if row["codec"] == codec and row["quality"] == quality and row.get("attention") is not None
        ]
        said.append(
            f"at quality {quality} the distance is {values[0]:.2f} at the patches, largest after layer "
            f"{worst} ({values[worst]:.2f}) and {values[-1]:.2f} after the last, and "
            f"{_percent(float(np.mean(shifts)))} of the attention has moved"
        )
    return [f"**Inside the encoder, {codec}**: {'; '.join(said[: len(means)])}."]


def _lost(means: np.ndarray) -> np.ndarray:
    """Part of the originals' score that is lost, from means (…, 1 + qualities), the originals' first."""
    return 1 - means[..., 1:] / np.maximum(means[..., :1], 1e-9)


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %".replace("-", "−")


def _points(value: float) -> str:
    return f"{100 * value:+.0f}".replace("-", "−")
