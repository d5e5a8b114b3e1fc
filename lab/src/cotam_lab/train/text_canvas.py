"""Colours, photos and a scaled canvas for `cotam_lab.train.text_scenes`.

The canvas takes lengths in pixels of the final image and holds a larger one, so that a scene can be reduced
with real antialiasing. Its only layout is the paragraph.
"""

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from cotam.image.read import to_rgb
from cotam_lab.train.text_words import (
    RIGHT_TO_LEFT,
    UNSPACED,
    Face,
    Rng,
    Voice,
    advance,
    load,
    log_uniform,
    pick,
    word,
)

Colour = tuple[int, int, int]
Size = tuple[int, int]
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def hsv(hue: float, saturation: float, brightness: float) -> Colour:
    """Convert a colour with parts in [0, 1] to 8-bit RGB."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, min(max(saturation, 0), 1), min(max(brightness, 0), 1))
    return round(red * 255), round(green * 255), round(blue * 255)


def luma(colour: Colour) -> float:
    """Brightness of a colour, 0 to 255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def paper(rng: Rng, white: float = 0.6) -> Colour:
    """Draw a light background: pure white with probability `white`, else slightly tinted or grey."""
    if rng.random() < white:
        return 255, 255, 255
    return hsv(rng.random(), 0.15 * rng.random() ** 2, 1 - 0.2 * rng.random())


def ink(rng: Rng, ground: Colour, plain: float = 0.6) -> Colour:
    """Draw a text colour readable on a ground: black or white with probability `plain`, else of any hue."""
    light = luma(ground) < 140
    depth = rng.random() ** 2 * (0.25 if rng.random() < 0.7 else 0.6)
    if rng.random() < plain:
        return hsv(0, 0, 1 - depth if light else depth)
    hue = rng.random()
    if light:
        return hsv(hue, 0.5 * rng.random(), 1 - 0.3 * depth)
    return hsv(hue, 0.4 + 0.6 * rng.random(), 0.25 + depth)


def mix(first: Colour, second: Colour, part: float) -> Colour:
    """Blend two colours, `part` of the second."""
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(first, second, strict=True))
    return red, green, blue


def smooth(rng: Rng, size: Size, *octaves: tuple[float, float]) -> np.ndarray:
    """Draw a random field, (H, W) float32, for a width and a height: a sum of smooth noises.

    ``octaves``: of each noise, coarse ones first, its bumps along the longer side and its standard deviation.
    """
    field = np.zeros((2, 2), np.float32)
    for cells, strength in octaves:
        step = max(size) / max(cells, 1)
        grid = (int(size[0] / step) + 2, int(size[1] / step) + 2)
        # The sum so far is enlarged to each finer grid in turn, so that only one enlargement is to full size.
        coarse = np.asarray(Image.fromarray(field).resize(grid, Image.Resampling.BICUBIC))
        field = coarse + np.float32(strength) * rng.standard_normal(grid[::-1], dtype=np.float32)
    return np.asarray(Image.fromarray(field).resize(size, Image.Resampling.BICUBIC))


_photos: list[Path] = []


def use_photos(paths: Sequence[Path]) -> None:
    """Let `picture` return parts of these photographs in this process, instead of painting."""
    _photos[:] = paths


def picture(rng: Rng, size: Size) -> Image.Image:
    """Return a part of a photograph, or paint something with a photograph's smooth areas, edges and texture."""
    size = (max(8, size[0]), max(8, size[1]))
    if _photos:
        return _part(rng, pick(rng, _photos), size)
    reduced = max(1.0, max(size) / 640)
    small = (max(8, int(size[0] / reduced)), max(8, int(size[1] / reduced)))
    pixels, hue = gradient(rng, small), rng.random()
    for _ in range(int(rng.random() * 5)):  # things in front of one another, each with its light and texture
        shape = smooth(rng, small, (2, 1), (8, 0.3), (30, rng.uniform(0, 0.2)), (120, rng.uniform(0, 0.1)))
        edge = ((shape - rng.normal()) * log_uniform(rng, 3, 40) + 0.5).clip(0, 1)[..., None]
        texture = smooth(rng, small, (3, 25), (15, rng.uniform(0, 15)), (250, log_uniform(rng, 0.3, 14)))
        colour = hsv(hue + 0.2 * rng.normal(), 0.7 * rng.random() ** 1.5, rng.random())
        pixels = pixels + edge * (np.float32(colour) + texture[..., None] - pixels)
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        draw = ImageDraw.Draw(image)
        for _ in range(int(rng.random() * 12)):
            x, y = rng.random() * small[0], rng.random() * small[1]
            reach = log_uniform(rng, 3, max(small) / 3)
            corners = rng.normal(0, 0.6 * reach, (4, 2)) + np.array((x, y))
            fill = hsv(hue + 0.2 * rng.normal(), rng.random() ** 2, rng.random())
            draw.polygon(list(map(tuple, corners)), fill)
        image = image.filter(ImageFilter.GaussianBlur(log_uniform(rng, 0.4, 4)))
    return image.resize(size, Image.Resampling.BICUBIC)


def _part(rng: Rng, path: Path, size: Size) -> Image.Image:
    """Return a part of a photograph, scaled to a size."""
    photo = Image.fromarray(to_rgb(path))
    largest = min(photo.width / size[0], photo.height / size[1])
    scale = largest * rng.uniform(0.5, 1)
    width, height = size[0] * scale, size[1] * scale
    left, top = rng.random() * (photo.width - width), rng.random() * (photo.height - height)
    return photo.resize(size, Image.Resampling.BICUBIC, (left, top, left + width, top + height))


def gradient(rng: Rng, size: Size) -> np.ndarray:
    """Fill (H, W, 3) float32 with a colour that changes along a direction."""
    angle, hue = rng.uniform(0, 6.3), rng.random()
    first = np.float32(hsv(hue, rng.random(), rng.random()))
    second = np.float32(hsv(hue + 0.15 * rng.normal(), rng.random(), rng.random()))
    across = np.linspace(-0.5, 0.5, size[0], dtype=np.float32) * np.float32(np.cos(angle))
    down = np.linspace(-0.5, 0.5, size[1], dtype=np.float32) * np.float32(np.sin(angle))
    ramp = ((across + down[:, None]) * np.float32(rng.uniform(0.6, 1.6)) + 0.5).clip(0, 1)[..., None]
    return first + (second - first) * ramp


class Canvas:
    """An RGB image drawn in units of final pixels, held `scale` times larger so that it can be reduced."""

    def __init__(self, size: Size, ground: Colour, scale: float) -> None:
        self.size, self.scale = size, scale
        self.image = Image.new("RGB", (round(size[0] * scale), round(size[1] * scale)), ground)
        self.draw = ImageDraw.Draw(self.image)

    def _px(self, px: float) -> float:
        return max(4.0, round(px * self.scale * 2) / 2)  # halves: fewer sizes for the font cache to hold

    def width(self, text: str, face: Face, px: float) -> float:
        """Measure a string."""
        return advance(face.path, self._px(px), text) / self.scale

    def text(
        self,
        x: float,
        y: float,
        text: str,
        face: Face,
        px: float,
        fill: Colour,
        anchor: str = "la",
        stroke: float = 0,
        stroke_fill: Colour | None = None,
    ) -> None:
        """Write a string; `anchor` is Pillow's, by default the left end and the ascender's top."""
        font, at = load(face.path, self._px(px)), (x * self.scale, y * self.scale)
        width = stroke * self.scale
        self.draw.text(at, text, fill, font, anchor=anchor, stroke_width=width, stroke_fill=stroke_fill)

    def stretched(
        self,
        x: float,
        y: float,
        text: str,
        face: Face,
        px: float,
        fill: Colour,
        factor: float,
        angle: float = 0,
    ) -> None:
        """Write a string made `factor` times wider, then turned, as printers and logos do."""
        font = load(face.path, self._px(px))
        left, top, right, bottom = font.getbbox(text)
        mask = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
        ImageDraw.Draw(mask).text((2 - left, 2 - top), text, 255, font)
        mask = mask.resize((max(1, round(mask.width * factor)), mask.height), Image.Resampling.BICUBIC)
        if angle:
            mask = mask.rotate(angle, Image.Resampling.BICUBIC, expand=True)
        self.image.paste(fill, (round(x * self.scale), round(y * self.scale + top)), mask)

    def clipped(self, text: str, face: Face, px: float, room: float) -> str:
        """Cut a string to a width."""
        while len(text) > 2 and self.width(text, face, px) > room:
            text = text[: len(text) * 4 // 5]
        return text

    def mean(self, x: float, y: float, width: float, height: float) -> Colour:
        """Average what is drawn in a rectangle, of which at least the last pixel lies in the image."""
        right, bottom = self.image.width - 1, self.image.height - 1
        left, top = (int(min(max(0, v * self.scale), end)) for v, end in ((x, right), (y, bottom)))
        wide, high = (max(1, int(v * self.scale)) for v in (width, height))
        area = self.image.crop((left, top, min(left + wide, right + 1), min(top + high, bottom + 1)))
        red, green, blue = np.asarray(area).mean((0, 1)).astype(int).tolist()
        return red, green, blue

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: Colour | None = None,
        outline: Colour | None = None,
        line: float = 1,
        radius: float = 0,
    ) -> None:
        """Draw a rectangle, rounded where `radius` is positive."""
        right, bottom = (x + max(width, 1)) * self.scale - 1, (y + max(height, 1)) * self.scale - 1
        shape = (x * self.scale, y * self.scale, max(right, x * self.scale), max(bottom, y * self.scale))
        thick = max(1, round(line * self.scale))
        if radius:
            self.draw.rounded_rectangle(shape, radius * self.scale, fill, outline, thick)
        else:
            self.draw.rectangle(shape, fill, outline, thick)

    def line(self, points: Sequence[tuple[float, float]], fill: Colour, width: float = 1) -> None:
        """Draw an open polygon."""
        scaled = [(x * self.scale, y * self.scale) for x, y in points]
        self.draw.line(scaled, fill, max(1, round(width * self.scale)), joint="curve")

    def oval(self, x: float, y: float, width: float, height: float, fill: Colour) -> None:
        """Draw an ellipse in a rectangle."""
        shape = [side * self.scale for side in (x, y, x + max(1, width), y + max(1, height))]
        self.draw.ellipse(shape, fill)

    def paste(self, image: Image.Image, x: float, y: float) -> None:
        """Paste an image of canvas pixels at a position in final pixels."""
        self.image.paste(image, (round(x * self.scale), round(y * self.scale)))

    def picture(self, rng: Rng, x: float, y: float, width: float, height: float) -> None:
        """Fill a rectangle with something like a photo."""
        self.paste(picture(rng, (round(width * self.scale), round(height * self.scale))), x, y)

    def fit(self, rng: Rng, speech: Voice, px: float, width: float) -> list[str]:
        """Draw words until they fill a width."""
        gap = 0.0 if speech.script in UNSPACED else self.width(" ", speech.face, px)
        words, used = [], 0.0
        while True:
            new = word(rng, speech)
            if "latin" in speech.face.scripts and rng.random() < 0.1:
                new += pick(rng, ",.,.;:?!")
            used += self.width(new, speech.face, px) + gap
            if used > width and words:
                return words
            words.append(new)

    def paragraph(
        self,
        rng: Rng,
        x: float,
        y: float,
        width: float,
        rows: int,
        speech: Voice,
        px: float,
        fill: Colour,
        leading: float = 1.3,
        justify: bool = False,
    ) -> float:
        """Write a paragraph whose last row is short; return the y below it."""
        join = "" if speech.script in UNSPACED else " "
        for row in range(rows):
            words = self.fit(rng, speech, px, width * (rng.uniform(0.2, 1) if row == rows - 1 else 1))
            if justify and row < rows - 1 and len(words) > 1 and speech.script not in RIGHT_TO_LEFT:
                lengths = [self.width(w, speech.face, px) for w in words]
                gap, left = (width - sum(lengths)) / (len(words) - 1), x
                for item, length in zip(words, lengths, strict=True):
                    self.text(left, y, item, speech.face, px, fill)
                    left += length + gap
            elif speech.script in RIGHT_TO_LEFT:
                self.text(x + width, y, join.join(words), speech.face, px, fill, "ra")
            else:
                self.text(x, y, join.join(words), speech.face, px, fill)
            y += px * leading
        return y
