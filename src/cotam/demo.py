"""``python -m cotam.demo``: three sample photos through Cotam, beside JPEG, WebP and AVIF of the same size.

Writes every file that it compares, and comparison.png. Needs nothing beyond the core's packages.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

import cotam
from cotam.files import write_whole
from cotam.screen import ERRORS, describe

__all__ = ["Coded", "compare", "comparison", "largest_within", "main", "others"]

SAMPLES = Path(__file__).parent / "samples"
SIZE = 6000
"""Bytes for each photo: 0.12 bits per pixel, where codecs differ to the naked eye."""

CROPS = {"kodim03": (106, 96), "kodim15": (366, 64), "kodim23": (66, 164)}
"""Left and top of what the picture shows of each photo."""

_OTHERS: list[tuple[str, str, range, dict[str, Any]]] = [
    ("JPEG", ".jpg", range(1, 96), {"subsampling": "4:2:0", "optimize": True, "progressive": True}),
    ("WebP", ".webp", range(101), {"method": 6}),
    ("AVIF", ".avif", range(101), {"speed": 6}),
]
_CROP = 264, 216
_MARGIN, _GAP, _HEAD, _CAPTION = 24, 8, 40, 34
_PAPER, _INK, _FAINT, _OURS = "#ffffff", "#1a1a1a", "#6b6b6b", "#0b5fae"


@dataclass(frozen=True)
class Coded:
    """A photo that went through a codec: the bytes of its file, and what they decode to."""

    codec: str
    suffix: str
    data: bytes
    image: Image.Image

    def psnr(self, original: Image.Image) -> float:
        """Peak signal-to-noise ratio over all samples, in dB."""
        difference = np.asarray(self.image, np.float64) - np.asarray(original, np.float64)
        return float(10 * np.log10(255**2 / np.mean(difference**2)))


def largest_within(encode: Callable[[int], bytes], qualities: range, size: int) -> bytes:
    """The file of the highest quality with at most ``size`` bytes; that of the lowest if none is so small."""
    best = encode(qualities[0])
    low, high = 0, len(qualities)
    while high - low > 1 and len(best) <= size:
        middle = (low + high) // 2
        data = encode(qualities[middle])
        if len(data) <= size:
            low, best = middle, data
        else:
            high = middle
    return best


def compare(photo: Image.Image, size: int = SIZE) -> list[Coded]:
    """The photo through Cotam at ``size`` bytes, then through the others at that file's size."""
    ours = cotam.encode(photo, target_size=size)
    return [Coded("Cotam", ".cotam", ours, cotam.decode(ours)), *others(photo, len(ours))]


def others(photo: Image.Image, size: int) -> list[Coded]:
    """The photo through JPEG, WebP and, where Pillow has it, AVIF: the best of each within ``size`` bytes."""
    coded = []
    for name, suffix, qualities, options in _OTHERS:
        if name == "AVIF" and not features.check("avif"):
            click.echo("AVIF is left out: this Pillow was built without it", err=True)
            continue
        data = largest_within(partial(_save, photo, name, options), qualities, size)
        with Image.open(io.BytesIO(data)) as image:
            coded.append(Coded(name, suffix, data, image.convert("RGB")))
    return coded


def _save(photo: Image.Image, name: str, options: dict[str, Any], quality: int) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, name, quality=quality, **options)
    return buffer.getvalue()


def comparison(rows: list[tuple[Image.Image, tuple[int, int], list[Coded]]]) -> Image.Image:
    """One picture: a row for each (photo, left and top of its crop, coded), a column for each codec."""
    names = ["Original", *(coded.codec for coded in rows[0][2])]
    step_x, step_y = _CROP[0] + _GAP, _CROP[1] + _CAPTION
    width = 2 * _MARGIN + len(names) * step_x - _GAP
    sheet = Image.new("RGB", (width, _MARGIN + _HEAD + len(rows) * step_y), _PAPER)
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(22), ImageFont.load_default(16)
    for column, name in enumerate(names):
        colour = _OURS if name == "Cotam" else _INK
        draw.text((_MARGIN + column * step_x, _MARGIN + 24), name, colour, large, anchor="ls")
    for row, (photo, (left, top), coded) in enumerate(rows):
        box = left, top, left + _CROP[0], top + _CROP[1]
        y = _MARGIN + _HEAD + row * step_y
        sheet.paste(photo.crop(box), (_MARGIN, y))
        draw.text((_MARGIN, y + _CROP[1] + 17), "100 % crop", _FAINT, small, anchor="ls")
        for column, one in enumerate(coded, 1):
            x, under = _MARGIN + column * step_x, y + _CROP[1] + 17
            sheet.paste(one.image.crop(box), (x, y))
            colour = _OURS if one.codec == "Cotam" else _INK
            draw.text((x, under), f"{len(one.data):,} bytes", colour, small, anchor="ls")
            psnr = f"{one.psnr(photo):.1f} dB"
            draw.text((x + _CROP[0], under), psnr, _FAINT, small, anchor="rs")
    return sheet


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-o", "--output", default="demo", show_default=True, help="Folder to write.")
def main(output: str) -> None:
    """Encode and decode three sample photos, and compare with JPEG, WebP and AVIF of the same size."""
    try:
        _run(Path(output))
    except ERRORS as error:
        raise click.ClickException(describe(error, output)) from error


def _run(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    click.echo(f"{'picture':<9}{'codec':<7}{'bytes':>7}{'bits/pixel':>12}{'PSNR, dB':>10}")
    rows = []
    for name, corner in CROPS.items():
        with Image.open(SAMPLES / f"{name}.webp") as image:
            photo = image.convert("RGB")
        rows.append((photo, corner, compare(photo)))
        for one in rows[-1][2]:
            write_whole(str(folder / (name + one.suffix)), one.data)
            bpp = 8 * len(one.data) / (photo.width * photo.height)
            click.echo(f"{name:<9}{one.codec:<7}{len(one.data):>7}{bpp:>12.3f}{one.psnr(photo):>10.1f}")
        rows[-1][2][0].image.save(folder / f"{name}.cotam.png")
    path = folder / "comparison.png"
    comparison(rows).save(path, optimize=True)
    click.echo(f"Side by side: {path}")


if __name__ == "__main__":
    main()
