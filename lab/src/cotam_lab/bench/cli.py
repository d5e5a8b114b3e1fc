"""``cotam bench``: compare codecs by rate and metrics."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from cotam.errors import CotamError, InputError
from cotam.files import write_whole
from cotam_lab.bench import baselines, report
from cotam_lab.bench.baselines import NAMES, Codec, available
from cotam_lab.bench.images import Sample, find_images, labelled_images
from cotam_lab.bench.speed import speed
from cotam_lab.bench.sweep import plan, read_rows
from cotam_lab.bench.sweep import sweep as run_sweep
from cotam_lab.bench.video import video
from cotam_lab.metrics.base import METRICS, Metric, metric
from cotam_lab.metrics.scores import score_named

__all__ = ["bench", "checked", "errors_shown", "ladder"]

TEXT_CODECS = ("jpeg", "webp", "avif", "cotam")  # RapidOCR takes some two seconds a page

Ladders = Sequence[tuple[str, tuple[int, ...]]]

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Compare codecs by rate and metrics."""


bench.add_command(speed)
bench.add_command(video)


def checked(check: Callable[[str], Any]) -> Callable[..., Any]:
    """Make an option callback that maps values by a function; its InputError is a usage error."""

    def callback(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[Any, ...]:
        try:
            return tuple(check(value) for value in values)
        except InputError as error:
            raise click.BadParameter(str(error), ctx, option) from error

    return callback


def ladder(spec: str) -> tuple[str, tuple[int, ...]]:
    """Parse SPEC[@Q,…] as `cotam_lab.bench.baselines.ladder` does, and check that the codec exists."""
    name, qualities = baselines.ladder(spec)
    if name.partition(":")[0] not in NAMES:
        raise InputError(f"unknown codec {name!r}: choose from {', '.join(NAMES)}")
    return name, qualities


def _score(key: str) -> str:
    score_named(key)
    return key


def errors_shown(command: Callable[..., None]) -> Callable[..., None]:
    """Show a CotamError as one line, exit code 1."""

    @wraps(command)
    def shown(*arguments: Any, **values: Any) -> None:
        try:
            command(*arguments, **values)
        except CotamError as error:
            raise click.ClickException(str(error)) from error

    return shown


@dataclass(frozen=True)
class SweepOptions:
    """Options that all sweeps share; the help texts of `_sweep_options` describe them."""

    folders: Sequence[Path]
    out: Path
    qualities: tuple[int, ...]
    references: Sequence[str]
    scores: Sequence[str]
    jobs: int | None
    every: int
    limit: int | None
    log_rate: bool


_SHOWN = [
    click.option(
        "--score",
        "scores",
        multiple=True,
        callback=checked(_score),
        help="Scores in tables and curves.  [repeatable; default: the main ones of each metric]",
    ),
    click.option("--log-rate", is_flag=True, help="Draw curves over a logarithmic rate axis."),
]

_SAMPLING = [
    click.option("-j", "--jobs", type=click.IntRange(1), help="Processes.  [default: one per core]"),
    click.option(
        "--every", type=click.IntRange(1), default=1, help="Take images 0, N, 2N, … of each folder."
    ),
    click.option("--limit", type=click.IntRange(1), help="Take N images of each folder, evenly spaced."),
]


def _sweep_options(*references: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options that all sweeps share; the command gets (ladders, SweepOptions, …)."""
    default = ", ".join(references) if references else "the first"
    out = click.Path(file_okay=False, path_type=Path)
    options = [
        click.argument("folders", metavar="FOLDER...", nargs=-1, required=True, type=_FOLDER),
        click.option("-o", "--out", required=True, type=out, help="Folder for the results."),
        click.option(
            "--codec",
            "ladders",
            metavar="SPEC[@Q,…]",
            multiple=True,
            callback=checked(ladder),
            help=f"Codec and its qualities: {', '.join(NAMES)}, or cotam:OPTION=VALUE,….  [repeatable]",
        ),
        click.option(
            "--quality", "qualities", multiple=True, type=int, help="Quality of every codec.  [repeatable]"
        ),
        click.option(
            "--reference",
            "references",
            metavar="SPEC",
            multiple=True,
            default=references,
            help=f"Codec to compare with.  [repeatable; default: {default}]",
        ),
        *_SAMPLING,
        *_SHOWN,
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def called(ladders: Ladders, metrics: tuple[Metric, ...] = (), **values: Any) -> None:
            extra = (metrics,) if metrics else ()
            command(ladders, SweepOptions(**values), *extra)

        shown = errors_shown(called)
        for option in reversed(options):
            shown = option(shown)
        return shown

    return decorate


@bench.command()
@click.option(
    "--metric",
    "metrics",
    metavar="NAME",
    multiple=True,
    required=True,
    callback=checked(metric),
    help=f"Metric: {', '.join(METRICS)}, or features:ENCODER.  [repeatable]",
)
@_sweep_options()
def sweep(ladders: Ladders, options: SweepOptions, metrics: tuple[Metric, ...]) -> None:
    """Measure rate and metrics on the images in FOLDERs.

    Writes rows.jsonl, table.md, curve.svg and curve.png. Run again, it continues where it stopped; a new
    metric is added to old rows. The metric text takes only images whose text is in the folder's labels.jsonl.
    """
    if not ladders:
        raise click.UsageError("no codec: give --codec at least once")
    _run(metrics, [(baselines.codec(name), qualities) for name, qualities in ladders], options)


@bench.command()
@_sweep_options("jpeg", "webp", "avif-psnr")
def rd(ladders: Ladders, options: SweepOptions) -> None:
    """Measure rate and distortion (PSNR, MS-SSIM) of the images in FOLDERs.

    The same as sweep with the metric fidelity, by default of all codecs.
    """
    _run((metric("fidelity"),), _codecs(ladders, NAMES), options)


@bench.command()
@_sweep_options("avif", "jpeg")
def text(ladders: Ladders, options: SweepOptions) -> None:
    """Measure rate and word accuracy (RapidOCR) of the packs in FOLDERs: images/ and labels.jsonl.

    The same as sweep with the metric text, by default of a few codecs at low rates.
    """
    _run((metric("text"),), _codecs(ladders, TEXT_CODECS), options)


def _report_options(command: Callable[..., None]) -> Callable[..., None]:
    files = click.Path(exists=True, path_type=Path)
    page = click.Path(dir_okay=False, path_type=Path)
    for option in reversed(
        [
            click.argument("files", metavar="ROWS...", nargs=-1, required=True, type=files),
            click.option("-o", "--out", required=True, type=page, help="Page to write, .html or .md."),
            click.option(
                "--images",
                "folders",
                multiple=True,
                type=_FOLDER,
                help="Folder of the images, to show the worst ones.  [repeatable]",
            ),
            click.option(
                "--reference",
                "references",
                metavar="SPEC",
                multiple=True,
                help="Codec to compare with.  [repeatable; default: the first]",
            ),
            click.option(
                "--codec",
                metavar="SPEC",
                help="Codec whose worst images are shown.  [default: the last cotam]",
            ),
            click.option("--title", help="Title of the page."),
            *_SHOWN,
        ]
    ):
        command = option(command)
    return command


@bench.command("report")
@_report_options
@errors_shown
def report_command(
    files: tuple[Path, ...],
    out: Path,
    folders: tuple[Path, ...],
    references: tuple[str, ...],
    title: str | None,
    **options: Any,
) -> None:
    """Write a report of sweeps: a self-contained HTML page, or its tables as .md.

    ROWS are files of rows, or folders with rows.jsonl; several are joined, for codecs that were measured
    separately on the same images.
    """
    from cotam_lab.bench import page

    rows = page.latest([row for file in files for row in read_rows(_rows_file(file))])
    if not rows:
        raise InputError(f"there are no rows in {', '.join(map(str, files))}")
    found = {one.name: one.path for one in _samples(folders, None, 1, labelled=False)} if folders else {}
    title = title or " and ".join(_rows_file(file).resolve().parent.name for file in files)
    references = references or tuple(report.codecs_of(rows)[:1])
    if out.suffix == ".md":
        scores = options["scores"] or [key for keys in page.groups(rows).values() for key in keys]
        written = report.whole_table(rows, scores, references, title=title)
    else:
        written = page.page(rows, references, found, title=title, **options)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(str(out), written.encode("utf-8"), overwrite=True)


def _rows_file(path: Path) -> Path:
    return path / "rows.jsonl" if path.is_dir() else path


def _codecs(ladders: Ladders, default: Sequence[str]) -> list[tuple[Codec, tuple[int, ...]]]:
    """Codecs asked for, which must be installed; else those of the default that are."""
    if ladders:
        return [(baselines.codec(name), qualities) for name, qualities in ladders]
    codecs, left_out = available(default)
    for line in left_out:
        click.echo(line, err=True)
    return [(codec, ()) for codec in codecs]


def _run(
    metrics: Sequence[Metric], codecs: Sequence[tuple[Codec, tuple[int, ...]]], options: SweepOptions
) -> None:
    """Sweep, then write tables and curves and print the tables."""
    reads = any(one.name == "text" for one in metrics)
    own = [
        (codec, listed or options.qualities or (codec.text_qualities if reads else codec.qualities))
        for codec, listed in codecs
    ]
    samples = _samples(options.folders, options.limit, options.every, labelled=reads)
    wanted = plan(samples, own, originals=reads)
    out = options.out
    rows = run_sweep(out / "rows.jsonl", wanted, metrics, jobs=options.jobs or os.cpu_count() or 1)
    title = " and ".join(folder.resolve().name for folder in options.folders)
    shown = options.scores or [key for one in metrics for key in one.main]
    table = report.whole_table(rows, shown, options.references or report.codecs_of(rows)[:1], title=title)
    (out / "table.md").write_text(table, encoding="utf-8")
    files = [out / "curve.svg", out / "curve.png"]
    report.curve_figure(rows, shown, files, title=title, log_rate=options.log_rate)
    click.echo(table)


def _samples(folders: Sequence[Path], limit: int | None, every: int, *, labelled: bool) -> list[Sample]:
    """Images of all folders; with several, names are prefixed by the folder's."""
    find = labelled_images if labelled else find_images
    found = []
    for folder in folders:
        before = f"{folder.resolve().name}/" if len(folders) > 1 else ""
        found += [Sample(one.path, before + one.name, one.texts) for one in find(folder, limit, every)]
    if len({one.name for one in found}) < len(found):
        raise InputError("two of the folders have the same name: measure them one by one")
    return found


if __name__ == "__main__":
    bench()
