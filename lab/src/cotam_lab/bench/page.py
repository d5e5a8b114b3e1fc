"""One page of all that rows say: curves, tables, and the pictures where a codec does worst.

Knows rows and pictures: what is measured, and how curves are drawn and compared, other modules know. The page
needs nothing beside itself: no scripts, no fonts, no files from elsewhere.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from markdown_it import MarkdownIt
from PIL import Image
from scipy.ndimage import uniform_filter

from cotam.errors import CotamError, InputError
from cotam.image import baselines
from cotam.image.read import Pixels, to_rgb
from cotam_lab.bench import report
from cotam_lab.bench.curves import bd_quality, points
from cotam_lab.metrics.pictures import JUDGES, judge
from cotam_lab.metrics.scores import SCORES, score_named

__all__ = ["Worst", "groups", "latest", "page", "png", "render", "worst_pictures", "wrap"]

CROP = 380  # pixels a side: three fit beside each other on a page of 1200

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1200px;
       margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem; margin-bottom: .2rem } h2 { margin-top: 2.4rem; border-bottom: 1px solid #ddd }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; font-size: .9rem }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #e6e6e6; text-align: left }
th { border-bottom: 2px solid #bbb } tbody tr:hover { background: #f6f6f3 }
svg, figure img { max-width: 100%; height: auto } figure { margin: 0 }
figcaption { font-size: .85rem; color: #555 }
.row { display: grid; grid-template-columns: repeat(3, 1fr); gap: 12px; margin: .6rem 0 1.6rem }
details { margin: .6rem 0; overflow-x: auto } summary { cursor: pointer; color: #555 }
"""


def latest(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of rows that were read from files: the last of each, in the version that the codec's last row has."""
    version = {row["codec"]: row["version"] for row in rows}
    last = {
        (row["codec"], row["quality"], row["image"]): row
        for row in rows
        if row["version"] == version[row["codec"]]
    }
    return list(last.values())


def groups(rows: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """The main scores that rows have, by the judge that gave them."""
    keys = dict.fromkeys(key for row in rows for key in row if key.partition("@")[0] in SCORES)
    found: dict[str, list[str]] = {}
    for name in JUDGES:
        main = judge(name).main
        for key in keys:
            base, _, teacher = key.partition("@")
            if base in main:
                found.setdefault(f"{name} {teacher}".strip(), []).append(key)
    return found


@dataclass(frozen=True)
class Worst:
    """A picture on which a codec does badly beside another.

    Attributes
    ----------
    image : str
    behind : float
        BD-quality on this picture, in units of the rows' score: negative is worse.
    quality, reference_quality : int
        Of the pair that is shown: ours in the middle of the rates that both have, the other's nearest.
    """

    image: str
    behind: float
    quality: int
    reference_quality: int


def worst_pictures(
    rows: Sequence[dict[str, Any]], codec: str, reference: str, score: str, count: int = 3
) -> list[Worst]:
    """The pictures on which a codec is furthest behind another at equal rate, the worst first.

    Raises
    ------
    InputError
        If one of the two has no picture at all of its qualities.
    """
    ours, theirs = points(rows, codec, score), points(rows, reference, score)
    found = []
    for image in set(ours.images) & set(theirs.images):
        one, other = ours.on([image]), theirs.on([image])
        behind = bd_quality(other.curve(), one.curve()).value
        if behind is None:
            continue
        low, high = (max(one.bpp.min(), other.bpp.min()), min(one.bpp.max(), other.bpp.max()))
        place = int(np.abs(np.log(one.bpp[0]) - np.log([low, high]).mean()).argmin())
        near = int(np.abs(np.log(other.bpp[0] / one.bpp[0, place])).argmin())
        found.append(Worst(image, behind, one.qualities[place], other.qualities[near]))
    return sorted(found, key=lambda worst: (worst.behind, worst.image))[:count]


def page(
    rows: Sequence[dict[str, Any]],
    references: Sequence[str],
    pictures: Mapping[str, Path],
    *,
    title: str,
    codec: str | None = None,
    scores: Sequence[str] = (),
    log_rate: bool = False,
) -> str:
    """The whole page, HTML.

    Parameters
    ----------
    rows : sequence of dict
        As `latest` gives them.
    references : sequence of str
        Codecs that others are compared with.
    pictures : mapping
        Files by the names in the rows; empty to show none.
    title : str
    codec : str, optional
        Whose worst pictures are shown, beside the first reference; the last of ours if not given.
    scores : sequence of str
        Keys to show; the main ones of each judge if empty.
    log_rate : bool

    Raises
    ------
    InputError
        If there is nothing to show.
    """
    shown = groups(rows)
    if scores:
        shown = {"scores": list(scores)}
    if not shown:
        raise InputError("the rows have no scores")
    names = report.codecs_of(rows)
    images = {row["image"] for row in rows}
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        render(
            f"{len(images)} pictures through {', '.join(f'`{name}`' for name in names)}. Rate is the size of "
            "the whole file. *BD-rate*: how much more rate a codec needs at equal score, in per cent; "
            "negative is better. *BD-quality*: how much more score it has at equal rate. In brackets: 95 % "
            "of what other pictures of the kind would give (bootstrap). Scores are means over pictures."
        ),
    ]
    for name, keys in shown.items():
        parts.append(f"<h2>{html.escape(name.capitalize())}</h2>")
        about = [f"- **{one.name}**: {one.about}." for one in map(score_named, keys)]
        parts += [render("\n".join(about)), _curves(rows, keys, log_rate)]
        for reference in references:
            comparisons, remarks = report.compared(rows, keys, reference)
            table = report.comparison_table(reference, comparisons) if comparisons else ""
            parts.append(render(table + "".join(f"\n{remark}\n" for remark in remarks)))
        parts.append(_folded("Every point", render(report.point_table(rows, keys))))
    parts += [_worst_section(rows, references, pictures, codec, next(iter(shown.values()))[0])]
    parts += ["<h2>Made with</h2>", render(report.versions(rows)), _errors(rows)]
    return wrap(title, parts)


def wrap(title: str, parts: Sequence[str]) -> str:
    """Parts of HTML as a page."""
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    return (
        f"<!doctype html>\n<html lang=en><head>{head}</head><body>\n" + "\n".join(parts) + "</body></html>\n"
    )


def render(markdown: str) -> str:
    """Markdown with tables to HTML."""
    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown))


def png(pixels: Pixels, caption: str) -> str:
    """A figure with a picture inside it."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    text = html.escape(caption)
    image = f'<img src="data:image/png;base64,{data}" alt="{text}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def _curves(rows: Sequence[dict[str, Any]], keys: Sequence[str], log_rate: bool) -> str:
    buffer = BytesIO()
    report.curve_figure(rows, keys, [buffer], title="", log_rate=log_rate)
    text = buffer.getvalue().decode("utf-8")
    return text[text.index("<svg") :]


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{html.escape(title)}</summary>{body}</details>"


def _errors(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        f"- {row['codec']}, quality {row['quality']}, {row['image']}: {row['error']}"
        for row in rows
        if "error" in row
    ]
    return _folded(f"{len(lines)} rows with errors", render("\n".join(lines))) if lines else ""


def _worst_section(
    rows: Sequence[dict[str, Any]],
    references: Sequence[str],
    pictures: Mapping[str, Path],
    codec: str | None,
    score: str,
) -> str:
    names = report.codecs_of(rows)
    chosen = codec or next((name for name in reversed(names) if name.startswith("cotam")), names[-1])
    reference = next((name for name in references if name in names and name != chosen), None)
    if reference is None:
        return ""
    named = score_named(score)
    title = f"<h2>Where {html.escape(chosen)} does worst beside {html.escape(reference)}</h2>"
    if not pictures:
        return title + render("Give the folder of the pictures to see them here.")
    try:
        worst = worst_pictures(rows, chosen, reference, score)
        coders = baselines.codec(chosen), baselines.codec(reference)
    except CotamError as error:
        return title + render(f"Not shown: {error}.")
    if not worst:
        return title + render("No picture has curves of both that can be compared.")
    parts = [
        title,
        render(
            f"By {named.name} at equal rate, of all pictures. Each is cut, pixel by pixel, to where the "
            "squared error exceeds the other's most."
        ),
    ]
    for one in worst:
        if one.image not in pictures:
            continue
        original = to_rgb(pictures[one.image])
        files = [
            coder.encode(original, quality)
            for coder, quality in zip(coders, (one.quality, one.reference_quality), strict=True)
        ]
        decoded = [coder.decode(data) for coder, data in zip(coders, files, strict=True)]
        area = original.shape[0] * original.shape[1]
        rates = [f"{8 * len(data) / area:.3f} bpp" for data in files]
        behind = f"{named.factor * one.behind:+.2f} {named.unit}".replace("-", "−")
        place = _where_worse(original, *decoded)
        parts.append(f"<h3>{html.escape(one.image)}: {behind}</h3><div class=row>")
        parts += [
            png(original[place], "original"),
            png(decoded[0][place], f"{chosen} q{one.quality}, {rates[0]}"),
            png(decoded[1][place], f"{reference} q{one.reference_quality}, {rates[1]}"),
        ]
        parts.append("</div>")
    return "\n".join(parts)


def _where_worse(original: Pixels, ours: Pixels, theirs: Pixels) -> tuple[slice, slice]:
    """The square in which our squared error exceeds theirs most."""
    height, width = (min(CROP, side) for side in original.shape[:2])
    mine, other = (np.square(one.astype(np.float32) - original).mean(axis=2) for one in (ours, theirs))
    excess = uniform_filter(mine - other, (height, width), mode="constant")
    top, left = height // 2, width // 2
    inside = excess[top : original.shape[0] - height + top + 1, left : original.shape[1] - width + left + 1]
    y, x = np.unravel_index(int(inside.argmax()), inside.shape)
    return slice(int(y), int(y) + height), slice(int(x), int(x) + width)
