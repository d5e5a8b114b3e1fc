"""Write rows as Markdown tables and figures of curves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from cotam.errors import InputError
from cotam_lab.bench.curves import Comparison, Curve, Delta, Interval, compare, points
from cotam_lab.bench.sweep import ORIGINAL, Row, Rows
from cotam_lab.metrics.base import METRICS, metric
from cotam_lab.metrics.scores import SCORES, score_named

__all__ = [
    "codecs_of",
    "compared",
    "comparison_table",
    "curve_figure",
    "delta_text",
    "latest",
    "main_scores",
    "mean_curves",
    "panels",
    "plain",
    "point_table",
    "table",
    "versions",
    "whole_table",
]

_COLOURS = {
    "jpeg": "#8c8c8c",
    "webp": "#5b8f69",
    "avif": "#4a7aa8",
    "avif-psnr": "#8fb3d3",
    "cotam": "#c8373c",
}
_VARIANTS = ("#e08a3c", "#8f2d7f", "#2f8f8a", "#b5a317")  # cotam with options, in order
_INK = "#333333"


def codecs_of(rows: Iterable[Row]) -> list[str]:
    """List the codecs in the rows in order of appearance, without the originals."""
    return [name for name in dict.fromkeys(row["codec"] for row in rows) if name != ORIGINAL]


def latest(rows: Rows) -> list[Row]:
    """Keep the last row of each key, in the version of the codec's last row."""
    version = {row["codec"]: row["version"] for row in rows}
    last = {
        (row["codec"], row["quality"], row["image"]): row
        for row in rows
        if row["version"] == version[row["codec"]]
    }
    return list(last.values())


def main_scores(rows: Rows) -> list[str]:
    """List the main scores that the rows have, metric by metric.

    Raises InputError if there are none.
    """
    keys = dict.fromkeys(key for row in rows for key in row if key.partition("@")[0] in SCORES)
    found = [key for name in METRICS for key in keys if key.partition("@")[0] in metric(name).main]
    if not found:
        raise InputError("the rows have no scores")
    return found


def mean_curves(rows: Rows, score: str) -> dict[str, Curve]:
    """Compute the mean curve of each codec on the images that all of them have.

    A codec without a complete image is left out.
    """
    measured = {}
    for name in codecs_of(rows):
        with suppress(InputError):
            measured[name] = points(rows, name, score)
    shared = set.intersection(*(set(one.images) for one in measured.values())) if measured else set()
    return {name: one.on(sorted(shared)).curve() for name, one in measured.items()} if shared else {}


def compared(rows: Rows, scores: Sequence[str], reference: str) -> tuple[list[Comparison], list[str]]:
    """Compare all other codecs with a reference; noisy scores by monotone curves.

    Returns
    -------
    comparisons : list of Comparison
        For each codec and score.
    remarks : list of str
        Why comparisons are missing.
    """
    names = codecs_of(rows)
    if reference not in names:
        return [], [f"Nothing is compared with {reference}: it was not measured."]
    found, remarks = [], []
    for name in names:
        for score in scores if name != reference else ():
            try:
                found.append(compare(rows, reference, name, score, noisy=score_named(score).noisy))
            except InputError as error:  # a codec or a metric that failed on every image
                remarks.append(f"{name}: {error}.")
    return found, remarks


def whole_table(rows: Rows, scores: Sequence[str], references: Sequence[str], *, title: str) -> str:
    """Write all tables as Markdown: comparisons, means, falls, versions."""
    parts = []
    for reference in references:
        comparisons, remarks = compared(rows, scores, reference)
        parts.append(comparison_table(reference, comparisons) if comparisons else "")
        parts[-1] += "".join(f"\n{remark}\n" for remark in remarks)
    steady = [score for score in scores if not score_named(score).noisy]
    parts += [point_table(rows, scores), *(falls(rows, score) for score in steady[:1]), versions(rows)]
    return f"# {title}\n\n" + "\n".join(parts)


def comparison_table(reference: str, comparisons: Sequence[Comparison]) -> str:
    """Write comparisons with one reference: a row for each codec and score.

    Remarks below say why a BD-rate is missing, where curves share less than half of their range, and where an
    interval leaves out more than 1 % of the resamples.
    """
    header = (
        "codec",
        "score",
        "BD-rate [95 %]",
        "BD-quality [95 %]",
        "overlap",
        "images",
    )
    lines, remarks = [], []
    for one in comparisons:
        score = score_named(one.score)
        name, unit = score.name, "points" if score.unit == "%" else score.unit
        quality = delta_text(
            one.quality, one.quality_interval, factor=score.factor, digits=2, unit=f" {unit}"
        )
        lines.append(
            (
                one.codec,
                name,
                delta_text(one.rate, one.rate_interval, unit=" %"),
                quality,
                f"{100 * one.rate.overlap:.0f} %",
                str(one.images),
            )
        )
        if one.rate.reason:
            remarks.append(f"{one.codec}, {name}: no BD-rate, {one.rate.reason}.")
        elif one.rate.overlap < 0.5:
            remarks.append(
                f"{one.codec}, {name}: the curves share {100 * one.rate.overlap:.0f} % of their range only."
            )
        if one.rate_interval and one.rate_interval.without > 0.01:
            missing = f"{100 * one.rate_interval.without:.0f} % of the resamples have no BD-rate"
            remarks.append(f"{one.codec}, {name}: {missing}; the interval is that of the others.")
    title = f"Against {reference}: less rate is negative, better quality positive.\n\n"
    return title + table(header, lines, numbers_from=2) + "".join(f"\n{remark}\n" for remark in remarks)


def point_table(rows: Rows, scores: Sequence[str]) -> str:
    """Write the means of every codec at every quality, median times, and counts of errors."""
    named = {key: score_named(key) for key in scores}
    names = [f"{score.name}, {score.unit}" for score in named.values()]
    header = ("codec", "quality", "bpp", *names, "encode, ms", "decode, ms", "images")
    groups: dict[tuple[str, Any], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["codec"], row["quality"]), []).append(row)
    lines = []
    for (codec, quality), group in groups.items():
        good = [row for row in group if "bpp" in row]
        errors = sum("error" in row for row in group)
        failed = f" ({errors} failed)" if errors else ""
        cells = [codec, "–" if quality is None else str(quality)]
        cells += [_mean(good, "bpp", 1.0, 4)]
        cells += [_mean(good, key, score.factor, 2) for key, score in named.items()]
        cells += [_median(good, "encode_s"), _median(good, "decode_s"), f"{len(good)}{failed}"]
        lines.append(tuple(cells))
    return table(header, lines, numbers_from=1)


def falls(rows: Rows, score: str) -> str:
    """Write on how many images the score, or the size, of each codec falls as quality rises."""
    lines = []
    for name in codecs_of(rows):
        by_image: dict[str, list[Row]] = {}
        for row in rows:
            if row["codec"] == name and row.get(score) is not None and row["quality"] is not None:
                by_image.setdefault(row["image"], []).append(row)
        counts = []
        for key in (score, "bytes"):
            curves = ([r[key] for r in sorted(own, key=itemgetter("quality"))] for own in by_image.values())
            counts.append(sum(any(b < a for a, b in pairwise(curve)) for curve in curves))
        lines.append(
            f"- {name}: {score} falls with rising quality on {counts[0]}, bytes on {counts[1]}, "
            f"of {len(by_image)} images"
        )
    return "\n".join(lines) + "\n"


def versions(rows: Iterable[Row]) -> str:
    """List the library and settings that made the files of each codec."""
    found = dict.fromkeys((row["codec"], row["version"]) for row in rows if row["version"])
    return "".join(f"- {codec}: {version}\n" for codec, version in found)


def curve_figure(
    rows: Rows, scores: Sequence[str], files: Sequence[Path], *, title: str, log_rate: bool = False
) -> None:
    """Draw mean curves, a panel for each score.

    Parameters
    ----------
    scores : keys of `cotam_lab.metrics.scores.SCORES`
    files : the suffix selects the format (.svg, .png, .pdf); equal rows give equal SVG bytes
    log_rate : use a logarithmic axis for the rate
    """
    with matplotlib.rc_context({"font.size": 10, "svg.hashsalt": "cotam", "text.color": _INK}):
        across = min(3, len(scores)) if len(scores) != 4 else 2
        down = -(-len(scores) // across)
        figure = Figure(figsize=(5.6 * across + 0.4, 4.2 * down), dpi=160, layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        for axes, score in zip(panels(figure, len(scores), across), scores, strict=True):
            _panel(axes, rows, score, log_rate)
        for file in files:
            figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def panels(figure: Figure, count: int, across: int, **options: Any) -> list[Axes]:
    """Add axes to a figure, in rows of ``across``; ``options`` are those of `Figure.subplots`."""
    found = list(figure.subplots(-(-count // across), across, squeeze=False, **options).flat)
    for axes in found[count:]:
        axes.remove()
    return found[:count]


def _panel(axes: Axes, rows: Rows, score: str, log_rate: bool) -> None:
    named = score_named(score)
    if log_rate:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    for codec, curve in mean_curves(rows, score).items():
        width, order = (2.4, 3) if codec.startswith("cotam") else (1.5, 2)
        (line,) = axes.plot(curve.rate, named.factor * curve.score, "o-", ms=3, label=_short(codec))
        line.set(color=_colour(codec, rows), linewidth=width, zorder=order)
    untouched = [row[score] for row in rows if row["codec"] == ORIGINAL and row.get(score) is not None]
    if untouched:
        level = named.factor * float(np.mean(untouched))
        axes.axhline(level, color=_INK, linewidth=0.8, linestyle=(0, (4, 3)), label=ORIGINAL)
    axes.set_xlabel("bits per pixel", color=_INK)
    axes.set_title(f"{named.name}, {named.unit}", loc="left", fontsize=10, color=_INK)
    if axes.lines:
        axes.legend(loc="lower right", fontsize=8, frameon=False)
    plain(axes)


def plain(axes: Axes) -> None:
    """Style axes: pale grid lines, no frame."""
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#bbbbbb")
    axes.tick_params(color="#bbbbbb", labelcolor=_INK)


def _colour(codec: str, rows: Rows) -> str:
    variants = [name for name in codecs_of(rows) if name.startswith("cotam:")]
    if codec in variants:
        return _VARIANTS[variants.index(codec) % len(_VARIANTS)]
    return _COLOURS.get(codec, _INK)


def _short(codec: str) -> str:
    """Shorten a name: ``cotam:profile=base,guide=none,view=human`` to ``cotam base human``."""
    name, colon, options = codec.partition(":")
    if name != "cotam" or not colon:
        return codec
    told = [option for option in options.split(",") if option != "guide=none"]
    return " ".join([name, *(re.sub("^(profile|guide|view)=", "", option) for option in told)])


def table(header: Sequence[str], lines: Sequence[Sequence[str]], *, numbers_from: int) -> str:
    """Write a Markdown table; columns from `numbers_from` on are right-aligned."""
    marks = ["---" if place < numbers_from else "---:" for place in range(len(header))]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, marks, *lines))


def _signed(value: float, digits: int, unit: str = "") -> str:
    return f"{value:+.{digits}f}{unit}".replace("-", "−")


def delta_text(
    delta: Delta, interval: Interval | None = None, *, factor: float = 1.0, digits: int = 1, unit: str = ""
) -> str:
    """Write a delta times ``factor``, and its interval if there is one; "–" without a delta."""
    if delta.value is None:
        return "–"
    text = _signed(factor * delta.value, digits, unit)
    if interval is not None:
        low, high = (_signed(factor * end, digits) for end in (interval.low, interval.high))
        text += f" [{low}, {high}]"
    return text


def _mean(rows: Rows, key: str, factor: float, digits: int) -> str:
    values = [row[key] for row in rows if row.get(key) is not None]
    return f"{factor * float(np.mean(values)):.{digits}f}" if values else "–"


def _median(rows: Rows, key: str) -> str:
    return f"{1000 * float(np.median([row[key] for row in rows])):.0f}" if rows else "–"
