"""Compare the default with standard codecs on screens, charts and pages, by two text readers.

    python -m cotam_lab.bench.screens sweep ../shared/data/screens -o results/screens --limit 8
    python -m cotam_lab.bench.screens fit ../shared/data/train/screens -o results/scale

Images are reduced to sides of at most 1568 pixels, which models see of them. `sweep` writes rows, tables come
from ``cotam bench report``. `fit` gives the numbers of `cotam.codec.scale`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from cotam.codec.av1 import TUNING, decode_av1, encode_av1
from cotam.image.read import Pixels, to_rgb
from cotam_lab.bench.baselines import Codec, codec, pillow_encode
from cotam_lab.bench.images import Sample, find_images
from cotam_lab.bench.ours import ours
from cotam_lab.bench.sweep import Row, plan
from cotam_lab.bench.sweep import sweep as run_sweep
from cotam_lab.metrics.base import metric

__all__ = ["CODECS", "SETTINGS", "codec_of_study", "main", "reduced"]

SIDE = 1568
"""Pixels of the longest side that is measured."""

_AVIF = (2, 10, 22, 36)
CODECS: dict[str, tuple[int, ...]] = {
    "cotam": (2, 18, 36, 60),
    "cotam:profile=page": (2, 18, 36, 60),
    "avif": _AVIF,
    "avif-s4": _AVIF,
    "avif-s8": _AVIF,
    "avif-screen": _AVIF,
    "avif-444": _AVIF,
    "webp": (1, 10, 30, 55),
}
"""Codecs of the study and their qualities."""

_UNTILED: dict[str, Any] = {"autotiling": False, "max_threads": 2}
_VARIANTS: dict[str, dict[str, Any]] = {
    "avif-s4": {"speed": 4},
    "avif-s8": {"speed": 8},
    "avif-screen": {"advanced": {"tune-content": "screen"}},
    "avif-444": {"subsampling": "4:4:4"},
    "avif-untiled": _UNTILED,
    "avif-deltaq0": _UNTILED | {"advanced": {"deltaq-mode": "0"}},
    "avif-tune-psnr": _UNTILED | {"advanced": {"tune": "psnr"}},
    "avif-ssim": _UNTILED | {"advanced": {"tune": "ssim"}},
    "avif-ssim-deltaq0": _UNTILED | {"advanced": {"tune": "ssim", "deltaq-mode": "0"}},
    "avif-ours": _UNTILED | {"advanced": TUNING},
    "avif-ours-deltaq0": _UNTILED | {"advanced": TUNING | {"deltaq-mode": "0"}},
    "avif-ours-s7": _UNTILED | {"speed": 7, "advanced": TUNING},
    "avif-ours-s8": _UNTILED | {"speed": 8, "advanced": TUNING},
}
SETTINGS = tuple(name for name in _VARIANTS if name not in CODECS)
"""Settings of AVIF that `cotam.codec.av1` was chosen from; measured when asked for."""


def codec_of_study(name: str) -> Codec:
    """Make a codec by its name in `CODECS` or `SETTINGS`."""
    if name not in _VARIANTS:
        return codec(name)
    plain, changed = codec("avif"), _VARIANTS[name]
    options: dict[str, Any] = {"format": "AVIF", "speed": 6, "max_threads": 1, "codec": "aom"} | changed
    described = ", ".join(f"{key} {value}" for key, value in changed.items())
    encode = functools.partial(pillow_encode, **options)
    return replace(plain, name=name, encode=encode, version=f"{plain.version}, {described}")


def reduced(samples: list[Sample], folder: Path) -> list[Sample]:
    """Write the images as PNG, no side longer than `SIDE`, and return these; what is there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for sample in samples:
        path = folder / f"{sample.path.stem}.png"
        if not path.exists():
            image = Image.fromarray(to_rgb(sample.path))
            image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            image.save(path)
        found.append(Sample(path, f"{sample.path.parent.parent.name}/{path.name}", sample.texts))
    return found


@click.group()
def main() -> None:
    """Measure screens, charts and pages."""


@main.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder of rows.")
@click.option(
    "--codec",
    "names",
    multiple=True,
    type=click.Choice([*CODECS, *SETTINGS]),
    help="Those of the study if not given.",
)
@click.option("--metric", "metrics", multiple=True, help="contrast, tesseract, reading if not given.")
@click.option("--limit", type=int, help="So many images of each folder, evenly spaced.")
def sweep(
    folders: tuple[Path, ...], out: Path, names: tuple[str, ...], metrics: tuple[str, ...], limit: int | None
) -> None:
    """Rate and words of the images in FOLDERS; rows are appended to OUT/rows.jsonl."""
    samples = [sample for folder in folders for sample in find_images(folder, limit)]
    ladders = [(codec_of_study(name), CODECS.get(name, _AVIF)) for name in names or CODECS]
    scored = [metric(name) for name in metrics or ("contrast", "tesseract", "reading")]
    run_sweep(out / "rows.jsonl", plan(reduced(samples, out / "images"), ladders), scored)


@main.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder of rows.")
@click.option("--limit", type=int, default=18, show_default=True)
def fit(folder: Path, out: Path, limit: int) -> None:
    """Median balanced error (`cotam.codec.contrast`) by quality, of the learned codec on pages and of AV1."""
    samples = reduced(find_images(folder, limit), out / "images")
    ladders = [(ours("profile=page"), (0, 20, 50, 80, 100)), (_av1_alone(), (2, 12, 30, 60, 80))]
    rows = run_sweep(out / "rows.jsonl", plan(samples, ladders), [metric("contrast")])
    for name, quality, error in _medians(rows):
        click.echo(f"{name} {quality} {error:.1f}")


def _av1_alone() -> Codec:
    """The AV1 payload without a header, which says its size to the decoder in front instead."""

    def encode(pixels: Pixels, quality: int) -> bytes:
        height, width = pixels.shape[:2]
        return width.to_bytes(4, "big") + height.to_bytes(4, "big") + encode_av1(pixels, quality)

    def decode(data: bytes) -> Pixels:
        size = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
        return decode_av1(data[8:], *size)

    return replace(codec("avif"), name="av1", encode=encode, decode=decode, version="cotam.codec.av1")


def _medians(rows: list[Row]) -> Iterator[tuple[str, int, float]]:
    for name, quality in dict.fromkeys((row["codec"], row["quality"]) for row in rows):
        found = [row["balanced"] for row in rows if (row["codec"], row["quality"]) == (name, quality)]
        yield name, quality, 255**2 * 10 ** (-float(np.median(found)) / 10)


if __name__ == "__main__":
    main()
