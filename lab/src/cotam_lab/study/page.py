"""Write the HTML report of the study: method, findings, plots."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from markdown_it import MarkdownIt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from cotam.image.read import Pixels, to_rgb
from cotam_lab.bench.report import panels, plain, table, versions
from cotam_lab.study.findings import TASKS, Rows, drops, layer_means, reliable, sentences, usable

__all__ = ["study_page"]

_COLOURS = {"large text": "#4a7aa8", "class": "#5b8f69", "small text": "#c8373c", "counting": "#e08a3c"}

_STYLE = """
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
"""

_INTRODUCTION = """
Lossy coding removes detail. What does that do to a model that looks at the images? Known images go through
each codec at several settings, and simple models do simple tasks on the results:

| task | depends on | metric | ground truth |
| --- | --- | --- | --- |
| large text | low-level structure: edges | RapidOCR reads lines of 28 and 44 pixels | the words drawn |
| class | coarse semantics | class of EfficientNet-Lite0 | its class of the original |
| small text | cross-level: detail with meaning | RapidOCR reads lines of 12 and 14 pixels | the words drawn |
| counting | cross-level: kinds and borders | connected DINOv2-S tokens like an object | the number pasted |

A *drop* is the part of the originals' score that is lost. Features and counting use DINOv2-S, with which
codecs may be trained; no codec of ours was trained with RapidOCR or EfficientNet-Lite0.
"""


def study_page(rows: Mapping[str, Rows], codecs: Sequence[str], examples: Mapping[str, Path]) -> str:
    """Write the page, HTML.

    Parameters
    ----------
    rows : pack → its rows
    examples : caption → image file of a scene
    """
    parts = ["<h1>What compression breaks</h1>", _render(_INTRODUCTION)]
    figures = [_png(to_rgb(file), caption) for caption, file in examples.items()]
    parts.append(f"<div class=row>{''.join(figures)}</div>")
    parts += ["<h2>Findings</h2>", _render("\n".join(f"- {one}" for one in sentences(rows, codecs)))]
    parts += ["<h2>Tasks</h2>", _figure(codecs, lambda axes, codec: _tasks(axes, rows, codec))]
    parts += [_render(_drop_table(rows, codecs))]
    parts += [
        "<h2>Layers of the encoder</h2>",
        _render(
            "Mean squared difference of normalised tokens from the original's, after each layer; 0 is the "
            "patch embeddings, a distance of 2 means unrelated. A line for each setting."
        ),
        _figure(codecs, lambda axes, codec: _layers(axes, rows["photos"], codec)),
        "<h2>Attention</h2>",
        _render("Share of the [CLS] attention that moved, mean over the layers."),
        _figure(["all codecs"], lambda axes, _: _attention(axes, rows["photos"], codecs)),
        "<h2>Made with</h2>",
        _render(versions(rows["photos"])),
    ]
    return _wrap("What compression breaks", parts)


def _figure(names: Sequence[str], draw: Callable[[Axes, str], None]) -> str:
    across = min(3, len(names))
    with matplotlib.rc_context({"svg.hashsalt": "cotam"}):  # equal rows give an equal page
        figure = Figure(figsize=(4.4 * across, 3.4 * -(-len(names) // across)), layout="constrained")
        for axes, name in zip(panels(figure, len(names), across, sharey=True), names, strict=True):
            draw(axes, name)
            axes.set_title(name, loc="left", fontsize=10)
            plain(axes)
        return _svg(figure)


def _rates(rows: Rows, codec: str) -> dict[int, float]:
    """Return the mean bits per pixel of a codec's settings."""
    found: dict[int, list[float]] = {}
    for row in rows:
        if row["codec"] == codec and "bpp" in row:
            found.setdefault(row["quality"], []).append(row["bpp"])
    return {quality: float(np.mean(values)) for quality, values in sorted(found.items())}


def _tasks(axes: Axes, rows: Mapping[str, Rows], codec: str) -> None:
    rates = _rates(rows["photos"], codec)
    for task in TASKS:
        if usable(rows[task.pack], task)[0]:
            drop = drops(rows[task.pack], task, codec)
            x = [rates[quality] for quality in drop.qualities]
            style = "-" if task.group == "cross-level" else "--"
            axes.plot(
                x,
                100 * drop.lost,
                style,
                color=_COLOURS[task.name],
                marker="o",
                markersize=3.5,
                label=f"{task.name} ({task.group})",
            )
    axes.set_xlabel("bits per pixel, on the photos, of the setting")
    axes.set_ylabel("drop, %")
    axes.legend(fontsize=8, frameon=False)


def _layers(axes: Axes, rows: Rows, codec: str) -> None:
    means, rates = layer_means(rows, codec), _rates(rows, codec)
    for place, (quality, values) in enumerate(means.items()):
        shade = 0.9 - 0.6 * place / max(len(means) - 1, 1)
        axes.plot(
            range(len(values)),
            values,
            color=(0.78 * shade, 0.22, 1 - shade),
            linewidth=1.4,
            label=f"{rates[quality]:.2f} bpp",
        )
    axes.set_xlabel("layer")
    axes.set_ylabel("distance")
    axes.legend(fontsize=8, frameon=False)


def _attention(axes: Axes, rows: Rows, codecs: Sequence[str]) -> None:
    for codec in codecs:
        rates = _rates(rows, codec)
        found = [
            [row["attention"] for row in rows if (row["codec"], row["quality"]) == (codec, quality)]
            for quality in rates
        ]
        shifts = [100 * float(np.mean([value for value in one if value is not None])) for one in found]
        axes.plot(list(rates.values()), shifts, marker="o", markersize=3.5, label=codec)
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel("attention moved, %")
    axes.legend(fontsize=8, frameon=False)


def _drop_table(rows: Mapping[str, Rows], codecs: Sequence[str]) -> str:
    lines = []
    for task in TASKS:
        good, score = usable(rows[task.pack], task)
        cells = [task.name, task.group, f"{100 * score:.0f} %"]
        for codec in codecs:
            if good:
                drop = drops(rows[task.pack], task, codec)
                low, high = reliable(drop)
                cells.append(f"{100 * drop.mean:.0f} % [{100 * low:.0f}, {100 * high:.0f}]".replace("-", "−"))
            else:
                cells.append("left out")
        lines.append(cells)
    header = ["task", "depends on", "originals", *codecs]
    return "Mean drop over the settings, with its 95 % interval over images:\n\n" + table(
        header, lines, numbers_from=2
    )


def _wrap(title: str, parts: Sequence[str]) -> str:
    """Make a page of parts of HTML."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
    body = "\n".join(parts)
    return f"<!doctype html>\n<html lang=en><head>{head}</head><body>\n{body}</body></html>\n"


def _render(markdown: str) -> str:
    """Convert Markdown with tables to HTML."""
    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown))


def _svg(figure: Figure) -> str:
    """Return a figure as the element ``<svg>``; call it in the ``rc_context`` in which it was made."""
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue().decode("utf-8")
    return text[text.index("<svg") :]


def _png(pixels: Pixels, caption: str) -> str:
    """Embed an image as a figure."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    text = html.escape(caption)
    image = f'<img src="data:image/png;base64,{data}" alt="{text}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"
