"""Compare weights of a guide's local maps on large images, with real files (`lab/recipes/guide_fusion.sh`).

Photos are scored by features of DINOv2-S, of the whole image, reduced, and of its tiles at full scale;
documents by the word accuracy of RapidOCR.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageOps

from cotam.codec.planes import Allocator
from cotam.codec.shared import codec
from cotam.errors import InputError
from cotam.guide import multiscale
from cotam.guide.base import Guide, load
from cotam.guide.guidance import Guidance
from cotam.image.read import Pixels
from cotam_lab.bench.baselines import Codec
from cotam_lab.bench.cli import FOLDER, errors_shown
from cotam_lab.bench.curves import compare
from cotam_lab.bench.guides import UNIFORM, allocated
from cotam_lab.bench.images import find_images, labelled_images, redrawn
from cotam_lab.bench.report import delta_text, table
from cotam_lab.bench.sweep import Rows, plan, sweep
from cotam_lab.metrics.base import Metric, remember_last_image
from cotam_lab.metrics.features import DEFAULT, decibels, feature_distances, see, teacher_named
from cotam_lab.metrics.text import TEXT
from cotam_lab.nets.teachers import Features, Teacher

__all__ = ["FUSIONS", "summary", "tiled_metric", "variants"]

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


def tiled_metric(teacher: Teacher) -> Metric:
    """Make the metric of the whole image, reduced, and of its tiles of the encoder's size at full scale."""

    def seen(pixels: Pixels, attention: bool = True) -> list[Features]:
        """The whole, then the tiles."""
        side = teacher.side
        rows, columns = (range(0, length, side) for length in pixels.shape[:2])
        parts = [pixels, *(pixels[y : y + side, x : x + side] for y in rows for x in columns)]
        return [see(teacher, part, attention=attention) for part in parts]

    original_seen = remember_last_image(seen)

    def score(original: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
        pairs = zip(seen(decoded, attention=False), original_seen(original), strict=True)
        whole, *tiles = (feature_distances(ours, theirs) for ours, theirs in pairs)
        found: dict[str, float | None] = {}
        for key in ("attended", "features"):
            found[f"whole_{key}"] = whole[key]
            found[f"tiles_{key}"] = float(np.mean([tile[key] or 0.0 for tile in tiles]))
        return decibels(found)

    return Metric("tiled", tuple(SCORES["photos"]), (), score)


def variants(name: str, guide: Guide) -> list[Codec]:
    """No map, and the guide with each weight of its local maps."""

    def fused(fusion: float) -> Codec:
        guidance = Guidance(guide, fusion=fusion)

        def allocator(pixels: Pixels) -> Allocator:
            return guidance.allocator(guidance.importance(pixels), (pixels.shape[0], pixels.shape[1]))

        return allocated(f"{name}@{fusion:g}", codec(), allocator)

    return [allocated(UNIFORM, codec(), lambda _: None), *map(fused, FUSIONS)]


def _fitted(image: Image.Image) -> Image.Image:
    return ImageOps.fit(image, SIZE if image.width > image.height else SIZE[::-1])


def summary(rows: Rows, name: str, scores: dict[str, str]) -> str:
    """Compare each fusion with the one in use: difference of scores at equal rate, 95 % intervals."""
    reference, lines = f"{name}@{REFERENCE:g}", []
    for coded in (UNIFORM, *(f"{name}@{fusion:g}" for fusion in FUSIONS)):
        if coded == reference:
            lines.append([coded] + ["0"] * len(scores))
            continue
        cells = [coded]
        for score in scores:
            found, factor = compare(rows, reference, coded, score), 100 if score == "recall" else 1
            cells.append(delta_text(found.quality, found.quality_interval, factor=factor, digits=2))
        lines.append(cells)
    return table([f"against {reference}", *scores.values()], lines, numbers_from=1)


@click.command()
@click.argument("data", type=FOLDER)
@click.option("-o", "--output", "out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--kind", type=click.Choice(list(SCORES)), default="photos", show_default=True)
@click.option("--guide", "name", default="lite", show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Take at most N images, evenly spaced.")
@errors_shown
def main(data: Path, out: Path, kind: str, name: str, limit: int | None) -> None:
    """Compare fusions on images of DATA: rows and a table in OUT. Run again, it continues."""
    guide = load(name)
    if guide is None:
        raise InputError("--guide none has no maps to fuse: name a guide")
    if kind == "photos":
        samples = redrawn(find_images(data / "highres", limit), out / "images", _fitted)
        scored = tiled_metric(teacher_named(DEFAULT))
    else:
        samples, scored = labelled_images(data / "documents", limit), TEXT
    ladders = [(one, QUALITIES[kind]) for one in variants(name, guide)]
    rows = sweep(out / f"fusion_{kind}.jsonl", plan(samples, ladders), [scored])
    found = summary(rows, name, SCORES[kind])
    (out / f"fusion_{kind}_{name}.md").write_text(found, encoding="utf-8")
    click.echo(found)


if __name__ == "__main__":
    main()
