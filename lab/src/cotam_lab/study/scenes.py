"""Make images with known answers: words of known sizes, and known numbers of objects.

Equal inputs and seeds give equal packs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps
from scipy.ndimage import uniform_filter

from cotam.errors import InputError
from cotam.image.read import Pixels, to_rgb
from cotam_lab.bench.images import read_labels

__all__ = ["LARGE", "SIZE", "SMALL", "WORDS", "count_pack", "photo_pack", "text_pack"]

SIZE = (518, 392)
"""Width and height of all scenes: 37 × 28 patches of 14 pixels."""

LARGE, SMALL = (28, 44), (12, 14)
"""Font sizes in pixels of large and small text; capitals have 20 to 32, and 8 to 10."""

LINES = 4
BUSY = 25  # standard deviation of the grey values under the lines
COUNTS = (1, 2, 3, 4, 5, 6)
CELL = 98  # pixels a side of the cells for objects, 5 × 4 of them

_WORDS = """
    anchor basket candle dragon engine falcon garden hammer island jacket kettle ladder market
    needle orange pencil quarry ribbon saddle temple umpire velvet window yellow zipper bridge
    copper desert forest harbor magnet nickel oyster parrot rocket silver tunnel violin walnut
    cactus
"""
WORDS = _WORDS.split()


def photo_pack(photos: Sequence[Path], folder: Path) -> None:
    """Write photos cropped to `SIZE` around their centre: ``images/NAME.png``."""
    for photo in photos:
        _save(_fitted(to_rgb(photo)), folder, photo.stem)


def text_pack(photos: Sequence[Path], folder: Path, sizes: Sequence[int], *, seed: int = 0) -> None:
    """Write lines of known words on the flattest part of each photo, at each size.

    A line is a word and four digits, black or white, whichever has more contrast. On busy images the lines
    get a background of one colour.

    Parameters
    ----------
    photos : photos and pages
    folder : pack to write: ``images`` and ``labels.jsonl``
    sizes : of the font (Pillow's own), in pixels
    """
    rng = np.random.default_rng(seed)
    labels = []
    for photo in photos:
        for size in sizes:
            pixels = _fitted(to_rgb(photo))
            lines = [f"{rng.choice(WORDS)} {rng.integers(1000, 10000)}" for _ in range(LINES)]
            _save(_written(pixels, lines, size), folder, name := f"{photo.stem}_{size}")
            labels.append({"image": f"images/{name}.png", "lines": [{"text": line} for line in lines]})
    _label(folder, labels)


def count_pack(
    objects: Path, photos: Sequence[Path], folder: Path, *, scenes: int = 24, seed: int = 0
) -> None:
    """Write photos with one to six objects of one kind among one to four of another.

    All objects of a kind are one cut-out, mirrored at random, in slightly different sizes. A label has two
    texts: the number of objects, and the box of one of them, "left,top,right,bottom".

    Parameters
    ----------
    objects : pack whose ``labels.jsonl`` has boxes: ``objects`` with ``class`` and ``box``
    photos : backgrounds
    folder : pack to write

    Raises InputError if the pack has fewer than two classes of large enough cut-outs.
    """
    rng = np.random.default_rng(seed)
    cuts = _cut_outs(objects)
    if len(cuts) < 2:
        raise InputError(f"{objects} has {len(cuts)} classes of objects large enough to count, 2 are needed")
    labels = []
    for number in range(scenes):
        scene = Image.fromarray(_fitted(to_rgb(photos[number % len(photos)])))
        kinds = [str(kind) for kind in rng.choice(sorted(cuts), 2, replace=False)]
        counts = COUNTS[number % len(COUNTS)], int(rng.integers(1, 5))
        columns, rows = SIZE[0] // CELL, SIZE[1] // CELL
        cells = iter(rng.permutation(columns * rows).tolist())
        boxes = []
        for kind, count in zip(kinds, counts, strict=True):
            thing = cuts[kind][int(rng.integers(len(cuts[kind])))]
            for _ in range(count):
                row, column = divmod(next(cells), columns)
                boxes.append(_put(scene, thing, (column * CELL, row * CELL), rng))
        name = f"{number:03d}_{counts[0]}_{kinds[0].replace(' ', '-')}"
        _save(np.asarray(scene), folder, name)
        texts = [str(counts[0]), ",".join(map(str, boxes[0]))]
        labels.append({"image": f"images/{name}.png", "lines": [{"text": text} for text in texts]})
    _label(folder, labels)


def _fitted(pixels: Pixels) -> Pixels:
    """Crop to the aspect of `SIZE` around the centre, and resize."""
    return np.array(ImageOps.fit(Image.fromarray(pixels), SIZE, Image.Resampling.LANCZOS))


def _written(pixels: Pixels, lines: Sequence[str], size: int) -> Pixels:
    """Draw lines below one another on the flattest part."""
    font = ImageFont.load_default(size)
    boxes = [font.getbbox(line) for line in lines]
    # With a margin: next to other text, OCR joins lines.
    width, step = int(max(box[2] for box in boxes)) + 2 * size, round(1.4 * size)
    height = min(step * len(lines) + size, SIZE[1])
    grey = pixels.mean(axis=2)
    mean = uniform_filter(grey, (height, width))
    spread = uniform_filter(grey**2, (height, width)) - mean**2
    top, left = height // 2, width // 2
    inside = spread[top : SIZE[1] - height + top + 1, left : SIZE[0] - width + left + 1]
    y, x = (int(place) for place in np.unravel_index(int(inside.argmin()), inside.shape))
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    ground = np.median(pixels[y : y + height, x : x + width], axis=(0, 1))
    if spread[y + top, x + left] > BUSY**2:
        draw.rectangle((x, y, x + width - 1, y + height - 1), fill=tuple(int(value) for value in ground))
    fill = "black" if ground.mean() > 110 else "white"
    for number, line in enumerate(lines):
        draw.text((x + size, y + size // 2 + number * step), line, fill=fill, font=font)
    return np.array(image)


def _cut_outs(objects: Path) -> dict[str, list[Image.Image]]:
    """Cut out by class the objects that are large, not too long, and not at the image's edge."""
    found: dict[str, list[Image.Image]] = {}
    for label in read_labels(objects):
        for thing in label.get("objects", ()):
            left, top, right, bottom = thing["box"]
            wide, high = right - left, bottom - top
            inside = left > 2 and top > 2 and right < label["width"] - 2 and bottom < label["height"] - 2
            if inside and min(wide, high) >= 64 and max(wide, high) <= 2 * min(wide, high):
                whole = Image.fromarray(to_rgb(objects / label["image"]))
                found.setdefault(thing["class"], []).append(whole.crop((left, top, right, bottom)))
    return found


def _put(
    scene: Image.Image, thing: Image.Image, corner: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Paste an object into a cell; return its box."""
    scale = rng.uniform(0.82, 0.95) * CELL / max(thing.size)
    size = round(thing.width * scale), round(thing.height * scale)
    small = thing.resize(size, Image.Resampling.LANCZOS)
    if rng.random() < 0.5:
        small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    left, top = (
        start + int(rng.integers(0, CELL - side + 1)) for start, side in zip(corner, size, strict=True)
    )
    scene.paste(small, (left, top))
    return left, top, left + size[0], top + size[1]


def _save(pixels: Pixels, folder: Path, name: str) -> None:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / "images" / f"{name}.png")


def _label(folder: Path, labels: Sequence[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(label) + "\n" for label in labels)
    (folder / "labels.jsonl").write_text(lines, encoding="utf-8")
