"""Documents of `cotam_lab.train.text` drawn with Pillow: pages, receipts, forms and tables.

Each scene is a function of a random generator, the size of the final image, and the scale at
which to draw it. `cotam_lab.train.text` reduces it and adds the flaws of cameras and scanners. The layouts are
caricatures: they have the edges, strokes, areas and repetitions of real documents, and no more.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cotam_lab.train.text_canvas import BLACK, WHITE, Canvas, Colour, Size, hsv, ink, mix, paper, smooth
from cotam_lab.train.text_words import (
    Rng,
    Voice,
    digits,
    log_uniform,
    phrase,
    pick,
    price,
    styled,
    token,
    voice,
    word,
)


def page(rng: Rng, size: Size, scale: float) -> Image.Image:
    """Draw part of a printed page: columns of paragraphs, headings, lists, figures and a footer."""
    ground = paper(rng)
    canvas, fill = Canvas(size, ground, scale), ink(rng, ground, 0.85)
    speech, head = voice(rng), styled(voice(rng), True)
    px, leading, justify = log_uniform(rng, 7, 24), rng.uniform(1.12, 1.7), rng.random() < 0.5
    columns = 1 + int(rng.random() * min(3, size[0] / (px * 14)))
    margin, gutter = rng.uniform(4, 0.12 * size[0]), px * rng.uniform(1, 2.5)
    width = (size[0] - 2 * margin - (columns - 1) * gutter) / columns
    top = rng.uniform(-px, 50)
    if rng.random() < 0.5:
        big = px * rng.uniform(1.5, 3.2)
        for line in range(1 + int(rng.random() * 2)):
            canvas.text(margin, top, phrase(rng, head, 4 + int(rng.random() * 6)), head.face, big, fill)
            top += big * 1.25 + line
        if rng.random() < 0.4:
            canvas.line([(margin, top), (size[0] - margin, top)], fill)
        top += px
    for column in range(columns):
        x, y = margin + column * (width + gutter), top
        while y < size[1]:
            part = rng.random()
            if part < 0.16:
                y += px * 0.5
                canvas.text(x, y, phrase(rng, head, 2 + int(rng.random() * 4)), head.face, px * 1.25, fill)
                y += px * 1.8
            elif part < 0.24:
                high = width * rng.uniform(0.3, 0.8)
                canvas.picture(rng, x, y, width, high)
                y = canvas.paragraph(rng, x, y + high + 3, width, 2, speech, px * 0.8, fill) + px
            elif part < 0.36:
                for _ in range(2 + int(rng.random() * 4)):
                    canvas.oval(x + px * 0.4, y + px * 0.45, px * 0.35, px * 0.35, fill)
                    y = canvas.paragraph(rng, x + px * 1.4, y, width - px * 1.4, 1, speech, px, fill, leading)
            else:
                rows = 2 + int(rng.random() * 9)
                y = canvas.paragraph(rng, x, y, width, rows, speech, px, fill, leading, justify)
                y += px * rng.uniform(0, 0.8)
    return canvas.image


def _scribble(rng: Rng, canvas: Canvas) -> None:
    """Write over the image with a pen: a tick, a signature, a stroke."""
    x, y = rng.random() * canvas.size[0], rng.random() * canvas.size[1]
    steps = 3 + int(rng.random() * 18)
    path = np.cumsum(rng.normal(0, 1, (steps, 2)), 0) * log_uniform(rng, 3, 16)
    path += np.arange(steps)[:, None] * (4, 0)
    fine = np.linspace(0, steps - 1, steps * 6)
    across, down = (np.interp(fine, range(steps), axis) for axis in path.T)
    points = list(zip(x + across, y + down, strict=True))
    colour = pick(rng, ((20, 30, 110), (30, 30, 30), (40, 60, 170), (20, 130, 70)))
    canvas.line(points, colour, rng.uniform(0.8, 2.6))


@dataclass
class _Till:
    """Prints the lines of a receipt."""

    rng: Rng
    canvas: Canvas
    speech: Voice
    fill: Colour
    px: float
    squeeze: float
    margin: float
    inner: float
    leading: float
    upper: bool
    currency: str

    def put(self, text: str, y: float, side: float, factor: float | None = None, bold: bool = False) -> None:
        """Print text at the left (``side`` 0), in the middle or at the right (1)."""
        factor = self.squeeze if factor is None else factor
        face = styled(self.speech, bold).face
        text = text.upper() if self.upper else text
        x = self.margin + (self.inner - self.canvas.width(text, face, self.px) * factor) * side
        if factor == 1:
            self.canvas.text(x, y, text, face, self.px, self.fill)
        else:
            self.canvas.stretched(x, y, text, face, self.px, self.fill, factor)

    def part(self, y: float) -> float:
        """Print an address, a heading, a rule, a pair of fields or some items. Returns where they end."""
        rng, speech, line, part = self.rng, self.speech, self.px * self.leading, self.rng.random()
        if part < 0.16:
            for _ in range(2 + int(rng.random() * 4)):
                self.put(" ".join((phrase(rng, speech, 2), digits(rng, 4), word(rng, speech))), y, 0.5)
                y += line
            return y
        if part < 0.3:
            wide = rng.uniform(1.0, 2.1) * self.squeeze
            self.put(phrase(rng, speech, 2, 0), y, pick(rng, (0, 0.5)), wide, rng.random() < 0.6)
            return y + line
        if part < 0.42:
            rule = pick(rng, "-=*._")
            length = int(self.inner / max(1, self.canvas.width(rule, speech.face, self.px) * self.squeeze))
            self.put(rule * length, y, 0)
            return y + line
        if part < 0.56:
            self.put(f"{phrase(rng, speech, 1, 0)}: {token(rng)}", y, 0)
            self.put(f"{phrase(rng, speech, 1, 0)}: {digits(rng, 5)}", y, 1)
            return y + line
        if part < 0.62:
            ends = [(self.margin, y + 3), (self.margin + self.inner, y + 3)]
            self.canvas.line(ends, self.fill, rng.uniform(0.8, 2))
            return y + 8
        return self._items(y)

    def _items(self, y: float) -> float:
        rng, bold, line = self.rng, self.rng.random() < 0.2, self.px * self.leading
        for _ in range(1 + int(rng.random() * 6)):
            name = phrase(rng, self.speech, 1 + int(rng.random() * 3), 0)[: int(self.inner / self.px)]
            self.put(name, y, 0, bold=bold)
            if rng.random() < 0.4:
                y += line
                self.put(f"{digits(rng, 1)} x {price(rng)}", y, 0.4)
            self.put(self.currency + price(rng), y, 1, bold=bold)
            y += line
        return y


def receipt(rng: Rng, size: Size, scale: float) -> Image.Image:
    """Draw part of a scanned thermal receipt: faded strokes, mottled paper, holes, pen marks."""
    shade = hsv(rng.random(), 0.06 * rng.random() ** 2, 1 - 0.25 * rng.random() ** 2)
    canvas = Canvas(size, WHITE if rng.random() < 0.5 else shade, scale)
    left, width = rng.uniform(-0.25, 0.1) * size[0], rng.uniform(0.85, 1.3) * size[0]
    if rng.random() < 0.25:
        left, width = rng.uniform(0, 0.3) * size[0], rng.uniform(0.45, 0.8) * size[0]
    speech = voice(rng, *(("mono",) if rng.random() < 0.7 else ()), foreign=0.12)
    px = log_uniform(rng, 9, 34)
    squeeze = rng.uniform(0.62, 1.0) if rng.random() < 0.5 else 1.0
    fill = hsv(rng.random(), 0.15 * rng.random(), 0.35 * rng.random() ** 2)
    inner, leading, margin = width * 0.9, rng.uniform(1.02, 1.5), left + width * 0.05
    upper, currency = rng.random() < 0.6, pick(rng, ("", "", "$", "RM", "€", "£"))
    till = _Till(rng, canvas, speech, fill, px, squeeze, margin, inner, leading, upper, currency)
    y = rng.uniform(-40, 60)
    while y < size[1]:
        y = till.part(y) + px * pick(rng, (0, 0, 0, 0.5, 1))
    _thermal(rng, canvas)
    desk = pick(rng, (BLACK, BLACK, WHITE, WHITE, hsv(0.15 * rng.random(), 0.4 * rng.random(), rng.random())))
    lean = rng.normal() * 8  # the sides of a strip of paper are seldom upright
    for edge, side in ((left, -size[0]), (left + width, 2 * size[0])):
        corners = ((edge - lean, 0), (edge + lean, size[1]), (side, size[1]), (side, 0))
        canvas.draw.polygon([(x * scale, y * scale) for x, y in corners], desk)
    return canvas.image


def _thermal(rng: Rng, canvas: Canvas) -> None:
    """Add pen marks and holes, fade the print unevenly, and mottle the paper."""
    for _ in range(int(rng.random() ** 2 * 4)):
        _scribble(rng, canvas)
    if rng.random() < 0.3:
        x, y, wide = rng.random() * canvas.size[0], rng.random() * canvas.size[1], rng.uniform(10, 40)
        canvas.oval(x, y, wide, wide, pick(rng, (BLACK, BLACK, (120, 120, 120))))
    pixels = np.asarray(canvas.image).astype(np.float32)
    whole = canvas.image.size
    fade = smooth(rng, whole, (6, 0.12), (80, 0.13), (250, rng.uniform(0, 0.3)))
    strength = (1.1 - 0.5 * rng.random() ** 2 + fade * rng.uniform(0, 1)).clip(0.1, 1.05)
    stain = np.minimum(0, smooth(rng, whole, (5, 8), (90, 4)) + rng.uniform(-14, 14))
    level = 255 - (255 - pixels) * strength[..., None] + (stain * rng.uniform(0, 1.4))[..., None]
    canvas.paste(Image.fromarray(level.clip(0, 255).astype(np.uint8)), 0, 0)


def form(rng: Rng, size: Size, scale: float) -> Image.Image:
    """Draw a form: labelled boxes, ruled lines, check boxes and values, some written by hand."""
    ground = paper(rng)
    canvas, fill, rule = Canvas(size, ground, scale), ink(rng, ground, 0.8), ink(rng, ground, 0.5)
    speech, px = voice(rng), log_uniform(rng, 7, 15)
    value = voice(rng, pick(rng, ("hand", "hand", "mono")), foreign=0)
    pen = pick(rng, ((20, 30, 120), (25, 25, 25), (50, 70, 180)))
    tint, margin, y = hsv(rng.random(), 0.2, 0.95), rng.uniform(0, 40), rng.uniform(-20, 20)
    title = styled(speech, True)
    while y < size[1]:
        if rng.random() < 0.2:
            canvas.box(margin, y, size[0] - 2 * margin, px * 2, tint if rng.random() < 0.6 else rule, rule)
            colour = fill if rng.random() < 0.6 else ink(rng, tint, 0.9)
            canvas.text(margin + 6, y + px * 0.4, phrase(rng, title, 4), title.face, px * 1.15, colour)
            y += px * 2.2
        x, high, style = margin, px * rng.uniform(2.2, 4), int(rng.random() * 4)
        while x < size[0] - margin - 20:
            width = min(rng.uniform(60, 320), size[0] - margin - x)
            label = canvas.clipped(phrase(rng, speech, 2), speech.face, px, width - px * 2)
            canvas.text(x + 3, y + 2, label, speech.face, px, fill)
            if style == 0:
                canvas.box(x, y, width, high, None, rule)
            elif style == 1:
                canvas.line([(x + 3, y + high), (x + width - 6, y + high)], rule)
            elif style == 2:
                letters = iter(phrase(rng, value, 2, 0.5).upper())
                for cell in np.arange(x + 3, x + width - high * 0.6, high * 0.6):
                    canvas.box(cell, y + px * 1.3, high * 0.6, high - px * 1.3, None, rule)
                    canvas.text(cell + 2, y + px * 1.3, next(letters, " "), value.face, high * 0.55, pen)
            else:
                canvas.box(x + width - px * 1.6, y + px * 0.3, px, px, None, rule)
                if rng.random() < 0.5:
                    canvas.text(x + width - px * 1.5, y, "x", value.face, px * 1.5, pen)
            if style < 2 and rng.random() < 0.75:
                text = token(rng) if rng.random() < 0.5 else phrase(rng, value, 2)
                tall = max(9, min(high - px, 30))
                text = canvas.clipped(text, value.face, tall, width - 8)
                canvas.text(x + 6, y + px * 1.1, text, value.face, tall, pen)
            x += width
        y += high + px * pick(rng, (0, 0, 0.6))
    return canvas.image


def table(rng: Rng, size: Size, scale: float) -> Image.Image:
    """Draw a table: a heading row, words at the left, numbers at the right, rules and striped rows."""
    ground = paper(rng)
    canvas, fill = Canvas(size, ground, scale), ink(rng, ground, 0.85)
    speech, px, high = voice(rng), log_uniform(rng, 7, 20), rng.uniform(1.3, 2.4)
    head, accent, bold = paper(rng, 0), hsv(rng.random(), rng.random(), rng.random()), styled(speech, True)
    head, stripe = pick(rng, (head, accent, ground)), paper(rng, 0.5)
    rules, rule, start = int(rng.random() * 4), mix(ground, fill, rng.uniform(0.2, 1)), rng.uniform(0, 20)
    widths = [px * rng.uniform(6, 14)] + [px * rng.uniform(3, 8) for _ in range(40)]
    edges = [edge for edge in start + np.cumsum([0.0, *widths]) if edge < size[0] + 200]
    kinds, y, row = [int(rng.random() * 5) for _ in edges], rng.uniform(-10, 40), 0
    canvas.text(start, y, phrase(rng, bold, 5), bold.face, px * 1.3, fill)
    y += px * 2.2
    while y < size[1]:
        top = row == 0 or rng.random() < 0.02
        back = head if top else stripe if row % 2 else ground
        canvas.box(start, y, edges[-1] - start, px * high, back)
        colour = ink(rng, back, 1) if top else fill
        for column, (left, right) in enumerate(itertools.pairwise(edges)):
            who = bold if top else speech
            if column == 0 or top or kinds[column] == 4:
                text = phrase(rng, who, 1 + (column == 0), 0)
            else:
                text = (digits(rng, 3), price(rng), f"{rng.random() * 100:.1f}%", token(rng))[kinds[column]]
            text = canvas.clipped(text, who.face, px, right - left - 4)
            at, anchor = (left + 4, "la") if column == 0 or kinds[column] == 4 else (right - 4, "ra")
            canvas.text(at, y + px * (high - 1.15) / 2, text, who.face, px, colour, anchor)
            if rules == 3:
                canvas.line([(right, y), (right, y + px * high)], rule)
        if rules > 1 or (rules == 1 and top):
            canvas.line([(start, y + px * high), (edges[-1], y + px * high)], rule)
        y, row = y + px * high, row + 1
    return canvas.image
