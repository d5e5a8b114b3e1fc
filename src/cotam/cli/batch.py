"""``cotam batch``: encode or decode data sets, on this machine or on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cotam.cli.options import (
    check_together,
    decode_options,
    encode_options,
    given_flags,
    message_options,
    option,
)
from cotam.options import View
from cotam.screen import Screen, counted

if TYPE_CHECKING:
    from cotam.datasets.run import Contents, Engine
    from cotam.datasets.shards import Row, UnitConverter

__all__ = ["batch"]

_DECODING = {"form", "view", "size_limit"}


def _extensions(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[str, ...]:
    return tuple(part.strip().lstrip(".").lower() for part in (text or "").split(",") if part.strip())


@click.command()
@click.argument("source", metavar="SRC", type=click.Path(exists=True))
@click.argument("target", metavar="DST", type=click.Path(file_okay=False))
@click.option("--decode", is_flag=True, help="Decode .cotam files instead of encoding images.")
@option(
    "-j --jobs N",
    "Processes of one thread each.  [default: number of processors; with --ray, all free ones]",
    click.IntRange(1),
)
@option(
    "--ray [ADDRESS]",
    "Run on a Ray cluster (extra ray): auto, HOST:PORT, or, without ADDRESS, a new one on this machine; then "
    "give the option last. All machines must see SRC and DST under the same paths.",
    is_flag=False,
    flag_value="local",
)
@option(
    "--column NAME", 'Column of Parquet files: bytes, {"bytes": ...}, or lists of these.', default="image"
)
@option(
    "--members EXTENSIONS",
    "Convert the members of .tar shards with these extensions, such as jpg,right.png.  [default: one image "
    "of each sample, others unchanged]",
    callback=_extensions,
)
@click.option(
    "--overwrite", is_flag=True, help="Convert everything again, and replace files that no run wrote."
)
@encode_options
@decode_options("Format of decoded images.  [default: png]")
@message_options("Print a line of JSON for each file: sizes, failures, notes.")
def batch(
    source: str,
    target: str,
    decode: bool,
    jobs: int | None,
    ray: str | None,
    column: str,
    members: tuple[str, ...],
    overwrite: bool,
    form: str | None,
    view: View,
    size_limit: int,
    screen: Screen,
    **options: Any,
) -> None:
    """Encode or decode a data set.

    SRC is a folder of images, Parquet files and WebDataset .tar shards, searched recursively, or one such
    file. DST is a folder that gets the same layout, with images converted. Other columns and members stay as
    they are; files of other kinds are left out.

    Run again, the command converts what is missing or has changed. DST/manifest.jsonl lists finished files,
    DST/failures.jsonl failures, DST/notes.jsonl what was repaired, left out in part or grew. Outputs do not
    depend on the number of processes.
    """
    for flag in given_flags(options if decode else _DECODING):
        raise click.UsageError(f"{flag} is for {'encoding' if decode else '--decode'}")
    check_together(options["target_size"])
    if not target:
        raise click.UsageError("the name of the output is empty")

    from cotam.datasets.conversion import Conversion, Decoding, Encoding
    from cotam.datasets.shards import UnitConverter

    conversion: Conversion = Encoding(options, screen.strict)
    if decode:
        conversion = Decoding(form or "png", view, size_limit * 1_000_000)
    folder, name = (source, "") if os.path.isdir(source) else os.path.split(source)
    work = UnitConverter(
        os.path.abspath(folder), os.path.abspath(target), conversion, column, members, screen.strict
    )
    _convert(work, name or None, _engine(jobs, ray), overwrite, screen)


def _engine(jobs: int | None, ray: str | None) -> Engine:
    if ray:
        from cotam.datasets.ray import tasks

        return partial(tasks, jobs=jobs, address=ray)
    from cotam.datasets.workers import processes
    from cotam.runtime import usable_processors

    return partial(processes, jobs=jobs or usable_processors())


@contextmanager
def _watch(screen: Screen, contents: Contents, todo: int) -> Iterator[Callable[[Row], None]]:
    """Report what is left out and what was done before, then show progress."""
    for name, what in sorted(contents.special.items()):
        with screen.reporting(name) as report:
            report.note(f"is {what}: left out")
    if contents.other:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(contents.other.items()))
        screen.note(f"files of other kinds are left out: {kinds}")
    for row in contents.refused:
        screen.row(asdict(row))
    if todo < len(contents.units):
        screen.note(f"done before: {len(contents.units) - todo} of {counted(len(contents.units), 'file')}")
    if changed := contents.changed:
        screen.note(
            f"converted again: {counted(len(changed), 'file')} with another size or time than when converted "
            f"before, such as {changed[0]}"
        )
    with screen.progress(todo) as advance:

        def finished(row: Row) -> None:
            screen.row(asdict(row))
            if row.output:
                screen.summary(f"{row.source}: {counted(row.images, 'image')}, {row.bytes_out} bytes")
            for each in row.failed:
                screen.summary(f"cotam: error: {each['error']}")
            advance(1)

        yield finished


def _convert(work: UnitConverter, name: str | None, engine: Engine, overwrite: bool, screen: Screen) -> None:
    """Run the conversion and report its result."""
    from cotam.datasets.run import FAILURES, NOTES, run

    try:
        found = run(work, engine, name=name, overwrite=overwrite, watch=partial(_watch, screen))
    except KeyboardInterrupt:
        screen.note("interrupted: the same command converts the rest")
        raise
    screen.note(
        f"{counted(found.images, 'image')} in {found.seconds:.1f} s, {found.images / found.seconds:.1f} a "
        f"second: {found.bytes_in} -> {found.bytes_out} bytes"
    )
    if found.notes:
        screen.note(f"{counted(found.notes, 'note')} on images: see {os.path.join(work.target, NOTES)}")
    if found.failures:
        screen.error(f"{found.failures} failed: {os.path.join(work.target, FAILURES)} says why")
        screen.failed = True
