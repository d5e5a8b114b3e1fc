"""``cotam bench``: sweeps over codecs, with a table, curves and the rows that they stand on."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import click

from cotam.errors import CotamError, InputError
from cotam.files import write_whole
from cotam.image import baselines
from cotam.image.baselines import NAMES, Codec, available
from cotam_lab.bench import report
from cotam_lab.bench.pictures import Picture, labelled_pictures, plain_pictures
from cotam_lab.bench.speed import speed
from cotam_lab.bench.sweep import read_rows, tasks
from cotam_lab.bench.sweep import sweep as measure_all
from cotam_lab.bench.video import video
from cotam_lab.metrics.pictures import JUDGES, Judge, judge
from cotam_lab.metrics.scores import score_named

__all__ = ["bench", "checked", "errors_shown", "ladder"]

TEXT_CODECS = ("jpeg", "webp", "avif", "cotam")  # not all: RapidOCR takes some two seconds for a page


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Measure codecs beside each other."""


bench.add_command(speed)
bench.add_command(video)


def checked(check: Callable[[str], Any]) -> Callable[..., Any]:
    """An option's callback that takes what a function does not refuse; wrong usage otherwise."""

    def callback(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[Any, ...]:
        try:
            return tuple(check(value) for value in values)
        except InputError as error:
            raise click.BadParameter(str(error), ctx, option) from error

    return callback


def ladder(spec: str) -> tuple[str, tuple[int, ...]]:
    """As `cotam.image.baselines.ladder`, of a codec that there is."""
    name, qualities = baselines.ladder(spec)
    if name.partition(":")[0] not in NAMES:
        raise InputError(f"unknown codec {name!r}: choose from {', '.join(NAMES)}")
    return name, qualities


def _score(key: str) -> str:
    score_named(key)
    return key


_SCORES_HELP = "What tables and curves show; the judges' main ones if not given.  [repeatable]"


def errors_shown(command: Callable[..., None]) -> Callable[..., None]:
    """Show what Cotam raises on purpose as one line, exit code 1."""

    @wraps(command)
    def shown(*arguments: Any, **values: Any) -> None:
        try:
            command(*arguments, **values)
        except CotamError as error:
            raise click.ClickException(str(error)) from error

    return shown


def _sweep_options(*references: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options that all sweeps have."""
    default = ", ".join(references) if references else "the first codec"
    options = [
        click.argument(
            "folders",
            metavar="FOLDER...",
            nargs=-1,
            required=True,
            type=click.Path(exists=True, file_okay=False, path_type=Path),
        ),
        click.option(
            "-o",
            "--out",
            required=True,
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder to write.",
        ),
        click.option(
            "--codec",
            "ladders",
            metavar="SPEC[@Q,…]",
            multiple=True,
            callback=checked(ladder),
            help=f"{', '.join(NAMES)}, or cotam:OPTION=VALUE,…; its own qualities if none are given.  "
            "[repeatable]",
        ),
        click.option(
            "--quality", "qualities", multiple=True, type=int, help="For every codec.  [repeatable]"
        ),
        click.option(
            "--reference",
            "references",
            metavar="SPEC",
            multiple=True,
            default=references,
            help=f"What is compared with; {default} if not given.  [repeatable]",
        ),
        click.option(
            "--score",
            "scores",
            multiple=True,
            callback=checked(_score),
            help=_SCORES_HELP,
        ),
        click.option(
            "-j", "--jobs", type=click.IntRange(1), help="Processes; as many as cores if not given."
        ),
        click.option(
            "--every",
            type=click.IntRange(1),
            default=1,
            help="Take pictures 0, N, 2N, … of each folder's sorted list.",
        ),
        click.option(
            "--limit", type=click.IntRange(1), help="Take so many pictures of each folder, evenly spaced."
        ),
        click.option("--log-rate", is_flag=True, help="Draw the curves over a logarithmic axis."),
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        shown = errors_shown(command)
        for option in reversed(options):
            shown = option(shown)
        return shown

    return decorate


@bench.command()
@click.option(
    "--judge",
    "judges",
    metavar="NAME",
    multiple=True,
    required=True,
    callback=checked(judge),
    help=f"{', '.join(JUDGES)}, or features:TEACHER.  [repeatable]",
)
@_sweep_options()
def sweep(
    ladders: tuple[tuple[str, tuple[int, ...]], ...], judges: tuple[Judge, ...], **options: Any
) -> None:
    """Rate and any judges' scores of the pictures in FOLDERs.

    The judge text takes only pictures in which the folder's labels.jsonl says what is written. Writes
    rows.jsonl, table.md, curve.svg and curve.png. Run again, it goes on where it was stopped; a judge that is
    new judges the old rows too.
    """
    if not ladders:
        raise click.UsageError("which codecs? give --codec at least once")
    _run(judges, [(baselines.codec(name), qualities) for name, qualities in ladders], **options)


@bench.command()
@_sweep_options("jpeg", "webp", "avif-psnr")
def rd(ladders: tuple[tuple[str, tuple[int, ...]], ...], **options: Any) -> None:
    """Rate and distortion (PSNR, MS-SSIM) of the pictures in FOLDERs.

    The same as sweep with the judge fidelity, by default of all codecs.
    """
    _run((judge("fidelity"),), _codecs(ladders, NAMES), **options)


@bench.command()
@_sweep_options("avif", "jpeg")
def text(ladders: tuple[tuple[str, tuple[int, ...]], ...], **options: Any) -> None:
    """Rate and word accuracy (RapidOCR) of the packs in FOLDERs: images/ and labels.jsonl.

    The same as sweep with the judge text, by default of a few codecs at low rates.
    """
    _run((judge("text"),), _codecs(ladders, TEXT_CODECS), **options)


@bench.command("report")
@click.argument(
    "files", metavar="ROWS...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
@click.option(
    "-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Page to write."
)
@click.option(
    "--pictures",
    "folders",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folders that were swept, to show the worst pictures.  [repeatable]",
)
@click.option(
    "--reference",
    "references",
    metavar="SPEC",
    multiple=True,
    help="What is compared with; the first codec if not given.  [repeatable]",
)
@click.option("--codec", metavar="SPEC", help="Whose worst pictures are shown; the last of ours if none.")
@click.option("--score", "scores", multiple=True, callback=checked(_score), help=_SCORES_HELP)
@click.option("--title", help="Of the page.")
@click.option("--log-rate", is_flag=True, help="Draw the curves over a logarithmic axis.")
@errors_shown
def report_command(
    files: tuple[Path, ...],
    out: Path,
    folders: tuple[Path, ...],
    references: tuple[str, ...],
    title: str | None,
    **options: Any,
) -> None:
    """Write one self-contained page of the rows in files or folders ROWS; their tables alone to a file .md.

    Curves and comparisons for each judge, and the pictures where a codec does worst. Give several files of
    rows for codecs that were measured apart; the pictures must be the same.
    """
    from cotam_lab.bench import page

    rows = page.latest([row for file in files for row in read_rows(_rows_file(file))])
    if not rows:
        raise InputError(f"there are no rows in {', '.join(map(str, files))}")
    found = {one.name: one.path for one in _pictures(folders, None, 1, labelled=False)} if folders else {}
    title = title or " and ".join(_rows_file(file).resolve().parent.name for file in files)
    references = references or tuple(report.codecs_of(rows)[:1])
    if out.suffix == ".md":
        scores = options["scores"] or [key for keys in page.groups(rows).values() for key in keys]
        text = report.whole_table(rows, scores, references, title=title)
    else:
        text = page.page(rows, references, found, title=title, **options)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(str(out), text.encode("utf-8"), overwrite=True)


def _rows_file(path: Path) -> Path:
    return path / "rows.jsonl" if path.is_dir() else path


def _codecs(
    ladders: Sequence[tuple[str, tuple[int, ...]]], default: Sequence[str]
) -> list[tuple[Codec, tuple[int, ...]]]:
    """Those asked for, which must be there; if none was, those of the default that are there."""
    if ladders:
        return [(baselines.codec(name), qualities) for name, qualities in ladders]
    codecs, left_out = available(default)
    for line in left_out:
        click.echo(line, err=True)
    return [(codec, ()) for codec in codecs]


def _run(
    judges: Sequence[Judge],
    codecs: Sequence[tuple[Codec, tuple[int, ...]]],
    *,
    folders: Sequence[Path],
    out: Path,
    qualities: tuple[int, ...],
    references: Sequence[str],
    scores: Sequence[str],
    jobs: int | None,
    every: int,
    limit: int | None,
    log_rate: bool,
) -> None:
    """Sweep, then write and print what the rows say."""
    reads = any(one.name == "text" for one in judges)
    own = [
        (codec, listed or qualities or (codec.text_qualities if reads else codec.qualities))
        for codec, listed in codecs
    ]
    wanted = tasks(_pictures(folders, limit, every, labelled=reads), own, originals=reads)
    rows = measure_all(out / "rows.jsonl", wanted, judges, jobs=jobs or os.cpu_count() or 1)
    title = " and ".join(folder.resolve().name for folder in folders)
    shown = scores or [key for one in judges for key in one.main]
    table = report.whole_table(rows, shown, references or report.codecs_of(rows)[:1], title=title)
    (out / "table.md").write_text(table, encoding="utf-8")
    report.curve_figure(rows, shown, [out / "curve.svg", out / "curve.png"], title=title, log_rate=log_rate)
    click.echo(table)


def _pictures(folders: Sequence[Path], limit: int | None, every: int, *, labelled: bool) -> list[Picture]:
    """Of all folders; of several, their names have the folder's before them."""
    find = labelled_pictures if labelled else plain_pictures
    found = []
    for folder in folders:
        before = f"{folder.resolve().name}/" if len(folders) > 1 else ""
        found += [Picture(one.path, before + one.name, one.texts) for one in find(folder, limit, every)]
    if len({one.name for one in found}) < len(found):
        raise InputError("two of the folders have the same name: measure them one by one")
    return found


if __name__ == "__main__":
    bench()
