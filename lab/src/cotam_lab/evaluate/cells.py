"""A codec at a quality on some questions, in figures: score, chance, F1, with intervals.

Knows questions and scored rows only. Intervals come from resampled pictures, not questions, since questions
about one picture stand or fall together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cotam_lab.bench.curves import Interval
from cotam_lab.bench.sweep import Row
from cotam_lab.evaluate.questions import Question

__all__ = ["Cell", "Pair", "cell_of", "mean"]

_RESAMPLES = 1000

Pair = tuple[Question, Row]


@dataclass(frozen=True)
class Cell:
    """A codec at a quality, on the questions of a metric in a group.

    Attributes
    ----------
    codec, quality, metric, group : str, int or None, str, str
    questions, pictures : int
        That were answered.
    failed : int
        Questions without an answer; they are in no figure.
    unread : int
        Answers in which no choice, no yes and no no was found; they count as wrong.
    bytes, bpp : float or None
        Mean over the questions of what their pictures took.
    score : float or None
        Mean; 0…1, or 0…10 of cider.
    interval : Interval or None
        95 % of the score, by resampling pictures; None for fewer than two.
    chance : float
        What a model that sees nothing would have: one of the choices at random; the commoner of yes and no
        always; else 0.
    f1, f1_interval, always_yes_f1, yes_ratio : of yesno
        F1 of yes, as POPE has it; what saying always yes would have; the share of yes among the answers.
    pairs : float or None
        Of yesno where every picture has two questions: the share with both right (MME's accuracy+).
    tokens_in, tokens_out, codec_s, model_s : float or None
        Means.
    """

    codec: str
    quality: int | None
    metric: str
    group: str
    questions: int
    pictures: int
    failed: int
    unread: int
    bytes: float | None
    bpp: float | None
    score: float | None
    interval: Interval | None
    chance: float
    f1: float | None
    f1_interval: Interval | None
    always_yes_f1: float | None
    yes_ratio: float | None
    pairs: float | None
    tokens_in: float | None
    tokens_out: float | None
    codec_s: float | None
    model_s: float | None


def cell_of(codec: str, quality: int | None, metric: str, group: str, pairs: Sequence[Pair]) -> Cell:
    """Gather the rows of a codec at a quality; a row with ``error`` is counted as failed, and no more."""
    good = [(question, row) for question, row in pairs if "error" not in row]
    rows = [row for _, row in good]
    yes_no = metric == "yesno"
    hits = np.array([_confusion(question, row) for question, row in good]) if yes_no and good else None
    names = [row["image"] for row in rows]
    scores = np.array([[row["score"], 1.0] for row in rows])
    wanted_yes = np.mean([question.answers == ("yes",) for question, _ in pairs]) if yes_no else 0.0
    return Cell(
        codec=codec,
        quality=quality,
        metric=metric,
        group=group,
        questions=len(good),
        pictures=len(set(names)),
        failed=len(pairs) - len(good),
        unread=sum(row["said"] is None for row in rows) if metric in ("choice", "yesno") else 0,
        bytes=mean(rows, "bytes"),
        bpp=mean(rows, "bpp"),
        score=mean(rows, "score"),
        interval=_resampled(names, scores, _ratio) if good else None,
        chance=_chance(metric, [question for question, _ in pairs]),
        f1=float(_f1(hits.sum(axis=0, keepdims=True))[0]) if hits is not None else None,
        f1_interval=_resampled(names, hits, _f1) if hits is not None else None,
        always_yes_f1=float(2 * wanted_yes / (1 + wanted_yes)) if yes_no else None,
        yes_ratio=float(np.mean([row["said"] == "yes" for row in rows])) if yes_no and rows else None,
        pairs=_both_right(rows) if yes_no else None,
        tokens_in=mean(rows, "prompt_tokens"),
        tokens_out=mean(rows, "completion_tokens"),
        codec_s=mean(rows, "codec_s"),
        model_s=mean(rows, "model_s"),
    )


def _chance(metric: str, questions: Sequence[Question]) -> float:
    if metric == "choice":
        return float(np.mean([1 / len(question.choices) for question in questions]))
    if metric == "yesno":
        share = float(np.mean([question.answers == ("yes",) for question in questions]))
        return max(share, 1 - share)
    return 0.0


def _confusion(question: Question, row: Row) -> tuple[float, float, float]:
    """True yes, false yes, missed yes."""
    said, right = row["said"] == "yes", question.answers == ("yes",)
    return float(said and right), float(said and not right), float(right and not said)


def _f1(sums: np.ndarray) -> np.ndarray:
    """(…, 3) of `_confusion` → (…,); 0 where no yes was said or wanted."""
    both = 2 * sums[:, 0]
    total = both + sums[:, 1] + sums[:, 2]
    return np.divide(both, total, out=np.zeros_like(both), where=total > 0)


def _ratio(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / sums[:, 1]


def _resampled(
    names: Sequence[str], values: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]
) -> Interval | None:
    """95 % of a statistic of sums, pictures drawn anew with replacement."""
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    if len(places) < 2:
        return None
    sums = np.zeros((len(places), values.shape[1]))
    np.add.at(sums, [places[name] for name in names], values)
    draws = np.random.default_rng(0).multinomial(
        len(places), np.full(len(places), 1 / len(places)), _RESAMPLES
    )
    low, high = np.percentile(statistic(draws @ sums), [2.5, 97.5])
    return Interval(float(low), float(high), 0.0)


def _both_right(rows: Sequence[Row]) -> float | None:
    by_name: dict[str, list[float]] = {}
    for row in rows:
        by_name.setdefault(row["image"], []).append(row["score"])
    if not by_name or any(len(scores) != 2 for scores in by_name.values()):
        return None
    return float(np.mean([min(scores) for scores in by_name.values()]))


def mean(rows: Sequence[Row], key: str) -> float | None:
    """Over the rows that have a value; None if none has."""
    values = [row[key] for row in rows if row.get(key) is not None]
    return float(np.mean(values)) if values else None
