"""Draw a comparison as a PNG: crops of each format side by side, with their scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cotam.compare.table import Row
from cotam.image.read import Pixels

__all__ = ["crop_corner", "draw"]

CROP = 280, 210
"""Width and height of the crop of each image, in pixels."""

_MARGIN, _GAP, _HEAD, _CAPTION = 24, 10, 44, 82
_PAPER, _INK, _FAINT, _OURS = "#ffffff", "#1a1a1a", "#6b6b6b", "#0b5fae"


def crop_corner(pixels: Pixels) -> tuple[int, int]:
    """Return left and top of the crop with most detail, where luma changes most from pixel to pixel."""
    luma = pixels.mean(2)
    change = np.minimum(np.abs(np.diff(luma, axis=1)), 64).astype(np.float64)
    if not change.size:  # one pixel wide
        return 0, 0
    sums = np.pad(change.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    width, height = min(CROP[0] - 1, change.shape[1]), min(CROP[1], change.shape[0])
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(inside.argmax(), inside.shape)
    return int(left), int(top)


def draw(comparisons: Sequence[tuple[str, Pixels, Sequence[Row]]]) -> Image.Image:
    """Draw comparisons, given as (name, original pixels, rows), with a line of crops for each."""
    columns = 1 + max(len(rows) for _, _, rows in comparisons)
    step_x, step_y = CROP[0] + _GAP, CROP[1] + _CAPTION
    size = 2 * _MARGIN + columns * step_x - _GAP, _MARGIN + _HEAD + len(comparisons) * step_y
    sheet = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(22), ImageFont.load_default(15)
    titles = ["Original", *(row.format.title for row in comparisons[0][2])]
    for column, title in enumerate(titles):
        colour = _OURS if title == "CoTAM" else _INK
        pen.text((_MARGIN + column * step_x, _MARGIN + 24), title, colour, large, anchor="ls")
    for number, (name, pixels, rows) in enumerate(comparisons):
        corner, y = crop_corner(pixels), _MARGIN + _HEAD + number * step_y
        _paste(sheet, pixels, corner, (_MARGIN, y))
        pen.text((_MARGIN, y + CROP[1] + 18), name, _INK, small, anchor="ls")
        pen.text((_MARGIN, y + CROP[1] + 38), "a part, at full size", _FAINT, small, anchor="ls")
        for column, row in enumerate(rows, 1):
            x = _MARGIN + column * step_x
            _paste(sheet, row.pixels, corner, (x, y))
            colour = _OURS if row.format.name == "cotam" else _INK
            for line, text in enumerate(_captions(row)):
                faint = _FAINT if line else colour
                pen.text((x, y + CROP[1] + 18 + 19 * line), text, faint, small, anchor="ls")
    return sheet


def _captions(row: Row) -> list[str]:
    first = f"{len(row.data):,} bytes"
    if row.words is not None:
        first += f", {row.words:.0%} of words read"
    second = f"PSNR {row.psnr:.1f} dB"
    if row.features is not None:
        second = f"feature distance {row.features:.3f}, {second}"
    third = f"{row.equal_features:,} bytes for equal features" if row.equal_features else ""
    return [first, second, third] if third else [first, second]


def _paste(sheet: Image.Image, pixels: Pixels, corner: tuple[int, int], at: tuple[int, int]) -> None:
    left, top = corner
    crop = np.ascontiguousarray(pixels[top : top + CROP[1], left : left + CROP[0]])
    sheet.paste(Image.fromarray(crop), at)
