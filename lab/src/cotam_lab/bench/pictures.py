"""The pictures of a folder, with what is written in them where labels say so."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cotam.errors import InputError

__all__ = ["Picture", "labelled_pictures", "plain_pictures"]

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"}


@dataclass(frozen=True)
class Picture:
    """A picture file to be measured.

    Attributes
    ----------
    path : Path
        The file.
    name : str
        Path relative to the folder that was asked for, with forward slashes: the key in the rows.
    texts : tuple of str
        What is written in the picture, as labelled, in no particular order; empty where nobody said.
    """

    path: Path
    name: str
    texts: tuple[str, ...] = ()


def plain_pictures(folder: Path, limit: int | None = None, every: int = 1) -> list[Picture]:
    """Find the pictures of a folder, or of its ``images`` folder where it has one, sorted by name.

    Parameters
    ----------
    folder : Path
        The folder. Its other subfolders are not searched.
    limit : int, optional
        Take this many, evenly spaced over the sorted list.
    every : int
        Before that, take numbers 0, ``every``, 2 · ``every``, … of the list.

    Raises
    ------
    InputError
        If there is no picture.
    """
    place = folder / "images" if (folder / "images").is_dir() else folder
    paths = sorted(path for path in place.glob("*") if path.suffix.lower() in SUFFIXES)
    return _some([Picture(path, path.relative_to(folder).as_posix()) for path in paths], folder, limit, every)


def labelled_pictures(pack: Path, limit: int | None = None, every: int = 1) -> list[Picture]:
    """Find the pictures of a pack in which legible text is labelled, in the order of its ``labels.jsonl``.

    A label has ``image`` (path relative to the pack) and ``lines`` or ``words``, a list of objects with
    ``text`` and, optionally, ``legible`` (false: nobody could read it, so no judge is asked to).

    Parameters
    ----------
    pack : Path
        Folder with ``images`` and ``labels.jsonl``.
    limit : int, optional
        Take this many, evenly spaced over the list.
    every : int
        Before that, take numbers 0, ``every``, 2 · ``every``, … of the list.

    Raises
    ------
    InputError
        If there are no labels, or none with text.
    """
    try:
        labels = [json.loads(line) for line in (pack / "labels.jsonl").read_text("utf-8").splitlines()]
    except OSError as error:
        raise InputError(f"{pack} is no pack with labels: {error}") from error
    pictures = []
    for label in labels:
        written = label.get("lines") or label.get("words") or []
        texts = tuple(item["text"] for item in written if item.get("legible", True))
        if any(character.isalnum() for text in texts for character in text):
            pictures.append(Picture(pack / label["image"], label["image"], texts))
    return _some(pictures, pack, limit, every)


def _some(pictures: list[Picture], folder: Path, limit: int | None, every: int) -> list[Picture]:
    pictures = pictures[::every]
    if not pictures:
        raise InputError(f"{folder} has no pictures that this benchmark can use")
    count = len(pictures) if limit is None else min(limit, len(pictures))
    return [pictures[index * len(pictures) // count] for index in range(count)]
