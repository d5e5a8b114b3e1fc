"""What the answers say: a table for each codec and group, beside chance, and what was not as it should be.

Knows scored rows and questions: nothing of models or codecs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cotam_lab.bench.curves import Interval
from cotam_lab.bench.report import compared, comparison_table, table, versions
from cotam_lab.bench.sweep import ORIGINAL, Row
from cotam_lab.evaluate.cells import Cell, Pair, cell_of, mean
from cotam_lab.evaluate.questions import Question
from cotam_lab.evaluate.scores import ENOUGH

__all__ = ["ALL", "Summary", "by_picture", "summarise"]

ALL = "all"
_FEW = 20


@dataclass(frozen=True)
class Summary:
    """All that is said of a run.

    Attributes
    ----------
    title : str
    cells : list of Cell
    comparisons : dict
        Of each metric, a table of BD-rates at equal score, as markdown, and the comparisons themselves.
    remarks : list of str
        What fell back, was left out, failed, or says nothing: a sentence each.
    versions : str
        Which library made the files, a line for each codec.
    """

    title: str
    cells: list[Cell]
    comparisons: dict[str, tuple[str, list[Any]]]
    remarks: list[str]
    versions: str

    def markdown(self) -> str:
        """As a page of markdown."""
        parts = [
            f"# {self.title}\n",
            "".join(f"- {remark}\n" for remark in self.remarks),
            _main_table(self.cells),
        ]
        if any(cell.metric == "yesno" for cell in self.cells):
            parts.append("Yes or no:\n\n" + _yes_no_table(self.cells))
        for metric, (text, _) in self.comparisons.items():
            parts.append(f"## At equal score: {metric}\n\n{text}")
        return "\n".join([part for part in parts if part] + [self.versions])

    def data(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "title": self.title,
            "remarks": self.remarks,
            "cells": [asdict(cell) for cell in self.cells],
            "comparisons": {
                name: [asdict(one) for one in found] for name, (_, found) in self.comparisons.items()
            },
            "versions": self.versions.splitlines(),
        }


def summarise(
    questions: Sequence[Question],
    rows: Sequence[Row],
    *,
    title: str,
    reference: str | None = None,
    likelihood: bool = False,
) -> Summary:
    """Gather scored rows.

    Parameters
    ----------
    questions : sequence of Question
    rows : sequence of dict
        As `cotam_lab.evaluate.run.run` returns them.
    title : str
    reference : str, optional
        Codec that others are compared with; the first that is not the original if not given.
    likelihood : bool
        Choices were compared by likelihood.
    """
    by_id = {question.id: question for question in questions}
    pairs = [(by_id[row["question"]], row) for row in rows]
    cells = []
    for codec, quality in dict.fromkeys((row["codec"], row["quality"]) for row in rows):
        of_codec = [pair for pair in pairs if (pair[1]["codec"], pair[1]["quality"]) == (codec, quality)]
        for metric in dict.fromkeys(question.metric for question, _ in of_codec):
            of_metric = [pair for pair in of_codec if pair[0].metric == metric]
            groups = list(dict.fromkeys(question.group for question, _ in of_metric))
            for group in groups if len(groups) > 1 else ():
                cells.append(
                    cell_of(codec, quality, metric, group, [p for p in of_metric if p[0].group == group])
                )
            cells.append(cell_of(codec, quality, metric, groups[0] if len(groups) == 1 else ALL, of_metric))
    comparisons, remarks = _comparisons(pairs, reference)
    return Summary(title, cells, comparisons, _remarks(pairs, cells, likelihood) + remarks, versions(rows))


def by_picture(rows: Iterable[Row]) -> list[Row]:
    """Rows of pictures, as comparisons and curves take them: the mean of their questions, called answers."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if "error" not in row:
            groups.setdefault((row["codec"], row["version"], row["quality"], row["image"]), []).append(row)
    return [
        {"codec": codec, "version": version, "quality": quality, "image": image}
        | {"bpp": found[0]["bpp"], "answers": mean(found, "score")}
        for (codec, version, quality, image), found in groups.items()
    ]


def _comparisons(
    pairs: Sequence[Pair], reference: str | None
) -> tuple[dict[str, tuple[str, list[Any]]], list[str]]:
    found: dict[str, tuple[str, list[Any]]] = {}
    remarks = []
    for metric in dict.fromkeys(question.metric for question, _ in pairs):
        rows = by_picture(row for question, row in pairs if question.metric == metric)
        names = [name for name in dict.fromkeys(row["codec"] for row in rows) if name != ORIGINAL]
        several = [name for name in names if len({r["quality"] for r in rows if r["codec"] == name}) > 1]
        if len(several) < 2:
            remarks.append(f"{metric}: no BD-rate, which needs two codecs at two qualities each.")
            continue
        chosen = reference if reference and reference in several else several[0]
        if reference and chosen != reference:
            remarks.append(f"{metric}: compared with {chosen}, since {reference} has not two qualities here.")
        kept = [row for row in rows if row["codec"] in several]
        comparisons, notes = compared(kept, ["answers"], chosen)
        if comparisons:
            found[metric] = comparison_table(chosen, comparisons), comparisons
        remarks += [f"{metric}: {note}" for note in notes]
    return found, remarks


def _remarks(pairs: Sequence[Pair], cells: Sequence[Cell], likelihood: bool) -> list[str]:
    said = []
    failed = sum("error" in row for _, row in pairs)
    if failed:
        texts = Counter(row["error"] for _, row in pairs if "error" in row)
        text, times = texts.most_common(1)[0]
        said.append(
            f"{failed} of {len(pairs)} answers are missing and in no figure; {times} times: {text}. "
            "Run again to ask anew."
        )
    questions = list({question.id: question for question, _ in pairs}.values())
    few = sum(one.metric == "vqa" and len(one.answers) < ENOUGH for one in questions)
    if few:
        said.append(
            f"vqa fell back on {few} of the questions: they have fewer than {ENOUGH} right answers, so an "
            "answer is right if it is one of these."
        )
    metrics = {question.metric for question in questions}
    if "cider" in metrics:
        said.append(
            "cider splits words in its own way, not as COCO's Java tokenizer: compare it within this table."
        )
    if "choice" in metrics:
        way = (
            "the choice with the least loss for each of its tokens" if likelihood else "a letter is asked for"
        )
        said.append(f"choice: {way}.")
    for cell in cells:
        answered = cell.questions
        if answered and cell.unread > 0.05 * answered:
            said.append(
                f"{_name(cell)}: {cell.unread} of {answered} answers could not be read, and count as wrong."
            )
    small = [cell for cell in cells if 0 < cell.pictures < _FEW]
    if small:
        named = dict.fromkeys(f"{cell.metric}{f' in {cell.group}' if cell.group else ''}" for cell in small)
        said.append(f"Fewer than {_FEW} pictures, so that intervals are too narrow: {', '.join(named)}.")
    return said + _blind(cells)


def _blind(cells: Sequence[Cell]) -> list[str]:
    """Where a model does no better than without eyes, on the best pictures that it was shown."""
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
                f"{metric}: the model is not surely better than chance on {', '.join(found)}, so there its "
                "figures say nothing about codecs."
            )
    if not any(cell.codec == ORIGINAL for cell in cells):
        said.append("The originals were not asked about (--codec none), so what codecs cost is not known.")
    return said


def _best(cells: Sequence[Cell]) -> Cell | None:
    """That of the originals, or else of the highest score."""
    answered = [cell for cell in cells if cell.score is not None]
    whole = [cell for cell in answered if cell.codec == ORIGINAL]
    return max(whole or answered, key=lambda cell: cell.score or 0.0, default=None)


def _name(cell: Cell) -> str:
    quality = "" if cell.quality is None else f" at {cell.quality}"
    return f"{cell.codec}{quality}, {cell.metric}{f', {cell.group}' if cell.group else ''}"


def _main_table(cells: Sequence[Cell]) -> str:
    header = (
        "codec", "quality", "metric", "group", "questions", "bytes", "bpp", "score, % [95 %]", "chance, %",
        "tokens in", "tokens out", "codec, s", "model, s",
    )  # fmt: skip
    lines = []
    for cell in cells:
        failed = f" ({cell.failed} failed)" if cell.failed else ""
        lines.append((
            cell.codec,
            "–" if cell.quality is None else str(cell.quality),
            cell.metric,
            cell.group or "–",
            f"{cell.questions}{failed}",
            _number(cell.bytes, 0),
            _number(cell.bpp, 3),
            _percent(cell.score) + _between(cell.interval),
            _percent(cell.chance) if cell.metric in ("choice", "yesno") else "–",
            _number(cell.tokens_in, 0),
            _number(cell.tokens_out, 1),
            _number(cell.codec_s, 2),
            _number(cell.model_s, 2),
        ))  # fmt: skip
    return table(header, lines, numbers_from=4)


def _yes_no_table(cells: Sequence[Cell]) -> str:
    header = (
        "codec",
        "quality",
        "group",
        "F1, % [95 %]",
        "F1 of always yes, %",
        "yes, %",
        "both right, %",
        "unread",
    )
    lines = [
        (
            cell.codec,
            "–" if cell.quality is None else str(cell.quality),
            cell.group or "–",
            _percent(cell.f1) + _between(cell.f1_interval),
            _percent(cell.always_yes_f1),
            _percent(cell.yes_ratio),
            _percent(cell.pairs),
            str(cell.unread),
        )
        for cell in cells
        if cell.metric == "yesno"
    ]
    return table(header, lines, numbers_from=3)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _between(interval: Interval | None) -> str:
    return f" [{_percent(interval.low)}, {_percent(interval.high)}]" if interval else ""
