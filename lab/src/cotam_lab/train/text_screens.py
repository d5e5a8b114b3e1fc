"""Screens and lettering of `cotam_lab.train.text` drawn with Pillow: code, windows, slides, banners, signs.

The scenes have the parameters of those in `cotam_lab.train.text_scenes`, and are caricatures too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from cotam_lab.train.text_canvas import (
    BLACK,
    WHITE,
    Canvas,
    Colour,
    Size,
    gradient,
    hsv,
    ink,
    luma,
    mix,
    paper,
    picture,
)
from cotam_lab.train.text_words import (
    Rng,
    Voice,
    digits,
    log_uniform,
    phrase,
    pick,
    styled,
    token,
    voice,
    word,
)

SIGNS = ("=", "(", ")", "):", "==", "+", "->", "{", "}", "[", "]", ".", ",", ";", "!=", "&&", "::", "*", "//")
"""Signs between the names in code."""


def code(rng: Rng, size: Size, scale: float) -> Image.Image:
    """Draw an editor or terminal: coloured tokens on light or dark, line numbers, tabs, selection."""
    dark = rng.random() < 0.55
    hue = rng.random()
    ground = hsv(hue, rng.uniform(0, 0.4), rng.uniform(0, 0.2)) if dark else paper(rng, 0.5)
    canvas, speech = Canvas(size, ground, scale), voice(rng, "mono", foreign=0.04)
    plain = ink(rng, ground, 1)
    colours = [plain, plain] + [ink(rng, ground, 0) for _ in range(5)]
    faint, bar = mix(ground, plain, 0.45), mix(ground, plain, 0.12)
    px, leading = log_uniform(rng, 8, 22), rng.uniform(1.15, 1.6)
    cell = canvas.width("m", speech.face, px)
    left, y, indent, number = rng.uniform(2, 20), rng.uniform(-px, px), 0, int(rng.random() * 900)
    if rng.random() < 0.5:
        canvas.box(0, 0, size[0], px * 2, bar)
        for tab in range(4):
            canvas.text(tab * 11 * cell + 8, px * 0.4, f"{word(rng, speech, 0)}.py", speech.face, px, faint)
        y = px * 2.4
    if rng.random() < 0.3:
        side = rng.uniform(70, 180)
        canvas.box(0, y, side, size[1], bar)
        for row in np.arange(y + 4, size[1], px * 1.6):
            canvas.text(8 + cell * int(rng.random() * 3), row, phrase(rng, speech, 1), speech.face, px, plain)
        left = side + 6
    numbered = rng.random() < 0.6
    while y < size[1]:
        indent = min(max(indent + pick(rng, (-1, -1, 0, 0, 0, 0, 1, 1)), 0), 5)
        x = left + (5 * cell if numbered else 0)
        if numbered:
            canvas.text(x - cell, y, str(number), speech.face, px, faint, "ra")
        x, number = x + indent * 4 * cell, number + 1
        if rng.random() < 0.04:
            canvas.box(x - cell, y, rng.uniform(40, 400), px * leading, mix(ground, colours[2], 0.25))
        empty = rng.random() < 0.12
        if rng.random() < 0.1:
            canvas.text(x, y, f"# {phrase(rng, speech, 7)}", speech.face, px, faint)
        elif not empty:
            _tokens(rng, canvas, x, y, speech, px, cell, colours)
        y += px * leading
    return canvas.image


def _tokens(
    rng: Rng, canvas: Canvas, x: float, y: float, speech: Voice, px: float, cell: float, colours: list[Colour]
) -> None:
    """Draw a line of code from ``x``: signs, strings, numbers and names."""
    for _ in range(1 + int(rng.random() * 10)):
        kind = rng.random()
        if kind < 0.4:
            text, colour = pick(rng, SIGNS), colours[0]
        elif kind < 0.5:
            text, colour = f'"{token(rng)}"', colours[3]
        elif kind < 0.6:
            text, colour = digits(rng, 1 + int(rng.random() * 3)), colours[4]
        else:
            text = pick(rng, ("{}", "{}", "{}_id", "self.{}", "get_{}")).format(word(rng, speech, 0))
            colour = pick(rng, colours)
        canvas.text(x, y, text, speech.face, px, colour)
        x += cell * (len(text) + pick(rng, (0, 1, 1)))


def _icon(rng: Rng, canvas: Canvas, x: float, y: float, side: float) -> None:
    """Draw an icon of a few flat shapes."""
    hue = rng.random()
    for _ in range(1 + int(rng.random() * 4)):
        fill = hsv(hue + 0.1 * rng.normal(), rng.random(), rng.random())
        left, top = x + side * 0.4 * rng.random(), y + side * 0.4 * rng.random()
        wide, high = side * rng.uniform(0.2, 0.6), side * rng.uniform(0.2, 0.6)
        if rng.random() < 0.4:
            canvas.oval(left, top, wide, high, fill)
        elif rng.random() < 0.6:
            canvas.box(left, top, wide, high, fill, radius=pick(rng, (0, 2)))
        else:
            canvas.line([(left, top), (left + wide, top + high), (left, top + high)], fill, side / 10)


@dataclass(frozen=True)
class _Look:
    """Colours and type of a window."""

    ground: Colour
    fill: Colour
    accent: Colour
    grey: Colour
    speech: Voice
    bold: Voice
    px: float
    radius: float

    @classmethod
    def draw(cls, rng: Rng) -> _Look:
        ground = paper(rng, 0.4) if rng.random() < 0.7 else hsv(rng.random(), 0.2, rng.uniform(0.05, 0.25))
        fill, accent = ink(rng, ground, 0.9), hsv(rng.random(), rng.uniform(0.4, 1), rng.uniform(0.3, 0.9))
        speech, px = voice(rng), log_uniform(rng, 8, 17)
        bold, radius = styled(speech, True), pick(rng, (0, 3, 8))
        return cls(ground, fill, accent, mix(ground, fill, 0.2), speech, bold, px, radius)


def _window(rng: Rng, canvas: Canvas, x: float, y: float, width: float, high: float) -> None:
    """Draw one window with a title bar, a menu or tool bar, and rows of controls."""
    look = _Look.draw(rng)
    px, row = look.px, look.px * 2
    canvas.box(x + 3, y + 4, width, high, (90, 90, 90), radius=look.radius)
    canvas.box(x, y, width, high, look.ground, look.grey, radius=look.radius)
    _bars(rng, canvas, x, y, width, look)
    bottom, left, inner = y + 2 * row, x + 12, width - 24
    while bottom < y + high - row:
        part = int(rng.random() * 9)
        bottom += px * 0.4
        if part < 3:
            bottom = _rows(rng, canvas, left, bottom, inner, y + high - row, look)
        elif part < 5:
            _buttons(rng, canvas, left, bottom, look)
            bottom += row
        elif part < 7:
            _field(rng, canvas, left, bottom, inner, look)
            bottom += row
        elif part == 7:
            canvas.paragraph(rng, left, bottom, inner, 2, look.speech, px, look.fill)
            bottom += px * 3
        elif bottom + 60 < y + high:
            canvas.picture(rng, left, bottom, inner * rng.uniform(0.2, 0.8), 56)
            bottom += 60


def _bars(rng: Rng, canvas: Canvas, x: float, y: float, width: float, look: _Look) -> None:
    """Draw the title bar, and the menu or tool bar below it."""
    px, row = look.px, look.px * 2
    title = pick(rng, (look.accent, look.grey, look.ground))
    canvas.box(x, y, width, row, title, look.grey, radius=look.radius)
    canvas.text(x + 10, y + px * 0.45, phrase(rng, look.bold, 3), look.bold.face, px, ink(rng, title, 1))
    for place in range(3):
        button = x + width - (place + 1) * px * 1.4
        canvas.oval(button, y + px * 0.5, px * 0.9, px * 0.9, hsv(place / 3, 0.7, 0.9))
    left, bottom = x + 8, y + row
    for _ in range(3 + int(rng.random() * 6)):
        item = phrase(rng, look.speech, 1, 0)
        canvas.text(left, bottom + px * 0.3, item, look.speech.face, px, look.fill)
        left += canvas.width(item, look.speech.face, px) + px
        if rng.random() < 0.2:
            _icon(rng, canvas, left, bottom, px * 1.5)
            left += px * 2
    canvas.line([(x, bottom + row), (x + width, bottom + row)], look.grey)


def _rows(
    rng: Rng, canvas: Canvas, left: float, bottom: float, inner: float, end: float, look: _Look
) -> float:
    """Draw rows of a list from ``bottom`` to ``end``, at most six. Returns where they end."""
    px, face = look.px, look.speech.face
    for index in range(2 + int(rng.random() * 5)):
        if bottom > end:
            break
        if index % 2 and rng.random() < 0.5:
            shade = mix(look.ground, look.accent, rng.uniform(0.05, 0.3))
            canvas.box(left, bottom, inner, px * 2, shade)
        _icon(rng, canvas, left, bottom + 2, px * 1.4)
        label = canvas.clipped(phrase(rng, look.speech, 3), face, px, inner * 0.55)
        canvas.text(left + px * 2, bottom + px * 0.4, label, face, px, look.fill)
        note, pale = canvas.clipped(token(rng), face, px, inner * 0.3), mix(look.ground, look.fill, 0.6)
        canvas.text(left + inner - 4, bottom + px * 0.4, note, face, px, pale, "ra")
        bottom += px * 2
    return bottom


def _buttons(rng: Rng, canvas: Canvas, left: float, bottom: float, look: _Look) -> None:
    px, face = look.px, look.bold.face
    for _ in range(1 + int(rng.random() * 3)):
        colour = pick(rng, (look.accent, look.grey, look.ground))
        text = phrase(rng, look.bold, 1 + int(rng.random() * 2), 0)
        wide = canvas.width(text, face, px) + px * 2
        edge = mix(look.accent, look.fill, 0.3)
        canvas.box(left, bottom, wide, px * 1.9, colour, edge, radius=look.radius)
        canvas.text(left + px, bottom + px * 0.35, text, face, px, ink(rng, colour, 1))
        left += wide + px


def _field(rng: Rng, canvas: Canvas, left: float, bottom: float, inner: float, look: _Look) -> None:
    """Draw a label and an entry."""
    px, face = look.px, look.speech.face
    label = canvas.clipped(phrase(rng, look.speech, 2, 0), face, px, inner * 0.5)
    canvas.text(left, bottom + px * 0.4, label, face, px, look.fill)
    gap = canvas.width(label, face, px) + px
    canvas.box(left + gap, bottom, max(40, inner - gap), px * 1.8, WHITE, look.grey, radius=look.radius / 2)
    entry = canvas.clipped(phrase(rng, look.speech, 2, 0.5), face, px, inner - gap - 10)
    canvas.text(left + gap + 5, bottom + px * 0.35, entry, face, px, (60, 60, 60))


def interface(rng: Rng, size: Size, scale: float) -> Image.Image:
    """Draw a screen: one window that fills it, or a few on a desktop."""
    canvas = Canvas(size, hsv(rng.random(), rng.random(), rng.uniform(0.1, 0.9)), scale)
    if rng.random() < 0.6:
        _window(rng, canvas, -2, -2, size[0] + 4, size[1] + 4)
    else:
        if rng.random() < 0.5:
            canvas.picture(rng, 0, 0, *size)
        for _ in range(2 + int(rng.random() * 3)):
            width, high = size[0] * rng.uniform(0.4, 0.95), size[1] * rng.uniform(0.4, 0.95)
            x, y = (size[0] - width) * rng.random(), (size[1] - high) * rng.random()
            _window(rng, canvas, x, y, width, high)
    return canvas.image


def _lettering(rng: Rng, canvas: Canvas, x: float, y: float, width: float, px: float) -> float:
    """Write large decorated letters that keep apart from what is below them; return the y below."""
    speech = voice(rng, *pick(rng, (("display",), ("bold",), ("hand",), ())))
    text = phrase(rng, speech, 1 + int(rng.random() * 4), 0.15)
    px = min(px, px * width / max(1, canvas.width(text, speech.face, px)) * rng.uniform(0.8, 1.1))
    ground = canvas.mean(x, y, width, px)
    fill, effect = ink(rng, ground, 0.5), int(rng.random() * 6)
    contrary = WHITE if luma(fill) < 128 else BLACK
    if effect == 0:
        canvas.text(x, y, text, speech.face, px, fill, stroke=max(1, px * 0.06), stroke_fill=contrary)
        return y + px * 1.3
    if effect == 1:
        drop = max(1, px * 0.05)
        canvas.text(x + drop, y + drop, text, speech.face, px, mix(contrary, ground, 0.4))
    if effect == 2:
        wide = canvas.width(text, speech.face, px) + px * 0.4
        canvas.box(x - px * 0.2, y, wide, px * 1.3, contrary, radius=pick(rng, (0, px / 4)))
    canvas.text(x, y, text, speech.face, px, fill)
    return y + px * rng.uniform(1.1, 1.6)


def _backdrop(rng: Rng, size: Size) -> Image.Image:
    """Fill with one colour, a gradient or a photo."""
    kind = rng.random()
    if kind < 0.3:
        return Image.new("RGB", size, hsv(rng.random(), rng.random(), rng.random()))
    if kind < 0.65:
        return Image.fromarray(gradient(rng, size).astype(np.uint8))
    return picture(rng, size)


def banner(rng: Rng, size: Size, scale: float) -> Image.Image:
    """Draw web banners or a poster: flat, gradient or photo grounds, large letters, small print, buttons."""
    canvas, y = Canvas(size, paper(rng), scale), 0.0
    while y < size[1]:
        high = size[1] if rng.random() < 0.3 else rng.uniform(90, 330)
        whole = (canvas.image.width, max(8, round(high * scale)))
        canvas.paste(_backdrop(rng, whole), 0, y)
        if rng.random() < 0.4:
            wide = rng.uniform(0.2, 0.5) * size[0]
            canvas.picture(rng, rng.random() * (size[0] - wide), y + high * 0.1, wide, high * 0.8)
        for _ in range(int(rng.random() * 4)):
            _icon(rng, canvas, rng.random() * size[0], y + rng.random() * high, rng.uniform(10, 90))
        x, top = rng.uniform(5, size[0] * 0.5), y + rng.uniform(2, high * 0.3)
        while top < y + high - 14:
            px = min(log_uniform(rng, 9, 80), high * 0.7)
            top = _lettering(rng, canvas, x, top, size[0] - x, px) + rng.uniform(0, 10)
            x += pick(rng, (0, 0, 10, -4))
        y += high
    return canvas.image


def sign(rng: Rng, size: Size, scale: float) -> Image.Image:
    """Draw lettering on and over a photo: signs, plates, labels and captions, turned and blurred a little."""
    canvas = Canvas(size, BLACK, scale)
    canvas.picture(rng, 0, 0, *size)
    for _ in range(5 + int(rng.random() * 14)):
        speech = voice(rng, *pick(rng, (("display",), ("bold",), ())))
        px, text = log_uniform(rng, 8, 70), phrase(rng, speech, 1 + int(rng.random() * 3), 0.2)
        x, y = rng.uniform(-0.1, 0.7) * size[0], rng.uniform(0, 0.95) * size[1]
        ground = hsv(rng.random(), rng.random(), rng.random())
        if rng.random() < 0.6:
            wide = canvas.width(text, speech.face, px)
            canvas.box(
                x - px / 2, y - px / 3, wide + px, px * 2, ground, ink(rng, ground, 0.8), 2, pick(rng, (0, 6))
            )
            canvas.text(x, y, text, speech.face, px, ink(rng, ground, 0.6))
        else:
            angle = rng.normal() * 12 if rng.random() < 0.5 else 0
            canvas.stretched(x, y, text, speech.face, px, ground, rng.uniform(0.6, 1.4), angle)
    if rng.random() < 0.5:
        return canvas.image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2) * scale))
    return canvas.image


def slide(rng: Rng, size: Size, scale: float) -> Image.Image:
    """Draw a slide: a title, bullet points, a picture or boxes joined by lines, a footer."""
    dark = rng.random() < 0.25
    ground = hsv(rng.random(), rng.random(), 0.3 * rng.random()) if dark else paper(rng)
    canvas = Canvas(size, ground, scale)
    accent = hsv(rng.random(), rng.uniform(0.5, 1), rng.uniform(0.3, 0.9))
    if rng.random() < 0.3:
        canvas.paste(_backdrop(rng, canvas.image.size), 0, 0)
        ground = canvas.mean(0, 0, *size)
    speech, fill, px = voice(rng), ink(rng, ground, 0.85), log_uniform(rng, 13, 32)
    head, left = styled(voice(rng), True), rng.uniform(10, 60)
    if rng.random() < 0.5:
        canvas.box(0, 0, size[0], px * 3, accent)
    title = ink(rng, accent if rng.random() < 0.5 else ground, 0.6)
    canvas.text(left, px * 0.6, phrase(rng, head, 3), head.face, px * 1.6, title)
    y = px * 3.6
    while y < size[1] - px * 2:
        if rng.random() < 0.7:
            level = int(rng.random() * 3)
            x, small = left + level * px * 1.5, px * (1 - 0.12 * level)
            canvas.box(x, y + small * 0.4, small * 0.4, small * 0.4, accent)
            y = canvas.paragraph(rng, x + px, y, size[0] - x - px * 2, 1 + (level == 0), speech, small, fill)
        elif rng.random() < 0.5:
            canvas.picture(rng, left, y, size[0] * rng.uniform(0.3, 0.8), px * 5)
            y += px * 5.5
        else:
            for place in range(3):
                x = left + place * size[0] / 3.2
                box = hsv(rng.random(), rng.uniform(0, 0.6), rng.uniform(0.5, 1))
                canvas.box(x, y, size[0] / 4, px * 2.4, box, fill, radius=pick(rng, (0, 6)))
                text = phrase(rng, speech, 1, 0)
                canvas.text(x + 6, y + px * 0.6, text, speech.face, px * 0.9, ink(rng, box, 0.9))
                canvas.line([(x + size[0] / 4, y + px), (x + size[0] / 3.2, y + px)], fill, 2)
            y += px * 3
        y += px * 0.4
    canvas.text(size[0] - 20, size[1] - 18, token(rng), speech.face, 11, fill, "ra")
    return canvas.image
