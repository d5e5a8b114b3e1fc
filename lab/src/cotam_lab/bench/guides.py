"""Compare importance maps by the rate of real files at equal feature distance (`lab/recipes/guides.sh`).

A map is given as NAME@STRENGTH: NAME is one of the encoder's own maps
(`cotam_lab.guides.sensitivity.MAPS`), a sum of them ("tokens+whole"), or a guide's ONNX file;
levels are 4 · strength · (log2 w − mean), rounded and clipped. NAME@ternary is the rule of arXiv 2509.24258.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cotam.codec import weights
from cotam.codec.still import Codec as RuntimeCodec
from cotam.errors import InputError
from cotam.format.header import read_file
from cotam.guide import base, multiscale
from cotam.guide.importance import to_levels
from cotam.image.read import Pixels
from cotam_lab.bench import report
from cotam_lab.bench.baselines import Codec
from cotam_lab.bench.cli import FOLDER, errors_shown
from cotam_lab.bench.curves import compare
from cotam_lab.bench.images import Sample, find_images, redrawn, reduced
from cotam_lab.bench.sweep import Rows, plan, sweep
from cotam_lab.guides.sensitivity import MAPS, maps
from cotam_lab.metrics.base import metric, remember_last_image
from cotam_lab.metrics.features import DEFAULT, teacher_named
from cotam_lab.nets.teachers import Teacher, as_tensor
from cotam_lab.train.checkpoints import exported

UNIFORM = "none"
"""Name of the variant without a map."""

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
    """Importance maps of images by name; the encoder's own are those of decoded images."""

    def __init__(self, codec: RuntimeCodec, teacher: Teacher | None = None) -> None:
        self.codec, self.teacher = codec, teacher or teacher_named(DEFAULT)
        self._measured = remember_last_image(self._measure)

    def variant(self, spec: Spec) -> Codec:
        """Return the codec that codes with a map, which is made once for each image."""

        @remember_last_image
        def levels(pixels: Pixels) -> np.ndarray | None:
            size = pixels.shape[0], pixels.shape[1]
            return spec.levels(self.importance(spec, pixels), size) if spec.names else None

        def encode(pixels: Pixels, quality: int) -> bytes:
            return self.codec.encode(pixels, quality, levels=levels(pixels)).data

        def decode(data: bytes) -> Pixels:
            return self.codec.decode(read_file(data))

        version = f"weights {self.codec.weights.digest.hex()[:12]}"
        return Codec(spec.text, encode, decode, QUALITIES, version)

    def importance(self, spec: Spec, pixels: Pixels) -> np.ndarray:
        """Return the sum of the spec's maps, each of mean 1, as float64."""
        return np.sum([self._map(name, pixels) for name in spec.names], axis=0)

    def _map(self, name: str, pixels: Pixels) -> np.ndarray:
        if name.endswith(".onnx"):
            guide = base.load(name)
            assert guide is not None
            found = multiscale.importance(guide, pixels)
        else:
            found = self._measured(pixels)[name].numpy()
        return found.astype(np.float64) / found.mean()

    def _measure(self, pixels: Pixels) -> dict[str, Tensor]:
        coded = as_tensor(self.codec.decode(self.codec.encode(pixels, PROBED_AT)))
        generator = torch.Generator().manual_seed(0)
        return maps(self.teacher, as_tensor(pixels), coded, probes=PROBES, cell=32, generator=generator)


def held_out(data: Path, limit: int | None) -> list[Sample]:
    """List held-out images, at most ``limit``, evenly spaced.

    Kodak, highres, and the held-out tenths of the training photographs.
    """
    found: list[Sample] = []
    for pack in ("kodak", "highres", "train/photos", "train/captions"):
        step = 10 if pack.startswith("train/") else 1
        own = find_images(data / pack, every=step)
        found += [replace(one, name=f"{pack}/{one.path.stem}") for one in own]
    if limit and limit < len(found):
        found = [found[round(i * (len(found) - 1) / max(1, limit - 1))] for i in range(limit)]
    return found


def whole_patches(image: Image.Image) -> Image.Image:
    """Reduce an image to `SIDE`, and crop it to multiples of 14 pixels around its centre."""
    image = reduced(image, SIDE)
    width, height = (side // 14 * 14 for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


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
        cells = [report.delta_text(one.rate, one.rate_interval) for one in compared]
        lines.append([label(spec), *cells, change, str(compared[0].images)])
    return report.table(["map", *scores, "size at one quality", "images"], lines, numbers_from=1)


def label(spec: Spec) -> str:
    """Name a map in a table: files by their stem."""
    head, _, rule = spec.text.rpartition("@")
    return f"{Path(head).stem if head.endswith('.onnx') else head} @ {rule}"


@click.command()
@click.argument("data", type=FOLDER)
@click.option("-o", "--output", "out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option(
    "--map", "texts", multiple=True, required=True, help="NAME@STRENGTH or NAME@ternary.  [repeatable]"
)
@click.option("--limit", type=click.IntRange(1), help="Take at most N images, evenly spaced.")
@click.option("--weights", "weight_set", default=weights.DEFAULT, show_default=True, help="Name or folder.")
@errors_shown
def main(data: Path, out: Path, texts: tuple[str, ...], limit: int | None, weight_set: str) -> None:
    """Compare maps on held-out images of DATA: rows and a Markdown table in OUT.

    Run again, it continues where it stopped; new maps and images are added to the rows.
    """
    specs = [Spec.parse(text) for text in dict.fromkeys((UNIFORM, *texts))]
    found = Maps(exported(weight_set))
    samples = redrawn(held_out(data, limit), out / "images", whole_patches)
    ladders = [(found.variant(spec), QUALITIES) for spec in specs]
    rows = sweep(out / "photos.jsonl", plan(samples, ladders), [metric("features")])
    written = table(rows, specs, SCORES)
    (out / "photos.md").write_text(written, encoding="utf-8")
    click.echo(written)


if __name__ == "__main__":
    main()
