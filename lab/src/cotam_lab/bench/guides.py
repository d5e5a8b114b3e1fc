"""Compare importance maps by the rate of real files at equal feature distance (`lab/recipes/guides.sh`).

A map is given as NAME@STRENGTH: NAME is one of the encoder's own maps
(`cotam_lab.guides.sensitivity.MAPS`), a sum of them ("tokens+whole"), or a guide's ONNX file;
levels are 4 · strength · (log2 w − mean), rounded and clipped. NAME@ternary is the rule of arXiv 2509.24258.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image

from cotam.codec import weights
from cotam.codec.allocation import FixedOffsets, fixed
from cotam.codec.still import Codec
from cotam.errors import InputError
from cotam.guide import base, multiscale
from cotam.guide.importance import to_levels
from cotam.image.read import Pixels, to_rgb
from cotam_lab.bench import report
from cotam_lab.bench.curves import Comparison, compare
from cotam_lab.bench.images import find_images
from cotam_lab.bench.levels import UNIFORM, FeatureScores, Subject, Variant, measure, rows_of
from cotam_lab.bench.sweep import Rows
from cotam_lab.guides.sensitivity import MAPS, maps
from cotam_lab.nets.teachers import Teacher, as_tensor, load_teacher
from cotam_lab.train.checkpoints import exported

SIDE = 378
"""Long side of the coded images: 27 patches of 14 pixels."""

QUALITIES = (0, 15, 30, 45)
PROBES = {"tokens": 2, "attended": 2, "whole": 4}
PROBED_AT = 30
SCORES = ("features", "attended", "whole")


@dataclass(frozen=True)
class Spec:
    """Maps to add, or one ONNX file, none for no map, and the rule for levels; ``strength`` None is ternary.

    ``text`` is as given, the key in rows.
    """

    text: str
    names: tuple[str, ...] = ()
    strength: float | None = None

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Parse NAME[+NAME…]@STRENGTH, NAME@ternary, or none. Raises InputError."""
        if text == UNIFORM:
            return cls(text)
        name, _, rule = text.rpartition("@")
        names = (name,) if name.endswith(".onnx") else tuple(name.split("+"))
        if not all(n in MAPS or n.endswith(".onnx") for n in names):
            raise InputError(f"{text!r}: maps are {', '.join(MAPS)}, sums of them, or a file .onnx")
        try:
            return cls(text, names, None if rule == "ternary" else float(rule))
        except ValueError:
            raise InputError(f"{text!r} is not NAME@STRENGTH or NAME@ternary") from None

    def levels(self, importance: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Convert importance to levels int8 of an image of ``size`` (H, W)."""
        if self.strength is None:
            return to_levels(importance, size, policy="ternary")
        return to_levels(importance, size, exponent=self.strength)


class Maps:
    """Importance maps of images by name; the encoder's own, of decoded images, are kept in ``folder``."""

    def __init__(self, codec: Codec, folder: Path, teacher: Teacher | None = None) -> None:
        self.codec, self.folder = codec, folder
        self.teacher = teacher or load_teacher(attention=True)

    def variant(self, spec: Spec) -> Variant:
        """Return the variant that codes with a map."""

        def allocator(subject: Subject) -> FixedOffsets | None:
            size = subject.pixels.shape[0], subject.pixels.shape[1]
            return fixed(spec.levels(self.importance(spec, subject), size) if spec.names else None)

        return Variant(spec.text, allocator)

    def importance(self, spec: Spec, subject: Subject) -> np.ndarray:
        """Return the sum of the spec's maps, each of mean 1, as float64."""
        return np.sum([self._map(name, subject) for name in spec.names], axis=0)

    def _map(self, name: str, subject: Subject) -> np.ndarray:
        if name.endswith(".onnx"):
            guide = base.load(name)
            assert guide is not None
            found = multiscale.importance(guide, subject.pixels)
        else:
            found = self._measured(name, subject)
        return found.astype(np.float64) / found.mean()

    def _measured(self, name: str, subject: Subject) -> np.ndarray:
        version = self.codec.weights.short_hash.hex()
        path = self.folder / f"{version}_maps" / f"{subject.name.replace('/', '_')}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            coded = as_tensor(self.codec.decode(self.codec.encode(subject.pixels, PROBED_AT)))
            generator = torch.Generator().manual_seed(0)
            pixels = as_tensor(subject.pixels)
            found = maps(self.teacher, pixels, coded, probes=PROBES, cell=32, generator=generator)
            part = path.with_suffix(".part.npz")
            np.savez(part, allow_pickle=False, **{key: value.numpy() for key, value in found.items()})
            part.replace(path)
        with np.load(path) as arrays:
            return arrays[name]

    def subject(self, name: str, pixels: Pixels) -> Subject:
        """Make a subject scored by DINOv2-S."""
        return Subject(name, pixels, FeatureScores(self.teacher, pixels))


def held_out(data: Path, limit: int | None) -> Iterator[tuple[str, Pixels]]:
    """List names and pixels of images that no training saw, at most ``limit``, evenly spaced.

    Kodak, highres, and the held-out tenths of the training photographs, reduced to `SIDE` and cut to
    multiples of 14.
    """
    found: list[tuple[str, Path]] = []
    for pack in ("kodak", "highres", "train/photos", "train/captions"):
        step = 10 if pack.startswith("train/") else 1
        found += [(f"{pack}/{one.path.stem}", one.path) for one in find_images(data / pack)[::step]]
    if limit and limit < len(found):
        found = [found[round(i * (len(found) - 1) / max(1, limit - 1))] for i in range(limit)]
    for name, path in found:
        image = Image.fromarray(to_rgb(path))
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        width, height = (side // 14 * 14 for side in image.size)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        yield name, np.ascontiguousarray(np.asarray(image)[top : top + height, left : left + width])


def table(rows: Rows, specs: Sequence[Spec], scores: Sequence[str]) -> str:
    """Write BD-rates against no map at equal distance, and how a map of mean zero changes sizes."""
    lines = []
    plain = {(row["image"], row["quality"]): row["bytes"] for row in rows if row["codec"] == UNIFORM}
    for spec in specs:
        own = [row for row in rows if row["codec"] == spec.text]
        if spec.text == UNIFORM or not own:
            continue
        compared = [compare(rows, UNIFORM, spec.text, score) for score in scores]
        sizes = [100 * (row["bytes"] / plain[row["image"], row["quality"]] - 1) for row in own]
        change = f"{np.mean(sizes):+.1f} ± {np.std(sizes):.1f}"
        lines.append([label(spec), *map(_cell, compared), change, str(compared[0].images)])
    return report.table(["map", *scores, "size at one quality", "images"], lines, numbers_from=1)


def label(spec: Spec) -> str:
    """Name a map in a table: files by their stem."""
    head, _, rule = spec.text.rpartition("@")
    return f"{Path(head).stem if head.endswith('.onnx') else head} @ {rule}"


def _cell(one: Comparison) -> str:
    if one.rate.value is None:
        return f"– ({one.rate.reason})"
    interval = one.rate_interval
    return f"{one.rate.value:+.1f}" + (f" [{interval.low:+.1f}, {interval.high:+.1f}]" if interval else "")


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option(
    "--map", "texts", multiple=True, required=True, help="NAME@STRENGTH or NAME@ternary.  [repeatable]"
)
@click.option("--limit", type=click.IntRange(1), help="Take so many images, evenly spaced.")
@click.option("--weights", "weight_set", default=weights.DEFAULT, show_default=True, help="Name or folder.")
def main(data: Path, out: Path, texts: tuple[str, ...], limit: int | None, weight_set: str) -> None:
    """Compare maps on held-out images of DATA: rows and a Markdown table in OUT.

    Run again, it continues where it stopped; new maps and images are added to the rows.
    """
    torch.set_num_threads(1)
    file = out / "photos.jsonl"
    try:
        specs = [Spec.parse(text) for text in dict.fromkeys((UNIFORM, *texts))]
        codec = exported(weight_set)
        found = Maps(codec, out)
        subjects = [found.subject(*one) for one in held_out(data, limit)]
        measure(codec, subjects, [found.variant(spec) for spec in specs], QUALITIES, file)
    except InputError as error:
        raise click.ClickException(str(error)) from error
    written = table(rows_of(codec, subjects, file), specs, SCORES)
    (out / "photos.md").write_text(written, encoding="utf-8")
    click.echo(written)


if __name__ == "__main__":
    main()
