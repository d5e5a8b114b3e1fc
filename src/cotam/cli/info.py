"""``cotam info``: what files say about themselves.

Knows the text and the JSON that are printed: what is in a file is for `cotam.api`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

import click

import cotam
from cotam import files
from cotam.api import Info
from cotam.cli.progress import Screen
from cotam.errors import InputError
from cotam.format.header import HEADER_BYTES, is_sequence, read_header
from cotam.frames import SequenceInfo

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
    screen = Screen()
    for source in inputs:
        text = ""
        with screen.reporting(source):
            text = _about(source, as_json, with_map)
        if text:
            click.echo(text)
    if screen.failed:
        click.get_current_context().exit(1)


def _about(source: str, as_json: bool, with_map: bool) -> str:
    data = files.read_input(source, HEADER_BYTES, _check)
    if with_map and is_sequence(data):
        raise InputError("--map is for still pictures: this is a sequence of frames")
    found = cotam.sequence_info(data) if is_sequence(data) else cotam.info(data)
    levels = cotam.level_map(data).tolist() if with_map else None
    if as_json:
        more = {} if levels is None else {"levels": levels}
        return json.dumps({"file": source} | asdict(found) | more)
    text = f"{click.format_filename(source)}\n{_lines(found)}"
    return text if levels is None else f"{text}\n{_grid(levels)}"


def _check(start: bytes) -> None:
    if not is_sequence(start):
        read_header(start)


def _lines(found: Info | SequenceInfo) -> str:
    if isinstance(found, SequenceInfo):
        return _table(_of_sequence(found))
    rows = {
        "picture": f"{found.width} x {found.height}",
        "file": f"{found.bytes} bytes, {found.bpp:.3f} bits per pixel",
        "quality": found.quality,
        "weights": found.weights,
        "bits": "spread by a level map" if found.has_levels else "spread evenly",
        "metadata": ", ".join(found.metadata) or "none",
    }
    return _table(rows)


def _of_sequence(found: SequenceInfo) -> dict[str, object]:
    count = len(found.times)
    return {
        "frames": f"{count} of {found.width} x {found.height}, {found.times[0]:g} to {found.times[-1]:g} s",
        "file": f"{found.bytes} bytes, {found.bytes / count:.0f} a frame, {found.bpp:.3f} bits per pixel",
        "quality": found.quality,
        "weights": found.weights,
        "keys": f"{len(found.keys)} frames decode without those before",
    }


def _table(rows: Mapping[str, object]) -> str:
    return "\n".join(f"  {name:<9} {value}" for name, value in rows.items())


def _grid(levels: list[list[int]]) -> str:
    """A line for each row; zeros are dots, so that the rest is seen."""
    return "\n".join("  " + "".join(f"{level:+3d}" if level else "  ." for level in row) for row in levels)
