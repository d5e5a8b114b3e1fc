"""``cotam analyze``: make scenes, sweep over them, and write the report."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cotam_lab.bench.cli import FOLDER, Ladders, checked, folder_option, jobs, number_option
from cotam_lab.bench.specs import ladder

if TYPE_CHECKING:
    from cotam_lab.metrics.base import Metric

__all__ = ["analyze"]

DEFAULT = ("jpeg@2,5,9,15,24", "webp@0,4,13,26,42", "avif@1,6,13,21,30", "cotam@0,8,17,28,42")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@folder_option("--photos", type=FOLDER, help="Folder of photos.")
@folder_option("--pages", type=FOLDER, help="Folder of pages, such as receipts.")
@folder_option("--objects", type=FOLDER, help="Folder of images with boxes of objects in labels.jsonl.")
@folder_option(
    "-o", "--output", "out", type=click.Path(file_okay=False, path_type=Path), help="Folder for the results."
)
@click.option(
    "--codec",
    "ladders",
    metavar="SPEC@Q,…",
    multiple=True,
    default=DEFAULT,
    callback=checked(ladder),
    help="Codec and its qualities, as of cotam bench sweep.  [repeatable]",
)
@number_option("--limit", default=12, show_default=True, help="Largest number of photos, and of pages.")
@number_option("--count-scenes", default=48, show_default=True, help="Number of scenes for counting.")
@click.option("--seed", metavar="N", default=1, show_default=True, help="Seed of the scenes.")
@jobs
def analyze(
    photos: Path,
    pages: Path,
    objects: Path,
    out: Path,
    ladders: Ladders,
    limit: int,
    count_scenes: int,
    seed: int,
    jobs: int | None,
) -> None:
    """Study what compression breaks: features, attention, and low-level, semantic and cross-level tasks.

    Writes scenes with known answers, a rows.jsonl for each kind of scene, and report.md with figures. Run
    again with the same options, it continues where it stopped; other options need another folder.
    """
    from cotam_lab.bench.baselines import codec
    from cotam_lab.bench.images import find_images, labelled_images
    from cotam_lab.bench.sweep import plan, sweep
    from cotam_lab.study.report import write_report

    codecs = [(one := codec(name), qualities or one.qualities) for name, qualities in ladders]
    packs = _packs(photos, pages, objects, out / "scenes", limit=limit, count_scenes=count_scenes, seed=seed)
    rows = {}
    for name, metrics in packs.items():
        folder = out / "scenes" / name
        find = find_images if name == "photos" else labelled_images
        wanted = plan(find(folder), codecs, originals=True)
        rows[name] = sweep(out / name / "rows.jsonl", wanted, metrics, jobs=jobs or os.cpu_count() or 1)
    write_report(rows, [one.name for one, _ in codecs], out)
    click.echo(f"{out / 'report.md'}")


def _packs(
    photos: Path, pages: Path, objects: Path, folder: Path, *, limit: int, count_scenes: int, seed: int
) -> dict[str, list[Metric]]:
    """Write the scenes, equal for equal options; return the metrics of each pack."""
    from cotam_lab.bench.images import find_images
    from cotam_lab.metrics.base import metric
    from cotam_lab.metrics.text import TEXT
    from cotam_lab.study import scenes
    from cotam_lab.study.metrics import COUNT, layers_metric

    chosen = [one.path for one in find_images(photos, limit)]
    grounds = chosen + [one.path for one in find_images(pages, limit)]
    if folder.exists():
        shutil.rmtree(folder)
    scenes.photo_pack(chosen, folder / "photos")
    scenes.text_pack(grounds, folder / "large_text", scenes.LARGE, seed=seed)
    scenes.text_pack(grounds, folder / "small_text", scenes.SMALL, seed=seed)
    scenes.count_pack(objects, chosen, folder / "counting", scenes=count_scenes, seed=seed)
    return {
        "photos": [layers_metric(), metric("class")],
        "large_text": [TEXT],
        "small_text": [TEXT],
        "counting": [COUNT],
    }
