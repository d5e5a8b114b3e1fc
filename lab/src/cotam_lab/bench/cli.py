"""``cotam bench``: compare codecs by rate and metrics."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cotam.errors import CotamError, InputError
from cotam.files import write_whole
from cotam_lab.bench.specs import NAMES, VIDEO_NAMES, ladder
from cotam_lab.metrics.base import METRICS, Metric, metric
from cotam_lab.metrics.scores import score_named

if TYPE_CHECKING:
    from cotam_lab.bench.images import Sample

__all__ = ["FOLDER", "Ladders", "bench", "checked", "errors_shown", "folder_option", "jobs", "number_option"]

Ladders = Sequence[tuple[str, tuple[int, ...]]]

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_OUT = click.Path(path_type=Path)

folder_option = partial(click.option, required=True, metavar="FOLDER")
number_option = partial(click.option, metavar="N", type=click.IntRange(1))
jobs = number_option("-j", "--jobs", help="Processes.  [default: one per core]")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Compare codecs by rate and metrics."""


def checked(check: Callable[[str], Any]) -> Callable[..., Any]:
    """Make an option callback that maps values by a function; its InputError is a usage error."""

    def callback(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[Any, ...]:
        try:
            return tuple(check(value) for value in values)
        except InputError as error:
            raise click.BadParameter(str(error), ctx, option) from error

    return callback


def codecs_option(check: Callable[[str], Any], more: str = "") -> Callable[[Any], Any]:
    """``--codec``, repeatable: argument ``ladders``, values of ``check``; its help begins with ``more``."""
    return click.option(
        "--codec",
        "ladders",
        metavar="SPEC[@Q,…]",
        multiple=True,
        required=True,
        callback=checked(check),
        help=f"{more}{', '.join(NAMES)}, or cotam:OPTION=VALUE,…, with qualities.  [repeatable]",
    )


def _score(key: str) -> str:
    score_named(key)
    return key


def errors_shown(command: Callable[..., None]) -> Callable[..., None]:
    """Show a CotamError of a module run by ``python -m`` as one line, exit code 1; `cotam` does so itself."""

    @wraps(command)
    def shown(*arguments: Any, **values: Any) -> None:
        try:
            command(*arguments, **values)
        except CotamError as error:
            raise click.ClickException(str(error)) from error

    return shown


_references = click.option(
    "--reference",
    "references",
    metavar="SPEC",
    multiple=True,
    help="Codec to compare with.  [repeatable]  [default: the first]",
)
_scores = click.option(
    "--score",
    "scores",
    metavar="NAME",
    multiple=True,
    callback=checked(_score),
    help="Score in tables and curves.  [repeatable]  [default: the main ones of the metrics]",
)
_log_rate = click.option("--log-rate", is_flag=True, help="Draw the curves over a logarithmic axis.")


@bench.command()
@click.argument("folders", metavar="FOLDER...", nargs=-1, required=True, type=FOLDER)
@folder_option("-o", "--output", "out", type=_OUT, help="Folder to write.")
@click.option(
    "--metric",
    "metrics",
    metavar="NAME",
    multiple=True,
    required=True,
    callback=checked(metric),
    help=f"Metric: {', '.join(METRICS)}, or features:ENCODER.  [repeatable]",
)
@codecs_option(ladder)
@_references
@jobs
@number_option("--every", default=1, help="Take images 0, N, 2N, … of each folder.")
@number_option("--limit", help="Take at most N images of each folder, evenly spaced.")
@number_option("--side", metavar="PIXELS", help="Shrink images to this long side first.")
@_scores
@_log_rate
def sweep(
    folders: tuple[Path, ...],
    out: Path,
    metrics: tuple[Metric, ...],
    ladders: Ladders,
    references: tuple[str, ...],
    jobs: int | None,
    every: int,
    limit: int | None,
    side: int | None,
    scores: tuple[str, ...],
    log_rate: bool,
) -> None:
    """Measure rate and any metrics on the images in FOLDERs.

    Writes rows.jsonl, table.md, curve.svg and curve.png. Run again, it continues where it stopped; a new
    metric is added to old rows. The metric text takes only images whose text is in the folder's labels.jsonl.
    """
    from cotam_lab.bench import baselines, report
    from cotam_lab.bench.images import redrawn, reduced
    from cotam_lab.bench.sweep import plan
    from cotam_lab.bench.sweep import sweep as run_sweep

    reads = any(one.name == "text" for one in metrics)
    codecs = [(one := baselines.codec(name), qualities or one.qualities) for name, qualities in ladders]
    samples = _samples(folders, limit, every, labelled=reads)
    if side:
        samples = redrawn(samples, out / f"images_{side}", partial(reduced, side=side))
        # Rows are found by name: those of another size must not be taken for these.
        samples = [replace(sample, name=f"{sample.name} at {side}") for sample in samples]
    wanted = plan(samples, codecs, originals=reads)
    rows = run_sweep(out / "rows.jsonl", wanted, metrics, jobs=jobs or os.cpu_count() or 1)
    title = " and ".join(folder.resolve().name for folder in folders)
    shown = scores or [key for one in metrics for key in one.main]
    table = report.whole_table(rows, shown, references or report.codecs_of(rows)[:1], title=title)
    (out / "table.md").write_text(table, encoding="utf-8")
    report.curve_figure(rows, shown, [out / "curve.svg", out / "curve.png"], title=title, log_rate=log_rate)
    click.echo(table)


@bench.command("report")
@click.argument("files", metavar="ROWS...", nargs=-1, required=True, type=click.Path(True, path_type=Path))
@click.option(
    "-o",
    "--output",
    "out",
    required=True,
    metavar="FILE",
    type=_OUT,
    help="Markdown file to write, .md; curves beside it, .svg.",
)
@_references
@click.option("--title", metavar="TEXT", help="Title of the report.")
@_scores
@_log_rate
def report_command(
    files: tuple[Path, ...],
    out: Path,
    references: tuple[str, ...],
    title: str | None,
    scores: tuple[str, ...],
    log_rate: bool,
) -> None:
    """Write a report of sweeps: tables and curves.

    ROWS are files of rows, or folders with rows.jsonl; several are joined, for codecs that were measured
    separately on the same images.
    """
    from cotam_lab.bench import report
    from cotam_lab.bench.sweep import read_rows

    if out.suffix != ".md":
        raise InputError(f"{out}: reports are Markdown, give a name that ends in .md")
    files = tuple(path / "rows.jsonl" if path.is_dir() else path for path in files)
    rows = report.latest([row for file in files for row in read_rows(file)])
    if not rows:
        raise InputError(f"there are no rows in {', '.join(map(str, files))}")
    title = title or " and ".join(file.resolve().parent.name for file in files)
    references = references or tuple(report.codecs_of(rows)[:1])
    scores = scores or tuple(report.main_scores(rows))
    out.parent.mkdir(parents=True, exist_ok=True)
    written = report.whole_table(rows, scores, references, title=title)
    write_whole(str(out), written.encode("utf-8"), overwrite=True)
    report.curve_figure(rows, scores, [out.with_suffix(".svg")], title=title, log_rate=log_rate)


@bench.command()
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    "out",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the table here.",
)
@number_option("--rounds", default=7, show_default=True, help="Rounds, of which the median is taken.")
def speed(image: Path, out: Path | None, rounds: int) -> None:
    """Time cotam, AVIF and WebP on IMAGE.

    AVIF has speed 6, WebP method 6; all run in this process. Run it on two idle cores, or under
    taskset -c 0,1: AVIF gets two threads, WebP has one in Pillow.
    """
    from cotam_lab.bench.speed import speed_table

    written = speed_table(image, rounds)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(written, encoding="utf-8")
    click.echo(written)


@bench.command()
@click.argument("clips", metavar="CLIP...", nargs=-1, required=True, type=click.Path(True, dir_okay=False))
@folder_option("-o", "--output", help="Folder for rows.jsonl and table.md.")
@click.option("--fps", metavar="X", default=1.0, show_default=True, help="Frames to take per second.")
@number_option(
    "--max-frames", default=10, show_default=True, help="Take at most N frames of each clip, spread evenly."
)
@click.option(
    "--codec",
    "codecs",
    multiple=True,
    type=click.Choice(VIDEO_NAMES),
    help="Compare only these codecs.  [repeatable]",
)
def video(clips: tuple[str, ...], output: str, fps: float, max_frames: int, codecs: tuple[str, ...]) -> None:
    """Compare sequences with video codecs and with single frames.

    The codecs are x264, x265, SVT-AV1, and CoTAM with the frames coded one by one. All get the same sampled
    frames; scores are feature distances of a vision encoder, level by level. The share of the score range
    that both curves cover is in brackets. Run again, it continues where it stopped.
    """
    from cotam_lab.bench.video import REFERENCES, measured, table

    scored = metric("features")
    scored.prepare()
    sampling = {"fps": fps, "most": max_frames, "fit": "llava-1.5"}
    rows = measured(clips, codecs or VIDEO_NAMES, Path(output), scored, sampling)
    known = {row["codec"] for row in rows}
    text = "\n".join(table(rows, one) for one in REFERENCES if one in known)
    write_whole(str(Path(output, "table.md")), text.encode())
    click.echo(text)


def _samples(folders: Sequence[Path], limit: int | None, every: int, *, labelled: bool) -> list[Sample]:
    """Images of all folders; with several, names are prefixed by the folder's."""
    from cotam_lab.bench.images import Sample, find_images, labelled_images

    find = labelled_images if labelled else find_images
    found = []
    for folder in folders:
        before = f"{folder.resolve().name}/" if len(folders) > 1 else ""
        found += [Sample(one.path, before + one.name, one.texts) for one in find(folder, limit, every)]
    if len({one.name for one in found}) < len(found):
        raise InputError("two of the folders have the same name: measure them one by one")
    return found
