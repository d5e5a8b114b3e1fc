"""Summarise answers: scores by codec and group with chance levels, BD-rates, and remarks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cotam_lab.bench.curves import Interval
from cotam_lab.bench.report import compared, comparison_table, table, versions
from cotam_lab.bench.sweep import ORIGINAL, Row
from cotam_lab.evaluate.questions import Question

__all__ = ["ALL", "Cell", "Summary", "by_image", "summarise"]

ALL = "all"
_FEW = 20
_RESAMPLES = 1000

Pair = tuple[Question, Row]


@dataclass(frozen=True)
class Cell:
    """Scores of a codec at a quality on the questions of a metric in a group; means over what was answered.

    ``failed`` questions have no answer; ``unread`` are answers in which no choice, yes or no was found, which
    count as wrong. ``interval`` is a 95 % bootstrap interval over images, None for fewer than two. ``chance``
    is the score without seeing: a random choice; always the commoner of yes and no; else 0. ``f1`` is that of
    yes.
    """

    codec: str
    quality: int | None
    metric: str
    group: str
    questions: int
    images: int
    failed: int
    unread: int
    bytes: float | None
    bpp: float | None
    score: float | None
    interval: Interval | None
    chance: float
    f1: float | None
    tokens_in: float | None
    tokens_out: float | None
    codec_s: float | None
    model_s: float | None


@dataclass(frozen=True)
class Summary:
    """Results of a run; ``comparisons`` are tables, ``remarks`` say what failed or says nothing."""

    title: str
    cells: list[Cell]
    comparisons: list[str]
    remarks: list[str]
    versions: str

    def markdown(self) -> str:
        """Write the summary as Markdown."""
        said = "".join(f"- {remark}\n" for remark in self.remarks)
        return "\n".join([f"# {self.title}\n", said, _table(self.cells), *self.comparisons, self.versions])


def summarise(
    questions: Sequence[Question],
    rows: Sequence[Row],
    *,
    title: str,
    reference: str | None = None,
    likelihood: bool = False,
) -> Summary:
    """Summarise scored rows, as `cotam_lab.evaluate.run.run` returns them.

    ``reference`` is the codec to compare with, by default the first that is not the original; ``likelihood``
    tells that choices were compared by likelihood.
    """
    by_id = {question.id: question for question in questions}
    pairs = [(by_id[row["question"]], row) for row in rows]
    cells = []
    for codec, quality in dict.fromkeys((row["codec"], row["quality"]) for row in rows):
        of_codec = [pair for pair in pairs if (pair[1]["codec"], pair[1]["quality"]) == (codec, quality)]
        for metric in dict.fromkeys(question.metric for question, _ in of_codec):
            own = [pair for pair in of_codec if pair[0].metric == metric]
            groups = list(dict.fromkeys(question.group for question, _ in own))
            for group in groups if len(groups) > 1 else ():
                cells.append(_cell(codec, quality, metric, group, [p for p in own if p[0].group == group]))
            cells.append(_cell(codec, quality, metric, groups[0] if len(groups) == 1 else ALL, own))
    comparisons, remarks = _comparisons(pairs, reference)
    return Summary(title, cells, comparisons, _remarks(pairs, cells, likelihood) + remarks, versions(rows))


def by_image(rows: Iterable[Row]) -> list[Row]:
    """Average the rows of each image, for curves and comparisons; the score is called ``answers``."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if "error" not in row:
            groups.setdefault((row["codec"], row["version"], row["quality"], row["image"]), []).append(row)
    return [
        {"codec": codec, "version": version, "quality": quality, "image": image}
        | {"bpp": found[0]["bpp"], "answers": _mean(found, "score")}
        for (codec, version, quality, image), found in groups.items()
    ]


def _cell(codec: str, quality: int | None, metric: str, group: str, pairs: Sequence[Pair]) -> Cell:
    good = [(question, row) for question, row in pairs if "error" not in row]
    rows = [row for _, row in good]
    return Cell(
        codec=codec,
        quality=quality,
        metric=metric,
        group=group,
        questions=len(good),
        images=len({row["image"] for row in rows}),
        failed=len(pairs) - len(good),
        unread=sum(row["said"] is None for row in rows) if metric in ("choice", "yesno") else 0,
        bytes=_mean(rows, "bytes"),
        bpp=_mean(rows, "bpp"),
        score=_mean(rows, "score"),
        interval=_interval(rows),
        chance=_chance(metric, [question for question, _ in pairs]),
        f1=_f1(good) if metric == "yesno" and good else None,
        tokens_in=_mean(rows, "prompt_tokens"),
        tokens_out=_mean(rows, "completion_tokens"),
        codec_s=_mean(rows, "codec_s"),
        model_s=_mean(rows, "model_s"),
    )


def _chance(metric: str, questions: Sequence[Question]) -> float:
    if metric == "choice":
        return float(np.mean([1 / len(question.choices) for question in questions]))
    if metric == "yesno":
        share = float(np.mean([question.answers == ("yes",) for question in questions]))
        return max(share, 1 - share)
    return 0.0


def _f1(pairs: Sequence[Pair]) -> float:
    said = np.array([row["said"] == "yes" for _, row in pairs])
    right = np.array([question.answers == ("yes",) for question, _ in pairs])
    total = said.sum() + right.sum()
    return float(2 * (said & right).sum() / total) if total else 0.0


def _interval(rows: Sequence[Row]) -> Interval | None:
    """Bootstrap the mean score over images: questions about one image are not independent."""
    scores: dict[str, list[float]] = {}
    for row in rows:
        scores.setdefault(row["image"], []).append(row["score"])
    if len(scores) < 2:
        return None
    sums = np.array([(sum(own), len(own)) for own in scores.values()])
    share = np.full(len(sums), 1 / len(sums))
    totals = np.random.default_rng(0).multinomial(len(sums), share, _RESAMPLES) @ sums
    low, high = np.percentile(totals[:, 0] / totals[:, 1], [2.5, 97.5])
    return Interval(float(low), float(high), 0.0)


def _mean(rows: Sequence[Row], key: str) -> float | None:
    values = [row[key] for row in rows if row.get(key) is not None]
    return float(np.mean(values)) if values else None


def _comparisons(pairs: Sequence[Pair], reference: str | None) -> tuple[list[str], list[str]]:
    """Tables of BD-rates at equal score, and what could not be compared."""
    found, remarks = [], []
    for metric in dict.fromkeys(question.metric for question, _ in pairs):
        rows = by_image(row for question, row in pairs if question.metric == metric)
        names = [name for name in dict.fromkeys(row["codec"] for row in rows) if name != ORIGINAL]
        several = [name for name in names if len({r["quality"] for r in rows if r["codec"] == name}) > 1]
        if len(several) < 2:
            remarks.append(f"{metric}: no BD-rate, which needs two codecs at two qualities each.")
            continue
        chosen = reference if reference and reference in several else several[0]
        if reference and chosen != reference:
            remarks.append(f"{metric}: compared with {chosen}, as {reference} has not two qualities here.")
        kept = [row for row in rows if row["codec"] in several]
        comparisons, notes = compared(kept, ["answers"], chosen)
        if comparisons:
            found.append(f"## At equal score: {metric}\n\n{comparison_table(chosen, comparisons)}")
        remarks += [f"{metric}: {note}" for note in notes]
    return found, remarks


def _remarks(pairs: Sequence[Pair], cells: Sequence[Cell], likelihood: bool) -> list[str]:
    said = []
    errors = Counter(row["error"] for _, row in pairs if "error" in row)
    if errors:
        text, times = errors.most_common(1)[0]
        said.append(
            f"{errors.total()} of {len(pairs)} answers are missing and in no mean; {times} times: {text}. "
            "Run again to ask anew."
        )
    if any(question.metric == "choice" for question, _ in pairs):
        way = "the choice with the least loss a token" if likelihood else "a letter is asked for"
        said.append(f"choice: {way}.")
    for cell in cells:
        if cell.questions and cell.unread > 0.05 * cell.questions:
            said.append(f"{_name(cell)}: {cell.unread} of {cell.questions} answers could not be read: wrong.")
    small = [cell for cell in cells if 0 < cell.images < _FEW]
    if small:
        named = dict.fromkeys(f"{cell.metric}{f' in {cell.group}' if cell.group else ''}" for cell in small)
        said.append(f"Fewer than {_FEW} images, so intervals are too narrow: {', '.join(named)}.")
    return said + _blind(cells)


def _blind(cells: Sequence[Cell]) -> list[str]:
    """Name the groups in which a model does no better than chance even on the best images."""
    said = []
    for metric in dict.fromkeys(cell.metric for cell in cells):
        found = []
        for group in dict.fromkeys(cell.group for cell in cells if cell.metric == metric):
            best = _best([cell for cell in cells if (cell.metric, cell.group) == (metric, group)])
            if best and best.score is not None:
                low = best.interval.low if best.interval else best.score
                if low <= best.chance:
                    score, chance = _percent(best.score), _percent(best.chance)
                    found.append(f"{group or metric} ({best.codec}: {score} %, chance {chance} %)")
        if found:
            said.append(
                f"{metric}: the model is not surely better than chance on {', '.join(found)}; its scores "
                "there say nothing about codecs."
            )
    if not any(cell.codec == ORIGINAL for cell in cells):
        said.append("The originals were not asked about (--codec none): the cost of codecs is not known.")
    return said


def _best(cells: Sequence[Cell]) -> Cell | None:
    """The cell of the originals, else the one with the highest score."""
    answered = [cell for cell in cells if cell.score is not None]
    whole = [cell for cell in answered if cell.codec == ORIGINAL]
    return max(whole or answered, key=lambda cell: cell.score or 0.0, default=None)


def _name(cell: Cell) -> str:
    quality = "" if cell.quality is None else f" at {cell.quality}"
    return f"{cell.codec}{quality}, {cell.metric}{f', {cell.group}' if cell.group else ''}"


def _table(cells: Sequence[Cell]) -> str:
    header = (
        "codec",
        "quality",
        "metric",
        "group",
        "questions",
        "bytes",
        "bpp",
        "score, % [95 %]",
        "chance, %",
        "F1, %",
        "tokens in",
        "tokens out",
        "codec, s",
        "model, s",
    )
    lines = []
    for cell in cells:
        failed = f" ({cell.failed} failed)" if cell.failed else ""
        lines.append(
            (
                cell.codec,
                "–" if cell.quality is None else str(cell.quality),
                cell.metric,
                cell.group or "–",
                f"{cell.questions}{failed}",
                _number(cell.bytes, 0),
                _number(cell.bpp, 3),
                _percent(cell.score) + _between(cell.interval),
                _percent(cell.chance) if cell.metric in ("choice", "yesno") else "–",
                _percent(cell.f1),
                _number(cell.tokens_in, 0),
                _number(cell.tokens_out, 1),
                _number(cell.codec_s, 2),
                _number(cell.model_s, 2),
            )
        )
    return table(header, lines, numbers_from=4)


def _between(interval: Interval | None) -> str:
    return f" [{_percent(interval.low)}, {_percent(interval.high)}]" if interval else ""


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
