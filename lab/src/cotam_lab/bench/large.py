"""How time and memory grow with the picture, beside AVIF, and what the guide's map costs on large ones.

``python -m cotam_lab.bench.large HIGHRES -o OUT``; `lab/recipes/large.sh` calls it. Knows commands and files: what
they take is measured by `cotam_lab.bench.speed`, from outside. Time is the processor's, of all threads: other
programs change it little. How long one waits is not said.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from PIL import Image
from tqdm import tqdm

from cotam.errors import CotamError
from cotam.guide.base import load
from cotam.image import baselines
from cotam.image.fit import fitted
from cotam.image.read import Pixels, to_rgb
from cotam_lab.bench.guided import sizes
from cotam_lab.bench.pictures import Picture, plain_pictures
from cotam_lab.bench.report import label_ends, plain, table, write_figure
from cotam_lab.bench.speed import THREADS, Setting, commands_cost, mosaic, setting_near
from cotam_lab.bench.sweep import read_rows, repair
from cotam_lab.train import text_scenes, text_screens

__all__ = ["large_pictures", "slope"]

MEGAPIXELS = (1, 2, 5, 12, 25, 50, 100)
FROM = 12
"""Slopes are those of the sizes from here on: below, starting a process takes its part."""

QUALITIES = (15, 50)
"""At which the share of the map is measured: low rates are where it is largest."""

QUALITY = 50
"""At which time and memory are measured; AVIF has the quality whose file is nearest in size."""

SEED = 7
PLAIN, GUIDED = "cotam, guide none", "cotam, guide lite"
WORKS = {  # codec, work → the colour of its line
    (PLAIN, "encode"): "#c8373c",
    (GUIDED, "encode"): "#e08a3c",
    (PLAIN, "decode"): "#8f2d7f",
    ("avif", "encode"): "#4a7aa8",
    ("avif", "decode"): "#8fb3d3",
}
PANELS = {"processor": ("processor time, seconds", 1.0), "peak": ("peak memory, MB", 1e-6)}

Row = dict[str, Any]


def grow(photo: Picture, file: Path, wanted: Sequence[int]) -> list[Row]:
    """Measure a photo of one megapixel, repeated to each size; rows that the file has are not measured again.

    Returns
    -------
    list of dict
        All rows of the file at the wanted sizes: a codec, its work, what that took (`Cost`).
    """
    pixels = fitted(to_rgb(photo.path), max_pixels=1_000_000)
    cotam, avif = (baselines.codec(name, THREADS) for name in ("cotam", "avif"))
    ours = Setting(cotam, QUALITY, cotam.encode(pixels, QUALITY))
    theirs = setting_near(avif, pixels, 8 * len(ours.data) / (pixels.shape[0] * pixels.shape[1]))
    runs = [
        (PLAIN, ours, ["--guide", "none"]),
        (GUIDED, ours, ["--guide", "lite"]),
        ("avif", theirs, []),
    ]
    repair(file)
    done = {(row["codec"], row["version"], row["megapixels"]) for row in read_rows(file)}
    with tempfile.TemporaryDirectory() as folder, file.open("a", encoding="utf-8") as sink:
        path = Path(folder, "photo.jpg")
        for megapixels in tqdm(wanted, desc="sizes", disable=None):
            Image.fromarray(mosaic(pixels, megapixels)).save(path, quality=95)
            for name, setting, options in runs:
                key = {"codec": name, "version": setting.codec.version, "megapixels": megapixels}
                if tuple(key.values()) in done:
                    continue
                costs = commands_cost(setting, path, *options)
                for work, cost in zip(("encode", "decode"), costs, strict=True):
                    row = key | {"quality": setting.quality, "image": photo.name, "work": work} | vars(cost)
                    sink.write(json.dumps(row) + "\n")
                sink.flush()
    versions = cotam.version, avif.version
    return [row for row in read_rows(file) if row["megapixels"] in wanted and row["version"] in versions]


def large_pictures(highres: Sequence[Path]) -> dict[str, Pixels]:
    """Kinds of large pictures: name → pixels. The screen and the receipt are drawn."""
    photo = fitted(to_rgb(highres[1]), max_pixels=12_000_000)
    middle = to_rgb(highres[18])
    middle = middle[middle.shape[0] // 4 : -middle.shape[0] // 4]
    screen = text_screens.interface(np.random.default_rng(SEED), (1920, 1080), 2.0, [middle])
    receipt = text_scenes.receipt(np.random.default_rng(SEED), (900, 7200), 1.0, ())
    return {
        "photo": photo,
        "4K screenshot, 200 %": to_rgb(screen),
        "long receipt": to_rgb(receipt),
        "panorama": np.concatenate([middle, middle[:, ::-1]], axis=1),
    }


def measure_maps(highres: Sequence[Path], file: Path) -> list[list[str]]:
    """Lines of a table: picture, size, quality, bits per pixel, share of the map, change of the file."""
    guide, lines = load("lite"), []
    assert guide is not None
    with file.open("w", encoding="utf-8") as sink:
        for name, pixels in tqdm(large_pictures(highres).items(), desc="maps", disable=None):
            for quality in QUALITIES:
                bpp, change, _, _, share = sizes(guide, pixels, quality, 1.0)
                row = {"picture": name, "quality": quality, "bpp": bpp, "change": change, "map": share}
                sink.write(json.dumps(row) + "\n")
                sink.flush()
                size = f"{pixels.shape[1]}×{pixels.shape[0]}"
                lines.append([name, size, f"{quality}", f"{bpp:.3f}", f"{share:.2f}", f"{change:+.2f}"])
    return lines


def values_of(rows: Sequence[Row], codec: str, work: str, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Megapixels, rising, and what they took."""
    found = sorted((r["megapixels"], r[key]) for r in rows if (r["codec"], r["work"]) == (codec, work))
    return np.array([n for n, _ in found], float), np.array([v for _, v in found], float)


def slope(sizes: np.ndarray, values: np.ndarray) -> float:
    """Of log(values) over log(sizes), fitted to sizes from `FROM` on: 1 is linear."""
    from_here = sizes >= FROM
    return float(np.polyfit(np.log(sizes[from_here]), np.log(values[from_here]), 1)[0])


def draw(rows: Sequence[Row], files: Sequence[Path]) -> None:
    """Two panels, log-log; equal rows give equal SVG bytes."""
    with rc_context({"font.size": 10, "svg.hashsalt": "cotam", "text.color": "#333333"}):
        figure = Figure(figsize=(13.5, 4.6), dpi=160, layout="constrained")
        panels = figure.subplots(1, 2)
        for axes, (key, (title, factor)) in zip(panels, PANELS.items(), strict=True):
            axes.set(xscale="log", yscale="log", xlabel=f"megapixels (slopes: from {FROM} on)")
            axes.set_xticks(sorted({row["megapixels"] for row in rows}))
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter("{x:g}")
                axis.set_minor_locator(NullLocator())
            ends = []
            for (codec, work), colour in WORKS.items():
                megapixels, values = values_of(rows, codec, work, key)
                axes.plot(megapixels, factor * values, color=colour, marker="o", markersize=4)
                label = f"{codec}: {work}, slope {slope(megapixels, values):.2f}"
                ends.append((label, colour, megapixels[-1], factor * values[-1]))
            axes.set_title(title, loc="left", fontsize=10)
            plain(axes)
            label_ends(figure, axes, ends)
        write_figure(figure, files)


def growth_table(rows: Sequence[Row]) -> str:
    """Processor seconds · peak MB of each work at each size, – where it was not measured, and both slopes."""
    sizes = sorted({row["megapixels"] for row in rows})
    lines = []
    for codec, work in WORKS:
        (megapixels, seconds), (_, peak) = (values_of(rows, codec, work, key) for key in PANELS)
        found = dict(zip(megapixels, zip(seconds, peak, strict=True), strict=True))
        cells = [f"{found[n][0]:.3g} · {found[n][1] / 1e6:.0f}" if n in found else "–" for n in sizes]
        slopes = f"{slope(megapixels, seconds):.2f} · {slope(megapixels, peak):.2f}"
        lines.append([f"{codec}: {work}", *cells, slopes])
    header = ["", *(f"{n} MP" for n in sizes), f"slope from {FROM} MP"]
    return table(header, lines, numbers_from=1)


@click.command()
@click.argument("highres", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--megapixels", "wanted", multiple=True, type=int, default=MEGAPIXELS, help="[repeatable]")
def main(highres: Path, out: Path, wanted: tuple[int, ...]) -> None:
    """Measure growth and maps with pictures of the pack HIGHRES: rows, large.md and large.svg in OUT.

    Run again, it goes on where it was stopped.
    """
    out.mkdir(parents=True, exist_ok=True)
    try:
        pictures = plain_pictures(highres)
        chosen = pictures[np.random.default_rng(SEED).integers(len(pictures))]
        rows = grow(chosen, out / "large.jsonl", wanted)
        draw(rows, [out / "large.svg", out / "large.png"])
        maps = measure_maps([picture.path for picture in pictures], out / "maps.jsonl")
    except CotamError as error:
        raise click.ClickException(str(error)) from error
    page = f"{chosen.name}, repeated; processor seconds · peak MB.\n\n{growth_table(rows)}\n"
    header = ["picture", "pixels", "quality", "bpp", "map, % of the file", "file against no guide, %"]
    page += table(header, maps, numbers_from=2)
    (out / "large.md").write_text(page, encoding="utf-8")
    click.echo(page)


if __name__ == "__main__":
    main()
