"""``cotam batch``: data sets of any size, on this machine or on a Ray cluster.

Knows options: files and processes are for `cotam.datasets.run`, Ray for `cotam.datasets.ray`.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cotam.cli.options import check_together, decode_options, encode_options, given_flags
from cotam.options import View
from cotam.screen import Screen

if TYPE_CHECKING:
    from cotam.datasets.run import Engine

__all__ = ["batch_folder"]

_DECODING = {"form", "view", "size_limit"}


@click.command("batch")
@click.argument("source", metavar="SRC", type=click.Path(exists=True))
@click.argument("target", metavar="DST", type=click.Path(file_okay=False))
@click.option("--decode", is_flag=True, help="Make pictures of .cotam, instead of .cotam of pictures.")
@click.option(
    "-j",
    "--jobs",
    metavar="N",
    type=click.IntRange(1),
    help="Processes, of one thread each.  [default: number of processors; with --ray, all that are free]",
)
@click.option(
    "--ray",
    metavar="[ADDRESS]",
    is_flag=False,
    flag_value="local",
    help="Work in a Ray cluster: auto, HOST:PORT, or, without ADDRESS, one on this machine. Give it last. "
    "All machines must see SRC and DST under these names. Extra ray.",
)
@click.option(
    "--column",
    metavar="NAME",
    default="image",
    show_default=True,
    help='Of Parquet files: bytes, or {"bytes": ...}.',
)
@click.option("--overwrite", is_flag=True, help="Do all again, not what is missing only.")
@encode_options
@decode_options
@click.option("-v", "--verbose", is_flag=True, help="Say what was written.")
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
def batch_folder(
    source: str,
    target: str,
    decode: bool,
    jobs: int | None,
    ray: str | None,
    column: str,
    overwrite: bool,
    form: str | None,
    view: View,
    size_limit: int,
    verbose: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Encode or decode a data set.

    SRC is a folder of pictures, Parquet files and WebDataset's .tar shards, in any depth, or one such file.
    DST is a folder that will look the same: a file for each, with pictures converted. All
    else in Parquet and .tar stays as it is; other files in folders are left out.

    Run again, it does what is missing. DST/manifest.jsonl lists what is done, DST/failures.jsonl what failed.
    Outputs do not depend on the number of processes.
    """
    for flag in given_flags(options if decode else _DECODING):
        raise click.UsageError(f"{flag} is for {'encoding' if decode else '--decode'}")
    check_together(options)

    from cotam.datasets.conversion import Conversion, Decoding, Encoding
    from cotam.datasets.run import processes, run
    from cotam.datasets.shards import Work
    from cotam.runtime import usable_processors

    conversion: Conversion = Encoding(options)
    if decode:
        conversion = Decoding(form or "png", view, size_limit * 1_000_000)
    folder, name = (source, "") if os.path.isdir(source) else os.path.split(source)
    work = Work(os.path.abspath(folder), os.path.abspath(target), conversion, column)
    engine: Engine = partial(processes, jobs=jobs or usable_processors())
    if ray:
        from cotam.datasets.ray import actors

        engine = partial(actors, jobs=jobs, address=ray)
    if not run(work, engine, Screen(verbose, quiet), name=name or None, overwrite=overwrite):
        click.get_current_context().exit(1)
