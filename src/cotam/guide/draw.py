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
    left = heat(seen, importance)
    right = _grid(seen, levels, scale)
    panel = max(size[1], 300)  # a legend has to fit under it
    canvas = Image.new("RGB", (2 * panel + 3 * _GAP, size[0] + 4 * _GAP + _BAR + 2 * _TEXT), _PAPER)
    canvas.paste(left, (_GAP, _GAP))
    canvas.paste(right, (panel + 2 * _GAP, _GAP))
    _legends(canvas, size[0] + 2 * _GAP, panel)
    return canvas


def heat(seen: np.ndarray, importance: np.ndarray) -> Image.Image:
    """Draw importance, (gh, gw), as colours over an image, uint8 (H, W, 3)."""
    octaves = np.log2(resample(importance, seen.shape[:2]))
    colours = _heat_colours(octaves)
    gray = seen.astype(float) @ np.array([0.299, 0.587, 0.114])
    mixed = 0.65 * colours + 0.35 * gray[:, :, None]
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def _heat_colours(octaves: np.ndarray) -> np.ndarray:
    at = (np.clip(octaves / _OCTAVES, -1, 1) + 1) / 2 * (len(_HEAT) - 1)
    return np.stack([np.interp(at, np.arange(len(_HEAT)), channel) for channel in _HEAT.T], axis=-1)


def _level_colours(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return colour and opacity of each offset."""
    colours = np.where(levels[..., None] > 0, _FINER, _COARSER)
    return colours, np.minimum(np.abs(levels) / LIMIT, 1)[..., None] ** 0.7 * 0.85


def _grid(seen: np.ndarray, levels: np.ndarray, scale: float) -> Image.Image:
    height, width = seen.shape[:2]
    row = np.minimum((np.arange(height) / (32 * scale)).astype(int), levels.shape[0] - 1)
    column = np.minimum((np.arange(width) / (32 * scale)).astype(int), levels.shape[1] - 1)
    colours, opacity = _level_colours(levels[np.ix_(row, column)])
    mixed = np.rint((1 - opacity) * (0.6 * seen + 0.4 * 255) + opacity * colours)
    image = Image.fromarray(mixed.astype(np.uint8))
    draw, cell = ImageDraw.Draw(image), 32 * scale
    if cell >= 6:
        for edge in np.arange(1, levels.shape[0]) * cell:
            draw.line([(0, edge), (width, edge)], fill=(150, 150, 150))
        for edge in np.arange(1, levels.shape[1]) * cell:
            draw.line([(edge, 0), (edge, height)], fill=(150, 150, 150))
    if cell >= 20:
        font = ImageFont.load_default(min(cell * 0.4, 20))
        for (y, x), level in np.ndenumerate(levels):
            if level:
                centre = (x + 0.5) * cell, (y + 0.5) * cell
                draw.text(centre, f"{level:+d}", fill=_INK, font=font, anchor="mm")
    return image


def _legends(canvas: Image.Image, top: int, panel: int) -> None:
    ramp = np.linspace(-1, 1, min(panel, 420))
    colours, opacity = _level_colours(ramp * LIMIT)
    heat_marks = [f"1/{2**_OCTAVES}", "mean", f"{2**_OCTAVES} times"]
    level_marks = [f"-{LIMIT} coarser", "0", f"+{LIMIT} finer"]
    _legend(canvas, _GAP, top, _heat_colours(ramp * _OCTAVES), heat_marks, "importance")
    mixed = (1 - opacity) * 255 + opacity * colours
    _legend(canvas, panel + 2 * _GAP, top, mixed, level_marks, "gain offsets, in quarter octaves")


def _legend(
    canvas: Image.Image, left: int, top: int, colours: np.ndarray, marks: Sequence[str], title: str
) -> None:
    """Draw a bar of colours, (width, 3), with a mark at each end and in the middle."""
    draw, font, width = ImageDraw.Draw(canvas), ImageFont.load_default(13), len(colours)
    strip = np.broadcast_to(np.rint(colours).astype(np.uint8), (_BAR, width, 3))
    canvas.paste(Image.fromarray(np.ascontiguousarray(strip)), (left, top))
    draw.rectangle((left, top, left + width - 1, top + _BAR), outline=(150, 150, 150))
    below = top + _BAR + 3
    for mark, at, anchor in zip(marks, (0.0, 0.5, 1.0), ("la", "ma", "ra"), strict=True):
        draw.text((left + at * width, below), mark, fill=_INK, font=font, anchor=anchor)
    draw.text((left, below + _TEXT), title, fill=_INK, font=font, anchor="la")
