"""Compare ways to choose gain offset maps by scores of real files at equal rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from cotam.codec.still import Codec
from cotam.image.read import Pixels
from cotam_lab.bench.sweep import Row, append, read_rows, resumed
from cotam_lab.metrics.features import decibel, feature_distances, see
from cotam_lab.nets.teachers import Features, Teacher

__all__ = ["UNIFORM", "FeatureScores", "Scores", "Subject", "Variant", "measure", "rows_of"]

UNIFORM = "none"
"""Name of the variant without a map."""

Scores = dict[str, float | None]


@dataclass(frozen=True)
class Subject:
    """An image to code: its key in the rows, pixels uint8 (H, W, 3), and decoded pixels → scores."""

    name: str
    pixels: Pixels
    score: Callable[[Pixels], Scores]


@dataclass(frozen=True)
class Variant:
    """A way to choose levels: its name in the rows, and subject → the allocator for `Codec.encode`."""

    name: str
    allocator: Callable[[Subject], Any]


class FeatureScores:
    """Scores of decoded images by an encoder's features, against the original ``pixels`` uint8 (H, W, 3).

    ``views``: names of lists of parts of the image that the encoder sees; distances are means over a list.
    """

    def __init__(
        self, teacher: Teacher, pixels: Pixels, views: dict[str, list[tuple[slice, slice]]] | None = None
    ) -> None:
        self._teacher, self._pixels = teacher, pixels
        self._views = views or {"": [(slice(None), slice(None))]}

    def _seen(self, pixels: Pixels, *, attention: bool) -> dict[str, list[Features]]:
        return {
            name: [see(self._teacher, pixels[view], attention=attention) for view in views]
            for name, views in self._views.items()
        }

    @cached_property
    def _originals(self) -> dict[str, list[Features]]:
        return self._seen(self._pixels, attention=True)

    def __call__(self, decoded: Pixels) -> Scores:
        """Return −10 log10 of each distance, keyed by view and `cotam_lab.metrics.features.KEYS`."""
        found: Scores = {}
        for name, seen in self._seen(decoded, attention=False).items():
            pairs = zip(seen, self._originals[name], strict=True)
            distances = [feature_distances(ours, theirs) for ours, theirs in pairs]
            for key in distances[0]:
                values = [value for one in distances if (value := one[key]) is not None]
                full = f"{name}_{key}" if name else key
                found[full] = decibel(float(np.mean(values))) if values else None
        return found


def measure(
    codec: Codec,
    subjects: Iterable[Subject],
    variants: Sequence[Variant],
    qualities: Sequence[int],
    file: Path,
) -> None:
    """Append the rows that ``file`` lacks: bytes, bpp and scores of subject × variant × quality."""
    version = _version(codec)
    done = {(row["version"], row["codec"], row["quality"], row["image"]) for row in resumed(file)}
    for subject in tqdm(subjects, desc=file.stem, unit="image", disable=None):
        for variant in variants:
            missing = [q for q in qualities if (version, variant.name, q, subject.name) not in done]
            allocator = variant.allocator(subject) if missing else None
            for quality in missing:
                coded = codec.encode(subject.pixels, quality, allocator=allocator)
                row: Row = {"codec": variant.name, "version": version, "quality": quality}
                area = subject.pixels.shape[0] * subject.pixels.shape[1]
                row |= {"image": subject.name, "bytes": len(coded.data)}
                row["bpp"] = 8 * len(coded.data) / area
                append(file, row | subject.score(codec.decode(coded)))


def rows_of(codec: Codec, subjects: Iterable[Subject], file: Path) -> list[Row]:
    """Read the rows of these subjects with this codec's weights."""
    names, version = {subject.name for subject in subjects}, _version(codec)
    return [row for row in read_rows(file) if row["version"] == version and row["image"] in names]


def _version(codec: Codec) -> str:
    return codec.weights.short_hash.hex()
