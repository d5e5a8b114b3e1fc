"""``cotam bench``: sweeps over codecs, with a table, curves and the rows that they stand on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from cotam.bench import report
from cotam.bench.baselines import NAMES, Codec, available
from cotam.bench.baselines import codec as make_codec
from cotam.bench.curves import compare
from cotam.bench.judges import FIDELITY, TEXT
from cotam.bench.pictures import labelled_pictures, plain_pictures
from cotam.bench.speed import speed
from cotam.bench.sweep import Row, sweep, tasks
from cotam.errors import CotamError, InputError

__all__ = ["bench"]

TEXT_CODECS = ("jpeg", "webp", "avif", "cotam")  # not all: RapidOCR takes some two seconds for a page


@click.group()
def bench() -> None:
    """Measure codecs beside each other."""


bench.add_command(speed)


def _sweep_options(*references: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options that all sweeps have."""
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    options = [
        click.argument("folder", type=folder),
        click.option(
            "-o",
            "--out",
            required=True,
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder to write.",
        ),
        click.option(
            "--codec", "names", multiple=True, type=click.Choice(NAMES), help="Only this one.  [repeatable]"
        ),
        click.option(
            "--quality", "qualities", multiple=True, type=int, help="Not the codec's own ones.  [repeatable]"
        ),
        click.option(
            "--reference",
            "references",
            multiple=True,
            default=references,
            type=click.Choice(NAMES),
            help=f"What BD-rates compare with; {', '.join(references)} if not given.  [repeatable]",
        ),
        click.option(
            "-j", "--jobs", type=click.IntRange(1), help="Processes; as many as cores if not given."
        ),
        click.option("--limit", type=click.IntRange(1), help="Take so many pictures, evenly spaced."),
        click.option("--log-rate", is_flag=True, help="Draw the curves over a logarithmic axis."),
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@bench.command()
@_sweep_options("jpeg", "webp", "avif-psnr")
def rd(
    folder: Path,
    out: Path,
    names: tuple[str, ...],
    qualities: tuple[int, ...],
    references: tuple[str, ...],
    jobs: int | None,
    limit: int | None,
    log_rate: bool,
) -> None:
    """Rate and distortion (PSNR, MS-SSIM) of the pictures in FOLDER.

    Writes rows.jsonl, table.md, curve.svg and curve.png. Run again, it goes on where it was stopped.
    """
    with _errors_shown():
        ladders = [(codec, qualities or codec.qualities) for codec in _codecs(names, NAMES)]
        wanted = tasks(plain_pictures(folder, limit), ladders)
        rows = sweep(out / "rows.jsonl", wanted, [FIDELITY], jobs=jobs or os.cpu_count() or 1)
        scores = ("psnr", "ms_ssim_db")
        _write(out, rows, scores, references, title=folder.resolve().name, noisy=False, log_rate=log_rate)


@bench.command()
@_sweep_options("avif", "jpeg")
def text(
    folder: Path,
    out: Path,
    names: tuple[str, ...],
    qualities: tuple[int, ...],
    references: tuple[str, ...],
    jobs: int | None,
    limit: int | None,
    log_rate: bool,
) -> None:
    """Rate and word accuracy (RapidOCR) of the pack in FOLDER: images/ and labels.jsonl.

    Writes rows.jsonl, table.md, curve.svg and curve.png. Run again, it goes on where it was stopped.
    """
    with _errors_shown():
        ladders = [(codec, qualities or codec.text_qualities) for codec in _codecs(names, TEXT_CODECS)]
        wanted = tasks(labelled_pictures(folder, limit), ladders, originals=True)
        rows = sweep(out / "rows.jsonl", wanted, [TEXT], jobs=jobs or os.cpu_count() or 1)
        scores = ("recall", "f1")
        _write(out, rows, scores, references, title=folder.resolve().name, noisy=True, log_rate=log_rate)


@contextmanager
def _errors_shown() -> Iterator[None]:
    """Show what Cotam raises on purpose as one line, exit code 1."""
    try:
        yield
    except CotamError as error:
        raise click.ClickException(str(error)) from error


def _codecs(names: Sequence[str], default: Sequence[str]) -> list[Codec]:
    """Those asked for, which must be there; if none was, those of the default that are there."""
    if names:
        return [make_codec(name) for name in names]
    codecs, left_out = available(default)
    for line in left_out:
        click.echo(line, err=True)
    return codecs


def _write(
    out: Path,
    rows: Sequence[Row],
    scores: Sequence[str],
    references: Sequence[str],
    *,
    title: str,
    noisy: bool,
    log_rate: bool,
) -> None:
    """Write and print what the rows say."""
    parts = [_compared(rows, scores, reference, noisy) for reference in references]
    parts += [report.point_table(rows, scores)]
    if not noisy:
        parts += [report.falls(rows, scores[0])]
    parts += [report.versions(rows)]
    table = f"# {title}\n\n" + "\n".join(parts)
    (out / "table.md").write_text(table, encoding="utf-8")
    files = [out / "curve.svg", out / "curve.png"]
    report.curve_figure(rows, scores, files, title=title, log_rate=log_rate)
    click.echo(table)


def _compared(rows: Sequence[Row], scores: Sequence[str], reference: str, noisy: bool) -> str:
    names = report.codecs_of(rows)
    if reference not in names:
        return f"Nothing is compared with {reference}: it was not measured.\n"
    comparisons, remarks = [], []
    for name in names:
        for score in scores if name != reference else ():
            try:
                comparisons.append(compare(rows, reference, name, score, noisy=noisy))
            except InputError as error:  # a codec that failed on every picture
                remarks.append(f"\n{name}: {error}.\n")
    return report.comparison_table(reference, comparisons) + "".join(remarks)


if __name__ == "__main__":
    bench()
