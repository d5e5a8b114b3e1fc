"""Charts for the images of `cotam_lab.train.text`: matplotlib figures and an infographic drawn with Pillow.

The figures are made without pyplot and drawn by the Agg backend. The data mean nothing; kinds, styles, fonts,
colours and resolutions are drawn at random among those usual in papers, reports and the press.
"""

import logging
import math
from functools import lru_cache
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from PIL import Image

from cotam_lab.train.text_canvas import Canvas, Size, hsv, ink, paper
from cotam_lab.train.text_words import Rng, Voice, log_uniform, phrase, pick, styled, voice

# It warns of families without a regular weight, which are wanted here.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)

STYLES = (
    "default",
    "default",
    "default",
    "ggplot",
    "bmh",
    "fivethirtyeight",
    "dark_background",
    "seaborn-v0_8",
    "seaborn-v0_8-whitegrid",
    "seaborn-v0_8-ticks",
    "tableau-colorblind10",
    "grayscale",
)


@lru_cache(maxsize=512)
def _register(path: str) -> None:
    fontManager.addfont(path)


def _colours(rng: Rng, count: int) -> list[Any]:
    """Draw a colour per series: shades of one hue, evenly spread hues, or a map of matplotlib."""
    hue, kind = rng.random(), rng.random()
    if kind < 0.3:
        return [
            tuple(c / 255 for c in hsv(hue, 0.9 - 0.6 * i / count, 0.3 + 0.6 * i / count))
            for i in range(count)
        ]
    if kind < 0.5:
        return [tuple(c / 255 for c in hsv(hue + i / count, 0.6, 0.8)) for i in range(count)]
    if kind < 0.6:
        return [f"C{i}" for i in range(count)]
    chosen = matplotlib.colormaps[
        pick(rng, ("viridis", "tab10", "Set2", "coolwarm", "Blues", "Paired", "plasma"))
    ]
    return [chosen((i + 0.5) / count) for i in range(count)]


def _bars(rng: Rng, axes: Axes, names: list[str], values: np.ndarray, colours: list[Any]) -> None:
    """Draw grouped or stacked bars, upright or lying, some with their values written on them."""
    series, count = values.shape
    stacked, lying, places = rng.random() < 0.4, rng.random() < 0.4, np.arange(count)
    thick = 0.8 if stacked else 0.8 / series
    edge, hatch = pick(rng, ("none", "none", "black", "white")), pick(rng, ("", "", "", "//", "..", "xx"))
    shown, base = rng.random() < 0.5, np.zeros(count)
    form = pick(rng, ("%.0f", "%.1f", "%.2f", "%.0f%%"))
    for index in range(series):
        at = places if stacked else places + (index - (series - 1) / 2) * thick
        kinds = {"color": colours[index], "edgecolor": edge, "hatch": hatch, "label": names[index]}
        bars = (
            axes.barh(at, values[index], thick, left=base if stacked else 0, **kinds)
            if lying
            else axes.bar(at, values[index], thick, bottom=base if stacked else 0, **kinds)
        )
        if shown:
            axes.bar_label(
                bars, fmt=form, label_type="center" if stacked else "edge", fontsize=rng.uniform(6, 9)
            )
        base = base + values[index]
    labels = [f"{1990 + i}" for i in range(count)] if count > len(names) else names[:count]
    if lying:
        axes.set_yticks(places, labels)
    else:
        turn = pick(rng, (0, 0, 30, 45, 90))
        axes.set_xticks(places, labels, rotation=turn, ha="right" if 0 < turn < 90 else "center")


def _plot(rng: Rng, axes: Axes, names: list[str]) -> None:
    """Draw one chart of a random kind into axes."""
    kind = int(rng.random() * 12)
    series = 1 + int(rng.random() * 5)
    count = int(log_uniform(rng, 3, 60))
    colours = _colours(rng, max(series, 8))
    level = log_uniform(rng, 0.5, 5000)
    x = np.arange(count) + pick(rng, (0, 1990, 1))
    walk = level * np.abs(1 + np.cumsum(rng.normal(0, 0.12, (series, count)), 1))
    if kind < 4:
        _lines(rng, axes, names, x, walk, colours)
    elif kind < 8:
        bars = min(count, 48 // series)
        _bars(rng, axes, names, np.sort(walk[:, :bars], 1)[:, :: pick(rng, (1, -1))], colours)
    elif kind == 8:
        _points(rng, axes, names, series, count, colours)
    elif kind == 9:
        _pie(rng, axes, names, colours)
        return
    elif kind == 10:
        _cells(rng, axes)
    else:
        axes.stackplot(x, walk, colors=colours[:series], labels=names[:series], alpha=rng.uniform(0.5, 1))
    _frame(rng, axes, legend=kind != 10)


def _lines(
    rng: Rng, axes: Axes, names: list[str], x: np.ndarray, walk: np.ndarray, colours: list[Any]
) -> None:
    for values, colour, name in zip(walk, colours, names, strict=False):
        look = {
            "lw": rng.uniform(0.6, 3),
            "ls": pick(rng, ("-", "-", "--", ":", "-.")),
            "marker": pick(rng, ("", "", "o", "s", "^", "x", "D")),
        }
        axes.plot(x, values, color=colour, ms=rng.uniform(2, 7), label=name, **look)
        if rng.random() < 0.3:
            axes.fill_between(x, values * 0.9, values * 1.1, color=colour, alpha=0.25, lw=0)


def _points(rng: Rng, axes: Axes, names: list[str], series: int, count: int, colours: list[Any]) -> None:
    for index in range(series):
        points = rng.normal(rng.normal(0, 2, 2), rng.uniform(0.3, 1.5), (count * 6, 2))
        axes.scatter(
            *points.T,
            s=log_uniform(rng, 3, 60),
            color=colours[index],
            marker=pick(rng, "osx^+"),
            alpha=rng.uniform(0.4, 1),
            label=names[index],
        )


def _pie(rng: Rng, axes: Axes, names: list[str], colours: list[Any]) -> None:
    parts = 2 + int(rng.random() * 6)
    hole = {"width": rng.uniform(0.3, 1), "edgecolor": pick(rng, ("white", "black", "none"))}
    axes.pie(
        rng.uniform(0.3, 1, parts),
        labels=names[:parts],
        colors=colours[:parts],
        autopct="%1.0f%%",
        startangle=rng.uniform(0, 360),
        wedgeprops=hole,
    )


def _cells(rng: Rng, axes: Axes) -> None:
    cells = rng.random((2 + int(rng.random() * 8), 2 + int(rng.random() * 8)))
    axes.imshow(cells, cmap=pick(rng, ("viridis", "Blues", "coolwarm", "gray", "YlOrRd")), aspect="auto")
    for (row, column), value in np.ndenumerate(cells):
        axes.text(
            column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=pick(rng, ("k", "w"))
        )


def _frame(rng: Rng, axes: Axes, *, legend: bool) -> None:
    """Grid, spines and legend."""
    if rng.random() < 0.35:
        axes.grid(True, axis=pick(rng, ("both", "y")), ls=pick(rng, ("-", "--", ":")), alpha=0.6)
    if rng.random() < 0.35:
        for side in pick(
            rng, (("top", "right"), ("top", "right", "left"), ("top", "right", "left", "bottom"))
        ):
            axes.spines[side].set_visible(False)
    if legend and rng.random() < 0.65:
        axes.legend(
            loc=pick(rng, ("upper left", "upper right", "lower right", "center right")),
            ncols=pick(rng, (1, 1, 2)),
            frameon=rng.random() < 0.6,
        )


def chart(rng: Rng, size: Size, scale: float) -> Image.Image:
    """Draw a figure of one to six charts with titles, axis labels, legends and data labels."""
    speech = Voice(voice(rng, foreign=0).face, "latin")
    _register(speech.face.path)
    columns, rows = pick(rng, ((1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (1, 2), (2, 1), (2, 2), (3, 2)))
    points, dots = rng.uniform(6, 13) / max(columns, rows) ** 0.4, log_uniform(rng, 70, 150) * scale
    settings = {
        "font.family": speech.face.family,
        "axes.unicode_minus": False,
        "font.size": points,
        "figure.dpi": dots,
        "font.weight": "normal",
        "path.sketch": None,
    }
    wide, high = round(size[0] * scale), round(size[1] * scale)
    with matplotlib.style.context([pick(rng, STYLES), settings]):
        figure = Figure(figsize=((wide + 0.5) / dots, (high + 0.5) / dots))
        canvas = FigureCanvasAgg(figure)
        names = [
            phrase(rng, speech, pick(rng, (1, 1, 2)), 0.05).replace("$", "")
            for _ in range(pick(rng, (8, 24)))
        ]
        for place in range(columns * rows):
            axes = figure.add_subplot(rows, columns, place + 1)
            _plot(rng, axes, names)
            where = pick(rng, ("left", "center"))
            if rng.random() < 0.7:
                title, weight = phrase(rng, speech, 1 + 4 // columns, 0), pick(rng, ("normal", "bold"))
                axes.set_title(title, loc=where, weight=weight, fontsize=points * rng.uniform(1, 1.6))
            if rng.random() < 0.7:
                axes.set_xlabel(phrase(rng, speech, 2, 0))
                axes.set_ylabel(phrase(rng, speech, 2, 0))
        if rng.random() < 0.3:
            note = phrase(rng, speech, 14).replace("$", "")
            figure.text(0.02, 0.01, note, fontsize=points * 0.75, color=pick(rng, ("gray", "black")))
        figure.subplots_adjust(
            left=rng.uniform(0.1, 0.2),
            right=rng.uniform(0.92, 0.99),
            bottom=rng.uniform(0.1, 0.25),
            top=rng.uniform(0.85, 0.95),
            wspace=0.35,
            hspace=0.45,
        )
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())[:high, :wide, :3].copy())


def infographic(rng: Rng, size: Size, scale: float) -> Image.Image:
    """Draw a chart of the press: a bold title, a grey subtitle, bars with numbers, notes, a source."""
    ground = paper(rng, 0.8)
    canvas, grey = Canvas(size, ground, scale), hsv(0, 0, rng.uniform(0.3, 0.65))
    speech, serif, px = voice(rng, foreign=0.1), voice(rng, foreign=0), log_uniform(rng, 9, 17)
    bold, slanted = styled(speech, True), styled(serif, False, True)
    y, inner = rng.uniform(2, 20), size[0] - 16
    parts = 1 + int(rng.random() * 4)
    hue = rng.random()
    colours = [hsv(hue + 0.4 * (i % 2), 0.7 - 0.15 * i, 0.45 + 0.13 * i) for i in range(parts)]
    while y < size[1]:
        y = canvas.paragraph(rng, 8, y, inner, 2, bold, px * 1.3, (0, 0, 0)) + px * 0.3
        y = canvas.paragraph(rng, 8, y, inner, 2, slanted, px, grey) + px
        label, high = inner * rng.uniform(0.2, 0.4), px * rng.uniform(1.1, 2)
        for _ in range(3 + int(rng.random() * 10)):
            canvas.text(
                8 + label - 6,
                y + high * 0.1,
                phrase(rng, speech, 2, 0.1),
                speech.face,
                px,
                (20, 20, 20),
                "ra",
            )
            x, shares = 8 + label, rng.dirichlet(np.full(parts, 2.0)) * rng.uniform(0.4, 1)
            for share, colour in zip(shares, colours, strict=True):
                wide = share * (inner - label - px * 3)
                canvas.box(x, y, wide, high, colour)
                number = f"{math.ceil(share * 100)}" + pick(rng, ("", "", "%"))
                canvas.text(x + wide / 2, y + high / 2, number, bold.face, px, ink(rng, colour, 1), "mm")
                x += wide
            if rng.random() < 0.4:
                canvas.text(x + 4, y + high / 2, f"{sum(shares) * 100:.0f}%", bold.face, px, (0, 0, 0), "lm")
            y += high + px * rng.uniform(0.2, 0.9)
        y = canvas.paragraph(rng, 8, y + px, inner, 3, speech, px * 0.8, grey)
        canvas.text(8, y + 3, phrase(rng, bold, 3, 0).upper(), bold.face, px * 0.85, (0, 0, 0))
        y += px * 2.5
        canvas.line([(8, y), (8 + inner, y)], pick(rng, (grey, (0, 0, 0))))
        y += px
    return canvas.image
