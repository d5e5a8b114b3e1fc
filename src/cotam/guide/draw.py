"""Draw importance maps as colours over an image, and gain offset maps as grids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cotam.format.level_map import LIMIT
from cotam.guide.resize import resample, resize_bilinear

__all__ = ["draw", "heat"]

PANEL = 900
"""Long side of a panel, in pixels; smaller images are enlarged by whole factors."""

_HEAT = np.array([(20, 8, 60), (90, 20, 120), (190, 50, 90), (250, 140, 40), (255, 245, 150)], float)
_COARSER, _FINER = np.array([40, 90, 220], float), np.array([225, 70, 20], float)
_OCTAVES = 3
"""The colours of importance range from 2**-3 to 2**3 times the mean."""

_GAP, _BAR, _TEXT = 12, 14, 16
_INK, _PAPER = (30, 30, 30), (255, 255, 255)


def draw(pixels: np.ndarray, importance: np.ndarray, levels: np.ndarray) -> Image.Image:
    """Draw two panels over a legend: importance as colours over the image, and the gain offset map.

    Parameters
    ----------
    pixels : uint8 (H, W, 3)
    importance : (gh, gw), positive and of mean 1
    levels : int8 (⌈H/32⌉, ⌈W/32⌉) in ±7
    """
    height, width = pixels.shape[:2]
    scale = PANEL / max(height, width)
    scale = float(max(1, int(scale))) if scale > 1 else scale
    size = max(1, round(height * scale)), max(1, round(width * scale))
    seen = resize_bilinear(pixels, size)
    panel = max(size[1], 300)  # a legend has to fit under it
    canvas = Image.new("RGB", (2 * panel + 3 * _GAP, size[0] + 4 * _GAP + _BAR + 2 * _TEXT), _PAPER)
    canvas.paste(heat(seen, importance), (_GAP, _GAP))
    canvas.paste(_grid(seen, levels, scale), (panel + 2 * _GAP, _GAP))
    top, ramp = size[0] + 2 * _GAP, np.linspace(-1, 1, min(panel, 420))
    marks = f"1/{2**_OCTAVES}", "mean", f"{2**_OCTAVES} times"
    _legend(canvas, _GAP, top, _heat_colours(ramp * _OCTAVES), marks, "importance")
    colours, marks = _tint(np.full(3, 255.0), ramp * LIMIT), (f"-{LIMIT} coarser", "0", f"+{LIMIT} finer")
    _legend(canvas, panel + 2 * _GAP, top, colours, marks, "gain offsets, in quarter octaves")
    return canvas


def heat(seen: np.ndarray, importance: np.ndarray) -> Image.Image:
    """Draw importance, (gh, gw), as colours over an image, uint8 (H, W, 3)."""
    colours = _heat_colours(np.log2(resample(importance, seen.shape[:2])))
    grey = seen.astype(float) @ np.array([0.299, 0.587, 0.114])
    return _image(0.65 * colours + 0.35 * grey[:, :, None])


def _image(colours: np.ndarray) -> Image.Image:
    """Return an image of colours, (H, W, 3) in 0 … 255."""
    return Image.fromarray(np.rint(colours).astype(np.uint8))


def _heat_colours(octaves: np.ndarray) -> np.ndarray:
    at = (np.clip(octaves / _OCTAVES, -1, 1) + 1) / 2 * (len(_HEAT) - 1)
    return np.stack([np.interp(at, np.arange(len(_HEAT)), channel) for channel in _HEAT.T], axis=-1)


def _tint(ground: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return colours (…, 3) tinted by gain offsets (…), the more the larger they are."""
    colours = np.where(levels[..., None] > 0, _FINER, _COARSER)
    opacity = np.minimum(np.abs(levels) / LIMIT, 1)[..., None] ** 0.7 * 0.85
    return (1 - opacity) * ground + opacity * colours


def _grid(seen: np.ndarray, levels: np.ndarray, scale: float) -> Image.Image:
    """Draw gain offsets over an image, uint8 (H, W, 3), that was resized by ``scale``."""
    cell = 32 * scale
    row, column = (
        np.minimum((np.arange(length) / cell).astype(int), count - 1)
        for length, count in zip(seen.shape[:2], levels.shape, strict=True)
    )
    image = _image(_tint(0.6 * seen + 0.4 * 255, levels[np.ix_(row, column)]))
    if cell < 6:
        return image
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(min(cell * 0.4, 20))
    for (y, x), level in np.ndenumerate(levels):
        left, top = x * cell, y * cell
        draw.line([(left + cell, top), (left, top), (left, top + cell)], fill=(150, 150, 150))
        if level and cell >= 20:
            draw.text((left + cell / 2, top + cell / 2), f"{level:+d}", fill=_INK, font=font, anchor="mm")
    return image


def _legend(
    canvas: Image.Image, left: int, top: int, colours: np.ndarray, marks: Sequence[str], title: str
) -> None:
    """Draw a bar of colours, (width, 3), with a mark at each end and in the middle."""
    draw, font, width = ImageDraw.Draw(canvas), ImageFont.load_default(13), len(colours)
    canvas.paste(_image(colours[None]).resize((width, _BAR)), (left, top))
    draw.rectangle((left, top, left + width - 1, top + _BAR), outline=(150, 150, 150))
    below = top + _BAR + 3
    for mark, at, anchor in zip(marks, (0.0, 0.5, 1.0), ("la", "ma", "ra"), strict=True):
        draw.text((left + at * width, below), mark, fill=_INK, font=font, anchor=anchor)
    draw.text((left, below + _TEXT), title, fill=_INK, font=font, anchor="la")
