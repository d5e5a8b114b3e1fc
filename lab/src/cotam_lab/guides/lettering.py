"""Draw captions, labels and watermarks over photographs, to train a guide to find text."""

from __future__ import annotations

import numpy as np
from PIL import Image

from cotam_lab.train.text_canvas import Canvas, Colour, ink
from cotam_lab.train.text_words import Rng, log_uniform, phrase, voice

__all__ = ["lettered"]

SIZES = (7.0, 48.0)
"""Range of font sizes in pixels, log-uniform."""

_FINER = 2
"""Lettering is drawn larger by this factor and reduced, for antialiasing."""


def lettered(rng: Rng, pixels: np.ndarray) -> np.ndarray:
    """Draw one to four blocks of lettering over an image, uint8 (H, W, 3)."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    for _ in range(int(rng.integers(1, 5))):
        _block(rng, image)
    return np.array(image)


def _block(rng: Rng, image: Image.Image) -> None:
    speech, px = voice(rng, *(("display",) if rng.random() < 0.4 else ())), log_uniform(rng, *SIZES)
    rows = [phrase(rng, speech, int(rng.integers(1, 5))) for _ in range(int(rng.integers(1, 4)))]
    blank = Canvas((8, 8), (0, 0, 0), _FINER)
    width = round(max(blank.width(row, speech.face, px) for row in rows) + px)
    height = round(px * (1.25 * len(rows) + 0.6))
    left, top = (
        int(rng.integers(-side // 4, max(1, n - side // 2)))
        for n, side in zip(image.size, (width, height), strict=True)
    )
    near = np.asarray(
        image.crop((left, top, left + width, top + height)).resize((1, 1), Image.Resampling.BOX)
    )
    red, green, blue = (int(value) for value in near[0, 0])
    ground: Colour = (red, green, blue)
    plate = rng.random() < 0.25
    if plate:
        ground = ink(rng, ground)
    fill = ink(rng, ground, 0.7)
    colours, mask = (
        Canvas((width, height), ground if plate else fill, _FINER),
        Canvas((width, height), (0, 0, 0), _FINER),
    )
    edge = ink(rng, fill) if not plate and rng.random() < 0.3 else None
    for number, row in enumerate(rows):
        at = px * 0.5, px * (0.3 + 1.25 * number)
        stroke = max(1.0, px / 12) if edge else 0.0
        colours.text(*at, row, speech.face, px, fill, stroke=stroke, stroke_fill=edge)
        mask.text(*at, row, speech.face, px, (255, 255, 255), stroke=stroke, stroke_fill=(255, 255, 255))
    opaque = Image.new("L", colours.image.size, 255) if plate else mask.image.convert("L")
    angle = float(rng.normal() * 6) if rng.random() < 0.4 else 0.0
    size = (width, height)
    parts = [
        part.rotate(angle, Image.Resampling.BICUBIC).resize(size, Image.Resampling.BOX)
        for part in (colours.image, opaque)
    ]
    strength = rng.uniform(0.35, 0.8) if rng.random() < 0.2 else 1.0
    image.paste(parts[0], (left, top), parts[1].point(lambda value: value * strength))
