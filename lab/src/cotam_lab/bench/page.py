"""Self-contained HTML pages of tables and figures."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from io import BytesIO

from markdown_it import MarkdownIt
from matplotlib.figure import Figure
from PIL import Image

from cotam.errors import InputError
from cotam.image.read import Pixels
from cotam_lab.bench import report
from cotam_lab.bench.sweep import Row, Rows
from cotam_lab.metrics.base import METRICS, metric
from cotam_lab.metrics.scores import SCORES, score_named

__all__ = ["latest", "main_scores", "page", "png", "render", "svg", "wrap"]

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
"""


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


def page(
    rows: Rows, scores: Sequence[str], references: Sequence[str], *, title: str, log_rate: bool = False
) -> str:
    """Write the page of a sweep, HTML: what scores are, curves, and the tables of `report.whole_table`."""
    buffer = BytesIO()
    report.curve_figure(rows, scores, [buffer], title="", log_rate=log_rate)
    errors = [
        f"- {row['codec']}, quality {row['quality']}, {row['image']}: {row['error']}"
        for row in rows
        if "error" in row
    ]
    about = [f"- **{one.name}**: {one.about}." for one in map(score_named, scores)]
    note = (
        "Rate is the size of the whole file. *BD-rate*: how much more rate a codec needs at equal score, in "
        "per cent; negative is better. *BD-quality*: how much more score it has at equal rate. In brackets: "
        "95 % bootstrap interval over images. Scores are means over images.\n\n"
    )
    tables = report.whole_table(rows, scores, references, title=title)
    heading, _, rest = tables.partition("\n\n")
    failed = f"\n\n{len(errors)} rows with errors:\n\n" + "\n".join(errors) if errors else ""
    parts = [render(f"{heading}\n\n{note}" + "\n".join(about)), _svg_text(buffer), render(rest + failed)]
    return wrap(title, parts)


def wrap(title: str, parts: Sequence[str]) -> str:
    """Make a page of parts of HTML."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
    body = "\n".join(parts)
    return f"<!doctype html>\n<html lang=en><head>{head}</head><body>\n{body}</body></html>\n"


def render(markdown: str) -> str:
    """Convert Markdown with tables to HTML."""
    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown))


def svg(figure: Figure) -> str:
    """Return a figure as the element ``<svg>``; call it in the ``rc_context`` in which it was made."""
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _svg_text(buffer)


def _svg_text(buffer: BytesIO) -> str:
    text = buffer.getvalue().decode("utf-8")
    return text[text.index("<svg") :]


def png(pixels: Pixels, caption: str) -> str:
    """Embed an image as a figure."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    text = html.escape(caption)
    image = f'<img src="data:image/png;base64,{data}" alt="{text}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"
