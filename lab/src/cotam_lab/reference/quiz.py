"""Draw images with questions and known answers from seeds.

A task is a function of a random generator and of the material. Equal seeds, material and fonts make equal
items.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from PIL import Image, ImageDraw

from cotam.errors import InputError
from cotam_lab.train import text_scenes
from cotam_lab.train.text_canvas import Canvas, Colour, hsv, ink, luma, paper
from cotam_lab.train.text_words import Rng, advance, digits, log_uniform, pick, voice

__all__ = ["SIDE", "TASKS", "Item", "Material", "Photo", "draw", "reading"]

SIDE = 378
"""Pixels a side of all drawn images: the input size of the reference model."""

LARGE, SMALL = (48.0, 90.0), (15.0, 20.0)
"""Font sizes in pixels of large and small text; capitals have 0.7 of that."""

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.0, 0.9, 0.85),
    "orange": (0.08, 0.95, 1.0),
    "yellow": (0.155, 0.9, 1.0),
    "green": (0.34, 0.85, 0.6),
    "blue": (0.61, 0.9, 0.85),
    "purple": (0.77, 0.75, 0.6),
    "pink": (0.92, 0.4, 1.0),
    "black": (0.0, 0.0, 0.05),
    "white": (0.0, 0.0, 1.0),
}
"""Colour → hue, saturation, brightness."""

_CORNERS: dict[str, tuple[int, float, float]] = {
    "square": (4, 0.5, 1.0),
    "diamond": (4, 0.0, 1.0),
    "triangle": (3, 0.0, 1.0),
    "hexagon": (6, 0.0, 1.0),
    "star": (10, 0.0, 0.42),
}
"""Shape → corners, rotation in steps, relative radius of every second corner."""

SHAPES = ("circle", *_CORNERS)
KINDS = ("bird", "cat", "dog", "fish", "insect", "monkey", "reptile")
COUNTS = tuple(range(1, 10))
PLACES = ("top left", "top right", "bottom left", "bottom right")
_CELLS = 4  # a side, for objects to count


@dataclass(frozen=True)
class Photo:
    """A photo file and its labels.

    Attributes
    ----------
    data : bytes of the file
    name : ImageNet class; "" if unknown
    kind : one of `KINDS`, or ""
    animal : whether there is one; None if unknown
    captions : written by people; may be empty
    """

    data: bytes = field(repr=False)
    name: str = ""
    kind: str = ""
    animal: bool | None = None
    captions: tuple[str, ...] = ()

    def open(self) -> Image.Image:
        """Decode the photo as RGB."""
        return Image.open(io.BytesIO(self.data)).convert("RGB")


class Material:
    """Photos and words to draw with.

    Raises InputError if there are fewer than four words, named photos, or photos with captions.
    """

    def __init__(self, photos: Sequence[Photo], words: Sequence[str]) -> None:
        self.photos, self.words = tuple(photos), tuple(words)
        self.named = [photo for photo in photos if photo.name]
        self.captioned = [photo for photo in photos if photo.captions]
        self.animals = [photo for photo in photos if photo.animal]
        self.others = [photo for photo in photos if photo.animal is False]
        self.of_kind = [photo for photo in photos if photo.kind]
        if min(len(self.words), len(self.named), len(self.captioned)) < 4:
            raise InputError("a quiz needs at least four words, four named photos and four with captions")


@dataclass(frozen=True)
class Item:
    """An image, uint8 (height, width, 3), and a question about it.

    Attributes
    ----------
    task : one of `TASKS`
    answer : in words
    metric : as in `cotam_lab.evaluate.questions`: "exact", "yesno" or "words"
    choices : the answer among others, in random order; empty for an open question
    """

    pixels: np.ndarray
    task: str
    question: str
    answer: str
    metric: str = "exact"
    choices: tuple[str, ...] = ()


Task = Callable[[Rng, Material], Item]


def draw(task: str, seed: Sequence[int], material: Material) -> Item:
    """Draw the item of a task and a seed (non-negative numbers)."""
    rng = np.random.default_rng(list(seed))
    return replace(TASKS[task](rng, material), task=task)


def reading(rng: Rng, material: Material, sizes: tuple[float, float] = (14.0, 96.0)) -> Item:
    """Read a word or a number of two to four digits, on a photo, a page or paper, often in a box."""
    number = rng.random() < 0.35
    text = digits(rng, 2 + int(rng.random() * 3)) if number else pick(rng, material.words)
    near = [word for word in material.words if abs(len(word) - len(text)) <= 1 and word != text]
    others = {digits(rng, len(text)) for _ in range(9)} if number else near or material.words
    canvas = Canvas((SIDE, SIDE), (255, 255, 255), 1.0)
    busy = rng.random()
    canvas.image.paste(_page(rng) if busy < 0.2 else _ground(rng, material))
    shown = pick(rng, (text, text.upper(), text.capitalize()))
    face = voice(rng, *(("bold",) if rng.random() < 0.4 else ()), foreign=0.0).face
    px = log_uniform(rng, *sizes)
    px *= min(1.0, (SIDE - 30) / advance(face.path, px, shown))
    width = canvas.width(shown, face, px)
    pad = min(px * rng.uniform(0.2, 0.6), (SIDE - width) / 2 - 3)
    x = rng.uniform(pad + 1, SIDE - width - pad - 1)
    y = rng.uniform(pad, SIDE - 1.4 * px - pad)
    if boxed := busy < 0.2 or rng.random() < 0.6:
        plate = paper(rng) if rng.random() < 0.6 else hsv(rng.random(), rng.random(), rng.random())
        fill = ink(rng, plate, plain=0.85)
        canvas.box(x - pad, y - pad / 2, width + 2 * pad, 1.3 * px + pad, plate, fill)
        canvas.text(x, y, shown, face, px, fill)
    else:
        light = luma(canvas.mean(x, y, width, px)) < 128
        fill, edge = ((255, 255, 255), (0, 0, 0)) if light else ((0, 0, 0), (255, 255, 255))
        canvas.text(x, y, shown, face, px, fill, stroke=max(1.0, 0.07 * px), stroke_fill=edge)
    what = "number" if number else "word"
    question = f"What {what} is in the box?" if boxed else f"What {what} is written on the picture?"
    return _open(canvas.image, question, text, choices_among(rng, text, sorted(others)))


def counting(rng: Rng, material: Material) -> Item:
    """Count one to nine objects of a kind among others."""
    image, first, _, counts = _crowd(rng, material)
    answer = str(counts[0])
    return _open(image, f"How many {_plural(first)} are there?", answer, tuple(map(str, COUNTS)))


def more(rng: Rng, material: Material) -> Item:
    """Are there more of one kind than of another?"""
    image, first, second, counts = _crowd(rng, material, most=7)
    question = f"Are there more {_plural(first)} than {_plural(second)}?"
    return _yesno(image, question, counts[0] > counts[1])


def colour(rng: Rng, material: Material) -> Item:
    """Name the colour of one of a few objects."""
    image, things, _ = _few(rng, material)
    return _open(image, f"What colour is the {things[0][1]}?", things[0][0], tuple(COLOURS))


def shape(rng: Rng, material: Material) -> Item:
    """Name the shape of one of a few objects."""
    image, things, _ = _few(rng, material)
    return _open(image, f"What shape is the {things[0][0]} thing?", things[0][1], SHAPES)


def position(rng: Rng, material: Material) -> Item:
    """Locate an object relative to another."""
    image, things, spots = _few(rng, material)
    one, other = (" ".join(thing) for thing in things[:2])
    across, down = (spots[0][axis] - spots[1][axis] for axis in (0, 1))
    if abs(across) >= abs(down):
        question = f"Is the {one} left or right of the {other}?"
        return _open(image, question, "left" if across < 0 else "right", ("left", "right"))
    question = f"Is the {one} above or below the {other}?"
    return _open(image, question, "above" if down < 0 else "below", ("above", "below"))


def corner(rng: Rng, material: Material) -> Item:
    """Name one of four photos by its place."""
    chosen = [material.named[int(index)] for index in rng.permutation(len(material.named))[:4]]
    half = SIDE // 2
    image = Image.new("RGB", (SIDE, SIDE))
    for number, photo in enumerate(chosen):
        image.paste(
            photo.open().resize((half, half), Image.Resampling.BICUBIC),
            (number % 2 * half, number // 2 * half),
        )
    place = int(rng.random() * 4)
    question = f"What is in the photo at the {PLACES[place]}?"
    return _open(image, question, chosen[place].name, _shuffled(rng, [photo.name for photo in chosen]))


def larger(rng: Rng, material: Material) -> Item:
    """Which of two objects is larger, in height and in area?"""
    image, things, spots = _few(rng, material, count=2, sizes=((45, 60), (110, 150)))
    names = [" ".join(thing) for thing in things]
    answer = names[0] if spots[0][2] > spots[1][2] else names[1]
    return _open(image, f"Which is larger, the {names[0]} or the {names[1]}?", answer, tuple(names))


def named(rng: Rng, material: Material) -> Item:
    """Name the class of a photo."""
    photo = pick(rng, material.named)
    others = sorted({other.name for other in material.named})
    return _open(
        _whole(rng, photo), "What is in the photo?", photo.name, choices_among(rng, photo.name, others)
    )


def kind(rng: Rng, material: Material) -> Item:
    """Name the kind of an animal."""
    photo = pick(rng, material.of_kind)
    return _open(_whole(rng, photo), "What kind of animal is in the photo?", photo.kind, KINDS)


def animal(rng: Rng, material: Material) -> Item:
    """Is there an animal?"""
    photo = pick(rng, material.animals if rng.random() < 0.5 else material.others)
    return _yesno(_whole(rng, photo), "Is there an animal in the photo?", bool(photo.animal))


def caption(rng: Rng, material: Material) -> Item:
    """Describe a photo."""
    photo = pick(rng, material.captioned)
    text = pick(rng, photo.captions).strip().rstrip(".")
    others = [pick(rng, other.captions).strip().rstrip(".") for other in material.captioned if other != photo]
    item = _open(_whole(rng, photo), "Describe the photo.", text, choices_among(rng, text, others))
    return replace(item, metric="words")


def _open(image: Image.Image, question: str, answer: str, choices: tuple[str, ...]) -> Item:
    return Item(np.asarray(image), "", question, answer, choices=choices)


def _yesno(image: Image.Image, question: str, true: bool) -> Item:
    return Item(np.asarray(image), "", question, "yes" if true else "no", "yesno", ("yes", "no"))


def _shuffled(rng: Rng, texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(texts[int(index)] for index in rng.permutation(len(texts)))


def choices_among(rng: Rng, answer: str, others: Sequence[str]) -> tuple[str, ...]:
    """An answer among three others, in random order."""
    others = [text for text in others if text != answer]
    drawn = [others[int(index)] for index in rng.permutation(len(others))[:3]]
    return _shuffled(rng, [answer, *drawn])


def _whole(rng: Rng, photo: Photo) -> Image.Image:
    """A photo cropped a little, mirrored at random."""
    image = photo.open()
    part = rng.uniform(0.88, 1.0)
    width, height = image.width * part, image.height * part
    left, top = rng.random() * (image.width - width), rng.random() * (image.height - height)
    box = (left, top, left + width, top + height)
    image = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image


def _ground(rng: Rng, material: Material) -> Image.Image:
    """A background: part of a photo, or paper."""
    if rng.random() < 0.25:
        return Image.new("RGB", (SIDE, SIDE), paper(rng))
    image = pick(rng, material.photos).open()
    side = min(image.size) * rng.uniform(0.6, 1.0)
    left, top = rng.random() * (image.width - side), rng.random() * (image.height - side)
    return image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, (left, top, left + side, top + side))


def _page(rng: Rng) -> Image.Image:
    scenes = (text_scenes.page, text_scenes.receipt, text_scenes.form, text_scenes.table)
    return pick(rng, scenes)(rng, (SIDE, SIDE), 1.0)


def _paint(rng: Rng, name: str) -> Colour:
    hue, saturation, brightness = COLOURS[name]
    grey = saturation == 0
    return hsv(
        hue + rng.normal() * 0.01,
        saturation * (1.0 if grey else rng.uniform(0.85, 1.0)),
        brightness * rng.uniform(0.92, 1.0),
    )


def _thing(rng: Rng, colour_name: str, shape_name: str, size: int) -> Image.Image:
    """Draw a shape with a thin outline, RGBA (size, size)."""
    scale = 3
    image = Image.new("RGBA", (size * scale, size * scale))
    brush, middle, radius = ImageDraw.Draw(image), size * scale / 2, size * scale / 2 - scale
    fill = _paint(rng, colour_name)
    edge = (40, 40, 40) if sum(fill) > 300 else (235, 235, 235)
    if shape_name == "circle":
        box = (middle - radius, middle - radius, middle + radius, middle + radius)
        brush.ellipse(box, fill, edge, 2 * scale)
    else:
        count, turn, inner = _CORNERS[shape_name]
        angles = (np.arange(count) + turn) * 2 * np.pi / count - np.pi / 2 + rng.normal() * 0.05
        reach = np.where(np.arange(count) % 2 == 1, inner, 1.0) * radius
        points = np.stack([middle + reach * np.cos(angles), middle + reach * np.sin(angles)], 1)
        brush.polygon(list(map(tuple, points.tolist())), fill, edge, 2 * scale)
    return image.resize((size, size), Image.Resampling.BOX)


def _few(
    rng: Rng, material: Material, count: int = 0, sizes: tuple[tuple[int, int], ...] = ()
) -> tuple[Image.Image, list[tuple[str, str]], list[tuple[int, int, int]]]:
    """Draw two to four objects of distinct colours and shapes; return image, names, centres and sizes."""
    count = count or 2 + int(rng.random() * 3)
    colours, shapes = _shuffled(rng, list(COLOURS)), _shuffled(rng, SHAPES)
    things = list(zip(colours[:count], shapes[:count], strict=True))
    image, half, spots = _ground(rng, material), SIDE // 2, []
    order = rng.permutation(len(sizes))
    for number, cell in enumerate(rng.permutation(4)[:count].tolist()):
        low, high = sizes[int(order[number])] if sizes else (50, 150)
        size = int(rng.integers(low, high + 1))
        x, y = (start * half + int(rng.integers(0, half - size + 1)) for start in (cell % 2, cell // 2))
        drawn = _thing(rng, *things[number], size)
        image.paste(drawn, (x, y), drawn)
        spots.append((x + size // 2, y + size // 2, size))
    return image, things, spots


def _crowd(
    rng: Rng, material: Material, most: int = COUNTS[-1]
) -> tuple[Image.Image, str, str, tuple[int, int]]:
    """Draw objects of two kinds, unequal in number: image, two names, two counts."""
    first = 1 + int(rng.random() * most)
    others = range(5) if most == COUNTS[-1] else range(1, most + 1)
    second = pick(rng, [count for count in others if count != first])
    image, cell = _ground(rng, material), SIDE // _CELLS
    if cut := rng.random() < 0.4:
        sources = [material.named[int(index)] for index in rng.permutation(len(material.named))[:2]]
        names = [f"photo of {source.name}" for source in sources]
        originals = [source.open() for source in sources]
    else:
        colours, shapes = _shuffled(rng, list(COLOURS)), _shuffled(rng, SHAPES)
        names = [f"{colours[number]} {shapes[number]}" for number in (0, 1)]
    cells = rng.permutation(_CELLS**2).tolist()
    for number, place in enumerate(cells[: first + second]):
        which, size = int(number >= first), int(cell * rng.uniform(0.55, 0.95))
        x, y = (at * cell + int(rng.integers(0, cell - size + 1)) for at in (place % _CELLS, place // _CELLS))
        if cut:
            image.paste(originals[which].resize((size, size), Image.Resampling.BICUBIC), (x, y))
        else:
            drawn = _thing(rng, colours[which], shapes[which], size)
            image.paste(drawn, (x, y), drawn)
    return image, names[0], names[1], (first, second)


def _plural(name: str) -> str:
    return name.replace("photo of", "photos of", 1) if name.startswith("photo of") else name + "s"


TASKS: dict[str, Task] = {
    "large text": partial(reading, sizes=LARGE),
    "text": reading,
    "small text": partial(reading, sizes=SMALL),
    "counting": counting,
    "more": more,
    "colour": colour,
    "shape": shape,
    "position": position,
    "corner": corner,
    "larger": larger,
    "class": named,
    "kind": kind,
    "animal": animal,
    "caption": caption,
}
