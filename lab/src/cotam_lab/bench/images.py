"""Find the images of a folder, with the texts in their labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from cotam.errors import InputError
from cotam.image.read import to_rgb

__all__ = ["Sample", "find_images", "labelled_images", "read_labels", "redrawn", "reduced"]

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"}


@dataclass(frozen=True)
class Sample:
    """An image file to measure.

    Attributes
    ----------
    name : path relative to the folder, with forward slashes: the key in rows
    texts : labelled texts, in no particular order; empty without labels
    """

    path: Path
    name: str
    texts: tuple[str, ...] = ()


def find_images(folder: Path, limit: int | None = None, every: int = 1) -> list[Sample]:
    """List the images of a folder, or of its subfolder ``images``, sorted by name.

    Parameters
    ----------
    limit : take this many, evenly spaced
    every : before that, take numbers 0, ``every``, 2 · ``every``, …

    Raises InputError if there are none.
    """
    place = folder / "images" if (folder / "images").is_dir() else folder
    paths = sorted(path for path in place.glob("*") if path.suffix.lower() in SUFFIXES)
    return _some([Sample(path, path.relative_to(folder).as_posix()) for path in paths], folder, limit, every)


def read_labels(pack: Path) -> list[dict[str, Any]]:
    """Read ``labels.jsonl`` of a pack. Raises InputError if there is none."""
    try:
        return [json.loads(line) for line in (pack / "labels.jsonl").read_text("utf-8").splitlines()]
    except OSError as error:
        raise InputError(f"{pack} has no readable labels.jsonl: {error}") from error


def labelled_images(pack: Path, limit: int | None = None, every: int = 1) -> list[Sample]:
    """List the images of a pack that have legible labelled text, in the order of ``labels.jsonl``.

    A label has ``image`` (path relative to the pack) and ``lines`` or ``words``: objects with ``text`` and
    optionally ``legible``. ``limit`` and ``every`` are those of `find_images`.

    Raises InputError if there are no labels, or none with text.
    """
    found = []
    for label in read_labels(pack):
        written = label.get("lines") or label.get("words") or []
        texts = tuple(item["text"] for item in written if item.get("legible", True))
        if any(character.isalnum() for text in texts for character in text):
            found.append(Sample(pack / label["image"], label["image"], texts))
    return _some(found, pack, limit, every)


def redrawn(
    samples: Iterable[Sample], folder: Path, draw: Callable[[Image.Image], Image.Image]
) -> list[Sample]:
    """Write each image as PNG into a folder after ``draw``, and return these; what is there stays."""
    found = []
    for sample in samples:
        path = folder / f"{sample.name}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(Image.fromarray(to_rgb(sample.path))).save(path)
        found.append(replace(sample, path=path))
    return found


def reduced(image: Image.Image, side: int) -> Image.Image:
    """Reduce an image to a long side of at most ``side`` pixels."""
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def _some(found: list[Sample], folder: Path, limit: int | None, every: int) -> list[Sample]:
    found = found[::every]
    if not found:
        raise InputError(f"{folder} has no images to measure: {', '.join(sorted(SUFFIXES))} are read")
    count = len(found) if limit is None else min(limit, len(found))
    return [found[index * len(found) // count] for index in range(count)]
