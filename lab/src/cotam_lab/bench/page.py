"""Self-contained HTML report of a sweep: curves, tables, and the images on which a codec does worst."""

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
from cotam.image.read import Pixels, to_rgb
from cotam_lab.bench import baselines, report
from cotam_lab.bench.baselines import Codec
from cotam_lab.bench.curves import bd_quality, points
from cotam_lab.metrics.base import METRICS, metric
from cotam_lab.metrics.scores import SCORES, score_named

__all__ = ["Worst", "groups", "latest", "page", "png", "render", "worst_images", "wrap"]

CROP = 380  # pixels a side: three fit on a page 1200 pixels wide

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1200px;
       margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem; margin-bottom: .2rem } h2 { margin-top: 2.4rem; border-bottom: 1px solid #ddd }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; font-size: .9rem;
        display: block; overflow-x: auto }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #e6e6e6; text-align: left }
td { white-space: nowrap }
th { border-bottom: 2px solid #bbb } tbody tr:hover { background: #f6f6f3 }
svg, figure img { max-width: 100%; height: auto } figure { margin: 0 }
figcaption { font-size: .85rem; color: #555 }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(260px, 1fr)); gap: 12px;
       margin: .6rem 0 1.6rem }
details { margin: .6rem 0; overflow-x: auto } summary { cursor: pointer; color: #555 }
"""


def latest(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the last row of each key, in the version of the codec's last row."""
    version = {row["codec"]: row["version"] for row in rows}
    last = {
        (row["codec"], row["quality"], row["image"]): row
        for row in rows
        if row["version"] == version[row["codec"]]
    }
    return list(last.values())


def groups(rows: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Group the main scores that the rows have by metric."""
    keys = dict.fromkeys(key for row in rows for key in row if key.partition("@")[0] in SCORES)
    found: dict[str, list[str]] = {}
    for name in METRICS:
        main = metric(name).main
        for key in keys:
            base, _, teacher = key.partition("@")
            if base in main:
                found.setdefault(f"{name} {teacher}".strip(), []).append(key)
    return found


@dataclass(frozen=True)
class Worst:
    """An image on which a codec does badly in comparison with another.

    Attributes
    ----------
    image : str
    behind : float
        BD-quality on this image, in units of the rows' score: negative is worse.
    quality, reference_quality : int
        Of the files shown: ours in the middle of the common rates, the other's nearest to it.
    """

    image: str
    behind: float
    quality: int
    reference_quality: int


def worst_images(
    rows: Sequence[dict[str, Any]], codec: str, reference: str, score: str, count: int = 3
) -> list[Worst]:
    """Find the images on which a codec is furthest behind another at equal rate, worst first.

    Raises
    ------
    InputError
        If one of the two has no complete image.
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
    files: Mapping[str, Path],
    *,
    title: str,
    codec: str | None = None,
    scores: Sequence[str] = (),
    log_rate: bool = False,
) -> str:
    """Write the page, HTML.

    Parameters
    ----------
    rows : sequence of dict
        As `latest` returns them.
    references : sequence of str
        Codecs to compare with.
    files : mapping
        Image files by the names in the rows; empty to show none.
    title : str
    codec : str, optional
        Whose worst images are shown beside the first reference; the last of ours by default.
    scores : sequence of str
        Keys to show; the main ones of each metric if empty.
    log_rate : bool

    Raises
    ------
    InputError
        If the rows have no scores.
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
            f"{len(images)} images through {', '.join(f'`{name}`' for name in names)}. Rate is the size of "
            "the whole file. *BD-rate*: how much more rate a codec needs at equal score, in per cent; "
            "negative is better. *BD-quality*: how much more score it has at equal rate. In brackets: 95 % "
            f"bootstrap interval over images. Scores are means over images. {report.DEFAULT_NOTE}"
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
    parts += [_worst_section(rows, references, files, codec, next(iter(shown.values()))[0])]
    parts += ["<h2>Made with</h2>", render(report.versions(rows)), _errors(rows)]
    return wrap(title, parts)


def wrap(title: str, parts: Sequence[str]) -> str:
    """Make a page of parts of HTML."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
    return (
        f"<!doctype html>\n<html lang=en><head>{head}</head><body>\n" + "\n".join(parts) + "</body></html>\n"
    )


def render(markdown: str) -> str:
    """Convert Markdown with tables to HTML."""
    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown))


def png(pixels: Pixels, caption: str) -> str:
    """Embed an image as a figure."""
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
    files: Mapping[str, Path],
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
    if not files:
        return title + render("Give --images FOLDER to see them here.")
    try:
        worst = worst_images(rows, chosen, reference, score)
        coders = baselines.codec(chosen), baselines.codec(reference)
    except CotamError as error:
        return title + render(f"Not shown: {error}.")
    if not worst:
        return title + render("No image has curves of both that can be compared.")
    parts = [
        title,
        render(
            f"By {named.name} at equal rate, of all images. The crop is where the squared error exceeds the "
            "other's most."
        ),
    ]
    for one in worst:
        if one.image in files:
            behind = f"{named.factor * one.behind:+.2f} {named.unit}".replace("-", "−")
            parts.append(f"<h3>{html.escape(one.image)}: {behind}</h3>")
            parts.append(_crops(one, to_rgb(files[one.image]), coders))
    return "\n".join(parts)


def _crops(worst: Worst, original: Pixels, coders: Sequence[Codec]) -> str:
    """The original and both decoded images, cropped to where ours is worst."""
    figures = []
    qualities = worst.quality, worst.reference_quality
    data = [coder.encode(original, quality) for coder, quality in zip(coders, qualities, strict=True)]
    decoded = [coder.decode(one) for coder, one in zip(coders, data, strict=True)]
    place = _where_worse(original, *decoded)
    figures.append(png(original[place], "original"))
    for coder, quality, size, pixels in zip(coders, qualities, map(len, data), decoded, strict=True):
        bpp = 8 * size / (original.shape[0] * original.shape[1])
        figures.append(png(pixels[place], f"{coder.name} q{quality}, {bpp:.3f} bpp"))
    return f"<div class=row>{''.join(figures)}</div>"


def _where_worse(original: Pixels, ours: Pixels, theirs: Pixels) -> tuple[slice, slice]:
    """Find the square in which our squared error exceeds theirs most."""
    height, width = (min(CROP, side) for side in original.shape[:2])
    mine, other = (np.square(one.astype(np.float32) - original).mean(axis=2) for one in (ours, theirs))
    excess = uniform_filter(mine - other, (height, width), mode="constant")
    top, left = height // 2, width // 2
    inside = excess[top : original.shape[0] - height + top + 1, left : original.shape[1] - width + left + 1]
    y, x = np.unravel_index(int(inside.argmax()), inside.shape)
    return slice(int(y), int(y) + height), slice(int(x), int(x) + width)
