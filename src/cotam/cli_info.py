"""``cotam info``: what files say about themselves.

Knows the text and the JSON that are printed: what is in a file is for `cotam.api`.
"""

from __future__ import annotations

import json
from dataclasses import asdict

import click

import cotam
from cotam import batch, files
from cotam.api import Info
from cotam.batch import HEADER_BYTES, Screen, describe
from cotam.bitstream import read_header

__all__ = ["info"]


@click.command()
@click.argument("inputs", metavar="IN...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--map", "with_map", is_flag=True, help="Show the level map, too: a number for 32×32 pixels.")
def info(inputs: tuple[str, ...], as_json: bool, with_map: bool) -> None:
    """Say what .cotam files are: size, quality, weights.

    IN is a file, or - for standard input. Pixels are not decoded. Levels are quarter octaves of gain: above 0
    is finer than the quality says, below it is coarser.
    """
    failed = False
    for source in inputs:
        try:
            data = files.read_input(source, HEADER_BYTES, read_header)
            found = cotam.info(data)
            levels = cotam.level_map(data).tolist() if with_map else None
        except batch.ERRORS as error:
            Screen().error(describe(error, source))
            failed = True
            continue
        if as_json:
            more = {} if levels is None else {"levels": levels}
            click.echo(json.dumps({"file": source} | asdict(found) | more))
        else:
            click.echo(f"{click.format_filename(source)}\n{_lines(found)}")
            if levels is not None:
                click.echo(_grid(levels))
    if failed:
        click.get_current_context().exit(1)


def _lines(found: Info) -> str:
    rows = {
        "picture": f"{found.width} x {found.height}",
        "file": f"{found.bytes} bytes, {found.bpp:.3f} bits per pixel",
        "quality": found.quality,
        "weights": found.weights,
        "bits": "spread by a level map" if found.has_levels else "spread evenly",
        "metadata": ", ".join(found.metadata) or "none",
    }
    return "\n".join(f"  {name:<9} {value}" for name, value in rows.items())


def _grid(levels: list[list[int]]) -> str:
    """A line for each row; zeros are dots, so that the rest is seen."""
    return "\n".join("  " + "".join(f"{level:+3d}" if level else "  ." for level in row) for row in levels)
